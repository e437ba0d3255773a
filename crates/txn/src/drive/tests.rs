use bytes::Bytes;

use super::*;
use crate::laws::samples::{CREATED_AT, branch, definition};
use crate::laws::world::same;
use crate::next;

fn begin(def: Definition, submitted: bool) -> Drive {
    let mut drive = Drive::begin(def, submitted, Defaults::default());
    obey(&mut drive, CREATED_AT);
    drive
}

fn obey(drive: &mut Drive, now: Timestamp) -> Vec<CallId> {
    let step = next(drive, now);
    if let Some(progress) = step.commit_first {
        drive.stored(progress);
    }
    step.calls.iter().for_each(|&call| drive.calling(call));
    step.calls
}

fn answer(call: CallId, outcome: BranchOutcome, text: &str) -> Event {
    Event::Answer(Answer { call, outcome, code: Some(500), latency: Duration::from_millis(7), text: text.to_owned() })
}

const ACTION: CallId = CallId { branch: Some(0), op: BranchOp::Action };

/// Asks the one step of a saga again and again, and gets this answer each time.
fn ask(drive: &mut Drive, outcome: BranchOutcome, text: &str, times: usize) {
    let mut now = CREATED_AT;
    for _ in 0..times {
        apply(drive, answer(ACTION, outcome, text), Moment::at(now)).unwrap();
        obey(drive, now);
        now = now.plus(Duration::from_secs(3600));
        assert_eq!(obey(drive, now), [ACTION]);
    }
}

#[test]
fn the_history_keeps_the_last_attempts() {
    let mut drive = begin(definition(Pattern::Saga, 1), true);
    for number in 0..=limits::ATTEMPTS_MAX {
        ask(&mut drive, BranchOutcome::Unknown, &number.to_string(), 1);
    }
    let answers: Vec<_> = drive.txn().history.iter().map(|attempt| attempt.answer.clone()).collect();
    let last: Vec<_> = (1..=limits::ATTEMPTS_MAX).map(|number| number.to_string()).collect();
    assert_eq!(answers, last);
    let attempt = &drive.txn().history[0];
    assert_eq!((attempt.branch.clone(), attempt.op), (Some(BranchId::of_step(0)), BranchOp::Action));
    assert_eq!((attempt.code, attempt.latency), (Some(500), Duration::from_millis(7)));
}

#[test]
fn an_attempt_is_handed_to_the_store_once() {
    let mut drive = begin(definition(Pattern::Saga, 2), true);
    apply(&mut drive, answer(ACTION, BranchOutcome::Done, ""), Moment::at(CREATED_AT)).unwrap();
    assert_eq!(drive.attempts().len(), 1);
    assert!(drive.txn().history.is_empty(), "the history is what is stored");
    let save_at = CREATED_AT.plus(Duration::from_millis(100));
    obey(&mut drive, save_at);
    assert!(drive.attempts().is_empty());
    assert_eq!(drive.txn().history.len(), 1);
}

#[test]
fn an_attempt_keeps_the_first_bytes_of_an_answer_and_splits_no_character() {
    let mut drive = begin(definition(Pattern::Saga, 1), true);
    let max = limits::ATTEMPT_ANSWER_BYTES_MAX;
    for (text, kept) in [("a".repeat(max), max), ("a".repeat(max + 1), max), ("单".repeat(max), max / 3 * 3)] {
        ask(&mut drive, BranchOutcome::Unknown, &text, 1);
        assert_eq!(drive.txn().history.last().unwrap().answer, text[..kept]);
    }
}

#[test]
fn a_reason_keeps_the_first_bytes_of_a_refusal() {
    let max = limits::REASON_ANSWER_BYTES_MAX;
    for (bytes, kept) in [(max, max), (max + 1, max)] {
        let mut drive = begin(definition(Pattern::Saga, 1), true);
        let refusal = answer(ACTION, BranchOutcome::Refused, &"n".repeat(bytes));
        apply(&mut drive, refusal, Moment::at(CREATED_AT)).unwrap();
        let reason = drive.txn().progress.reason.clone().unwrap();
        assert_eq!(reason, format!("url:http://rm/0/forward return failed: {}", "n".repeat(kept)));
    }
}

#[test]
fn attention_is_raised_by_the_third_failure_and_remembers_since_when() {
    let mut drive = begin(definition(Pattern::Saga, 1), true);
    let before = usize::try_from(limits::ATTENTION_AFTER_FAILURES).unwrap() - 1;
    ask(&mut drive, BranchOutcome::Unknown, "down", before);
    assert_eq!(drive.txn().progress.attention, None);
    ask(&mut drive, BranchOutcome::Unknown, "down", 1);
    let first = drive.txn().progress.attention.clone().unwrap();
    assert_eq!((first.call, first.last_answer.as_str()), (ACTION, "down"));
    ask(&mut drive, BranchOutcome::Unknown, "still down", 1);
    let renewed = drive.txn().progress.attention.clone().unwrap();
    assert_eq!((renewed.since, renewed.last_answer.as_str()), (first.since, "still down"));
}

#[test]
fn attention_says_what_came_back_without_a_word_of_the_participant() {
    let table = [
        (BranchOutcome::Unknown, Some(503), "FAILURE", "status 503"),
        (BranchOutcome::Unknown, Some(302), "FAILURE", "status 302, a redirect, which is not followed"),
        (BranchOutcome::Refused, Some(409), "FAILURE", "refused, with status 409"),
        (BranchOutcome::Refused, Some(200), "FAILURE", "refused, with status 200"),
        (BranchOutcome::Unknown, None, "no answer within 3s", "no answer within 3s"),
    ];
    for (outcome, code, text, expected) in table {
        let mut drive = begin(definition(Pattern::Message, 1), true);
        let failing = CallId::of(0, BranchOp::Deliver);
        for _ in 0..limits::ATTENTION_AFTER_FAILURES {
            drive.in_flight.insert(failing);
            let answer = Answer { call: failing, outcome, code, latency: Duration::ZERO, text: text.to_owned() };
            apply(&mut drive, Event::Answer(answer), Moment::at(CREATED_AT)).unwrap();
        }
        let attention = drive.txn().progress.attention.as_ref().unwrap();
        let expected = format!("3 answers in a row were unknown or refused; the last: {expected}");
        assert_eq!(attention.reason, expected);
    }
}

#[test]
fn trouble_elsewhere_takes_no_attention_from_the_first_and_its_success_leaves_it() {
    let mut def = definition(Pattern::Saga, 2);
    def.options.concurrent = true;
    let mut drive = begin(def, true);
    let other = CallId::of(1, BranchOp::Action);
    ask_beside(&mut drive, ACTION);
    ask_beside(&mut drive, other);
    assert_eq!(drive.txn().progress.attention.as_ref().unwrap().call, ACTION);
    apply(&mut drive, answer(other, BranchOutcome::Done, ""), Moment::at(CREATED_AT)).unwrap();
    assert_eq!(drive.txn().progress.attention.as_ref().unwrap().call, ACTION);
    apply(&mut drive, answer(ACTION, BranchOutcome::Done, ""), Moment::at(CREATED_AT)).unwrap();
    assert_eq!(drive.txn().progress.attention, None);
}

/// Fails one call often enough for attention, and leaves it on its way.
fn ask_beside(drive: &mut Drive, call: CallId) {
    for _ in 0..limits::ATTENTION_AFTER_FAILURES {
        apply(drive, answer(call, BranchOutcome::Unknown, ""), Moment::at(CREATED_AT)).unwrap();
        apply(drive, Event::RetryNow, Moment::at(CREATED_AT)).unwrap();
        obey(drive, CREATED_AT);
    }
}

#[test]
fn registrations_end_at_the_limits_and_leave_the_drive_as_it_was() {
    let mut drive = begin(definition(Pattern::Tcc, limits::BRANCHES_MAX - 1), false);
    let register = |drive: &mut Drive, branch: Branch| apply(drive, Event::Register(branch), Moment::at(CREATED_AT));
    assert_eq!(register(&mut drive, branch(limits::BRANCHES_MAX - 1)), Ok(()));
    assert_eq!(drive.added(), [branch(limits::BRANCHES_MAX - 1)]);
    let before = drive.clone();
    let count = limits::BRANCHES_MAX + 1;
    let too_many = IllegalEvent::Limit(InvalidDefinition::TooManyBranches { count });
    assert_eq!(register(&mut drive, branch(limits::BRANCHES_MAX)), Err(too_many));
    assert!(same(&before, &drive));
}

#[test]
fn registered_payloads_end_at_their_limits() {
    let mut drive = begin(definition(Pattern::Tcc, 0), false);
    let mut register = |index: usize, bytes: usize| {
        let branch = Branch { payload: Bytes::from(vec![0; bytes]), ..branch(index) };
        apply(&mut drive, Event::Register(branch), Moment::at(CREATED_AT))
    };
    let too_large = InvalidDefinition::PayloadTooLarge { branch: BranchId::of_step(0) };
    assert_eq!(register(0, limits::PAYLOAD_BYTES_MAX + 1), Err(too_large.into()));
    assert_eq!(register(0, limits::PAYLOAD_BYTES_MAX), Ok(()));
    assert_eq!(register(1, limits::PAYLOADS_BYTES_MAX - limits::PAYLOAD_BYTES_MAX), Ok(()));
    assert_eq!(register(2, 1), Err(InvalidDefinition::PayloadsTooLarge.into()));
    assert_eq!(register(2, 0), Ok(()));
}

#[test]
fn a_submit_whose_steps_break_a_rule_leaves_the_drive_as_it_was() {
    let duplicate = vec![branch(0), branch(1), branch(0)];
    let too_large =
        vec![branch(0), Branch { payload: Bytes::from(vec![0; limits::PAYLOAD_BYTES_MAX + 1]), ..branch(1) }];
    let mut drive = begin(definition(Pattern::Message, 0), false);
    for branches in [duplicate, too_large] {
        let before = drive.clone();
        let submit = Event::Submit { amendment: Amendment::default(), branches };
        assert!(matches!(apply(&mut drive, submit, Moment::at(CREATED_AT)), Err(IllegalEvent::Limit(_))));
        assert!(same(&before, &drive));
    }
}

#[test]
fn what_changes_nothing_leaves_the_time_of_the_last_change() {
    let mut drive = begin(definition(Pattern::Tcc, 1), false);
    let later = Moment::at(CREATED_AT.plus(Duration::from_secs(1)));
    for event in [Event::Wake, Event::Register(branch(0)), Event::RetryNow] {
        apply(&mut drive, event, later).unwrap();
        assert_eq!(drive.txn().progress.updated_at, CREATED_AT);
    }
    apply(&mut drive, Event::Register(branch(1)), later).unwrap();
    assert_eq!(drive.txn().progress.updated_at, later.now);
}

#[test]
fn the_end_is_timed_and_an_operators_order_kept() {
    let mut drive = begin(definition(Pattern::Tcc, 1), false);
    let now = CREATED_AT.plus(Duration::from_secs(1));
    let operator = Operator { by: "ann".to_owned(), reason: "test".to_owned() };
    apply(&mut drive, Event::ForceStop(operator), Moment::at(now)).unwrap();
    let progress = &drive.txn().progress;
    assert_eq!(progress.finished_at, Some(now));
    assert_eq!(progress.order, Some(OperatorOrder { by: "ann".to_owned(), reason: "test".to_owned(), at: now }));
}

#[test]
fn a_call_may_take_what_the_transaction_says_or_the_default() {
    let mut def = definition(Pattern::Saga, 1);
    assert_eq!(begin(def.clone(), true).request_timeout(), Defaults::default().request_timeout);
    def.options.request_timeout = Some(Duration::from_secs(9));
    assert_eq!(begin(def, true).request_timeout(), Duration::from_secs(9));
}

#[test]
fn retries_are_spread_and_deadlines_are_not() {
    let spread = |event: Event, drive: &mut Drive| {
        apply(drive, event, Moment { now: CREATED_AT, jitter: 0.999_999 }).unwrap();
        next(drive, CREATED_AT).wake_at.unwrap().since(CREATED_AT)
    };
    let mut saga = begin(definition(Pattern::Saga, 1), true);
    let retry = spread(answer(ACTION, BranchOutcome::Unknown, ""), &mut saga);
    assert!(retry > Duration::from_millis(22_900) && retry <= Duration::from_secs(23), "{retry:?}");
    let mut tcc = begin(definition(Pattern::Tcc, 1), false);
    assert_eq!(spread(Event::Register(branch(1)), &mut tcc), Duration::from_secs(35));
}
