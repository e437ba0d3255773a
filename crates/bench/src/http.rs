//! Just enough HTTP/1.1 with keep-alive for a load that must cost little beside what it measures.
