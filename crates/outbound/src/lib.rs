//! Calls that leave: BranchCaller over HTTP.
