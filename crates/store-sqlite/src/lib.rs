//! Transactions in one SQLite file, one row each, with group commit.
