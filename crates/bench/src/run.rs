//! Runs a plan: all targets of a workload side by side, their rounds interleaved.
