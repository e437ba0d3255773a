//! What is written into the body of a frame: one record per change.
//!
//! ```text
//! byte 0     1                5
//!      kind │ length (LE u32) │ body: a CBOR array, whose fields are known by their place
//! ```
//!
//! The frame's checksum covers all of it. A newer program may append fields to a body and add kinds; what this one does not
//! know it leaves alone ([`Item::Unknown`]).

use bytes::Bytes;
use escrow_store::codec::{CodecError, tags};
use escrow_store::{EncodedChange, Head, NewTxn, OwnerEpoch, StoredTxn, Version, WriteId};
use escrow_txn::{BusinessKey, Gid, InvalidId, Timestamp};
use minicbor::bytes::ByteSlice;
use minicbor::{Decode, Encode};

// Numbers of kinds; never used again.
const CREATED: u8 = 1;
const CHANGED: u8 = 2;
const SETTING_PUT: u8 = 3;
const SETTING_DELETED: u8 = 4;

const HEADER_BYTES: usize = 5;

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    /// A transaction was created.
    Created(StoredTxn),
    /// A transaction was changed.
    Changed(EncodedChange),
    /// A setting was written.
    SettingPut {
        /// (category, key)
        at: SettingKey,
        /// The version it has now.
        version: Version,
        /// The value.
        value: Bytes,
    },
    /// A setting was removed.
    SettingDeleted {
        /// (category, key)
        at: SettingKey,
    },
}

/// (category, key)
pub(crate) type SettingKey = (String, String);

/// What stands at one place of a frame's body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    Known(Box<Record>),
    /// A newer version of this program wrote it.
    Unknown {
        kind: u8,
    },
}

/// Why a record cannot be read, though its frame is sound.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("the frame ends within a record")]
    Short,
    #[error("a record of kind {kind} is malformed")]
    Body {
        kind: u8,
        #[source]
        source: minicbor::decode::Error,
    },
    #[error("what is stored as {what} is not one")]
    Id {
        what: &'static str,
        #[source]
        source: InvalidId,
    },
    #[error(transparent)]
    Codec(#[from] CodecError),
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct HeadBody {
    #[n(0)]
    status: u8,
    #[n(1)]
    next_run_at: Option<u64>,
    #[n(2)]
    owner: Option<u64>,
    #[n(3)]
    attention: bool,
    #[n(4)]
    updated_at: u64,
    #[n(5)]
    finished_at: Option<u64>,
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct CreatedBody<'a> {
    #[b(0)]
    gid: &'a str,
    #[n(1)]
    write: u64,
    #[n(2)]
    pattern: u8,
    #[n(3)]
    created_at: u64,
    #[b(4)]
    business_key: Option<&'a str>,
    #[n(5)]
    head: HeadBody,
    #[b(6)]
    definition: &'a ByteSlice,
    #[b(7)]
    progress: &'a ByteSlice,
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct ChangedBody<'a> {
    #[b(0)]
    gid: &'a str,
    /// The version that it starts from.
    #[n(1)]
    expected: u64,
    #[n(2)]
    write: u64,
    #[n(3)]
    head: HeadBody,
    #[b(4)]
    progress: &'a ByteSlice,
    #[b(5)]
    added: &'a ByteSlice,
    #[b(6)]
    history: &'a ByteSlice,
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct SettingPutBody<'a> {
    #[b(0)]
    category: &'a str,
    #[b(1)]
    key: &'a str,
    #[n(2)]
    version: u64,
    #[b(3)]
    value: &'a ByteSlice,
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct SettingDeletedBody<'a> {
    #[b(0)]
    category: &'a str,
    #[b(1)]
    key: &'a str,
}

/// The record of a creation.
pub(crate) fn created(new: &NewTxn) -> Vec<u8> {
    let body = CreatedBody {
        gid: new.gid.as_str(),
        write: new.write.0,
        pattern: tags::of_pattern(new.pattern),
        created_at: new.created_at.as_micros(),
        business_key: new.business_key.as_ref().map(BusinessKey::as_str),
        head: head_body(&new.head),
        definition: (&*new.definition).into(),
        progress: (&*new.progress).into(),
    };
    encode(CREATED, &body, new.definition.len() + new.progress.len())
}

/// The record of a change.
pub(crate) fn changed(change: &EncodedChange) -> Vec<u8> {
    let body = ChangedBody {
        gid: change.gid.as_str(),
        expected: change.expected.0,
        write: change.write.0,
        head: head_body(&change.head),
        progress: (&*change.progress).into(),
        added: (&*change.added).into(),
        history: (&*change.history).into(),
    };
    encode(CHANGED, &body, change.bytes())
}

/// The record of a setting that is written.
pub(crate) fn setting_put((category, key): &SettingKey, version: Version, value: &[u8]) -> Vec<u8> {
    let body = SettingPutBody { category, key, version: version.0, value: value.into() };
    encode(SETTING_PUT, &body, value.len())
}

/// The record of a setting that is removed.
pub(crate) fn setting_deleted((category, key): &SettingKey) -> Vec<u8> {
    encode(SETTING_DELETED, &SettingDeletedBody { category, key }, 0)
}

fn encode(kind: u8, body: &impl Encode<()>, payload_bytes: usize) -> Vec<u8> {
    let mut record = Vec::with_capacity(payload_bytes + 256);
    record.extend_from_slice(&[kind, 0, 0, 0, 0]);
    // `expect`: writing to a vector cannot fail, and no body has an encoder of its own that could.
    minicbor::encode(body, &mut record).expect("a record can be encoded");
    // `expect`: `limits` bounds everything in a record to a few megabytes.
    let length = u32::try_from(record.len() - HEADER_BYTES).expect("a body is shorter than 4 GiB");
    record[1..HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
    record
}

fn head_body(head: &Head) -> HeadBody {
    HeadBody {
        status: tags::of_status(head.status),
        next_run_at: head.next_run_at.map(Timestamp::as_micros),
        owner: head.owner.map(|owner| owner.0),
        attention: head.attention,
        updated_at: head.updated_at.as_micros(),
        finished_at: head.finished_at.map(Timestamp::as_micros),
    }
}

/// The records of a frame's body, in their order.
///
/// # Errors
/// [`RecordError`] at the first that cannot be read.
pub(crate) fn split(body: &[u8]) -> impl Iterator<Item = Result<Item, RecordError>> {
    let mut rest = body;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let item = next(&mut rest);
        if item.is_err() {
            rest = &[];
        }
        Some(item)
    })
}

fn next(rest: &mut &[u8]) -> Result<Item, RecordError> {
    let Some((&[kind, l0, l1, l2, l3], after)) = rest.split_first_chunk::<HEADER_BYTES>() else {
        return Err(RecordError::Short);
    };
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let (body, after) = after.split_at_checked(length).ok_or(RecordError::Short)?;
    *rest = after;
    let record = match kind {
        CREATED => created_from(body_of(kind, body)?)?,
        CHANGED => changed_from(body_of(kind, body)?)?,
        SETTING_PUT => {
            let body: SettingPutBody<'_> = body_of(kind, body)?;
            let at = (body.category.to_owned(), body.key.to_owned());
            Record::SettingPut { at, version: Version(body.version), value: copy(body.value) }
        }
        SETTING_DELETED => {
            let body: SettingDeletedBody<'_> = body_of(kind, body)?;
            Record::SettingDeleted { at: (body.category.to_owned(), body.key.to_owned()) }
        }
        kind => return Ok(Item::Unknown { kind }),
    };
    Ok(Item::Known(Box::new(record)))
}

fn body_of<'b, T: Decode<'b, ()>>(kind: u8, body: &'b [u8]) -> Result<T, RecordError> {
    minicbor::decode(body).map_err(|source| RecordError::Body { kind, source })
}

fn created_from(body: CreatedBody<'_>) -> Result<Record, RecordError> {
    let business_key = body.business_key.map(BusinessKey::parse).transpose();
    Ok(Record::Created(StoredTxn {
        gid: gid_from(body.gid)?,
        version: Version::FIRST,
        write: WriteId(body.write),
        pattern: tags::to_pattern(body.pattern)?,
        created_at: Timestamp::from_micros(body.created_at),
        business_key: business_key.map_err(|source| RecordError::Id { what: "business key", source })?,
        head: head_from(&body.head)?,
        definition: copy(body.definition),
        added: Bytes::new(),
        progress: copy(body.progress),
        history: Bytes::new(),
    }))
}

fn changed_from(body: ChangedBody<'_>) -> Result<Record, RecordError> {
    Ok(Record::Changed(EncodedChange {
        gid: gid_from(body.gid)?,
        expected: Version(body.expected),
        write: WriteId(body.write),
        head: head_from(&body.head)?,
        progress: copy(body.progress),
        added: copy(body.added),
        history: copy(body.history),
    }))
}

fn gid_from(text: &str) -> Result<Gid, RecordError> {
    Gid::parse(text).map_err(|source| RecordError::Id { what: "gid", source })
}

fn head_from(body: &HeadBody) -> Result<Head, RecordError> {
    Ok(Head {
        status: tags::to_status(body.status)?,
        next_run_at: body.next_run_at.map(Timestamp::from_micros),
        owner: body.owner.map(OwnerEpoch),
        attention: body.attention,
        updated_at: Timestamp::from_micros(body.updated_at),
        finished_at: body.finished_at.map(Timestamp::from_micros),
    })
}

/// A copy: a slice of what was read would keep a whole segment in memory.
fn copy(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

#[cfg(test)]
mod tests {
    use escrow_store::Change;
    use escrow_store::conformance::sample::{Sample, gid};

    use super::*;

    fn only(body: &[u8]) -> Item {
        let items: Vec<_> = split(body).collect::<Result<_, _>>().unwrap();
        assert_eq!(items.len(), 1);
        items.into_iter().next().unwrap()
    }

    fn change() -> EncodedChange {
        let sample = Sample::new(&gid("a"));
        let new = sample.new_txn();
        Change {
            gid: new.gid,
            expected: Version(3),
            write: WriteId(9),
            head: Head { next_run_at: Some(Timestamp::from_micros(17)), attention: true, ..new.head },
            progress: new.progress,
            add: sample.def.branches.clone(),
            history: vec![],
        }
        .into()
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let new = Sample::new(&gid("a")).new_txn();
        assert_eq!(only(&created(&new)), Item::Known(Box::new(Record::Created(new.into()))));
        let change = change();
        assert_eq!(only(&changed(&change)), Item::Known(Box::new(Record::Changed(change))));
        let at = ("topics".to_owned(), "t".to_owned());
        let put = Record::SettingPut { at: at.clone(), version: Version(4), value: Bytes::from_static(b"v") };
        assert_eq!(only(&setting_put(&at, Version(4), b"v")), Item::Known(Box::new(put)));
        assert_eq!(only(&setting_deleted(&at)), Item::Known(Box::new(Record::SettingDeleted { at })));
    }

    #[test]
    fn a_kind_of_a_newer_version_is_passed_over() {
        let mut body = vec![200, 3, 0, 0, 0, 1, 2, 3];
        body.extend(setting_deleted(&("c".to_owned(), "k".to_owned())));
        let items: Vec<_> = split(&body).collect::<Result<_, _>>().unwrap();
        assert_eq!(items[0], Item::Unknown { kind: 200 });
        assert!(matches!(items[1], Item::Known(_)));
    }

    #[test]
    fn every_cut_within_a_record_is_an_error() {
        let body = changed(&change());
        for end in 1..body.len() {
            assert!(split(&body[..end]).any(|item| item.is_err()), "cut at {end}");
        }
    }
}
