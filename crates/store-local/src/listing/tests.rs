use std::num::NonZeroU32;

use escrow_store::Cursor;
use escrow_txn::BusinessKey;

use super::*;

fn newest() -> ListQuery {
    ListQuery::newest(NonZeroU32::MIN)
}

fn database(schema: &str) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(schema).unwrap();
    connection
}

fn finished() -> Connection {
    database(include_str!("../schema/finished_1.sql"))
}

/// What SQLite does for a query.
fn plan(connection: &Connection, query: &ListQuery, states: &[Status]) -> Vec<String> {
    let from = (states == FINISHED).then(|| Timestamp::from_micros(1));
    let select = Select::of(query, states, from).unwrap();
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", select.sql)).unwrap();
    let rows = statement.query_map(params_from_iter(select.values), |row| row.get(3)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn every_state_and_pattern_that_a_record_can_have_is_listed() {
    for tag in 0..=u8::MAX {
        if let Ok(status) = tags::to_status(tag) {
            assert!(ALL.contains(&status), "{status:?}");
            assert_eq!(FINISHED.contains(&status), status.is_final(), "{status:?}");
        }
        if let Ok(pattern) = tags::to_pattern(tag) {
            assert!(PATTERNS.contains(&pattern), "{pattern:?}");
        }
    }
}

#[test]
fn no_page_of_finished_transactions_is_sorted_and_none_reads_rows_in_vain() {
    let cursor = Cursor { created_at: Timestamp::from_micros(5), gid: Gid::parse("g").unwrap() };
    let from = Some(Timestamp::from_micros(2));
    let queries = [
        newest(),
        ListQuery { after: Some(cursor.clone()), created_from: from, ..newest() },
        ListQuery { pattern: Some(Pattern::Tcc), after: Some(cursor.clone()), ..newest() },
        ListQuery { statuses: vec![Status::Aborted, Status::Stopped], created_before: from, ..newest() },
        ListQuery { business_key: Some(BusinessKey::parse("k").unwrap()), after: Some(cursor.clone()), ..newest() },
        ListQuery { attention: Some(true), after: Some(cursor), ..newest() },
    ];
    for query in queries {
        let plan = plan(&finished(), &query, &FINISHED);
        assert!(plan.iter().all(|line| !line.contains("TEMP B-TREE") && !line.starts_with("SCAN txn\0")), "{plan:#?}");
        let narrowed = query.after.is_none() || plan.iter().any(|line| line.contains("(created_at,gid)<"));
        assert!(narrowed, "{plan:#?}");
    }
}

#[test]
fn those_that_wait_long_are_found_by_the_time_at_which_they_go_on() {
    let connection = database(include_str!("../schema/unfinished_1.sql"));
    let query = ListQuery { waiting_past: Some(Timestamp::from_micros(7)), ..newest() };
    let plan = plan(&connection, &query, &ALL);
    assert!(plan.iter().any(|line| line.contains("txn_due (owner=? AND held=? AND next_run_at>?)")), "{plan:#?}");
}
