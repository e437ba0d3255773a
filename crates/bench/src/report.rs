//! Results, as tables and plots for people and as JSON for programs.
