//! From text to a script. Names of branches are resolved when the script is played.

use std::fmt;
use std::time::Duration;

use escrow_txn::{BranchOp, BranchOutcome, OpStatus, Operator, Options, Pattern, Status};

/// Why a scenario cannot be read, or where it goes otherwise than it is written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    /// The line, counted from 1.
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// One thing that happens or is checked, and what has to follow.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) line: usize,
    pub(crate) command: Command,
    pub(crate) expected: Vec<Output>,
}

#[derive(Debug)]
pub(crate) enum Command {
    Begin { pattern: Pattern, submitted: bool, terms: Terms },
    Submit(Terms),
    Abort(Option<String>),
    Register { branch: String, payload: String },
    Answer { call: Call, outcome: BranchOutcome, text: String },
    Tick(Duration),
    RetryNow,
    OrderAbort(Operator),
    ForceStop(Operator),
    Crash,
    Check(Check),
}

/// What a prepare or a submit carries.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    pub(crate) branches: Vec<String>,
    /// Pairs of a step and one that it waits for.
    pub(crate) orders: Vec<(String, String)>,
    pub(crate) options: Options,
    pub(crate) no_check_back: bool,
}

/// An operation by the name of its branch; `None` is the check-back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) branch: Option<String>,
    pub(crate) op: BranchOp,
}

/// What the rules do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Store {
        status: Status,
        reach: Option<Reach>,
    },
    Call(Call),
    /// Nothing happens until then, or until the initiator says something.
    Wait(Option<Duration>),
    Settled,
    Illegal(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reach {
    All,
    Steps(Vec<String>),
}

#[derive(Debug)]
pub(crate) enum Check {
    Status(Status),
    /// Backward and forward operation of each branch in turn; of a message only the forward ones.
    Ops(Vec<OpStatus>),
    Reason(Option<String>),
    Attention(Option<Call>),
    Order(Option<String>),
    Retries(u32),
}

/// Reads a whole scenario.
pub(crate) fn parse(text: &str) -> Result<Vec<Turn>, Failed> {
    let mut turns: Vec<Turn> = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let failed = |what| Failed { line: index + 1, what };
        let line = raw.split(" #").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(outputs) = line.strip_prefix('>') {
            let turn = turns.last_mut().ok_or_else(|| failed("nothing has happened yet".to_owned()))?;
            for output in outputs.split(';') {
                turn.expected.push(parse_output(output.trim()).map_err(failed)?);
            }
        } else {
            let command = parse_command(line).map_err(failed)?;
            turns.push(Turn { line: index + 1, command, expected: Vec::new() });
        }
    }
    Ok(turns)
}

fn parse_command(line: &str) -> Result<Command, String> {
    let (word, rest) = split(line);
    Ok(match word {
        "prepare" | "submit" => return parse_begin(word == "submit", rest),
        "abort" => Command::Abort(some(rest)),
        "register" => {
            let (branch, rest) = split(rest);
            let payload = rest.strip_prefix("payload=").unwrap_or(rest);
            Command::Register { branch: branch.to_owned(), payload: payload.to_owned() }
        }
        "answer" => {
            let (call, rest) = split(rest);
            let (outcome, text) = split(rest);
            Command::Answer { call: parse_call(call)?, outcome: parse_outcome(outcome)?, text: text.to_owned() }
        }
        "tick" => Command::Tick(parse_duration(rest)?),
        "retry_now" => Command::RetryNow,
        "order_abort" => Command::OrderAbort(parse_operator(rest)),
        "force_stop" => Command::ForceStop(parse_operator(rest)),
        "crash" => Command::Crash,
        "check" => Command::Check(parse_check(rest)?),
        _ => return Err(format!("unknown command {word:?}")),
    })
}

fn parse_begin(submitted: bool, rest: &str) -> Result<Command, String> {
    let (word, after) = split(rest);
    let pattern = match word {
        "saga" => Pattern::Saga,
        "tcc" => Pattern::Tcc,
        "xa" => Pattern::Xa,
        "message" => Pattern::Message,
        _ if submitted => return Ok(Command::Submit(parse_terms(rest)?)),
        _ => return Err(format!("unknown pattern {word:?}")),
    };
    Ok(Command::Begin { pattern, submitted, terms: parse_terms(after)? })
}

fn parse_terms(text: &str) -> Result<Terms, String> {
    let mut terms = Terms::default();
    for word in text.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let options = &mut terms.options;
        match key {
            "steps" | "branches" => terms.branches = list(value),
            "orders" => {
                let pair =
                    |text: String| text.split_once(':').map(|(step, earlier)| (step.to_owned(), earlier.to_owned()));
                terms.orders =
                    list(value).into_iter().map(pair).collect::<Option<_>>().ok_or("orders are step:earlier")?;
            }
            "concurrent" => options.concurrent = true,
            "retry_limit" => options.retry_limit = parse_number(value)?,
            "retry_interval" => options.retry_interval = Some(parse_duration(value)?),
            "timeout" => options.timeout_to_fail = Some(parse_duration(value)?),
            "delay" => options.delay = Some(parse_duration(value)?),
            "no_check_back" => terms.no_check_back = true,
            _ => return Err(format!("unknown term {word:?}")),
        }
    }
    Ok(terms)
}

fn parse_output(text: &str) -> Result<Output, String> {
    let (word, rest) = split(text);
    Ok(match word {
        "store" => {
            let (status, rest) = split(rest);
            let reach = some(rest).map(|rest| rest.strip_prefix("reach=").map(parse_reach).ok_or(rest)).transpose()?;
            Output::Store { status: parse_status(status)?, reach }
        }
        "call" => Output::Call(parse_call(rest)?),
        "wait" => Output::Wait(some(rest).map(|rest| parse_duration(&rest)).transpose()?),
        "settled" => Output::Settled,
        "illegal" => Output::Illegal(rest.to_owned()),
        _ => return Err(format!("unknown output {text:?}")),
    })
}

fn parse_check(text: &str) -> Result<Check, String> {
    let (word, rest) = split(text);
    let unless_none = || some(rest).filter(|rest| rest != "none");
    Ok(match word {
        "status" => Check::Status(parse_status(rest)?),
        "ops" => Check::Ops(rest.split_whitespace().map(parse_op_status).collect::<Result<_, _>>()?),
        "reason" => Check::Reason(unless_none()),
        "attention" => Check::Attention(unless_none().map(|rest| parse_call(&rest)).transpose()?),
        "order" => Check::Order(unless_none()),
        "retries" => Check::Retries(parse_number(rest)?),
        _ => return Err(format!("cannot check {word:?}")),
    })
}

fn parse_call(text: &str) -> Result<Call, String> {
    if text == "check_back" {
        return Ok(Call { branch: None, op: BranchOp::CheckBack });
    }
    let (branch, op) = text.split_once('.').ok_or_else(|| format!("{text:?} is no branch.operation"))?;
    let op = match op {
        "action" => BranchOp::Action,
        "compensate" => BranchOp::Compensate,
        "confirm" => BranchOp::Confirm,
        "cancel" => BranchOp::Cancel,
        "commit" => BranchOp::Commit,
        "rollback" => BranchOp::Rollback,
        "deliver" => BranchOp::Deliver,
        _ => return Err(format!("unknown operation {op:?}")),
    };
    Ok(Call { branch: Some(branch.to_owned()), op })
}

fn parse_outcome(text: &str) -> Result<BranchOutcome, String> {
    match text {
        "done" => Ok(BranchOutcome::Done),
        "refused" => Ok(BranchOutcome::Refused),
        "in_progress" => Ok(BranchOutcome::InProgress),
        "unknown" => Ok(BranchOutcome::Unknown),
        _ => Err(format!("unknown outcome {text:?}")),
    }
}

fn parse_status(text: &str) -> Result<Status, String> {
    match text {
        "prepared" => Ok(Status::Prepared),
        "submitted" => Ok(Status::Submitted),
        "aborting" => Ok(Status::Aborting),
        "committed" => Ok(Status::Committed),
        "aborted" => Ok(Status::Aborted),
        "stopped" => Ok(Status::Stopped),
        _ => Err(format!("unknown status {text:?}")),
    }
}

fn parse_op_status(text: &str) -> Result<OpStatus, String> {
    match text {
        "open" => Ok(OpStatus::Open),
        "done" => Ok(OpStatus::Done),
        "refused" => Ok(OpStatus::Refused),
        _ => Err(format!("unknown operation status {text:?}")),
    }
}

fn parse_reach(text: &str) -> Reach {
    match text {
        "all" => Reach::All,
        "none" => Reach::Steps(Vec::new()),
        steps => Reach::Steps(list(steps)),
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let number = u64::from(parse_number(number)?);
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "h" => Ok(Duration::from_secs(number * 3600)),
        _ => Err(format!("{text:?} is no time: a number and ms, s or h")),
    }
}

fn parse_number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

fn parse_operator(text: &str) -> Operator {
    let (by, reason) = split(text);
    Operator { by: by.to_owned(), reason: reason.to_owned() }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// The first word, and the rest.
fn split(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    (word, rest.trim())
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
