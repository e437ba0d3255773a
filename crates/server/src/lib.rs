//! The edges: HTTP, configuration, metrics.
