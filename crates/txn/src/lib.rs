//! The rules: ids, states, and saga, TCC, XA and message as pure functions.
