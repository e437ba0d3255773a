//! The seam to durable storage: the Store trait, the record codec, the in-memory store and the conformance suite.
