//! The hostile-input table: what is sent, to the byte, and what must be answered.
//!
//! After each row nothing is stored that should not be, nobody has been called, and the connection is of use or closed.

mod bodies;
mod edges;
mod fields;
mod framing;
mod guard;
mod paths;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::{Connection, HEALTHY, HOSTILE, post};
use crate::coordinator::Coordinator;
use crate::participant::Participant;

/// One line of the table.
struct Row {
    name: String,
    sent: Vec<u8>,
    /// The client says at once that it will send nothing more.
    half_closes: bool,
    expected: Expected,
}

enum Expected {
    /// An answer with this status and code; `""`: without a code.
    Answer(u16, &'static str),
    /// A good answer, and this transaction is there afterwards.
    Stored(String),
    /// The end of the connection and nothing else.
    Closed,
}

impl Row {
    fn new(name: impl Into<String>, sent: impl Into<Vec<u8>>, expected: Expected) -> Self {
        Self { name: name.into(), sent: sent.into(), half_closes: false, expected }
    }

    /// A request that must be answered so.
    fn answered(name: impl Into<String>, sent: impl Into<Vec<u8>>, status: u16, code: &'static str) -> Self {
        Self::new(name, sent, Expected::Answer(status, code))
    }

    /// A body for `submit` that must be refused so.
    fn submit(name: impl Into<String>, body: impl AsRef<[u8]>, status: u16, code: &'static str) -> Self {
        Self::answered(name, post("/api/dtmsvr/submit", body), status, code)
    }

    /// A body for `prepare` that must be taken, however it looks.
    fn prepared(name: impl Into<String>, gid: &str, body: &Value) -> Self {
        let sent = post("/api/dtmsvr/prepare", body.to_string());
        Self::new(name, sent, Expected::Stored(gid.to_owned()))
    }
}

/// A saga that would be carried out, with these fields set or replaced.
fn saga(participant: &Participant, fields: Value) -> Value {
    let mut body = json!({"gid": "hostile", "trans_type": "saga", "payloads": ["{}"],
        "steps": [{"action": participant.url("do"), "compensate": participant.url("undo")}]});
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    body.as_object_mut().unwrap().extend(fields);
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_sent_is_answered_clearly_and_nothing_of_it_is_kept() {
    let coordinator = Coordinator::start(&[
        ("HTTP_FIRST_BYTE_MS", "1000"),
        ("HTTP_HEADER_MS", "1000"),
        ("HTTP_BODY_MS", "1000"),
        ("HTTP_BODY_BYTES_MAX", "8388608"),
    ]);
    let participant = Participant::willing().await;
    let rows: Vec<Row> =
        [framing::rows(), guard::rows(), paths::rows(), bodies::rows(), fields::rows(&participant), edges::rows()]
            .into_iter()
            .flatten()
            .collect();
    let names: BTreeSet<_> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names.len(), rows.len(), "every row has a name of its own");
    let mut watcher = Connection::open(HEALTHY, coordinator.address).await;
    let mut stored = BTreeSet::new();
    let mut wrong = Vec::new();
    for row in &rows {
        let mut hostile = Connection::open(HOSTILE, coordinator.address).await;
        if let Err(what) = check(row, &mut hostile).await {
            wrong.push(format!("{}: {what}", row.name));
        }
        if let Expected::Stored(gid) = &row.expected {
            stored.insert(gid.clone());
        }
        let found = stored_gids(&mut watcher).await;
        if found != stored {
            wrong.push(format!("{}: stored are {found:?}", row.name));
            stored = found;
        }
    }
    println!("{} hostile requests, {} MiB at most", rows.len(), coordinator.peak_memory_mib());
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(participant.connections(), 0, "nothing that was refused is carried out");
    coordinator.stop();
}

async fn check(row: &Row, connection: &mut Connection) -> Result<(), String> {
    connection.send(&row.sent).await;
    if row.half_closes {
        connection.end_sending().await;
    }
    let reply = connection.reply().await;
    let found = reply.as_ref().map(|reply| (reply.status, reply.code()));
    match &row.expected {
        Expected::Closed if found.is_none() => return Ok(()),
        Expected::Answer(status, code) if found == Some((*status, *code)) => {}
        Expected::Stored(_) if found == Some((200, "")) => {}
        _ => return Err(format!("{reply:?}")),
    }
    let Some(reply) = reply else { return Ok(()) };
    if !reply.code().is_empty() {
        let message = reply.json()["message"].as_str().unwrap_or_default().to_owned();
        if message.is_empty() || message.len() > 1000 {
            return Err(format!("this message tells nobody anything: {message:?}"));
        }
    }
    // Whatever comes now, it must not be the answer to something that was hidden inside the request.
    connection.send("GET /api/ping HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    match connection.reply().await {
        None => Ok(()),
        Some(next) if next.body == r#"{"msg":"pong"}"# => Ok(()),
        // Bytes after the request were taken for another one, and are none.
        Some(next) if (next.status, next.header("connection")) == (400, "close") => Ok(()),
        Some(other) => Err(format!("then {other:?}")),
    }
}

async fn stored_gids(watcher: &mut Connection) -> BTreeSet<String> {
    let all = watcher.get("/api/dtmsvr/all?limit=1000").await.json();
    let rows = all["transactions"].as_array().unwrap().iter();
    rows.map(|row| row["gid"].as_str().unwrap().to_owned()).collect()
}
