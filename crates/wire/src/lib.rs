//! The bytes: foreign dialects as codecs. What a dialect calls things, and its quirks, stop here.
//!
//! A codec turns bytes into what [`escrow_txn`] knows and back. It decides nothing, keeps nothing, and reads no clock.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod dtm;
