//! Plays a script: applies what happens, does what the rules say, and compares.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use escrow_txn::{
    Amendment, Answer, Branch, BranchId, BranchOp, CallId, Defaults, Definition, Drive, Event, Gid, Moment, OpStatus,
    Pattern, Timestamp, Txn, apply, next,
};

use crate::parse::{Call, Check, Command, Failed, Output, Reach, Terms, Turn};

const BEGINNING: Timestamp = Timestamp::from_micros(1_000_000_000);

/// Plays a whole script.
///
/// # Errors
/// The first line whose outputs are not what is written, or that names what is not there.
pub(crate) fn play(script: &[Turn]) -> Result<(), Failed> {
    let mut stage = None;
    for turn in script {
        let failed = |what| Failed { line: turn.line, what };
        let seen = match (&turn.command, &mut stage) {
            (Command::Begin { pattern, submitted, terms }, stage) => {
                let def = definition(*pattern, terms).map_err(failed)?;
                stage.insert(Stage::new(Drive::begin(def, *submitted, Defaults::default()))).obey()
            }
            (_, None) => Err("nothing has begun yet".to_owned()),
            (Command::Check(check), Some(stage)) => stage.check(check).map(|()| Vec::new()),
            (command, Some(stage)) => stage.perform(command),
        };
        let seen = seen.map_err(failed)?;
        let alike =
            seen.len() == turn.expected.len() && turn.expected.iter().zip(&seen).all(|(want, got)| fits(want, got));
        if !alike {
            return Err(failed(format!("expected {:?}\n    but saw {seen:?}", turn.expected)));
        }
    }
    Ok(())
}

/// Whether what was seen is what was written; a reach that is not written fits every reach.
fn fits(want: &Output, got: &Output) -> bool {
    match (want, got) {
        (Output::Store { status, reach: None }, Output::Store { status: seen, .. }) => status == seen,
        _ => want == got,
    }
}

fn definition(pattern: Pattern, terms: &Terms) -> Result<Definition, String> {
    let position =
        |name: &str| terms.branches.iter().position(|b| b == name).ok_or_else(|| format!("no step {name:?}"));
    let mut orders = vec![Vec::new(); terms.branches.len()];
    for (step, earlier) in &terms.orders {
        orders[position(step)?].push(u16::try_from(position(earlier)?).unwrap());
    }
    let def = Definition {
        gid: Gid::parse("t1").unwrap(),
        pattern,
        created_at: BEGINNING,
        options: terms.options.clone(),
        orders,
        check_back_url: if terms.no_check_back { String::new() } else { "http://initiator/check_back".to_owned() },
        custom_data: String::new(),
        business_key: None,
        digest: None,
        branches: branches(pattern, &terms.branches),
    };
    def.check().map_err(|wrong| wrong.to_string())?;
    Ok(def)
}

fn branches(pattern: Pattern, names: &[String]) -> Vec<Branch> {
    names.iter().map(|name| branch(pattern, name, "")).collect()
}

fn branch(pattern: Pattern, name: &str, payload: &str) -> Branch {
    let url = |op: BranchOp| format!("http://{name}/{}", format!("{op:?}").to_lowercase());
    Branch {
        id: BranchId::parse(name).unwrap(),
        forward_url: url(pattern.forward_op()),
        backward_url: pattern.backward_op().map(url).unwrap_or_default(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
    }
}

/// The one transaction of a scenario, and its store.
struct Stage {
    now: Timestamp,
    drive: Drive,
    /// The durable image.
    stored: Option<Txn>,
}

impl Stage {
    fn new(drive: Drive) -> Self {
        Self { now: BEGINNING, drive, stored: None }
    }

    fn perform(&mut self, command: &Command) -> Result<Vec<Output>, String> {
        let pattern = self.drive.txn().def.pattern;
        let event = match command {
            Command::Tick(duration) => return self.tick(*duration),
            Command::Crash => {
                let stored = self.stored.clone().ok_or("nothing is stored")?;
                self.drive = Drive::load(stored, Defaults::default());
                return self.obey();
            }
            Command::Submit(terms) => Event::Submit {
                amendment: Amendment { options: terms.options.clone(), ..Amendment::default() },
                branches: branches(pattern, &terms.branches),
            },
            Command::Abort(reason) => Event::Abort { reason: reason.clone() },
            Command::Register { branch: name, payload } => Event::Register(branch(pattern, name, payload)),
            Command::Answer { call, outcome, text } => Event::Answer(Answer {
                call: self.call_id(call)?,
                outcome: *outcome,
                code: None,
                latency: Duration::ZERO,
                text: text.clone(),
            }),
            Command::RetryNow => Event::RetryNow,
            Command::OrderAbort(operator) => Event::OrderAbort(operator.clone()),
            Command::ForceStop(operator) => Event::ForceStop(operator.clone()),
            Command::Begin { .. } | Command::Check(_) => return Err("is not an event".to_owned()),
        };
        self.happens(event)
    }

    fn happens(&mut self, event: Event) -> Result<Vec<Output>, String> {
        match apply(&mut self.drive, event, Moment::at(self.now)) {
            Ok(()) => self.obey(),
            Err(illegal) => Ok(vec![Output::Illegal(illegal.to_string())]),
        }
    }

    /// Lets time pass, waking the drive whenever it asked for that.
    fn tick(&mut self, duration: Duration) -> Result<Vec<Output>, String> {
        let until = self.now.plus(duration);
        let mut seen = Vec::new();
        while let Some(at) = next(&self.drive, self.now).wake_at.filter(|&at| at <= until) {
            self.now = at.max(self.now);
            seen.extend(self.happens(Event::Wake)?);
        }
        self.now = until;
        // Rests on the way are no news.
        seen.retain(|output| !matches!(output, Output::Wait(_) | Output::Settled));
        seen.extend(self.rest());
        Ok(seen)
    }

    /// Stores and calls what the rules say.
    fn obey(&mut self) -> Result<Vec<Output>, String> {
        let step = next(&self.drive, self.now);
        let mut seen = Vec::new();
        if let Some(progress) = step.commit_first {
            let reach = Some(self.reach(&progress.reach));
            seen.push(Output::Store { status: progress.status, reach });
            let def = self.stored_definition();
            self.drive.stored(progress);
            self.stored = Some(Txn { def: Arc::new(def), ..self.drive.txn().clone() });
        }
        for call in step.calls {
            self.drive.calling(call);
            seen.push(Output::Call(self.call_name(call)));
        }
        seen.extend(self.rest());
        Ok(seen)
    }

    /// What the store holds after the next commit: a definition is written once, later branches are appended.
    fn stored_definition(&self) -> Definition {
        let Some(stored) = &self.stored else { return Definition::clone(&self.drive.txn().def) };
        let mut def = Definition::clone(&stored.def);
        def.branches.extend_from_slice(self.drive.added());
        def
    }

    /// What there is to see while nothing happens.
    fn rest(&self) -> Option<Output> {
        if self.drive.txn().progress.status.is_final() {
            return Some(Output::Settled);
        }
        let wake_at = next(&self.drive, self.now).wake_at;
        self.drive.is_idle().then(|| Output::Wait(wake_at.map(|at| at.since(self.now))))
    }

    fn check(&self, check: &Check) -> Result<(), String> {
        let progress = &self.drive.txn().progress;
        let (expected, seen) = match check {
            Check::Status(status) => (format!("{status:?}"), format!("{:?}", progress.status)),
            Check::Ops(ops) => (format!("{ops:?}"), format!("{:?}", self.ops())),
            Check::Reason(reason) => (format!("{reason:?}"), format!("{:?}", progress.reason)),
            Check::Attention(call) => {
                let seen = progress.attention.as_ref().map(|attention| self.call_name(attention.call));
                (format!("{call:?}"), format!("{seen:?}"))
            }
            Check::Order(by) => (format!("{by:?}"), format!("{:?}", progress.order.as_ref().map(|order| &order.by))),
            Check::Retries(retries) => (retries.to_string(), progress.retries.to_string()),
        };
        if expected == seen { Ok(()) } else { Err(format!("expected {expected}, but it is {seen}")) }
    }

    fn ops(&self) -> Vec<OpStatus> {
        let turns_back = self.drive.txn().def.pattern.backward_op().is_some();
        let of_branch = |branch: &escrow_txn::BranchProgress| {
            let backward = turns_back.then_some(branch.backward.status);
            backward.into_iter().chain([branch.forward.status])
        };
        self.drive.txn().progress.branches.iter().flat_map(of_branch).collect()
    }

    fn call_id(&self, call: &Call) -> Result<CallId, String> {
        let Some(name) = &call.branch else { return Ok(CallId::CHECK_BACK) };
        let branches = &self.drive.txn().def.branches;
        let index = branches.iter().position(|b| b.id.as_str() == name).ok_or_else(|| format!("no branch {name:?}"))?;
        Ok(CallId::of(index, call.op))
    }

    fn call_name(&self, call: CallId) -> Call {
        Call { branch: call.branch.map(|index| self.branch_name(index)), op: call.op }
    }

    fn branch_name(&self, index: usize) -> String {
        self.drive.txn().def.branches[index].id.to_string()
    }

    fn reach(&self, reach: &escrow_txn::Reach) -> Reach {
        match reach {
            escrow_txn::Reach::All => Reach::All,
            escrow_txn::Reach::Steps(steps) => {
                Reach::Steps(steps.iter().map(|&step| self.branch_name(usize::from(step))).collect())
            }
        }
    }
}
