//! Connections, headers, bodies and requests for large replies in masses: the memory stays bounded, others are served.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::task::JoinSet;

use crate::client::{Connection, HEALTHY, HOSTILE, get};
use crate::coordinator::{Coordinator, MEMORY_MAX_MIB};
use crate::healthy::Healthy;
use crate::slow::prepare_large;

const SUBMIT: &str = "POST /api/dtmsvr/submit HTTP/1.1\r\nhost: localhost\r\n";
const MIB: usize = 1024 * 1024;

/// Ends a flood: everybody was served, and the memory was enough.
async fn end(what: &str, coordinator: Coordinator, healthy: Healthy) {
    let served = healthy.stop().await;
    println!("{what}: {served:?}, {} MiB at most", coordinator.peak_memory_mib());
    assert!(coordinator.peak_memory_mib() < MEMORY_MAX_MIB);
    coordinator.stop();
}

/// As many as wanted, or as the limit of open files allows: each has one end here, and one in the coordinator, which gives
/// clients half of its own.
fn connections_to_open(wanted: usize) -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let limit = maximum.map_or(8192, |maximum| maximum.min(8192));
    setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum }).unwrap();
    let possible = usize::try_from(limit).unwrap() / 2 - 50;
    if possible < wanted {
        println!("only {possible} connections instead of {wanted}: {limit} open files are allowed");
    }
    wanted.min(possible)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_idle_connections_are_closed_in_time_and_keep_nobody_out() {
    let count = connections_to_open(2000);
    let settings =
        [("HTTP_IDLE_MS", "3000"), ("HTTP_FIRST_BYTE_MS", "60000"), ("HTTP_CONNECTIONS_PER_PEER_MAX", "3000")];
    let coordinator = Coordinator::start(&settings);
    let healthy = Healthy::start(coordinator.address).await;
    let mut clients = JoinSet::new();
    for _ in 0..count {
        let mut connection = Connection::open(HOSTILE, coordinator.address).await;
        assert_eq!(connection.get("/api/ping").await.status, 200);
        let idle_since = Instant::now();
        clients.spawn(async move {
            assert!(connection.rest().await.is_empty());
            idle_since.elapsed()
        });
    }
    let mut open = Connection::open(HEALTHY, coordinator.address).await;
    let metrics = open.get("/metrics").await.body;
    let open: usize =
        metrics.lines().find_map(|line| line.strip_prefix("escrow_connections_open ")).unwrap().parse().unwrap();
    let idle = clients.join_all().await;
    let (shortest, longest) = (idle.iter().min().unwrap(), idle.iter().max().unwrap());
    println!("{count} connections, {open} of them at once, closed after {shortest:?} to {longest:?}");
    assert!(open > count * 3 / 4, "only {open} at once");
    assert!(*longest < Duration::from_secs(8));
    end("idle connections", coordinator, healthy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_without_end_are_refused_as_they_come() {
    let coordinator = Coordinator::start(&[]);
    let healthy = Healthy::start(coordinator.address).await;
    let until = Instant::now() + Duration::from_secs(2);
    let mut clients = JoinSet::new();
    for client in 0..50 {
        let address = coordinator.address;
        clients.spawn(async move {
            let mut refused = 0;
            while Instant::now() < until {
                let mut connection = Connection::open(HOSTILE, address).await;
                connection.send("GET /api/ping HTTP/1.1\r\nhost: localhost\r\n").await;
                // One line without end, or lines without end.
                let piece = if client % 2 == 0 { "x".repeat(64 * 1024) } else { "x: y\r\n".repeat(10 * 1024) };
                connection.send(piece).await;
                refused += usize::from(connection.reply().await.is_some_and(|reply| reply.status == 431));
            }
            refused
        });
    }
    let refused: usize = clients.join_all().await.into_iter().sum();
    assert!(refused > 0);
    end(&format!("{refused} endless headers"), coordinator, healthy).await;
}

/// What the clients of a body flood send, one each.
fn large_bodies() -> Vec<Vec<u8>> {
    let announced = |body: String| format!("{SUBMIT}content-length: {}\r\n\r\n{body}", 4 * MIB).into_bytes();
    let chunked = |body: String| format!("{SUBMIT}transfer-encoding: chunked\r\n\r\n{body}").into_bytes();
    vec![
        // All but a byte of a body, and then nothing.
        announced(" ".repeat(4 * MIB - 1)),
        announced("[".repeat(4 * MIB)),
        announced(format!("{{\"gid\":{}\"x\"}}", " ".repeat(4 * MIB - 11))),
        // Each byte in a chunk of its own.
        chunked("1\r\n \r\n".repeat(MIB / 4)),
        // More than there may be.
        chunked(format!("{:x}\r\n{}\r\n", 6 * MIB, " ".repeat(6 * MIB))),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_in_masses_take_a_bounded_memory() {
    let coordinator = Coordinator::start(&[("HTTP_BODY_MS", "2000")]);
    let healthy = Healthy::start(coordinator.address).await;
    let bodies = Arc::new(large_bodies());
    let mut clients = JoinSet::new();
    for client in 0..200 {
        let (address, bodies) = (coordinator.address, Arc::clone(&bodies));
        clients.spawn(async move {
            let mut connection = Connection::open(HOSTILE, address).await;
            connection.send(&bodies[client % bodies.len()]).await;
            connection.reply().await.map_or(0, |reply| reply.status)
        });
    }
    let statuses = clients.join_all().await;
    let count = |status| statuses.iter().filter(|&&found| found == status).count();
    println!("refused as wrong: {}, too large: {}, too slow: {}", count(500), count(413), count(408));
    println!("refused for want of memory: {}, closed before the answer: {}", count(503), count(0));
    assert!(statuses.iter().all(|status| [500, 413, 408, 503, 0].contains(status)), "{statuses:?}");
    end("large bodies", coordinator, healthy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_replies_that_nobody_reads_take_a_bounded_memory() {
    let coordinator = Coordinator::start(&[]);
    prepare_large(&coordinator, 2 * MIB).await;
    let healthy = Healthy::start(coordinator.address).await;
    let mut clients = JoinSet::new();
    for _ in 0..200 {
        let address = coordinator.address;
        clients.spawn(async move {
            let mut connection = Connection::narrow(HOSTILE, address).await;
            connection.send(get("/api/dtmsvr/query?gid=large").repeat(8)).await;
            tokio::time::sleep(Duration::from_secs(4)).await;
        });
    }
    clients.join_all().await;
    end("large replies", coordinator, healthy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_peer_cannot_take_the_connections_of_another() {
    let coordinator = Coordinator::start(&[("HTTP_CONNECTIONS_PER_PEER_MAX", "10")]);
    let healthy = Healthy::start(coordinator.address).await;
    let mut held = Vec::new();
    for _ in 0..10 {
        let mut connection = Connection::open(HOSTILE, coordinator.address).await;
        assert_eq!(connection.get("/api/ping").await.status, 200);
        held.push(connection);
    }
    for _ in 0..20 {
        let refused = Connection::open(HOSTILE, coordinator.address).await.reply().await.unwrap();
        assert_eq!((refused.status, refused.code()), (429, "too_many_connections"));
        assert_eq!(refused.header("retry-after"), "1");
    }
    // Those that it has still serve it.
    let body = json!({"gid": "g", "trans_type": "tcc"}).to_string();
    assert_eq!(held[0].post("/api/dtmsvr/prepare", body).await.status, 200);
    end("one greedy peer", coordinator, healthy).await;
}
