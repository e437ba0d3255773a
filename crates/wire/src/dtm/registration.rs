//! The bodies of registerBranch and its aliases.

use bytes::Bytes;
use escrow_txn::{Pattern, Registration};

use super::json::{Scalar, object};
use super::transaction::{parse, parse_branch_id, parse_gid, tcc_branch, xa_branch};
use super::{Body, DecodeError};

object! {
    /// A flat object of texts; some clients write numbers for some of them.
    struct RegistrationBody {
        gid: Scalar,
        trans_type: Scalar,
        branch_id: Scalar,
        data: Scalar,
        /// TCC.
        confirm: Scalar,
        /// TCC.
        cancel: Scalar,
        /// XA.
        url: Scalar,
    }
}

/// Reads the body of registerBranch, registerTccBranch or registerXaBranch: the type it names counts, not the route.
///
/// ```
/// let body = br#"{"gid":"order-1","trans_type":"tcc","branch_id":"01","data":"{\"amount\":30}",
///     "confirm":"http://funds/confirm","cancel":"http://funds/cancel"}"#;
/// let registration = escrow_wire::dtm::decode_registration(body)?;
/// assert_eq!(registration.branch.forward_url, "http://funds/confirm");
/// # Ok::<(), escrow_wire::dtm::DecodeError>(())
/// ```
///
/// # Errors
/// [`DecodeError`].
pub fn decode_registration(body: &[u8]) -> Result<Registration, DecodeError> {
    let body: RegistrationBody = parse(body, Body::Registration)?;
    let gid = parse_gid(&body.gid.0)?;
    let payload = Bytes::from(body.data.0);
    let id = || parse_branch_id(&body.branch_id.0);
    let (pattern, branch) = match body.trans_type.0.as_str() {
        "tcc" => (Pattern::Tcc, tcc_branch(id()?, body.confirm.0, body.cancel.0, payload)?),
        "xa" => (Pattern::Xa, xa_branch(id()?, body.url.0, payload)?),
        "workflow" => return Err(DecodeError::NotSupported { what: "trans_type workflow" }),
        _ => return Err(DecodeError::UnknownTransType { trans_type: body.trans_type.0 }),
    };
    Ok(Registration { gid, pattern, branch })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(body: &str) -> (&'static str, u16) {
        let error = decode_registration(body.as_bytes()).unwrap_err();
        (error.code(), error.status())
    }

    #[test]
    fn a_tcc_branch_has_two_urls_and_its_data_byte_for_byte() {
        let body = r#"{"gid":"g","trans_type":"tcc","branch_id":"01","confirm":"http://a/c","cancel":"","data":"{ \"n\": 1.0 }"}"#;
        let registration = decode_registration(body.as_bytes()).unwrap();
        assert_eq!(registration.pattern, Pattern::Tcc);
        let branch = registration.branch;
        assert_eq!((branch.forward_url.as_str(), branch.backward_url.as_str()), ("http://a/c", ""));
        assert_eq!(branch.payload, r#"{ "n": 1.0 }"#);
    }

    #[test]
    fn an_xa_branch_has_one_url_for_both_ways() {
        let body = r#"{"gid":"g","trans_type":"xa","branch_id":"01","url":"http://a/x"}"#;
        let branch = decode_registration(body.as_bytes()).unwrap().branch;
        assert_eq!((branch.forward_url.as_str(), branch.backward_url.as_str()), ("http://a/x", "http://a/x"));
        assert!(branch.payload.is_empty());
    }

    #[test]
    fn whole_numbers_and_truth_values_are_taken_as_text_and_fractions_are_refused() {
        let body = r#"{"gid":7,"trans_type":"tcc","branch_id":1,"data":true,"try":2.5,"status":{}}"#;
        let registration = decode_registration(body.as_bytes()).unwrap();
        assert_eq!(registration.gid.as_str(), "7");
        assert_eq!(registration.branch.id.as_str(), "1");
        assert_eq!(registration.branch.payload, "true");
        assert_eq!(code(r#"{"gid":"g","trans_type":"tcc","branch_id":"01","data":30.10}"#), ("malformed_body", 400));
    }

    #[test]
    fn a_body_that_cannot_be_read_is_a_400_here_as_in_dtm() {
        for body in ["", "{bad", "null", "[]", r#"{"gid":[]}"#, r#"{"gid":"a","GID":"b"}"#] {
            assert_eq!(code(body), ("malformed_body", 400), "{body}");
        }
    }

    #[test]
    fn only_tcc_and_xa_take_registrations() {
        let body = |trans_type: &str| format!(r#"{{"gid":"g","trans_type":"{trans_type}","branch_id":"01"}}"#);
        for trans_type in ["zzz", "saga", "msg", "", "TCC"] {
            assert_eq!(code(&body(trans_type)), ("unknown_trans_type", 500), "{trans_type}");
        }
        assert_eq!(code(&body("workflow")), ("not_supported", 501));
        let error = decode_registration(body("zzz").as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "unknow trans type: zzz");
    }

    #[test]
    fn gid_branch_id_and_an_xa_url_are_needed() {
        assert_eq!(code(r#"{"trans_type":"tcc","branch_id":"01"}"#), ("no_gid", 500));
        assert_eq!(code(r#"{"gid":"g","trans_type":"tcc","branch_id":null}"#), ("invalid_branch_id", 500));
        assert_eq!(code(r#"{"gid":"g","trans_type":"xa","branch_id":"01"}"#), ("no_xa_url", 500));
    }
}
