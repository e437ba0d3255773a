//! Fills a store with transactions, through the store itself.
