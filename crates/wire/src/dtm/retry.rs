//! Operators' requests that transactions go on at once.

use std::time::Duration;

use serde::Serialize;

use super::query_string::number;
use super::{DecodeError, Reply};

/// Transactions to reset where the request does not say how many.
const LIMIT: u32 = 100;

/// What resetCronTime asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResetQuery {
    /// Only those that would wait for longer than this; `None`: not said.
    pub longer_than: Option<Duration>,
    /// At most this many. Not bounded here.
    pub limit: u32,
}

/// Reads the query string of resetCronTime.
///
/// ```
/// let reset = escrow_wire::dtm::decode_reset("timeout=60&limit=10")?;
/// assert_eq!((reset.longer_than.unwrap().as_secs(), reset.limit), (60, 10));
/// # Ok::<(), escrow_wire::dtm::DecodeError>(())
/// ```
///
/// # Errors
/// [`DecodeError::InvalidParameter`].
pub fn decode_reset(query: &str) -> Result<ResetQuery, DecodeError> {
    let seconds = number::<u32>(query, "timeout", "a whole number of seconds")?;
    Ok(ResetQuery {
        longer_than: seconds.map(|seconds| Duration::from_secs(seconds.into())),
        limit: number(query, "limit", "a whole number")?.unwrap_or(LIMIT),
    })
}

/// Writes the reply to resetCronTime: how many go on now, and whether there are more.
///
/// ```
/// let reply = escrow_wire::dtm::encode_reset(9, true);
/// assert_eq!(reply.body, r#"{"has_remaining":true,"succeed_count":9}"#);
/// ```
pub fn encode_reset(succeed_count: usize, has_remaining: bool) -> Reply {
    #[derive(Serialize)]
    struct Reset {
        has_remaining: bool,
        succeed_count: usize,
    }
    Reply::json(200, &Reset { has_remaining, succeed_count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_has_defaults_and_no_negative_numbers() {
        assert_eq!(decode_reset("").unwrap(), ResetQuery { longer_than: None, limit: 100 });
        assert_eq!(
            decode_reset("timeout=0&limit=0").unwrap(),
            ResetQuery { longer_than: Some(Duration::ZERO), limit: 0 }
        );
        for query in ["timeout=x", "timeout=-1", "timeout=1.5", "limit=-1", "limit=many", "limit=99999999999"] {
            let error = decode_reset(query).unwrap_err();
            assert_eq!((error.code(), error.status()), ("invalid_parameter", 500), "{query}");
        }
    }
}
