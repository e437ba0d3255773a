//! Clients that are slow, or silent, or do not listen: each is let go when its time is up, and costs nobody else anything.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::client::{Connection, HEALTHY, HOSTILE, PATIENCE, get};
use crate::coordinator::{Coordinator, MEMORY_MAX_MIB};
use crate::healthy::Healthy;

/// Clients of each kind.
const OF_EACH_KIND: usize = 25;
/// Between two bytes of a client that drips.
const DRIP: Duration = Duration::from_millis(100);
/// What a busy machine may add to a deadline.
const SLACK: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Silent,
    HalfAHeader,
    HeaderThatDrips,
    HalfASecondHeader,
    HalfABody,
    BodyThatDrips,
    ChunksThatDrip,
    NeverReads,
    ReadsTooSlowly,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Silent,
        Self::HalfAHeader,
        Self::HeaderThatDrips,
        Self::HalfASecondHeader,
        Self::HalfABody,
        Self::BodyThatDrips,
        Self::ChunksThatDrip,
        Self::NeverReads,
        Self::ReadsTooSlowly,
    ];

    /// The deadline that ends it; the settings of the test below.
    fn deadline(self) -> Duration {
        Duration::from_millis(match self {
            Self::Silent | Self::HalfAHeader | Self::HeaderThatDrips | Self::HalfASecondHeader => 1000,
            Self::HalfABody | Self::BodyThatDrips | Self::ChunksThatDrip => 2000,
            Self::NeverReads | Self::ReadsTooSlowly => 2000,
        })
    }

    /// Does its worst until the connection ends.
    async fn run(self, connection: &mut Connection) {
        let submit = "POST /api/dtmsvr/submit HTTP/1.1\r\nhost: localhost\r\n";
        match self {
            Self::Silent => {}
            Self::HalfAHeader => {
                connection.send("GET /api/ping HTTP/1.1\r\nhost: loc").await;
            }
            Self::HeaderThatDrips => {
                connection.send("GET /api/ping HTTP/1.1\r\nx: ").await;
                return drip(connection, "y").await;
            }
            Self::HalfASecondHeader => {
                connection.get("/api/ping").await;
                connection.send("GET /api/ping").await;
            }
            Self::HalfABody => {
                connection.send(format!("{submit}content-length: 100\r\n\r\n{{\"gid\":")).await;
            }
            Self::BodyThatDrips => {
                connection.send(format!("{submit}content-length: 4000000\r\n\r\n")).await;
                return drip(connection, " ").await;
            }
            Self::ChunksThatDrip => {
                connection.send(format!("{submit}transfer-encoding: chunked\r\n\r\n")).await;
                return drip(connection, "1\r\n \r\n").await;
            }
            Self::NeverReads => {
                while connection.send(get("/api/dtmsvr/query?gid=large")).await {}
                return;
            }
            Self::ReadsTooSlowly => {
                // More than the buffers on the way hold.
                connection.send(get("/api/dtmsvr/query?gid=large").repeat(32)).await;
                // What has arrived can be read after the end too; only a write shows it.
                while connection.read_some(32).await && connection.send("\r\n").await {
                    tokio::time::sleep(DRIP).await;
                }
                return;
            }
        }
        connection.rest().await;
    }
}

/// Sends one piece after the other until the connection ends.
async fn drip(connection: &mut Connection, piece: &str) {
    loop {
        tokio::select! {
            _ = connection.rest() => return,
            () = tokio::time::sleep(DRIP) => {}
        }
        connection.send(piece).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_and_silent_clients_are_let_go_in_time_and_others_are_served_meanwhile() {
    let coordinator = Coordinator::start(&[
        ("HTTP_FIRST_BYTE_MS", "1000"),
        ("HTTP_HEADER_MS", "1000"),
        ("HTTP_BODY_MS", "2000"),
        ("HTTP_REPLY_MS", "2000"),
    ]);
    prepare_large(&coordinator, 256 * 1024).await;
    let healthy = Healthy::start(coordinator.address).await;
    let mut clients = JoinSet::new();
    for kind in Kind::ALL {
        for _ in 0..OF_EACH_KIND {
            let address = coordinator.address;
            clients.spawn(async move {
                let mut connection = Connection::narrow(HOSTILE, address).await;
                let begun = Instant::now();
                tokio::time::timeout(PATIENCE, kind.run(&mut connection)).await.unwrap_or_else(|_| panic!("{kind:?}"));
                (kind, begun.elapsed())
            });
        }
    }
    let mut ended = clients.join_all().await;
    let served = healthy.stop().await;
    ended.sort_unstable();
    for of_kind in ended.chunk_by(|one, other| one.0 == other.0) {
        let ((kind, first), (_, last)) = (of_kind[0], of_kind[of_kind.len() - 1]);
        println!("{} x {kind:?}: let go after {first:?} to {last:?}", of_kind.len());
        assert!(last < kind.deadline() + SLACK, "{kind:?} {last:?}");
    }
    println!("{served:?}, {} MiB at most", coordinator.peak_memory_mib());
    assert!(coordinator.peak_memory_mib() < MEMORY_MAX_MIB);
    coordinator.stop();
}

/// Prepares a transaction with a payload of so many bytes; `query` shows it.
pub(crate) async fn prepare_large(coordinator: &Coordinator, bytes: usize) {
    let body = json!({"gid": "large", "trans_type": "msg", "query_prepared": "http://127.0.0.1:1/",
        "timeout_to_fail": 86_400, "steps": [{"action": ""}], "payloads": ["x".repeat(bytes)]});
    let mut connection = Connection::open(HEALTHY, coordinator.address).await;
    assert_eq!(connection.post("/api/dtmsvr/prepare", body.to_string()).await.status, 200);
}
