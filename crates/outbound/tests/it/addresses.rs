use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use escrow_engine::BranchCaller;
use escrow_outbound::{EgressPolicy, HttpCaller, Resolve};
use escrow_txn::BranchOutcome;

use crate::participant::{Participant, action, call, response};

const NOT_ALLOWED: &str = "calls to this address are not allowed: it is ";

/// A resolver that knows one answer for every name.
struct Always(Vec<SocketAddr>);

#[async_trait]
impl Resolve for Always {
    async fn resolve(&self, _host: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(self.0.clone())
    }
}

#[tokio::test]
async fn a_forbidden_address_is_refused_in_every_spelling() {
    let table = [
        ("169.254.169.254", "link-local"),
        ("2852039166", "link-local"),
        ("0xa9fea9fe", "link-local"),
        ("0251.0376.0251.0376", "link-local"),
        ("0xa9.254.43518", "link-local"),
        ("[::ffff:169.254.169.254]", "link-local"),
        ("[::ffff:a9fe:a9fe]", "link-local"),
        ("[64:ff9b::a9fe:a9fe]", "link-local"),
        ("[fe80::1]", "link-local"),
        ("100.100.100.200", "a metadata service"),
        ("[fd00:ec2::254]", "a metadata service"),
        ("0", "unspecified"),
        ("0.0.0.0", "unspecified"),
        ("[::]", "unspecified"),
        ("[::ffff:0.0.0.0]", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("3758096385", "multicast"),
        ("[ff02::1]", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("4294967295", "broadcast"),
    ];
    for (host, reason) in table {
        let reply = call(action(format!("http://{host}/latest/meta-data"))).await;
        assert_eq!((reply.outcome, reply.code), (BranchOutcome::Unknown, None), "{host}");
        assert_eq!(reply.text, format!("{NOT_ALLOWED}{reason}"), "{host}");
    }
}

#[tokio::test]
async fn the_coordinators_own_listener_is_refused_in_every_spelling() {
    let own = Participant::answering(response(200, "")).await;
    let caller = HttpCaller::new(EgressPolicy::new(vec![own.address]));
    let hosts = ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"];
    for host in hosts {
        let reply = caller.call(action(format!("http://{host}:{}/api/dtmsvr/submit", own.address.port()))).await;
        assert_eq!(reply.text, format!("{NOT_ALLOWED}the coordinator itself"), "{host}");
    }
    assert!(own.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_participant_on_loopback_is_reached_in_every_spelling() {
    let participant = Participant::answering(response(200, "")).await;
    for host in ["127.0.0.1", "2130706433", "0x7f.1", "127.1", "localhost"] {
        let reply = call(action(format!("http://{host}:{}/a", participant.address.port()))).await;
        assert_eq!(reply.outcome, BranchOutcome::Done, "{host}: {}", reply.text);
    }
}

#[tokio::test]
async fn of_a_names_addresses_the_allowed_ones_are_dialled() {
    let participant = Participant::answering(response(200, "")).await;
    let forbidden: SocketAddr = "169.254.169.254:80".parse().unwrap();
    let mixed = Arc::new(Always(vec![forbidden, participant.address]));
    let caller = HttpCaller::with_resolver(EgressPolicy::default(), mixed);
    assert_eq!(caller.call(action("http://rm.example/a")).await.outcome, BranchOutcome::Done);

    let caller = HttpCaller::with_resolver(EgressPolicy::default(), Arc::new(Always(vec![forbidden])));
    assert_eq!(caller.call(action("http://rm.example/a")).await.text, format!("{NOT_ALLOWED}link-local"));

    let caller = HttpCaller::with_resolver(EgressPolicy::default(), Arc::new(Always(Vec::new())));
    assert_eq!(caller.call(action("http://rm.example/a")).await.text, "the host cannot be resolved");
}

/// A resolver that never answers.
struct Hanging;

#[async_trait]
impl Resolve for Hanging {
    async fn resolve(&self, _host: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn resolving_and_dialling_end_after_two_seconds() {
    let caller = HttpCaller::with_resolver(EgressPolicy::default(), Arc::new(Hanging));
    let begun = tokio::time::Instant::now();
    assert_eq!(caller.call(action("http://rm.example/a")).await.text, "could not connect within 2 s");
    assert_eq!(begun.elapsed().as_secs(), 2);
}
