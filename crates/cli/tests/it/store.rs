//! `escrow store copy` on what a coordinator has left, and the change of the default store.

use serde_json::json;

use crate::coordinator::Coordinator;
use crate::escrow::{escrow, post, prepare, refused, status, succeed, text};

const LISTEN: &str = "127.0.0.1:0";

#[test]
fn a_store_is_copied_once_its_coordinator_has_ended_and_the_copy_is_served() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    for (number, (from, to)) in
        [("sqlite:one/a.db", "sqlite:copies/b.db"), ("sqlite:copies/b.db", "local:c"), ("local:c", "sqlite:d.db")]
            .into_iter()
            .enumerate()
    {
        let running = Coordinator::start_on(home, LISTEN, &["--store", from]);
        prepare(&running.address, &format!("kept-{number}"));
        let error = refused(home, &["store", "copy", from, to]);
        assert!(error.contains("open already") && error.ends_with(" [store_locked]\n"), "{error}");
        drop(running);

        let transactions =
            if number == 0 { "1 transaction".to_owned() } else { format!("{} transactions", number + 1) };
        let expected = format!(
            "copied {from} to {to}, and compared:\n{transactions}, {} of them unfinished; 1 setting\n",
            number + 1
        );
        assert_eq!(succeed(home, &["store", "copy", from, to]), expected);
        let again = refused(home, &["store", "copy", from, to]);
        assert_eq!(again, format!("error: the store {to} is not empty: a copy goes into a new one [copy_refused]\n"));

        let running = Coordinator::start_on(home, LISTEN, &["--store", to]);
        assert_eq!(status(&running.address, &format!("kept-{number}")), "prepared");
    }
}

#[test]
fn a_data_directory_with_a_sqlite_store_is_refused_until_it_is_carried_over() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let running = Coordinator::start_on(home, LISTEN, &["--store", "sqlite:data/escrow.db"]);
    prepare(&running.address, "kept");
    drop(running);
    let before = names(home);

    let error = refused(home, &["serve", "--listen", LISTEN, "--data", "data"]);
    let expected = "error: the store local:data cannot be used: data/escrow.db holds the transactions: go on with it with \
                    --store sqlite:data/escrow.db, or carry them over with escrow store copy sqlite:data/escrow.db local:data \
                    [other_store]\n";
    assert_eq!(error, expected);
    assert_eq!(names(home), before, "nothing was made");
    assert!(refused(home, &["store", "check", "data"]).ends_with(" [not_a_store]\n"));
    assert_eq!(names(home), before, "nothing was made");

    let running = Coordinator::start_on(home, LISTEN, &["--store", "sqlite:data/escrow.db"]);
    assert_eq!(status(&running.address, "kept"), "prepared", "the one way out");
    drop(running);
    succeed(home, &["store", "copy", "sqlite:data/escrow.db", "local:data"]);
    let running = Coordinator::start(home, LISTEN);
    assert_eq!(status(&running.address, "kept"), "prepared", "the other one");
    let reply = post(&running.address, "abort", &json!({"gid": "kept", "trans_type": "tcc"}));
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    drop(running);

    // Who loses the embedded store is not sent back to what it was copied from, where the transaction is undecided.
    std::fs::remove_file(home.join("data/escrow.id")).unwrap();
    let error = refused(home, &["serve", "--listen", LISTEN, "--data", "data"]);
    assert!(error.ends_with(" [store_gone]\n"), "{error}");
}

fn names(home: &std::path::Path) -> Vec<String> {
    let mut names: Vec<_> =
        home.join("data").read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_no_store_or_not_there_is_told() {
    let home = tempfile::tempdir().unwrap();
    let error = refused(home.path(), &["store", "copy", "sqlite:none.db", "sqlite:copy.db"]);
    assert_eq!(error, "error: there is no store sqlite:none.db [copy_refused]\n");
    assert_eq!(home.path().read_dir().unwrap().count(), 0);
    let error = text(&escrow(home.path(), &["store", "copy", "data", "sqlite:copy.db"]).stderr);
    assert!(error.contains("\"data\" is no store: it must be sqlite:FILE or local:DIR"), "{error}");
}
