use escrow_txn::{Gid, limits};

use super::json::object;
use super::transaction::{parse, parse_gid, parse_reason};
use super::{Body, DecodeError};

object! {
    /// DTM reads the gid only.
    struct ForceStopBody {
        gid: String,
        /// Extension.
        reason: String,
        /// Extension.
        operator: String,
    }
}

/// An operator ends a transaction by force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForceStop {
    /// Which one.
    pub gid: Gid,
    /// Why, in the operator's words; `None` if the client cannot say, as no client of DTM can.
    pub reason: Option<String>,
    /// Who, as the client says. Nobody has checked it.
    pub operator: Option<String>,
}

/// Reads the body of forceStop.
///
/// ```
/// let stop = escrow_wire::dtm::decode_gid_body(br#"{"gid":"order-1","reason":"refunded by hand"}"#)?;
/// assert_eq!(stop.gid.as_str(), "order-1");
/// # Ok::<(), escrow_wire::dtm::DecodeError>(())
/// ```
///
/// # Errors
/// [`DecodeError`].
pub fn decode_gid_body(body: &[u8]) -> Result<ForceStop, DecodeError> {
    let body: ForceStopBody = parse(body, Body::Gid)?;
    Ok(ForceStop {
        gid: parse_gid(&body.gid)?,
        reason: parse_reason(body.reason),
        operator: cut_operator(body.operator),
    })
}

/// A name is kept as far as an id would be.
fn cut_operator(operator: String) -> Option<String> {
    let name: String = operator.chars().filter(|c| !c.is_control()).take(limits::ID_CHARS_MAX).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gid_alone_is_enough() {
        let stop = decode_gid_body(br#"{"gid":"a;b\n","branches":7}"#).unwrap();
        assert_eq!(stop, ForceStop { gid: Gid::parse("ab").unwrap(), reason: None, operator: None });
    }

    #[test]
    fn a_body_without_a_gid_stops_nothing() {
        for (body, code) in [("{}", "no_gid"), (r#"{"gid":null}"#, "no_gid"), ("x", "malformed_body")] {
            let error = decode_gid_body(body.as_bytes()).unwrap_err();
            assert_eq!((error.code(), error.status()), (code, 500), "{body}");
        }
    }
}
