//! How late the coordinator is: scheduled against actual, of retries, delays and time-outs, under load.
