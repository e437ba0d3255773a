use escrow_txn::BranchOutcome;
use http::StatusCode;

/// Bytes of a reply's body that are read; what comes after them is not looked at.
pub const REPLY_BYTES_MAX: usize = 64 * 1024;

/// What a reply means: its status and the words in its body, in DTM's order.
pub fn outcome_of(status: StatusCode, body: &[u8]) -> BranchOutcome {
    if status == StatusCode::TOO_EARLY || contains(body, b"ONGOING") {
        BranchOutcome::InProgress
    } else if status == StatusCode::CONFLICT || contains(body, b"FAILURE") {
        BranchOutcome::Refused
    } else if status != StatusCode::OK {
        // Also 201, 204 and the like: a participant that does not speak this protocol has not said that it is done.
        BranchOutcome::Unknown
    } else {
        BranchOutcome::Done
    }
}

fn contains(body: &[u8], word: &[u8]) -> bool {
    body.windows(word.len()).any(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule once more, as a table over (word in the body, status).
    fn expected(status: u16, body: &str) -> BranchOutcome {
        match (status, body) {
            (_, "ONGOING" | "FAILURE ONGOING" | "xxONGOINGxx") | (425, _) => BranchOutcome::InProgress,
            (_, "FAILURE" | "SUCCESS FAILURE") | (409, _) => BranchOutcome::Refused,
            (200, _) => BranchOutcome::Done,
            _ => BranchOutcome::Unknown,
        }
    }

    #[test]
    fn every_status_with_every_body_has_exactly_one_outcome() {
        let bodies = [
            "",
            "SUCCESS",
            "{}",
            "ONGOING",
            "FAILURE",
            "FAILURE ONGOING",
            "xxONGOINGxx",
            "SUCCESS FAILURE",
            "failure",
            "ongoing",
            "FAILUR",
            "ONGOIN",
        ];
        for status in 100..=599 {
            for body in bodies {
                let found = outcome_of(StatusCode::from_u16(status).unwrap(), body.as_bytes());
                assert_eq!(found, expected(status, body), "{status} {body:?}");
            }
        }
    }

    #[test]
    fn a_body_that_is_no_text_is_searched_all_the_same() {
        assert_eq!(outcome_of(StatusCode::OK, b"\xff\xfeFAILURE\0"), BranchOutcome::Refused);
        assert_eq!(outcome_of(StatusCode::OK, b"\xff\xfe\0"), BranchOutcome::Done);
    }
}
