//! The laws of the rules, checked on every small transaction and on random larger ones.
//!
//! [`world`] keeps the books that the rules never see (what was called and done, in every life of the coordinator) and
//! checks each law at the moment it could break. [`explore`] walks through everything that can happen to a small
//! transaction; [`walks`] walks at random through larger ones; [`effects`] looks at what is left at the participants.

// Here a wildcard means "everything else breaks the law": a new state breaks it until somebody says otherwise.
#![allow(clippy::wildcard_enum_match_arm)]

mod effects;
mod explore;
mod moves;
pub(crate) mod samples;
mod walks;
pub(crate) mod world;
