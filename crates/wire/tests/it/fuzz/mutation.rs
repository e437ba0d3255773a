//! What may happen to a body on its way, or in the head of who wrote the client.

use arbitrary::Arbitrary;
use serde_json::{Map, Value, json};

/// Enough to get past the limits on lists with small entries, and not so much that it takes all the time there is.
const REPEATED_BYTES_MAX: usize = 40_000;

/// A body and what is done to it.
#[derive(Arbitrary, Debug)]
pub(super) struct Case {
    body: usize,
    to_values: [Option<ToValue>; 2],
    /// Few bodies survive damage to their bytes, so not every one is.
    to_bytes: Option<Option<ToBytes>>,
}

/// A change that leaves it JSON. `at` counts the values of the body, and turns over.
#[derive(Arbitrary, Debug)]
enum ToValue {
    Replace { at: usize, with: Leaf },
    Wrap { at: usize, depth: u8, in_lists: bool },
    Remove { at: usize },
    Copy { from: usize, to: usize },
    Repeat { at: usize, times: u16 },
    KeyCase { at: usize, upper: bool },
    Rename { at: usize, key: Name },
    Embed { at: usize },
}

#[derive(Arbitrary, Debug)]
enum Leaf {
    Null,
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Fraction(f64),
    Text(String),
    Known(Known),
    EmptyList,
    EmptyMap,
}

/// Texts that mean something somewhere.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Known {
    Saga,
    Tcc,
    Xa,
    Msg,
    Workflow,
    Http,
    Grpc,
    JsonRpc,
    Url,
    Https,
    Topic,
    Orders,
    Delay,
    Empty,
    ControlCharacters,
    Long,
    Failure,
}

/// Keys that mean something somewhere.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Name {
    Gid,
    TransType,
    Steps,
    Payloads,
    Branches,
    BranchHeaders,
    PassthroughHeaders,
    CustomData,
    TimeoutToFail,
    RollbackReason,
    BranchId,
    BusinessKey,
    Unknown,
}

/// A change of the bytes; positions turn over.
#[derive(Arbitrary, Debug)]
enum ToBytes {
    Flip {
        at: usize,
        bit: u8,
    },
    Truncate {
        at: usize,
    },
    Insert {
        at: usize,
        bytes: [u8; 4],
    },
    Remove {
        at: usize,
        count: u8,
    },
    /// A piece of another body.
    Splice {
        at: usize,
        other: usize,
        from: usize,
        count: u8,
    },
    /// The same piece once more.
    Double {
        at: usize,
        count: u8,
    },
    /// Brackets that nobody closes.
    Nest {
        at: usize,
        depth: u8,
        bracket: bool,
    },
}

impl Case {
    /// The body as it arrives.
    pub(super) fn body(&self, corpus: &[String]) -> Vec<u8> {
        let text = &corpus[self.body % corpus.len()];
        let mut bytes = match serde_json::from_str::<Value>(text) {
            Ok(mut value) => {
                self.to_values.iter().flatten().for_each(|change| change.apply(&mut value));
                value.to_string().into_bytes()
            }
            Err(_) => text.clone().into_bytes(),
        };
        if let Some(Some(change)) = &self.to_bytes {
            change.apply(&mut bytes, corpus);
        }
        bytes
    }
}

impl ToValue {
    fn apply(&self, root: &mut Value) {
        match self {
            Self::Replace { at, with } => with_value(root, *at, |value| *value = with.value()),
            Self::Wrap { at, depth, in_lists } => with_value(root, *at, |value| {
                for _ in 0..*depth {
                    let inner = value.take();
                    *value = if *in_lists { json!([inner]) } else { json!({ "a": inner }) };
                }
            }),
            Self::Remove { at } => with_map(root, *at, |map, key| drop(map.remove(key))),
            Self::Copy { from, to } => {
                let mut copied = Value::Null;
                with_value(root, *from, |value| copied = value.clone());
                with_value(root, *to, |value| *value = copied);
            }
            Self::Repeat { at, times } => with_value(root, *at, |value| {
                let times = usize::from(*times) % (REPEATED_BYTES_MAX / value.to_string().len()).max(1);
                *value = Value::Array(vec![value.take(); times]);
            }),
            Self::KeyCase { at, upper } => with_map(root, *at, |map, key| {
                let changed = if *upper { key.to_uppercase() } else { title_case(key) };
                move_key(map, key, changed);
            }),
            Self::Rename { at, key: new } => with_map(root, *at, |map, key| move_key(map, key, new.text().to_owned())),
            Self::Embed { at } => with_value(root, *at, |value| *value = Value::String(value.to_string())),
        }
    }
}

impl Leaf {
    fn value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => json!(value),
            Self::Int(number) => json!(number),
            Self::Unsigned(number) => json!(number),
            Self::Fraction(number) => json!(number),
            Self::Text(text) => json!(text),
            Self::Known(known) => json!(known.text()),
            Self::EmptyList => json!([]),
            Self::EmptyMap => json!({}),
        }
    }
}

impl Known {
    fn text(self) -> String {
        let text = match self {
            Self::Saga => "saga",
            Self::Tcc => "tcc",
            Self::Xa => "xa",
            Self::Msg => "msg",
            Self::Workflow => "workflow",
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::JsonRpc => "json-rpc",
            Self::Url => "http://rm/path?a=b",
            Self::Https => "https://rm/",
            Self::Topic => "topic://t",
            Self::Orders => r#"{"concurrent":true,"orders":{"1":[0],"999":[0,1,65535]}}"#,
            Self::Delay => r#"{"delay":4294967295}"#,
            Self::Empty => "",
            Self::ControlCharacters => "\u{0}\n\r;\u{7f}",
            Self::Long => return "é订🦀".repeat(700),
            Self::Failure => "FAILURE",
        };
        text.to_owned()
    }
}

impl Name {
    fn text(self) -> &'static str {
        match self {
            Self::Gid => "gid",
            Self::TransType => "trans_type",
            Self::Steps => "steps",
            Self::Payloads => "payloads",
            Self::Branches => "branches",
            Self::BranchHeaders => "branch_headers",
            Self::PassthroughHeaders => "passthrough_headers",
            Self::CustomData => "custom_data",
            Self::TimeoutToFail => "timeout_to_fail",
            Self::RollbackReason => "rollback_reason",
            Self::BranchId => "branch_id",
            Self::BusinessKey => "business_key",
            Self::Unknown => "nobody_knows",
        }
    }
}

impl ToBytes {
    fn apply(&self, bytes: &mut Vec<u8>, corpus: &[String]) {
        let place = |at: usize| at % (bytes.len() + 1);
        match self {
            Self::Flip { at, bit } => {
                let at = place(*at);
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (bit % 8));
            }
            Self::Truncate { at } => bytes.truncate(place(*at)),
            Self::Insert { at, bytes: new } => insert(bytes, place(*at), new),
            Self::Remove { at, count } => {
                let at = place(*at);
                bytes.drain(at..(at + usize::from(*count)).min(bytes.len()));
            }
            Self::Splice { at, other, from, count } => {
                let other = corpus[other % corpus.len()].as_bytes();
                let from = from % (other.len() + 1);
                insert(bytes, place(*at), &other[from..(from + usize::from(*count)).min(other.len())]);
            }
            Self::Double { at, count } => {
                let at = place(*at);
                let piece = bytes[at..(at + usize::from(*count)).min(bytes.len())].to_vec();
                insert(bytes, at, &piece);
            }
            Self::Nest { at, depth, bracket } => {
                let opening: &[u8] = if *bracket { b"[" } else { b"{\"a\":" };
                insert(bytes, place(*at), &opening.repeat(usize::from(*depth)));
            }
        }
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    bytes.splice(at..at, new.iter().copied());
}

fn title_case(key: &str) -> String {
    let mut characters = key.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

fn move_key(map: &mut Map<String, Value>, key: &str, new: String) {
    if let Some(value) = map.remove(key) {
        map.insert(new, value);
    }
}

/// Changes one value, the root included, counted in the order of their text.
fn with_value(root: &mut Value, at: usize, change: impl FnOnce(&mut Value)) {
    let mut left = at % count(root);
    let mut change = Some(change);
    visit(root, &mut |value| {
        if left == 0
            && let Some(change) = change.take()
        {
            change(value);
        }
        left = left.saturating_sub(1);
    });
}

/// Changes one entry of one map; nothing if there is none.
fn with_map(root: &mut Value, at: usize, change: impl FnOnce(&mut Map<String, Value>, &str)) {
    let mut entries = 0;
    visit(root, &mut |value| entries += value.as_object().map_or(0, Map::len));
    if entries == 0 {
        return;
    }
    let mut left = at % entries;
    let mut change = Some(change);
    visit(root, &mut |value| {
        let Some(map) = value.as_object_mut() else { return };
        match map.keys().nth(left).cloned() {
            Some(key) => {
                if let Some(change) = change.take() {
                    change(map, &key);
                }
            }
            None => left -= map.len(),
        }
    });
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

/// Parents first.
fn visit(value: &mut Value, see: &mut impl FnMut(&mut Value)) {
    see(value);
    match value {
        Value::Array(list) => list.iter_mut().for_each(|entry| visit(entry, see)),
        Value::Object(map) => map.values_mut().for_each(|entry| visit(entry, see)),
        _ => {}
    }
}
