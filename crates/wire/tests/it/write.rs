//! Writes what a client wants to say the way clients write it.

use std::time::Duration;

use escrow_txn::{Begin, Branch, BusinessKey, Pattern};
use escrow_wire::dtm;
use serde_json::{Map, Value, json};

/// How a client may write it: payloads beside the steps or in them, keys in any case, nulls, keys that nobody knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Habits {
    pub(crate) payload_in_step: bool,
    pub(crate) upper_case: bool,
    pub(crate) nulls: bool,
    pub(crate) unknown_keys: bool,
    pub(crate) orders_as_list: bool,
}

pub(crate) fn write(begin: &Begin, habits: &Habits) -> Vec<u8> {
    let seconds = |time: Option<Duration>| match time {
        Some(time) => json!(time.as_secs()),
        None if habits.nulls => Value::Null,
        None => json!(0),
    };
    let options = &begin.options;
    let mut body = Map::new();
    body.insert("gid".to_owned(), json!(begin.gid.as_str()));
    body.insert("trans_type".to_owned(), json!(dtm::trans_type(begin.pattern)));
    branches(begin, habits, &mut body);
    body.insert("custom_data".to_owned(), json!(begin.custom_data));
    body.insert("query_prepared".to_owned(), json!(begin.check_back_url));
    body.insert("protocol".to_owned(), if habits.nulls { Value::Null } else { json!("http") });
    body.insert("business_key".to_owned(), json!(begin.business_key.as_ref().map(BusinessKey::as_str)));
    body.insert("request_timeout".to_owned(), seconds(options.request_timeout));
    body.insert("retry_interval".to_owned(), seconds(options.retry_interval));
    body.insert("timeout_to_fail".to_owned(), seconds(options.timeout_to_fail));
    body.insert("retry_limit".to_owned(), json!(options.retry_limit));
    body.insert(
        "branch_headers".to_owned(),
        options.branch_headers.iter().map(|(k, v)| (k.clone(), json!(v))).collect(),
    );
    body.insert("concurrent".to_owned(), json!(options.concurrent));
    body.insert("wait_result".to_owned(), json!(options.wait_result));
    if habits.unknown_keys {
        body.insert("passthrough_headers".to_owned(), json!([]));
        body.insert("req_extra".to_owned(), json!({"deep": [{"deeper": [1.5, null, true]}]}));
    }
    let body: Map<_, _> =
        if habits.upper_case { body.into_iter().map(|(k, v)| (k.to_uppercase(), v)).collect() } else { body };
    serde_json::to_vec(&body).unwrap()
}

fn branches(begin: &Begin, habits: &Habits, body: &mut Map<String, Value>) {
    let payload = |branch: &Branch| json!(std::str::from_utf8(&branch.payload).unwrap());
    let data = |branch: &Branch| if habits.payload_in_step { payload(branch) } else { Value::Null };
    let list = |write: &dyn Fn(&Branch) -> Value| begin.branches.iter().map(write).collect::<Value>();
    match begin.pattern {
        Pattern::Saga | Pattern::Message => {
            body.insert(
                "steps".to_owned(),
                list(&|b| json!({"action": b.forward_url, "compensate": b.backward_url, "data": data(b)})),
            );
            if !habits.payload_in_step {
                body.insert("payloads".to_owned(), list(&payload));
            }
        }
        Pattern::Tcc => {
            body.insert("branches".to_owned(), list(&|b| {
                json!({"branch_id": b.id.as_str(), "confirm": b.forward_url, "cancel": b.backward_url, "data": payload(b)})
            }));
        }
        Pattern::Xa => {
            body.insert(
                "branches".to_owned(),
                list(&|b| json!({"branch_id": b.id.as_str(), "url": b.forward_url, "data": payload(b)})),
            );
        }
    }
}
