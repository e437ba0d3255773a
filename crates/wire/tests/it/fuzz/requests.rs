//! Requests: read as a whole or refused as a whole, at a cost that their length bounds.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use escrow_txn::{Abort, Begin, Pattern, Registration, Timestamp, limits};
use escrow_wire::dtm::{self, DecodeError, Reply};
use serde_json::json;

use super::mutation::Case;
use super::{cases, corpus};
use crate::write::{Habits, write};

/// Bytes that reading a body may hold at once: its texts, an address of an XA branch twice, and room to unescape them; per
/// entry of a list a fixed sum, which the limits on lists bound.
fn bytes_max(body: usize) -> u64 {
    4 * body as u64 + 512 * limits::BRANCHES_MAX as u64
}

/// Reads a body one way, within those bytes.
fn read<T>(body: &[u8], decode: impl Fn(&[u8]) -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    let mut decoded = None;
    let held = allocation_counter::measure(|| decoded = Some(decode(body))).bytes_max;
    let start = String::from_utf8_lossy(&body[..body.len().min(100)]);
    assert!(held <= bytes_max(body.len()), "{held} bytes for {} that begin with {start}", body.len());
    decoded.unwrap()
}

#[derive(Default)]
struct Tally {
    read: usize,
    codes: BTreeSet<&'static str>,
}

#[test]
fn a_damaged_request_is_read_or_refused_and_what_is_read_is_said_once_more_in_the_same_sense() {
    let corpus = corpus::bodies();
    assert!(corpus.len() > 60, "only {}", corpus.len());
    let (mut tally, mut begun) = (Tally::default(), 0);
    for case in cases::<Case>(0, 8_000) {
        let body = case.body(&corpus);
        let seen = String::from_utf8_lossy(&body);
        let begin = read(&body, dtm::decode_begin);
        begun += usize::from(begin.is_ok());
        take(&mut tally, &seen, begin, check_begin);
        take(&mut tally, &seen, read(&body, with_headers), check_begin);
        take(&mut tally, &seen, read(&body, dtm::decode_abort), check_abort);
        take(&mut tally, &seen, read(&body, dtm::decode_registration), check_registration);
        take(&mut tally, &seen, read(&body, dtm::decode_gid_body), drop);
    }
    // The cases are worth something: many are read, and refusals are of nearly every kind that a body can cause.
    assert!(begun > 1_500 && tally.read > 2 * begun, "only {begun} of {} begin", tally.read);
    assert!(tally.codes.len() >= 12, "only {:?}", tally.codes);
}

/// A request that has every header that it is asked for.
fn with_headers(body: &[u8]) -> Result<Begin, DecodeError> {
    dtm::decode_begin_with(body, |name| Some(name.to_uppercase()))
}

fn take<T>(tally: &mut Tally, seen: &str, decoded: Result<T, DecodeError>, check: impl FnOnce(T)) {
    match decoded {
        Ok(request) => {
            tally.read += 1;
            check(request);
        }
        Err(error) => {
            check_error(&error, seen);
            tally.codes.insert(error.code());
        }
    }
}

fn check_error(error: &DecodeError, seen: &str) {
    let reply = Reply::from(error);
    assert!([400, 413, 500, 501].contains(&reply.status), "{error:?}: {seen}");
    assert!(DecodeError::CODES.contains(&error.code()), "{error:?}");
    // What was sent is repeated in part at most, and six bytes may stand for one.
    assert!(reply.body.len() < 4_000, "{error:?}: {seen}");
    let shown: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert!(shown["message"].as_str().is_some_and(|message| !message.is_empty()), "{error:?}: {seen}");
    assert!(shown.get("dtm_result").is_none(), "{shown}");
}

fn check_begin(begin: Begin) {
    assert!(begin.branches.len() <= limits::BRANCHES_MAX && begin.orders.len() <= limits::BRANCHES_MAX);
    assert!(begin.options.branch_headers.len() <= limits::BRANCH_HEADERS_MAX);

    let again = dtm::decode_begin(&write(&begin, &Habits::default())).unwrap_or_else(|e| panic!("{e}: {begin:?}"));
    assert_eq!(sorted(again), sorted(begin.clone()));
    // Whoever takes the request checks what can be checked without the bytes; that must not panic either.
    let _ = begin.into_definition(Timestamp::from_micros(1)).check();
}

/// The order of headers is lost where a body is written from a sorted map.
fn sorted(mut begin: Begin) -> Begin {
    begin.options.branch_headers.sort();
    begin
}

fn check_abort(abort: Abort) {
    assert!(abort.reason.as_ref().is_none_or(|reason| reason.len() <= dtm::REASON_BYTES_MAX), "{abort:?}");
    let written = json!({
        "gid": abort.gid.as_str(), "trans_type": dtm::trans_type(abort.pattern), "rollback_reason": abort.reason,
    });
    assert_eq!(dtm::decode_abort(written.to_string().as_bytes()).unwrap(), abort);
}

fn check_registration(registration: Registration) {
    let branch = &registration.branch;
    let payload = std::str::from_utf8(&branch.payload).unwrap();
    let mut written = json!({
        "gid": registration.gid.as_str(), "trans_type": dtm::trans_type(registration.pattern),
        "branch_id": branch.id.as_str(), "data": payload,
    });
    match registration.pattern {
        Pattern::Xa => written["url"] = json!(branch.forward_url),
        _ => {
            written["confirm"] = json!(branch.forward_url);
            written["cancel"] = json!(branch.backward_url);
        }
    }
    assert_eq!(dtm::decode_registration(written.to_string().as_bytes()).unwrap(), registration);
}

#[test]
fn a_query_string_is_read_or_refused() {
    const NAMES: [&str; 16] = [
        "gid",
        "limit",
        "position",
        "status",
        "transType",
        "createTimeStart",
        "createTimeEnd",
        "businessKey",
        "timeout",
        "topic",
        "topic",
        "url",
        "url",
        "remark",
        "cat",
        "x",
    ];
    let (mut read, mut refused) = (0, 0);
    for pairs in cases::<[(u8, Option<u16>, String); 4]>(1_000_000, 5_000) {
        let texts = pairs.iter().map(|(name, number, text)| {
            let name = NAMES[usize::from(*name) % NAMES.len()];
            match number {
                Some(number) if name == "url" => format!("{name}=http://rm/{number}"),
                Some(number) => format!("{name}={number}"),
                None => format!("{name}={text}"),
            }
        });
        let query = texts.collect::<Vec<_>>().join("&");
        dtm::decode_key(&query);
        let errors = [
            dtm::decode_query(&query).err(),
            dtm::decode_all(&query).err(),
            dtm::decode_subscribe(&query).err(),
            dtm::decode_unsubscribe(&query).err(),
            dtm::decode_topic(&query).err(),
            dtm::decode_scan(&query).err(),
            dtm::decode_reset(&query).err(),
        ];
        for error in errors {
            match error {
                Some(error) => {
                    check_error(&error, &query);
                    refused += 1;
                }
                None => read += 1,
            }
        }
    }
    assert!(read > 1_000 && refused > 1_000, "{read} read, {refused} refused");
}

/// Bodies that are large in the ways that cost most.
#[test]
fn a_large_body_takes_no_more_time_and_memory_than_its_bytes_are_worth() {
    const LARGE: usize = 2 * 1024 * 1024;
    let repeated = |piece: &str| piece.repeat(LARGE / piece.len());
    let listed = |piece: &str| repeated(&format!("{piece},")) + piece;
    let numbered = |count: usize, entry: &dyn Fn(usize) -> String| (0..count).map(entry).collect::<Vec<_>>().join(",");
    let of_saga = |rest: &str| format!(r#"{{"gid":"g","trans_type":"saga",{rest}}}"#);
    let custom = |text: &str| of_saga(&format!(r#""custom_data":{}"#, json!(text)));
    let bodies = [
        repeated("["),
        repeated("{\"a\":"),
        repeated("\\"),
        format!("\"{}\"", repeated("\\u00e9")),
        format!("[{}]", repeated("9")),
        of_saga(&format!(r#""steps":[{}]"#, listed("{}"))),
        of_saga(&format!(r#""steps":[{}]"#, listed("null"))),
        of_saga(&format!(r#""payloads":[{}]"#, listed("\"\""))),
        of_saga(&format!(r#""x":{{{}}}"#, listed(r#""a":1"#))),
        of_saga(&format!(r#""x":[{}]"#, listed("[[[[]]]]"))),
        of_saga(&listed(r#""unknown":0"#)),
        of_saga(&numbered(100_000, &|n| format!(r#""unknown{n}":0"#))),
        of_saga(&format!(r#""branch_headers":{{{}}}"#, numbered(100_000, &|n| format!(r#""x-{n}":"""#)))),
        of_saga(&format!(r#""passthrough_headers":[{}]"#, listed("\"x\""))),
        of_saga(&format!(r#""rollback_reason":"{}""#, repeated("FAILURE "))),
        format!(r#"{{"gid":"{}","trans_type":"saga"}}"#, repeated(";")),
        custom(&format!(r#"{{"orders":[{}[0]]}}"#, "[],".repeat(20_000))),
        custom(&format!(r#"{{"orders":{{{}}}}}"#, numbered(5_000, &|n| format!(r#""{n}":[]"#)))),
        custom(&format!(r#"{{"orders":{{"1":[{}0]}}}}"#, "0,".repeat(30_000))),
    ];
    for body in bodies {
        let begun = Instant::now();
        let errors = [
            read(body.as_bytes(), dtm::decode_begin).err(),
            read(body.as_bytes(), dtm::decode_abort).err(),
            read(body.as_bytes(), dtm::decode_registration).err(),
            read(body.as_bytes(), dtm::decode_gid_body).err(),
        ];
        let start: String = body.chars().take(60).collect();
        errors.iter().flatten().for_each(|error| check_error(error, &start));
        // A thousand times what it takes on a machine that has nothing else to do.
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?} for {start}", begun.elapsed());
    }
}
