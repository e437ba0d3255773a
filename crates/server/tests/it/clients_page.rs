//! `docs/clients.md`: what the page shows is what is answered.

use std::path::Path;

use serde_json::Value;

use crate::error_pages::run;
use crate::support::{Response, TestServer};

/// Commands of the page's examples with the reply that follows each.
fn examples(page: &str) -> Vec<(&str, &str)> {
    let blocks = page.split("```console\n").skip(1).map(|block| block.split_once("\n```").unwrap().0);
    let commands = blocks.flat_map(|block| block.strip_prefix("$ ").unwrap().split("\n$ "));
    commands.map(|shown| shown.split_once('\n').unwrap()).collect()
}

/// The JSON without the times, which differ from run to run.
fn without_times(text: &str) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(object) => {
                object.retain(|key, _| !key.ends_with("_time"));
                object.values_mut().for_each(strip);
            }
            Value::Array(list) => list.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut value = serde_json::from_str(text).unwrap();
    strip(&mut value);
    value
}

#[tokio::test]
async fn the_coordinator_answers_clients_as_their_page_shows() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/clients.md");
    let page = std::fs::read_to_string(page).unwrap();
    let server = TestServer::start().await;
    let examples = examples(&page);
    assert!(examples.len() >= 6, "only {}", examples.len());
    for (command, shown) in examples {
        let reply = run(&server, &format!("$ {command}")).await;
        let shown = match command.starts_with("curl -i ") {
            false => shown.to_owned(),
            true => {
                let shown = Response::parse(shown.replace('\n', "\r\n").as_bytes());
                assert_eq!(reply.status, shown.status, "{command}");
                for (name, value) in &shown.headers {
                    assert_eq!(reply.headers.get(name), Some(value), "{command}: {name}");
                }
                shown.body
            }
        };
        assert_eq!(without_times(&reply.body), without_times(&shown), "{command}");
    }
}
