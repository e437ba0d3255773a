//! Damage, and what newer programs write, is told from sound records, and named.

use escrow_txn::{Pattern, Status};

use super::samples::{self, at};
use super::*;

const HEADER_BYTES: usize = 12;

/// Something that reads a blob to its end.
type Reader = fn(&[u8]) -> Result<(), CodecError>;

/// Blobs of every kind, with what reads them.
fn blobs() -> Vec<(Bytes, Reader)> {
    vec![
        (encode_definition(&samples::full_definition()), |blob| decode_definition(blob).map(drop)),
        (encode_progress(&samples::full_progress()), |blob| decode_progress(blob).map(drop)),
        (encode_branches(&samples::branches()), |blob| decode_branches(blob).map(drop)),
        (encode_attempts(&samples::attempts()[8..]), |blob| decode_attempts(blob).map(drop)),
    ]
}

/// Corrects the length and the checksum after the body was changed.
fn reseal(record: &mut [u8]) {
    let length = u32::try_from(record.len() - HEADER_BYTES).unwrap();
    record[4..8].copy_from_slice(&length.to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&record[..8]), &record[HEADER_BYTES..]);
    record[8..12].copy_from_slice(&checksum.to_le_bytes());
}

/// A record with one byte of its body replaced, and a sound frame.
fn with_body_byte(record: &[u8], index: usize, byte: u8) -> Vec<u8> {
    let mut record = record.to_vec();
    record[HEADER_BYTES + index] = byte;
    reseal(&mut record);
    record
}

#[test]
fn every_single_bit_flip_is_noticed() {
    for (blob, read) in blobs() {
        let mut flipped = blob.to_vec();
        for bit in 0..blob.len() * 8 {
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped).is_err(), "bit {bit} of {blob:?}");
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(read(&flipped).is_ok());
    }
}

#[test]
fn a_record_that_is_cut_off_is_noticed_wherever_it_ends() {
    for (blob, read) in blobs() {
        let length = u32::from_le_bytes(blob[4..8].try_into().unwrap()) as usize;
        for end in 1..HEADER_BYTES + length {
            let error = read(&blob[..end]).unwrap_err();
            assert!(matches!(error, CodecError::Short { offset: 0, available, .. } if available == end), "{error}");
        }
    }
}

#[test]
fn the_second_record_of_a_blob_is_named_by_its_offset() {
    let branches = encode_branches(&samples::branches());
    let first = encode_branches(&samples::branches()[..1]).len();
    let error = decode_branches(&branches[..first + 5]).unwrap_err();
    assert!(matches!(error, CodecError::Short { offset, .. } if offset == first), "{error}");
}

#[test]
fn an_empty_blob_is_no_definition_and_no_progress() {
    assert!(matches!(decode_definition(b""), Err(CodecError::Short { available: 0, .. })));
    assert!(matches!(decode_progress(b""), Err(CodecError::Short { available: 0, .. })));
}

#[test]
fn bytes_behind_a_record_are_noticed() {
    let progress = encode_progress(&samples::full_progress());
    let twice = [&*progress, &*progress].concat();
    assert!(matches!(decode_progress(&twice), Err(CodecError::Trailing { offset, .. }) if offset == progress.len()));

    let mut longer_body = [&*progress, b"\x01"].concat();
    reseal(&mut longer_body);
    assert!(matches!(decode_progress(&longer_body), Err(CodecError::Trailing { bytes: 1, .. })));
}

#[test]
fn a_record_of_another_kind_is_named() {
    let error = decode_progress(&encode_definition(&samples::full_definition())).unwrap_err();
    assert!(matches!(error, CodecError::WrongKind { kind: Kind::Progress, found: 1, .. }), "{error}");
    assert!(matches!(decode_progress(b"{\"status\":1}"), Err(CodecError::NotARecord { offset: 0, .. })));
}

#[test]
fn a_newer_format_version_is_named_before_anything_else_is_looked_at() {
    let mut record = encode_progress(&samples::full_progress()).to_vec();
    record[3] = FORMAT_VERSION + 1;
    let error = decode_progress(&record).unwrap_err();
    assert_eq!(error.to_string(), "the progress record at byte 0 has format version 2; this program reads up to 1");
}

#[test]
fn fields_of_a_newer_program_are_skipped() {
    let progress = samples::full_progress();
    let mut record = encode_progress(&progress).to_vec();
    assert_eq!(record[HEADER_BYTES], 0x8c, "an array of 12");
    record[HEADER_BYTES] = 0x8d;
    record.extend_from_slice(b"\x63new");
    reseal(&mut record);
    assert_eq!(decode_progress(&record).unwrap(), progress);
}

#[test]
fn a_required_field_that_is_missing_is_noticed() {
    // The array holds the status only.
    let mut record = encode_progress(&samples::bare_progress(Status::Submitted))[..HEADER_BYTES + 2].to_vec();
    record[HEADER_BYTES] = 0x81;
    reseal(&mut record);
    let error = decode_progress(&record).unwrap_err();
    assert!(matches!(error, CodecError::Body { kind: Kind::Progress, offset: 0, .. }), "{error}");
}

#[test]
fn an_unknown_status_is_never_taken_for_another() {
    let record = encode_progress(&samples::bare_progress(Status::Submitted));
    assert_eq!(record[HEADER_BYTES + 1], tags::of_status(Status::Submitted));
    for tag in [0, 7, 23] {
        let error = decode_progress(&with_body_byte(&record, 1, tag)).unwrap_err();
        assert!(matches!(error, CodecError::UnknownTag { what: "status", found } if found == tag), "{error}");
    }
}

#[test]
fn the_patterns_to_come_are_reserved_and_others_are_unknown() {
    // The body begins: array, text of one character, "g", pattern.
    let record = encode_definition(&samples::bare_definition(Pattern::Saga));
    assert_eq!(record[HEADER_BYTES + 3], tags::of_pattern(Pattern::Saga));
    let with_pattern = |tag| decode_definition(&with_body_byte(&record, 3, tag)).unwrap_err();

    let workflow = with_pattern(tags::PATTERN_WORKFLOW_RESERVED);
    assert!(matches!(workflow, CodecError::Reserved { what: "pattern", meaning: "workflow", .. }), "{workflow}");
    let notification = with_pattern(tags::PATTERN_NOTIFICATION_RESERVED);
    assert!(matches!(notification, CodecError::Reserved { meaning: "notification", .. }), "{notification}");
    for tag in [0, 7] {
        assert!(matches!(with_pattern(tag), CodecError::UnknownTag { what: "pattern", .. }));
    }
}

#[test]
fn unknown_operations_outcomes_and_results_are_noticed() {
    // The body begins: array, time (a number below 24), no branch, operation, outcome.
    let attempt = escrow_txn::Attempt { at: at(1), branch: None, ..samples::attempts().remove(0) };
    let record = encode_attempts(&[attempt]);
    let error = decode_attempts(&with_body_byte(&record, 3, 11)).unwrap_err();
    assert!(matches!(error, CodecError::UnknownTag { what: "branch operation", found: 11 }), "{error}");
    let error = decode_attempts(&with_body_byte(&record, 4, 5)).unwrap_err();
    assert!(matches!(error, CodecError::UnknownTag { what: "branch outcome", found: 5 }), "{error}");

    // The body begins: array, status, no branches, check-back: array, result.
    let record = encode_progress(&samples::bare_progress(Status::Prepared));
    let error = decode_progress(&with_body_byte(&record, 4, 4)).unwrap_err();
    assert!(matches!(error, CodecError::UnknownTag { what: "operation status", found: 4 }), "{error}");
}

#[test]
fn a_reach_of_an_unknown_form_is_noticed() {
    // The body ends: reach (variant, no fields), retries, time.
    let record = encode_progress(&samples::bare_progress(Status::Submitted));
    let variant = record.len() - HEADER_BYTES - 4;
    assert_eq!(record[HEADER_BYTES + variant], 0, "all");
    let error = decode_progress(&with_body_byte(&record, variant, 2)).unwrap_err();
    assert!(matches!(error, CodecError::Body { .. }), "{error}");
}

mod assembling {
    use super::*;

    struct Blobs {
        definition: Bytes,
        added: Bytes,
        progress: Bytes,
    }

    /// A definition with two branches, three that were added, and the progress of all five.
    fn sound() -> Blobs {
        let mut progress = samples::full_progress();
        progress.branches.resize(5, escrow_txn::BranchProgress::default());
        let mut added = samples::branches();
        added[0].id = BranchId::parse("04").unwrap();
        Blobs {
            definition: encode_definition(&samples::full_definition()),
            added: encode_branches(&added),
            progress: encode_progress(&progress),
        }
    }

    impl Blobs {
        fn assemble(&self) -> Result<Txn, CodecError> {
            let gid = samples::full_definition().gid;
            let history = encode_attempts(&samples::attempts());
            let Blobs { definition, added, progress } = self;
            match assemble(&gid, &Records { definition, added, progress, history: &history }) {
                Ok(txn) => Ok(txn),
                Err(StoreError::Corrupt { gid: named, source }) if named == gid => Err(source),
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    #[test]
    fn definition_and_added_branches_and_progress_make_a_transaction() {
        let txn = sound().assemble().unwrap();
        assert_eq!(txn.def.branches.len(), 5);
        assert_eq!(txn.history, samples::attempts());
    }

    #[test]
    fn a_lost_registration_is_noticed() {
        let mut blobs = sound();
        blobs.added = encode_branches(&samples::branches()[1..]);
        let error = blobs.assemble().unwrap_err();
        assert!(matches!(error, CodecError::BranchCount { definition: 4, progress: 5 }), "{error}");
    }

    #[test]
    fn a_branch_that_is_there_twice_is_noticed() {
        let mut blobs = sound();
        blobs.added = encode_branches(&samples::branches());
        assert!(matches!(blobs.assemble(), Err(CodecError::BranchTwice { .. })));
    }

    #[test]
    fn another_transactions_definition_is_noticed() {
        let mut blobs = sound();
        blobs.definition = encode_definition(&samples::bare_definition(Pattern::Tcc));
        assert!(matches!(blobs.assemble(), Err(CodecError::OtherTransaction { found }) if found.as_str() == "g"));
    }
}

#[test]
fn a_history_keeps_its_last_attempts() {
    let attempts: Vec<_> = samples::attempts().into_iter().cycle().take(limits::ATTEMPTS_MAX + 5).collect();
    let blob = encode_attempts(&attempts);
    assert_eq!(decode_attempts(&blob).unwrap(), attempts[5..]);
    assert_eq!(last_attempts(&blob).unwrap(), encode_attempts(&attempts[5..]));
    assert_eq!(last_attempts(&[]).unwrap(), b"");
}
