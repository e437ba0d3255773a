//! The coordinator as DTM's clients see it: requests over real sockets, a participant that answers as it is told, time that
//! passes by itself.
//!
//! What DTM's own tests check over HTTP, and where it is checked here:
//!
//! | behaviour | tests |
//! |---|---|
//! | version, metrics, newGid | `api::version_and_metrics_answer_and_new_gids_come_with_a_result` |
//! | query: existing, empty gid, unknown gid | `api::a_query_shows_what_exists_and_says_so_when_there_is_nothing` |
//! | all: cursor; gid; filters | `api::all_shows_every_transaction_once_newest_first`, `all_with_a_gid_is_that_one_or_null`, `all_filters_by_status_type_time_and_business_key` |
//! | scanKV, queryKV | `topics::entries_are_walked_once_each_and_a_missing_one_is_an_empty_list` |
//! | resetCronTime | `schedule::transactions_that_wait_too_long_are_made_to_go_on_so_many_at_a_time` |
//! | resetNextCronTime | `schedule::one_transaction_is_made_to_go_on_at_once`, `going_on_at_once_decides_nothing_and_asks_nobody_too_early` |
//! | forceStop of a submitted, of a finished one | `api::a_forced_stop_ends_what_is_unfinished_and_nothing_else` |
//! | unknown type | `api::an_unknown_type_is_an_error_and_others_are_served` |
//! | asynchronous branch updates | there is no such mode; what rides along with a later write is shown: `saga::a_finished_action_is_shown_while_another_one_is_still_on_its_way` |
//! | saga: ok, second fails, empty URLs | `saga::a_saga_whose_actions_succeed_…`, `a_refused_step_and_those_before_it_…`, `an_empty_url_succeeds_…` |
//! | saga: ongoing, then cron | `saga::an_action_in_progress_is_asked_again_until_it_is_done` |
//! | saga: compensate error, then cron | `saga::a_compensation_that_fails_is_repeated_until_it_is_done` |
//! | saga: submit twice, after success | `saga::a_submit_may_be_repeated_until_the_saga_has_ended` |
//! | saga: old payload format | `saga::payloads_inside_the_steps_reach_the_branches_as_old_clients_send_them` |
//! | saga: concurrent, orders, rollback order | `saga::concurrent_actions_run_side_by_side_…`, `a_step_that_waits_for_a_refused_one_…`, `ordered_steps_are_compensated_against_their_order` |
//! | saga: retry_interval | `saga::a_retry_comes_after_the_interval_when_in_progress_and_after_twice_as_much_on_an_error` |
//! | saga: timeout_to_fail | `saga::a_saga_that_takes_too_long_compensates_what_may_have_run` |
//! | wait_result: ok, in progress, rolled back | `saga::a_caller_that_waits_gets_the_end_…`, `a_caller_that_waits_is_told_of_a_rollback_…`, `tcc::a_caller_that_waits_for_a_tcc_…` |
//! | request_timeout | `saga::a_call_may_take_as_long_as_its_transaction_says` |
//! | branch_headers, first pass and later ones | `saga::branch_headers_go_with_every_call_of_every_pass`, `tcc::what_the_prepare_says_about_calls_…` |
//! | retry_limit: enough, not enough | `saga::errors_within_the_retry_limit_…`, `errors_past_the_retry_limit_…`, `in_progress_does_not_count_…` |
//! | barriers of a saga or TCC, hanging TCC | the participant's part; `payments::barrier` has them, and the coordinator's share is the query parameters: `calls` |
//! | msg: submitted directly, to a topic, concurrent | `msg::a_submitted_message_is_delivered_in_order`, `a_concurrent_message_…`, `topics::a_message_to_a_topic_…`, `a_subscriber_in_trouble_…` |
//! | msg: prepared only, check-back in progress, then success | `msg::an_initiator_that_vanished_is_asked_until_it_decides_and_then_delivery_is_repeated` |
//! | msg: prepared only, check-back refused | `msg::a_message_whose_local_transaction_did_not_commit_is_delivered_to_nobody` |
//! | msg: time-out 35 s or its own | `msg::the_check_back_waits_35_seconds_or_as_long_as_the_message_says` |
//! | msg: prepared again, after the submit | `msg::a_prepare_may_be_repeated_until_the_submit_and_not_after_it` |
//! | msg: unknown topic | `topics::a_topic_without_subscribers_is_not_found` |
//! | msg: delay | `msg::a_delayed_message_leaves_after_its_delay_and_not_before` |
//! | msg: alert web hook, also when it fails | `schedule::the_third_error_in_a_row_is_told_to_the_web_hook_whatever_that_answers` |
//! | msg: do and submit | the client's part; what it asks of the coordinator: `msg::a_local_transaction_that_failed_…`, `a_submit_after_the_check_back_…`, `a_prepare_that_could_never_be_checked_back_…` |
//! | topics: subscribe, unsubscribe, delete; versions; changes at once | `topics::what_cannot_be_subscribed_or_unsubscribed_…`, `every_change_of_a_topic_…`, `of_many_changes_at_once_…` |
//! | tcc: ok; rollback with a cancel in progress; nested | `tcc::a_submitted_tcc_…`, `an_aborted_tcc_…`, `the_branches_of_a_nested_tcc_…` |
//! | tcc: time-out during try | `tcc::a_tcc_that_nobody_decides_is_cancelled_and_takes_no_late_branch` |
//! | tcc: branches that answer in the old style | `tcc::branches_that_answer_in_the_body_alone_are_understood` |
//! | tcc: panic in the callback | `tcc::a_callback_that_panics_is_an_abort_without_a_reason` |
//! | tcc: empty URLs | `tcc::empty_confirm_and_cancel_urls_succeed_without_a_call` |
//! | xa: ok, rollback, local error, time-out, not timed out | `xa::a_submitted_xa_…`, `an_aborted_xa_…`, `a_local_part_that_failed_…`, `an_xa_that_nobody_decides_…`, `an_undecided_tcc_or_xa_…`, `a_commit_in_progress_…` |
//! | xa: duplicate commit | `xa::a_commit_whose_reply_was_lost_is_made_again` |
//! | xa: the participant's database fails and comes back | `xa::a_rollback_goes_on_once_the_participants_database_is_back` |
//! | xa: quotes in the gid | `xa::a_gid_with_quotes_is_a_gid` |
//! | gRPC, JSON-RPC, workflow | not spoken yet: `requests::what_is_not_spoken_yet_is_refused_with_501_and_leaves_nothing_behind` |
//! | stores: conflicts, locks, touches | the conformance suite of `escrow-store`; what a client sees of it: `states` |
//!
//! What clients rely on, whoever tests it:
//!
//! | what | tests |
//! |---|---|
//! | port, paths, methods, aliases | `api::every_path_has_its_method_and_nothing_else_is_known`, `the_default_port_is_dtms`, `requests::a_registration_is_read_leniently_…` |
//! | 200, 409, 425, 500 and their bodies; no `FAILURE` in a 200 | `api::replies_have_dtms_codes_bodies_and_content_type`, `no_200_reply_says_failure_…` |
//! | nulls, unknown and repeated keys, any case; whole numbers; texts verbatim | `requests::nulls_unknown_keys_…`, `an_empty_list_stands_…`, `seconds_are_whole_numbers_…` |
//! | payloads byte for byte | `calls::payloads_reach_the_branches_byte_for_byte` |
//! | GET or POST, four parameters, own query, headers on every call | `calls::a_call_without_a_payload_…`, `a_call_says_what_it_is_about_…`, `branch_headers_go_with_the_check_back_too_…` |
//! | ongoing before failure before status; only 200 is success | `calls::an_answer_is_ongoing_before_it_is_a_failure_and_only_200_is_success` |
//! | branch ids, operations, order of rows | `requests::branches_and_operations_have_dtms_names_in_dtms_order` |
//! | empty URL succeeds | `saga::an_empty_url_…`, `tcc::empty_confirm_and_cancel_urls_…` |
//! | registration is atomic with the decision; one decision | `tcc::a_branch_whose_registration_was_accepted_…`, `of_a_submit_and_an_abort_at_once_…` |
//! | tcc in reverse, xa in order, the failed step is compensated | `tcc::a_submitted_tcc_…`, `xa::a_submitted_xa_…`, `saga::a_refused_step_…` |
//! | time-outs: 35 s, none for a saga | `xa::an_undecided_tcc_or_xa_…`, `msg::the_check_back_waits_…`, `saga::a_saga_without_a_time_out_has_none` |
//! | retries: 2 × the interval after an error, 1 × when in progress, without end | `saga::a_retry_comes_after_the_interval_…`, `calls::a_participant_that_cannot_be_reached_is_asked_again` |
//! | the reply comes before the calls, unless waited for | `calls::a_reply_comes_before_the_first_call_is_answered_unless_the_result_is_waited_for` |
//! | topics are expanded when saved; `topic not found` | `topics::who_has_subscribed_when_a_message_is_saved_…`, `a_topic_without_subscribers_is_not_found` |
//! | shape of query | `api::a_query_has_the_shape_that_strict_clients_parse` |
//! | any characters in gid and branch id, 128 of them | `requests::any_character_may_stand_in_a_gid_and_in_a_branch_id`, `line_breaks_and_semicolons_…`, `a_gid_that_begins_another_one_…` |
//! | submit need not come over prepare's connection | `requests::a_transaction_may_be_decided_over_another_connection_and_after_a_restart` |
#![allow(clippy::unwrap_used)]

mod api;
mod calls;
mod msg;
mod requests;
mod saga;
mod schedule;
mod states;
mod tcc;
mod topics;
mod xa;

mod support;

/// Names in the table are those of tests, or begin them.
#[test]
fn the_table_above_names_tests_that_exist() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let main = read("main.rs");
    let rows = main.lines().filter(|line| line.starts_with("//! | "));
    let mut found = 0;
    for row in rows {
        let mut module = "";
        for name in row.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() > 2) {
            let (of, name) = name.split_once("::").unwrap_or((module, name));
            module = of;
            let begin = format!("fn {}", name.trim_end_matches('…'));
            assert!(read(&format!("{module}.rs")).contains(&begin), "{module}::{name}");
            found += 1;
        }
    }
    assert!(found > 60, "only {found}");
}
