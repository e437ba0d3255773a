//! The reference system: a payment platform built on Escrow.
//!
//! Each service has its own port and its own database, and talks to the others and to the coordinator over HTTP only.
//! `contract` says what they tell each other, `platform` starts them all in one process.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod ids;
pub mod money;
pub mod time;

pub mod contract;

pub mod barrier;
pub mod foundation;

pub mod accounting;
pub mod funds;
pub mod gateway;
pub mod notify;
pub mod order;
pub mod points;
pub mod signing;

pub mod bank;
pub mod merchant;

pub mod audit;

pub mod platform;

pub mod demo;
