use tokio::task::JoinSet;

use super::*;
use crate::http::Connection;
use crate::participant::{Call, Participants, Reply};
use crate::workload::{Dialect, Workload};

/// A coordinator that runs until it is dropped, and participants that keep the calls they get: path, branch and op.
struct Stage {
    connection: Connection,
    participants: Participants,
    calls: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<anyhow::Result<()>>,
}

impl Stage {
    async fn set(reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connection = Connection::open(listener.local_addr().unwrap()).await.unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(serve_on(listener));
        let calls: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&calls);
        let handler = move |call: &Call<'_>| {
            assert_eq!(call.gid, "g-1");
            kept.lock().unwrap().push(format!("{} {} {}", call.path, call.branch, call.op));
            reply
        };
        let participants = Participants::answering(handler).await.unwrap();
        Self { connection, participants, calls, _serving: serving }
    }

    async fn post(&mut self, path: &str, body: &str) -> (u16, String) {
        let reply = self.connection.post(path, body).await.unwrap();
        (reply.status, String::from_utf8(reply.body.to_vec()).unwrap())
    }

    /// One transaction, all of its requests answered with success.
    async fn play(&mut self, workload: Workload) -> Vec<String> {
        self.calls.lock().unwrap().clear();
        for request in workload.requests(Dialect::Dtm, "g-1", self.participants.address()) {
            assert_eq!(self.post(request.path, &request.body).await, (200, SUCCESS.to_owned()));
        }
        self.calls.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn each_branch_is_called_once_in_order_before_the_last_reply() {
    let mut stage = Stage::set(Reply::Done).await;
    assert_eq!(stage.play(Workload::Saga).await, ["/a1 01 action", "/a2 02 action"]);
    assert_eq!(stage.play(Workload::Message).await, ["/a1 01 action"]);
    assert_eq!(stage.play(Workload::Tcc).await, ["/a1 01 confirm", "/a2 02 confirm"]);
    assert_eq!(stage.play(Workload::TccDeclared).await, ["/a1 01 confirm", "/a2 02 confirm"]);
    assert_eq!(stage.play(Workload::Xa).await, ["/a1 01 commit", "/a2 02 commit"]);
}

#[tokio::test]
async fn what_was_submitted_is_forgotten() {
    let mut stage = Stage::set(Reply::Done).await;
    stage.play(Workload::Tcc).await;
    let submit = r#"{"gid":"g-1","trans_type":"tcc"}"#;
    let (status, text) = stage.post("/api/dtmsvr/submit", submit).await;
    assert_eq!((status, text.as_str()), (500, "no transaction with this gid"));
    assert_eq!(stage.calls.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_call_that_is_not_done_is_no_success() {
    let mut stage = Stage::set(Reply::Broken).await;
    let request = &Workload::Saga.requests(Dialect::Dtm, "g-1", stage.participants.address())[0];
    let (status, text) = stage.post(request.path, &request.body).await;
    assert_eq!((status, text.as_str()), (500, "a call was answered 500 Internal Server Error"));
    assert_eq!(stage.calls.lock().unwrap().len(), 1, "what comes after it is not called");
}

#[tokio::test]
async fn what_is_no_transaction_is_no_success() {
    let mut stage = Stage::set(Reply::Done).await;
    for (path, body) in [
        ("/api/dtmsvr/prepare", "{}"),
        ("/api/dtmsvr/prepare", "no json"),
        ("/api/dtmsvr/registerBranch", r#"{"gid":"g-1"}"#),
        ("/api/dtmsvr/submit", r#"{"gid":"g-1","trans_type":"saga"}"#),
        ("/api/dtmsvr/submit", r#"{"trans_type":"tcc"}"#),
        ("/api/dtmsvr/submit", r#"{"gid":"g-1"}"#),
    ] {
        assert_eq!(stage.post(path, body).await.0, 500, "{path} {body}");
    }
}
