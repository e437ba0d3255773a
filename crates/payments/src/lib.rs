//! The reference system: a payment platform built on Escrow.
