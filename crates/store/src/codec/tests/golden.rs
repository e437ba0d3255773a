//! Records on disk outlive every program that wrote them: those in `golden/` are read, and written, for ever after.

use escrow_txn::{Digest, Pattern, Status};

use super::samples;
use super::*;

#[track_caller]
fn check(golden: &str, encoded: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = golden.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    let golden: Vec<u8> = digits.chunks(2).map(byte).collect();
    assert!(golden == encoded, "the bytes have drifted; now they would be\n{}", hex(encoded));
    golden
}

fn hex(bytes: &[u8]) -> String {
    let line = |line: &[u8]| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    bytes.chunks(40).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn definitions_written_by_version_1_open() {
    let full = samples::full_definition();
    let bytes = check(include_str!("../../../golden/v1/definition_full.hex"), &encode_definition(&full));
    assert_eq!(decode_definition(&bytes).unwrap(), full);

    for (pattern, golden) in [
        (Pattern::Saga, include_str!("../../../golden/v1/definition_saga.hex")),
        (Pattern::Tcc, include_str!("../../../golden/v1/definition_tcc.hex")),
        (Pattern::Xa, include_str!("../../../golden/v1/definition_xa.hex")),
        (Pattern::Message, include_str!("../../../golden/v1/definition_message.hex")),
    ] {
        let bare = samples::bare_definition(pattern);
        let bytes = check(golden, &encode_definition(&bare));
        assert_eq!(decode_definition(&bytes).unwrap(), bare);
    }
}

#[test]
fn progress_written_by_version_1_opens() {
    let full = samples::full_progress();
    let bytes = check(include_str!("../../../golden/v1/progress_full.hex"), &encode_progress(&full));
    assert_eq!(decode_progress(&bytes).unwrap(), full);

    for (status, golden) in [
        (Status::Prepared, include_str!("../../../golden/v1/progress_prepared.hex")),
        (Status::Submitted, include_str!("../../../golden/v1/progress_submitted.hex")),
        (Status::Aborting, include_str!("../../../golden/v1/progress_aborting.hex")),
        (Status::Committed, include_str!("../../../golden/v1/progress_committed.hex")),
        (Status::Aborted, include_str!("../../../golden/v1/progress_aborted.hex")),
        (Status::Stopped, include_str!("../../../golden/v1/progress_stopped.hex")),
    ] {
        let bare = samples::bare_progress(status);
        let bytes = check(golden, &encode_progress(&bare));
        assert_eq!(decode_progress(&bytes).unwrap(), bare);
    }
}

#[test]
fn progress_whose_submit_brought_the_steps_opens() {
    let mut progress = samples::full_progress();
    if let Some(amended) = &mut progress.amended {
        amended.digest = Some(Digest::from_bytes(*b"0123456789abcdef"));
    }
    let bytes = check(include_str!("../../../golden/v1/progress_brought_steps.hex"), &encode_progress(&progress));
    assert_eq!(decode_progress(&bytes).unwrap(), progress);
}

#[test]
fn branches_and_attempts_written_by_version_1_open() {
    let branches = samples::branches();
    let bytes = check(include_str!("../../../golden/v1/branches.hex"), &encode_branches(&branches));
    assert_eq!(decode_branches(&bytes).unwrap(), branches);

    let attempts = samples::attempts();
    let bytes = check(include_str!("../../../golden/v1/attempts.hex"), &encode_attempts(&attempts));
    assert_eq!(decode_attempts(&bytes).unwrap(), attempts);
}
