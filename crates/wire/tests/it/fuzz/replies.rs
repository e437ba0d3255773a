//! Replies: well-formed whatever happened, and without the word that makes clients take a 200 for an error, unless a client
//! or a participant wrote it.

use std::time::Duration;

use arbitrary::Arbitrary;
use bytes::Bytes;
use escrow_txn::{
    Amendment, Answer, Begin, Branch, BranchId, BranchOutcome, BusinessKey, CallId, Defaults, Drive, Event, Gid,
    Moment, Operator, Options, Pattern, Status, Timestamp, apply, next,
};
use escrow_wire::dtm::{self, Alert, ListedTxn, Reply, TopicEntry};
use jiff::Timestamp as Rfc3339;
use serde_json::Value;

use super::mutation::Case;
use super::{cases, corpus};

const WORD: &str = "FAILURE";

/// What happens to a transaction, one thing after the other.
#[derive(Arbitrary, Debug)]
struct History {
    submitted: bool,
    /// Whether anybody may say the word.
    says_the_word: bool,
    happenings: [Happening; 12],
}

/// A call is answered; and sometimes something else happens, too.
#[derive(Arbitrary, Debug)]
struct Happening {
    which: u8,
    outcome: Outcome,
    text: Text,
    seconds: u16,
    otherwise: Option<Option<Otherwise>>,
}

#[derive(Arbitrary, Debug)]
enum Otherwise {
    Wake { seconds: u16 },
    TheEndOfTime,
    Submit { delay: Option<u16> },
    Abort { reason: Option<Text> },
    Register { id: u8, url: Text },
    RetryNow,
    OrderAbort { by: Text },
    ForceStop { by: Text },
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Outcome {
    Done,
    Refused,
    InProgress,
    Unknown,
}

#[derive(Arbitrary, Debug)]
enum Text {
    Any(String),
    Url,
    Quotes,
    Word,
    WordTwice,
}

impl Text {
    fn text(&self) -> String {
        match self {
            Self::Any(text) => text.clone(),
            Self::Url => "see http://name:password@host/path \"quoted\"".to_owned(),
            Self::Quotes => "\"\\\u{0}\u{2028}<&>'".to_owned(),
            Self::Word => "no funds FAILURE".to_owned(),
            Self::WordTwice => "FAILURE FAILURE ".to_owned(),
        }
    }
}

impl From<Outcome> for BranchOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Done,
            Outcome::Refused => Self::Refused,
            Outcome::InProgress => Self::InProgress,
            Outcome::Unknown => Self::Unknown,
        }
    }
}

/// A transaction that is driven without a coordinator: every call leaves, everything is stored.
struct Driven {
    drive: Drive,
    now: Timestamp,
    calls: Vec<CallId>,
    may_say_the_word: bool,
    /// Whether anybody but the coordinator has said it.
    word_was_said: bool,
}

impl Driven {
    fn begin(begin: Begin, history: &History) -> Self {
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let word_was_said = format!("{begin:?}").contains(WORD);
        let drive = Drive::begin(begin.into_definition(now), history.submitted, Defaults::default());
        Self { drive, now, calls: Vec::new(), may_say_the_word: history.says_the_word, word_was_said }
    }

    fn go_on(&mut self) {
        let step = next(&self.drive, self.now);
        if let Some(progress) = step.commit_first {
            self.drive.stored(progress);
        }
        for call in step.calls {
            self.drive.calling(call);
            self.calls.push(call);
        }
    }

    fn happens(&mut self, happening: &Happening) {
        self.pass(u64::from(happening.seconds));
        if !self.calls.is_empty() {
            let call = self.calls.remove(usize::from(happening.which) % self.calls.len());
            let (text, latency) = (self.said(&happening.text), Duration::from_millis(1));
            let answer = Answer { call, outcome: happening.outcome.into(), code: Some(500), latency, text };
            self.apply(Event::Answer(answer));
        }
        if let Some(Some(otherwise)) = &happening.otherwise {
            let event = self.event(otherwise);
            self.apply(event);
        }
    }

    fn event(&mut self, otherwise: &Otherwise) -> Event {
        match otherwise {
            Otherwise::Wake { seconds } => {
                self.pass(u64::from(*seconds));
                Event::Wake
            }
            Otherwise::TheEndOfTime => {
                self.now = Timestamp::from_micros(u64::MAX);
                Event::Wake
            }
            Otherwise::Submit { delay } => {
                let delay = delay.map(|seconds| Duration::from_secs(seconds.into()));
                let options = Options { delay, ..Options::default() };
                let amendment = Amendment { options, ..Amendment::default() };
                Event::Submit { amendment, branches: vec![branch(7, "http://rm/late".to_owned())] }
            }
            Otherwise::Abort { reason } => Event::Abort { reason: reason.as_ref().map(|text| self.said(text)) },
            Otherwise::Register { id, url } => Event::Register(branch(*id, self.said(url))),
            Otherwise::RetryNow => Event::RetryNow,
            Otherwise::OrderAbort { by } => Event::OrderAbort(self.operator(by)),
            Otherwise::ForceStop { by } => Event::ForceStop(self.operator(by)),
        }
    }

    /// What is not allowed as things stand changes nothing.
    fn apply(&mut self, event: Event) {
        let _ = apply(&mut self.drive, event, Moment::at(self.now));
        if self.drive.is_idle() {
            self.calls.clear();
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    fn said(&mut self, text: &Text) -> String {
        let text = if self.may_say_the_word { text.text() } else { text.text().replace(WORD, "no") };
        self.word_was_said |= text.contains(WORD);
        text
    }

    fn operator(&mut self, by: &Text) -> Operator {
        Operator { by: self.said(by), reason: "by hand".to_owned() }
    }
}

fn branch(id: u8, url: String) -> Branch {
    let id = BranchId::of_step(id.into());
    Branch { id, forward_url: url.clone(), backward_url: url, payload: Bytes::from_static(b"{}") }
}

#[test]
fn whatever_happens_to_a_transaction_it_is_shown_well_formed_and_in_words_of_its_own() {
    let corpus = corpus::bodies();
    let bodies = cases::<Case>(2_000_000, 20_000).map(|case| case.body(&corpus));
    let is_taken = |begin: &Begin| begin.clone().into_definition(Timestamp::default()).check().is_ok();
    let begins = bodies.filter_map(|body| dtm::decode_begin(&body).ok().filter(is_taken));
    let (mut without_the_word, mut reasons, mut attentions) = (0, 0, 0);
    for (begin, history) in begins.zip(cases::<History>(3_000_000, 2_000)) {
        let mut driven = Driven::begin(begin, &history);
        let mut attention = false;
        for happening in &history.happenings {
            driven.go_on();
            driven.happens(happening);
            for reply in
                [dtm::encode_query(Some(driven.drive.txn())), dtm::encode_all_of_gid(Some(driven.drive.txn()), "")]
            {
                check(&reply, driven.word_was_said);
            }
            attention |= !driven.word_was_said && driven.drive.txn().progress.attention.is_some();
        }
        let progress = &driven.drive.txn().progress;
        without_the_word += usize::from(!driven.word_was_said);
        reasons += usize::from(!driven.word_was_said && progress.reason.is_some());
        attentions += usize::from(attention);
    }
    // The word would have been seen: there was something to see.
    let seen = (without_the_word, reasons, attentions);
    assert!(without_the_word > 500 && reasons > 200 && attentions > 20, "{seen:?}");
}

/// One row of a list.
#[derive(Arbitrary, Debug)]
struct Row {
    gid: String,
    pattern: u8,
    status: u8,
    times: [Option<u64>; 4],
    business_key: Option<String>,
    attention: bool,
}

impl Row {
    fn listed(&self) -> ListedTxn {
        const PATTERNS: [Pattern; 4] = [Pattern::Saga, Pattern::Tcc, Pattern::Xa, Pattern::Message];
        const STATUSES: [Status; 6] = [
            Status::Prepared,
            Status::Submitted,
            Status::Aborting,
            Status::Committed,
            Status::Aborted,
            Status::Stopped,
        ];
        let [created_at, updated_at, finished_at, next_run_at] = self.times.map(|at| at.map(Timestamp::from_micros));
        ListedTxn {
            gid: Gid::parse(&self.gid).unwrap_or_else(|_| Gid::parse("g").unwrap()),
            pattern: PATTERNS[usize::from(self.pattern) % PATTERNS.len()],
            status: STATUSES[usize::from(self.status) % STATUSES.len()],
            created_at: created_at.unwrap_or_default(),
            updated_at: updated_at.unwrap_or_default(),
            finished_at,
            next_run_at,
            business_key: self.business_key.as_ref().and_then(|key| BusinessKey::parse(key).ok()),
            attention: self.attention,
        }
    }
}

#[test]
fn a_list_is_well_formed_whatever_is_in_it() {
    for (rows, position) in cases::<([Row; 3], Option<String>)>(4_000_000, 3_000) {
        let rows: Vec<_> = rows.iter().map(Row::listed).collect();
        let said = format!("{rows:?}{position:?}").contains(WORD);
        check(&dtm::encode_all(&rows, position.as_deref()), said);
    }
}

#[test]
fn topics_are_shown_well_formed_whatever_is_in_them() {
    for (topic, subscribers, times, version) in cases::<(String, Vec<(Text, Text)>, [u64; 2], u64)>(6_000_000, 3_000) {
        let subscribers: Vec<_> = subscribers.iter().take(5).map(|(url, remark)| (url.text(), remark.text())).collect();
        let word_was_said = format!("{topic}{subscribers:?}").contains(WORD);
        let [created_at, updated_at] = times.map(Timestamp::from_micros);
        let count = subscribers.len();
        let entry = TopicEntry { topic: topic.clone(), subscribers, version, created_at, updated_at };
        let reply = dtm::encode_scan(std::slice::from_ref(&entry), Some(&topic));
        check(&reply, word_was_said);
        check(&dtm::encode_kv(&[entry]), word_was_said);
        let shown: Value = serde_json::from_slice(&reply.body).unwrap();
        let listed: Vec<Value> = serde_json::from_str(shown["kv"][0]["v"].as_str().unwrap()).unwrap();
        assert_eq!((listed.len(), shown["kv"][0]["version"].as_u64()), (count, Some(version)));
    }
}

#[test]
fn a_message_reaches_the_client_whatever_is_in_it() {
    let gid = Gid::parse("g").unwrap();
    for text in cases::<Text>(5_000_000, 5_000).map(|text| text.text()) {
        let message = |reply: &Reply| {
            let shown: Value = serde_json::from_slice(&reply.body).unwrap();
            shown["message"].as_str().unwrap().to_owned()
        };
        assert_eq!(message(&Reply::ongoing(&text)), text);
        let alert = Alert { gid: &gid, status: Status::Submitted, url: &text, code: None, answer: &text, failures: 3 };
        let told: Value = serde_json::from_slice(&dtm::encode_alert(&alert)).unwrap();
        assert!(told["error"] == text || text.contains("://"), "{told}");
        assert_eq!(message(&Reply::error(500, &text)), text);
        let failure = message(&Reply::failure(&text));
        let before = failure.strip_suffix(" FAILURE").unwrap();
        assert!(before != WORD && !before.ends_with(" FAILURE") && text.contains(before), "{failure}");
        let new_gid: Value = serde_json::from_slice(&Reply::new_gid(&text).body).unwrap();
        assert_eq!((&new_gid["dtm_result"], new_gid["gid"].as_str()), (&Value::from("SUCCESS"), Some(text.as_str())));
    }
}

fn check(reply: &Reply, word_was_said: bool) {
    assert_eq!(reply.status, 200);
    let text = std::str::from_utf8(&reply.body).unwrap();
    assert!(word_was_said || !text.contains(WORD), "{text}");
    let shown: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    check_value("", &shown, text);
}

/// Clients read ids into 32 bits, and times into types that know no `null`.
fn check_value(key: &str, value: &Value, text: &str) {
    match value {
        Value::Null => panic!("{key} is null: {text}"),
        Value::Number(number) if key == "id" => {
            assert!(number.as_i64().is_some_and(|id| i32::try_from(id).is_ok()), "{key} {number}: {text}");
        }
        Value::String(time) if key.ends_with("_time") || key == "attention_since" => {
            // Four digits of a year, and UTC.
            let is_rfc_3339 = time.parse::<Rfc3339>().is_ok() && time.as_bytes()[4] == b'-' && time.ends_with('Z');
            assert!(is_rfc_3339, "{key} {time}: {text}");
        }
        Value::Array(list) => list.iter().for_each(|entry| check_value(key, entry, text)),
        Value::Object(map) => map.iter().for_each(|(key, value)| check_value(key, value, text)),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
