use std::net::SocketAddr;

use clap::Parser;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

/// What a run printed, and how it ended.
struct Ran {
    printed: String,
    result: anyhow::Result<ExitCode>,
}

impl Ran {
    fn succeeded(&self) -> bool {
        // `ExitCode` can only be compared by what it prints.
        self.result.as_ref().is_ok_and(|code| format!("{code:?}") == format!("{:?}", ExitCode::SUCCESS))
    }

    fn error(&self) -> String {
        format!("{:#}", self.result.as_ref().unwrap_err())
    }
}

/// Runs `tx` with these arguments against a coordinator, with `input` typed in.
async fn run(server: &str, args: &[&str], input: &str) -> Ran {
    let cli = Cli::try_parse_from([&["tx", "--server", server], args].concat()).unwrap();
    let mut terminal = Terminal { input: input.as_bytes(), out: Vec::new() };
    let result = run_on(cli.args, &mut terminal).await;
    Ran { printed: String::from_utf8(terminal.out).unwrap(), result }
}

/// A coordinator that gives these replies, one connection each, and tells what it was asked.
struct Stub {
    address: SocketAddr,
    asked: JoinHandle<Vec<String>>,
}

impl Stub {
    async fn start(replies: &[(u16, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let replies: Vec<_> = replies.iter().map(|&(status, body)| (status, body.to_owned())).collect();
        let asked = tokio::spawn(async move {
            let mut asked = Vec::new();
            for (status, body) in replies {
                let (mut stream, _) = listener.accept().await.unwrap();
                asked.push(read_request(&mut stream).await);
                let head =
                    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).await.unwrap();
            }
            asked
        });
        Self { address, asked }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests, once all replies are given.
    async fn asked(self) -> Vec<String> {
        self.asked.await.unwrap()
    }
}

/// Method, target and body of one request.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        stream.read_buf(&mut bytes).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() == length.map_or(0, |length| length.parse().unwrap()) {
            let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1");
            return format!("{line} {body}").trim_end().to_owned();
        }
    }
}

const NONE: &str = r#"{"branches":[],"transaction":null}"#;
const ONE: &str = r#"{"branches":[
    {"id":1,"create_time":"2026-01-02T03:04:05Z","update_time":"2026-01-02T03:04:05Z","gid":"g 1","url":"http://a/cancel",
        "branch_id":"01","op":"cancel","status":"prepared"},
    {"id":2,"create_time":"2026-01-02T03:04:05Z","update_time":"2026-01-02T03:04:06.7Z","gid":"g 1","url":"http://a/confirm",
        "bin_data":"eA==","branch_id":"01","op":"confirm","status":"succeed","finish_time":"2026-01-02T03:04:06.7Z"}],
  "transaction":{"id":0,"create_time":"2026-01-02T03:04:05.123456Z","update_time":"2026-01-02T03:04:06.7Z","gid":"g 1",
    "trans_type":"tcc","status":"submitted","protocol":"http","options":"{\"concurrent\":true}","concurrent":true,
    "next_cron_time":"2026-01-02T03:05:00Z","business_key":"order-7","attention":true,
    "attention_reason":"02 confirm: 3 answers in a row were unknown or refused","attention_since":"2026-01-02T03:04:07Z"}}"#;

#[tokio::test]
async fn a_list_is_a_table_and_says_how_to_go_on() {
    let page = r#"{"next_position":"17-it's","transactions":[
        {"id":0,"create_time":"2026-01-02T03:04:05.123456Z","update_time":"2026-01-02T03:04:05Z","gid":"b\u001b[2J","trans_type":"saga",
            "status":"submitted","protocol":"http","concurrent":false,"attention":true,"business_key":"order-7"},
        {"id":0,"create_time":"2026-01-02T03:04:05Z","update_time":"2026-01-02T03:04:05Z","gid":"a","trans_type":"msg",
            "status":"succeed","protocol":"http","concurrent":false}]}"#;
    let stub = Stub::start(&[(200, page)]).await;
    let ran = run(&stub.url(), &["list", "--limit", "2", "--business-key", "order 7"], "").await;
    assert!(ran.succeeded());
    let lines: Vec<Vec<&str>> = ran.printed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(
        lines.iter().any(|l| l.join(" ") == r"│ b\u{1b}[2J saga submitted 2026-01-02T03:04:05Z order-7 attention │")
    );
    assert!(lines.iter().any(|l| l.join(" ") == "│ a msg succeed 2026-01-02T03:04:05Z │"), "{}", ran.printed);
    assert!(ran.printed.ends_with("more with --position '17-it'\\''s'\n"), "{}", ran.printed);
    assert_eq!(stub.asked().await, ["GET /api/dtmsvr/all?limit=2&position=&businessKey=order+7"]);
}

#[tokio::test]
async fn an_empty_list_says_so_and_json_prints_the_reply() {
    let page = r#"{"next_position":"","transactions":[]}"#;
    let stub = Stub::start(&[(200, page), (200, page)]).await;
    assert_eq!(run(&stub.url(), &["list"], "").await.printed, "no transactions\n");
    assert_eq!(run(&stub.url(), &["list", "--json"], "").await.printed, format!("{page}\n"));
}

#[tokio::test]
async fn show_prints_the_transaction_and_a_line_per_operation() {
    let stub = Stub::start(&[(200, ONE)]).await;
    let ran = run(&stub.url(), &["show", "g 1"], "").await;
    assert!(ran.succeeded());
    for fact in [
        "gid           g 1\n",
        "status        submitted\n",
        "attention     02 confirm: 3 answers in a row were unknown or refused\n",
        "business key  order-7\n",
        "created       2026-01-02T03:04:05Z\n",
        "goes on       2026-01-02T03:05:00Z\n",
    ] {
        assert!(ran.printed.contains(fact), "{fact} is not in\n{}", ran.printed);
    }
    let row = ran.printed.lines().find(|line| line.contains("confirm") && line.contains("http")).unwrap();
    assert_eq!(
        row.split_whitespace().collect::<Vec<_>>(),
        ["│", "01", "confirm", "succeed", "2026-01-02T03:04:06Z", "http://a/confirm", "│"]
    );
    assert_eq!(stub.asked().await, ["GET /api/dtmsvr/query?gid=g+1"]);
}

#[tokio::test]
async fn a_transaction_that_nobody_knows_is_no_success() {
    let stub = Stub::start(&[(200, NONE), (200, NONE), (200, NONE)]).await;
    let ran = run(&stub.url(), &["show", "g"], "").await;
    assert!(!ran.succeeded() && ran.result.is_ok());
    assert!(ran.printed.ends_with(" knows no transaction g\n"), "{}", ran.printed);
    let ran = run(&stub.url(), &["show", "g", "--json"], "").await;
    assert!(!ran.succeeded() && ran.printed == format!("{NONE}\n"));
    let ran = run(&stub.url(), &["stop", "g", "--reason", "x"], "yes\n").await;
    assert!(!ran.succeeded() && ran.printed.ends_with("not stopped\n"));
}

#[tokio::test]
async fn stop_shows_what_it_would_stop_and_asks() {
    let stub = Stub::start(&[(200, ONE), (200, r#"{"dtm_result":"SUCCESS"}"#)]).await;
    let ran = run(&stub.url(), &["stop", "g 1", "--reason", "paid by hand", "--by", "ann"], "yes\n").await;
    assert!(ran.succeeded());
    assert!(ran.printed.contains("http://a/confirm"), "{}", ran.printed);
    assert!(ran.printed.ends_with("Type yes to stop it: stopped g 1\n"), "{}", ran.printed);
    let asked = stub.asked().await;
    let body = asked[1].strip_prefix("POST /api/dtmsvr/forceStop ").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body, serde_json::json!({"gid": "g 1", "reason": "paid by hand", "operator": "ann"}));
}

#[tokio::test]
async fn anything_but_yes_stops_nothing() {
    for answer in ["", "\n", "no\n", "y\n"] {
        let stub = Stub::start(&[(200, ONE)]).await;
        let ran = run(&stub.url(), &["stop", "g 1", "--reason", "x"], answer).await;
        assert!(!ran.succeeded() && ran.printed.ends_with("not stopped\n"), "{answer:?}");
        assert_eq!(stub.asked().await, ["GET /api/dtmsvr/query?gid=g+1"]);
    }
}

#[tokio::test]
async fn stop_with_yes_asks_nobody_and_passes_a_refusal_on() {
    let refusal =
        r#"{"dtm_result":"FAILURE","message":"global transaction force stop error. status: succeed. error: FAILURE"}"#;
    let stub = Stub::start(&[(409, refusal)]).await;
    let ran = run(&stub.url(), &["stop", "g", "--reason", "x", "--yes"], "").await;
    assert_eq!(
        ran.error(),
        "the coordinator refuses: global transaction force stop error. status: succeed. error: FAILURE (status 409)"
    );
    assert_eq!(stub.asked().await.len(), 1);
}

#[tokio::test]
async fn release_names_one_or_all_and_tells_how_many_there_were() {
    for (args, reply, printed, succeeded, asked) in [
        (&["g 1"][..], 1, "released g 1\n", true, r#"POST /api/dtmsvr/releaseHeld {"gid":"g 1"}"#),
        (&["g 1"], 0, "g 1 is not on hold\n", false, r#"POST /api/dtmsvr/releaseHeld {"gid":"g 1"}"#),
        (&["--all"], 1, "released 1 transaction\n", true, "POST /api/dtmsvr/releaseAllHeld {}"),
        (&["--all"], 0, "released 0 transactions\n", true, "POST /api/dtmsvr/releaseAllHeld {}"),
        (&["--all", "--json"], 7, "{\"released_count\":7}\n", true, "POST /api/dtmsvr/releaseAllHeld {}"),
    ] {
        let reply = format!(r#"{{"released_count":{reply}}}"#);
        let stub = Stub::start(&[(200, &reply)]).await;
        let ran = run(&stub.url(), &[&["release"], args].concat(), "").await;
        assert_eq!((ran.printed.as_str(), ran.succeeded()), (printed, succeeded), "{args:?}");
        assert_eq!(stub.asked().await, [asked]);
    }
}

#[tokio::test]
async fn a_coordinator_that_cannot_be_reached_is_named_with_what_to_do() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = run(&format!("http://{unused}/"), &["list"], "").await.error();
    assert!(
        error.starts_with(&format!("no coordinator answers at http://{unused}: start one with `escrow serve`")),
        "{error}"
    );
    assert!(error.contains("ESCROW_SERVER") && error.contains("refused"), "{error}");
}

#[tokio::test]
async fn somebody_else_who_answers_is_no_coordinator() {
    let stub = Stub::start(&[(404, "404 page not found"), (200, "<html>")]).await;
    let error = run(&stub.url(), &["list"], "").await.error();
    assert!(error.contains("404") && error.ends_with("is the address right?"), "{error}");
    let error = run(&stub.url(), &["list"], "").await.error();
    assert!(error.starts_with("the reply is not what a coordinator says"), "{error}");
}

#[tokio::test]
async fn an_address_has_a_scheme_and_nothing_behind_the_port() {
    for address in ["localhost:36789", "https://localhost:36789", "http://localhost:36789/api/dtmsvr", "", "http://"] {
        let error = run(address, &["list"], "").await.error();
        assert!(error.contains("is no address of a coordinator"), "{address}: {error}");
    }
}

#[test]
fn arguments_are_checked_before_anybody_is_asked() {
    let parse = |args: &[&str]| Cli::try_parse_from([&["tx"], args].concat());
    for args in [
        &["list", "--limit", "0"][..],
        &["show", ""],
        &["stop", "g"],
        &["stop", "g", "--reason", "x", "--json"],
        &["release"],
        &["release", "g", "--all"],
    ] {
        assert!(parse(args).is_err(), "{args:?}");
    }
    assert!(parse(&["stop", "g", "--reason", "x", "--json", "--yes"]).is_ok());
}
