//! The bytes: foreign dialects as codecs, with golden files.
