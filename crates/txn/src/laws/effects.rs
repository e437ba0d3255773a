//! What is left at the participants of an aborted saga: nothing, whenever the coordinator died, whatever landed.

use super::moves::{answer, operator};
use super::samples::SagaShape;
use crate::{BranchOp, BranchOutcome, CallId, Defaults, Drive, Event, Moment, Status, Timestamp, Txn, apply, next};
use std::time::Duration;

/// A participant behind a barrier: an action that comes after its compensation is skipped.
#[derive(Clone, Copy, Debug, Default)]
struct Participant {
    acted: bool,
    compensated: bool,
}

impl Participant {
    fn receive(&mut self, op: BranchOp) {
        match op {
            BranchOp::Compensate => self.compensated = true,
            _ => self.acted |= !self.compensated,
        }
    }

    fn has_effect(self) -> bool {
        self.acted && !self.compensated
    }
}

/// What becomes of a call that nobody got an answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It never arrives.
    Lost,
    /// It has arrived; its answer is lost.
    Landed,
    /// It arrives after everything else is over.
    Late,
}

const FATES: [Fate; 3] = [Fate::Lost, Fate::Landed, Fate::Late];

/// What turns the saga back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    TimeOut,
    Refusal,
    RetryLimit,
    OperatorsOrder,
}

const WAYS: [Way; 4] = [Way::TimeOut, Way::Refusal, Way::RetryLimit, Way::OperatorsOrder];

/// One story: it turns back once so many actions have answered, and the coordinator dies right after so many calls, be
/// they actions or compensations.
#[derive(Clone, Copy, Debug)]
struct Story {
    way: Way,
    turns_after_answers: usize,
    dies_after_calls: usize,
    /// Of the unanswered calls, in the order in which they are given up; the last one goes on for the rest.
    fates: [Fate; 3],
}

const TIMEOUT: Duration = Duration::from_secs(35);

struct Run<'a> {
    shape: &'a SagaShape,
    story: Story,
    now: Timestamp,
    drive: Drive,
    stored: Option<Txn>,
    in_flight: Vec<CallId>,
    participants: Vec<Participant>,
    late: Vec<CallId>,
    answers: usize,
    calls: usize,
    unanswered: usize,
}

impl<'a> Run<'a> {
    fn new(shape: &'a SagaShape, story: Story) -> Self {
        let def = shape.definition();
        Self {
            shape,
            story,
            now: def.created_at,
            drive: Drive::begin(def, true, Defaults::default()),
            stored: None,
            in_flight: Vec::new(),
            participants: vec![Participant::default(); shape.steps],
            late: Vec::new(),
            answers: 0,
            calls: 0,
            unanswered: 0,
        }
    }

    /// Plays the story to its end, late calls included.
    fn play(mut self) -> (Status, Vec<Participant>) {
        for _ in 0..100 {
            if self.obey() {
                let late = std::mem::take(&mut self.late);
                late.into_iter().for_each(|call| self.deliver(call));
                return (self.drive.txn.progress.status, self.participants);
            }
            self.something_happens();
        }
        panic!("{:?}, {:?} does not end: {:?}", self.shape, self.story, self.drive);
    }

    /// Stores and calls what the rules say; whether all is over.
    fn obey(&mut self) -> bool {
        loop {
            let step = next(&self.drive, self.now);
            if let Some(progress) = step.commit_first {
                self.drive.stored(progress);
                self.stored = Some(self.drive.txn.clone());
            }
            if !step.calls.into_iter().any(|call| self.call_and_die(call)) {
                return step.settled;
            }
        }
    }

    /// Makes a call; whether the coordinator died right after it.
    fn call_and_die(&mut self, call: CallId) -> bool {
        self.drive.calling(call);
        self.in_flight.push(call);
        self.calls += 1;
        if self.calls != self.story.dies_after_calls {
            return false;
        }
        for call in std::mem::take(&mut self.in_flight) {
            self.give_up(call);
        }
        self.drive = Drive::load(self.stored.clone().unwrap(), Defaults::default());
        true
    }

    fn something_happens(&mut self) {
        let forward = self.drive.txn.progress.status == Status::Submitted;
        let turns = forward && self.answers >= self.story.turns_after_answers;
        match self.story.way {
            Way::TimeOut if turns => {
                self.now = self.now.max(self.drive.txn.def.created_at.plus(TIMEOUT));
                self.happens(Event::Wake);
            }
            Way::OperatorsOrder if turns => self.happens(Event::OrderAbort(operator())),
            way => self.answer_or_wait(turns.then_some(way)),
        }
    }

    fn answer_or_wait(&mut self, way: Option<Way>) {
        let Some(call) = self.in_flight.pop() else {
            self.now = next(&self.drive, self.now).wake_at.unwrap().max(self.now);
            return self.happens(Event::Wake);
        };
        let over = self.drive.txn.progress.status == Status::Aborting && call.op == BranchOp::Action;
        let outcome = match way {
            Some(Way::Refusal) => BranchOutcome::Refused,
            Some(_) => BranchOutcome::Unknown,
            None if over => BranchOutcome::Unknown,
            None => BranchOutcome::Done,
        };
        if outcome == BranchOutcome::Done {
            self.answers += 1;
            self.deliver(call);
        } else {
            self.give_up(call);
        }
        self.happens(Event::Answer(answer(call, outcome)));
    }

    fn happens(&mut self, event: Event) {
        apply(&mut self.drive, event, Moment::at(self.now)).unwrap();
    }

    /// A call whose answer tells nothing. A refusal is one too: the step that refused is compensated as well, so that a
    /// participant which did half of its work and then refused leaves nothing behind.
    fn give_up(&mut self, call: CallId) {
        match self.story.fates[self.unanswered.min(2)] {
            Fate::Lost => {}
            Fate::Landed => self.deliver(call),
            Fate::Late => self.late.push(call),
        }
        self.unanswered += 1;
    }

    fn deliver(&mut self, call: CallId) {
        self.participants[call.branch.unwrap()].receive(call.op);
    }
}

fn shapes() -> Vec<SagaShape> {
    let mut shapes = Vec::new();
    for steps in 1..=3 {
        for concurrent in [false, true] {
            shapes.push(SagaShape { steps, concurrent, ..SagaShape::default() });
        }
    }
    let fan_in = vec![vec![], vec![], vec![0, 1]];
    let fan_out = vec![vec![], vec![0], vec![0]];
    shapes.extend([fan_in, fan_out].map(|orders| SagaShape {
        steps: 3,
        concurrent: true,
        orders,
        ..SagaShape::default()
    }));
    shapes
}

fn stories(steps: usize) -> impl Iterator<Item = Story> {
    let fates = || FATES.into_iter().flat_map(|a| FATES.into_iter().flat_map(move |b| FATES.map(|c| [a, b, c])));
    WAYS.into_iter().flat_map(move |way| {
        (0..=steps).flat_map(move |turns_after_answers| {
            (1..=3 * steps + 1).flat_map(move |dies_after_calls| {
                fates().map(move |fates| Story { way, turns_after_answers, dies_after_calls, fates })
            })
        })
    })
}

#[test]
fn no_effect_remains_when_aborted() {
    let (mut aborted, mut undone, mut committed) = (0, 0, 0);
    for shape in shapes() {
        for story in stories(shape.steps) {
            let retry_limit = u32::from(story.way == Way::RetryLimit);
            let shape = SagaShape { retry_limit, timeout: Some(TIMEOUT), ..shape.clone() };
            let (status, participants) = Run::new(&shape, story).play();
            let effects = participants.iter().filter(|p| p.has_effect()).count();
            match status {
                Status::Aborted => assert_eq!(effects, 0, "{shape:?}, {story:?}: {participants:?}"),
                Status::Committed => assert_eq!(effects, shape.steps, "{shape:?}, {story:?}: {participants:?}"),
                status => panic!("{shape:?}, {story:?} ended as {status:?}"),
            }
            aborted += usize::from(status == Status::Aborted);
            committed += usize::from(status == Status::Committed);
            undone += participants.iter().filter(|p| p.acted && p.compensated).count();
        }
    }
    assert!(
        aborted > 10_000 && undone > 10_000 && committed > 1_000,
        "{aborted} aborted, {undone} undone, {committed} committed"
    );
}
