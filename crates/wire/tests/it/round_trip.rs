//! Whatever a client can say is read as it was meant, and no bytes make a decoder panic.

use std::time::Duration;

use bytes::Bytes;
use escrow_txn::{Begin, Branch, BranchId, BusinessKey, Defaults, Drive, Gid, Options, Pattern, Timestamp};
use escrow_wire::dtm;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::write::{Habits, write};

fn id() -> impl Strategy<Value = String> {
    "[^\\p{Cc};]{1,20}"
}

fn url() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "http://[a-z]{1,8}(:[0-9]{2,4})?/[^\\p{Cc} \"<>`]{0,12}"]
}

fn seconds() -> impl Strategy<Value = Option<Duration>> {
    proptest::option::of((1..=u32::MAX).prop_map(|s| Duration::from_secs(u64::from(s))))
}

fn pattern() -> impl Strategy<Value = Pattern> {
    prop_oneof![Just(Pattern::Saga), Just(Pattern::Tcc), Just(Pattern::Xa), Just(Pattern::Message)]
}

prop_compose! {
    fn branch(pattern: Pattern, index: usize)(forward in url(), backward in url(), payload in ".{0,30}") -> Branch {
        let id = match pattern {
            Pattern::Saga | Pattern::Message => BranchId::of_step(index),
            Pattern::Tcc | Pattern::Xa => BranchId::parse(format!("b{index}")).unwrap(),
        };
        let forward_url = if pattern == Pattern::Xa { format!("http://x/{index}") } else { forward };
        let backward_url = match pattern {
            Pattern::Saga | Pattern::Tcc => backward,
            Pattern::Xa => forward_url.clone(),
            Pattern::Message => String::new(),
        };
        Branch { id, forward_url, backward_url, payload: Bytes::from(payload) }
    }
}

prop_compose! {
    fn options()(
        times in (seconds(), seconds(), seconds(), seconds()),
        retry_limit in any::<u32>(),
        branch_headers in proptest::collection::btree_map("x[a-zA-Z-]{1,8}", "[ -~]{0,8}", 0..4),
        flags in any::<(bool, bool)>(),
    ) -> Options {
        Options {
            request_timeout: times.0,
            retry_interval: times.1,
            timeout_to_fail: times.2,
            delay: times.3,
            retry_limit,
            branch_headers: branch_headers.into_iter().collect(),
            concurrent: flags.0,
            wait_result: flags.1,
        }
    }
}

/// What a client may want to say, without its `custom_data`, which only exists on the wire.
fn begin() -> impl Strategy<Value = Begin> {
    (pattern(), 0_usize..5).prop_flat_map(|(pattern, count)| {
        let branches: Vec<_> = (0..count).map(|index| branch(pattern, index)).collect();
        let orders = proptest::collection::vec(proptest::collection::vec(0_u16..9, 0..3), 0..5);
        (id(), branches, orders, options(), url(), proptest::option::of(id())).prop_map(
            move |(gid, branches, orders, options, check_back_url, key)| Begin {
                gid: Gid::parse(gid).unwrap(),
                pattern,
                branches,
                orders: if pattern == Pattern::Saga { orders } else { Vec::new() },
                options: Options { delay: options.delay.filter(|_| pattern == Pattern::Message), ..options },
                check_back_url,
                custom_data: String::new(),
                business_key: key.map(|key| BusinessKey::parse(key).unwrap()),
            },
        )
    })
}

fn habits() -> impl Strategy<Value = Habits> {
    any::<(bool, bool, bool, bool, bool)>().prop_map(|flags| Habits {
        payload_in_step: flags.0,
        upper_case: flags.1,
        nulls: flags.2,
        unknown_keys: flags.3,
        orders_as_list: flags.4,
    })
}

fn said() -> impl Strategy<Value = (Begin, Habits)> {
    (begin(), habits())
        .prop_map(|(begin, habits)| (Begin { custom_data: custom_data(&begin, &habits), ..begin }, habits))
}

fn custom_data(begin: &Begin, habits: &Habits) -> String {
    match begin.pattern {
        Pattern::Saga => {
            let orders = if habits.orders_as_list {
                json!(begin.orders)
            } else {
                begin.orders.iter().enumerate().map(|(step, earlier)| (step.to_string(), json!(earlier))).collect()
            };
            json!({"concurrent": begin.options.concurrent, "orders": orders}).to_string()
        }
        Pattern::Message => json!({"delay": begin.options.delay.map_or(0, |d| d.as_secs())}).to_string(),
        Pattern::Tcc | Pattern::Xa => "free text".to_owned(),
    }
}

proptest! {
    #[test]
    fn what_a_client_says_is_read_as_it_was_meant((meant, habits) in said()) {
        let read = dtm::decode_begin(&write(&meant, &habits)).unwrap();
        prop_assert_eq!(read, meant);
    }

    #[test]
    fn what_was_begun_can_be_shown_with_its_payloads_and_without_nulls(meant in begin(), submitted in any::<bool>()) {
        let drive = Drive::begin(meant.clone().into_definition(Timestamp::from_micros(1)), submitted, Defaults::default());
        let reply = dtm::encode_query(Some(drive.txn()));
        let shown: Value = serde_json::from_slice(&reply.body).unwrap();
        prop_assert!(!has_null(&shown), "{}", shown);
        prop_assert_eq!(&shown["transaction"]["gid"], meant.gid.as_str());
        let rows = shown["branches"].as_array().unwrap();
        let per_branch = if meant.pattern == Pattern::Message { 1 } else { 2 };
        prop_assert_eq!(rows.len(), meant.branches.len() * per_branch);
        for (row, branch) in rows.iter().zip(meant.branches.iter().flat_map(|b| std::iter::repeat_n(b, per_branch))) {
            prop_assert_eq!(&decoded(row.get("bin_data"))[..], &branch.payload[..]);
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        decode_all_ways(&bytes);
    }

    #[test]
    fn no_damage_makes_a_decoder_panic(
        (meant, habits) in said(), at in any::<prop::sample::Index>(), with in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut body = write(&meant, &habits);
        let at = at.index(body.len());
        body[at] = with;
        if cut {
            body.truncate(at);
        }
        decode_all_ways(&body);
    }
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.iter().any(has_null),
        Value::Object(map) => map.values().any(has_null),
        _ => false,
    }
}

fn decoded(base64: Option<&Value>) -> Vec<u8> {
    use base64::Engine as _;
    let text = base64.map_or("", |text| text.as_str().unwrap());
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

/// Errors are shown too: that must not panic either.
fn decode_all_ways(bytes: &[u8]) {
    let errors = [
        dtm::decode_begin(bytes).err(),
        dtm::decode_abort(bytes).err(),
        dtm::decode_registration(bytes).err(),
        dtm::decode_gid_body(bytes).err(),
        dtm::decode_query(&String::from_utf8_lossy(bytes)).err(),
        dtm::decode_all(&String::from_utf8_lossy(bytes)).err(),
    ];
    for error in errors.iter().flatten() {
        let reply = dtm::Reply::from(error);
        assert!(reply.status >= 400 && reply.body.len() < 4_000, "{error:?}");
    }
}
