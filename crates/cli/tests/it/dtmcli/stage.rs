//! Everybody who takes part: one version of the client, a coordinator, a participant.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use super::participant::Participant;
use crate::coordinator::Coordinator;

/// How long anything may take before the test gives up on it; PyPI may be slow.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) struct Stage {
    python: PathBuf,
    coordinator: Coordinator,
    participant: Participant,
    /// Of the coordinator; removed with the stage.
    _home: TempDir,
}

/// What a program of ours saw of one transaction.
#[derive(Debug, Deserialize)]
pub(super) struct Outcome {
    pub(super) gid: String,
    pub(super) returned: Option<String>,
    raised: Option<String>,
    /// Right after the client had returned; `None` if the coordinator did not know the gid.
    pub(super) status: Option<String>,
}

/// How a transaction ended, as the coordinator tells it, and what its participants saw.
#[derive(Debug)]
pub(super) struct End {
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) request_timeout: Option<u64>,
    /// Branch, operation and status of each row.
    pub(super) rows: String,
    pub(super) calls: Vec<String>,
    /// What each call carried as `x-tenant`.
    pub(super) tenants: Vec<String>,
}

impl Outcome {
    /// Type and text of what the client raised.
    pub(super) fn problem(&self) -> Option<&str> {
        self.raised.as_deref()
    }

    pub(super) fn status(&self) -> &str {
        self.status.as_deref().unwrap()
    }
}

impl Stage {
    pub(super) async fn set(version: &str) -> Self {
        let environments = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dtmcli");
        let mut make = Command::new("python3");
        output(make.arg(program("environment.py")).arg(&environments).arg(version)).await;
        let home = tempfile::tempdir().unwrap();
        Self {
            python: environments.join(version).join("bin/python"),
            coordinator: Coordinator::start(home.path(), "127.0.0.1:0"),
            participant: Participant::start().await,
            _home: home,
        }
    }

    /// Runs a program to its end. What it tells of each of its transactions, by their names.
    pub(super) async fn run(&self, name: &str) -> BTreeMap<String, Outcome> {
        let mut command = Command::new(&self.python);
        // No proxy, no setting of whoever runs the tests, and no compiled files among the sources.
        command.env_clear().arg("-B").arg(program(name));
        command.arg(self.api("")).arg(format!("http://{}", self.participant.address));
        serde_json::from_slice(&output(&mut command).await.stdout).unwrap()
    }

    /// Waits for the end of a transaction of the given type.
    pub(super) async fn end_of(&self, trans_type: &str, outcome: &Outcome) -> End {
        let until = Instant::now() + PATIENCE;
        let reply = loop {
            let reply = self.query(&outcome.gid).await;
            let status = reply["transaction"]["status"].as_str().unwrap_or("unknown");
            if status == "succeed" || status == "failed" {
                break reply;
            }
            assert!(Instant::now() < until, "still {status}: {reply}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let transaction = &reply["transaction"];
        let text = |of: &Value, key: &str| of[key].as_str().unwrap_or_default().to_owned();
        assert_eq!(text(transaction, "trans_type"), trans_type);
        let row = |row: &Value| ["branch_id", "op", "status"].map(|key| text(row, key)).join(" ");
        let calls = self.participant.calls(&outcome.gid);
        assert!(calls.iter().all(|call| call.trans_type == trans_type), "{calls:?}");
        End {
            status: text(transaction, "status"),
            reason: text(transaction, "rollback_reason"),
            request_timeout: transaction["request_timeout"].as_u64(),
            rows: reply["branches"].as_array().unwrap().iter().map(row).collect::<Vec<_>>().join(", "),
            tenants: calls.iter().filter_map(|call| call.tenant.clone()).collect(),
            calls: calls.into_iter().map(|call| call.text).collect(),
        }
    }

    async fn query(&self, gid: &str) -> Value {
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let reply = client.get(self.api(&format!("/query?gid={gid}")).parse().unwrap()).await.unwrap();
        serde_json::from_slice(&reply.into_body().collect().await.unwrap().to_bytes()).unwrap()
    }

    fn api(&self, path: &str) -> String {
        format!("http://{}/api/dtmsvr{path}", self.coordinator.address)
    }
}

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/dtmcli").join(name)
}

async fn output(command: &mut Command) -> Output {
    let ended = tokio::time::timeout(PATIENCE, command.kill_on_drop(true).output());
    let output = ended.await.unwrap_or_else(|_| panic!("{command:?} does not end"));
    let output = output.unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    output
}
