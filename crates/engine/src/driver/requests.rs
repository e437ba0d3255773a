//! What a driver is asked, and what it answers.

use std::sync::Arc;
use std::time::Duration;

use escrow_store::Versioned;
use escrow_txn::{
    Amendment, Begin, Branch, Definition, Drive, Event, InvalidDefinition, Operator, Pattern, Progress, Registration,
    RepeatRefused, Request, Txn, apply, check_repeat,
};
use tokio::sync::OwnedSemaphorePermit;

use super::fan_out::{fanned_out, names_topics};
use super::{Asked, Driver, Held, Lost};
use crate::coordinator::overloaded;
use crate::registry::{Ask, Mail, Reply, ReplyTo};
use crate::{Receipt, RequestError};

/// How long due work is put off for which there is no memory.
const NO_ROOM_FOR: Duration = Duration::from_secs(5);

impl Driver {
    /// Takes in one piece of mail. Its answer leaves once what it says is durable.
    pub(super) async fn accept(&mut self, mail: Box<Mail>) -> Result<(), Lost> {
        let Mail { ask, reply } = *mail;
        let asked = match &ask {
            Ask::Submit(begin) if begin.options.wait_result => Asked::Result,
            _ => Asked::Receipt,
        };
        let handled = match ask {
            Ask::Due(claim) => self.take_over(claim).await.map(|()| asked),
            Ask::Prepare(begin) => self.begin(begin, Request::Prepare).await.map(|()| asked),
            Ask::Submit(begin) => self.begin(begin, Request::Submit).await.map(|()| asked),
            Ask::Abort(abort) => self.abort(abort).await,
            Ask::Register(registration) => self.register(registration).await.map(|()| asked),
            Ask::RetryNow => self.event(None, Event::RetryNow).await.map(|()| asked),
            Ask::OrderAbort(operator) => self.order(operator, Event::OrderAbort).await.map(|()| asked),
            Ask::ForceStop(operator) => self.order(operator, Event::ForceStop).await.map(|()| asked),
        };
        match handled {
            Ok(asked) => self.replies.push((reply, asked)),
            Err(Failed::Refused(error)) => respond(reply, Err(error)),
            Err(Failed::Lost(lost)) => {
                respond(reply, Err(lost.0.clone()));
                return Err(lost);
            }
        }
        Ok(())
    }

    /// The transaction was claimed because it was due. It is read only now, when nobody else can drive it.
    async fn take_over(&mut self, claim: OwnedSemaphorePermit) -> Result<(), Failed> {
        self.claim = Some(claim);
        match self.load().await {
            Ok(_) => self.fold(Event::Wake),
            Err(Failed::Refused(_)) => self.put_off(NO_ROOM_FOR).await?,
            Err(lost) => return Err(lost),
        }
        Ok(())
    }

    /// Takes up a transaction as it is stored, unless it is on hold. One that is driven is not: holds begin with a store.
    pub(super) async fn hold(&mut self, txn: Versioned<Txn>) -> Result<(), Failed> {
        if !txn.value.progress.status.is_final() {
            match self.shared.store.is_held(&self.gid).await {
                Ok(false) => {}
                Ok(true) => return Err(Failed::Refused(RequestError::Held { gid: self.gid.clone() })),
                Err(error) => return Err(Failed::Lost(self.store_failed(error))),
            }
        }
        self.room = None;
        self.make_room(txn.value.def.bytes())?;
        let drive = Box::new(Drive::load(txn.value, self.shared.config.defaults));
        self.held = Some(Held { drive, version: txn.version });
        Ok(())
    }

    /// Reserves memory for this much more of the definition.
    pub(super) fn make_room(&mut self, bytes: usize) -> Result<(), Failed> {
        let kib = u32::try_from(1 + bytes / 1024).unwrap_or(u32::MAX);
        let more =
            Arc::clone(&self.shared.memory).try_acquire_many_owned(kib).map_err(|_| Failed::Refused(overloaded()))?;
        match &mut self.room {
            Some(room) => room.merge(more),
            None => self.room = Some(more),
        }
        Ok(())
    }

    /// Begins, or repeats, or decides.
    async fn begin(&mut self, begin: Begin, request: Request) -> Result<(), Failed> {
        let pattern = begin.pattern;
        let submitted = request == Request::Submit;
        let def = Arc::new(begin.into_definition(self.shared.clock.now()));
        let check_back_missing = pattern == Pattern::Message && !submitted && def.check_back_url.is_empty();
        def.check()
            .and(if check_back_missing { Err(InvalidDefinition::NoCheckBack) } else { Ok(()) })
            .map_err(|source| Failed::Refused(RequestError::Invalid { gid: self.gid.clone(), source }))?;
        if submitted && pattern.registers_branches() {
            if !self.load().await? {
                return Err(Failed::Refused(RequestError::NotPrepared { gid: self.gid.clone(), pattern }));
            }
        } else if self.may_be_new(&def).await? {
            let whole = fanned_out(&self.shared, &def).await.map_err(Failed::Refused)?;
            if self.create(whole, submitted).await? {
                return Ok(());
            }
        }
        self.repeat(def, request).await
    }

    /// Whether the transaction may have to be created. Only then is a topic asked for its subscribers: a request that is
    /// repeated finds the transaction there, whoever has left the topic since.
    async fn may_be_new(&mut self, def: &Definition) -> Result<bool, Failed> {
        Ok(self.held.is_none() && !(names_topics(def) && self.load().await?))
    }

    /// A request for a gid that exists.
    async fn repeat(&mut self, def: Arc<Definition>, request: Request) -> Result<(), Failed> {
        let not_found = || Failed::Refused(RequestError::NotFound { gid: self.gid.clone() });
        let held = self.held.as_ref().ok_or_else(not_found)?;
        check_repeat(held.drive.txn(), request, &def)
            .map_err(|source| Failed::Refused(RequestError::Repeat { gid: self.gid.clone(), source }))?;
        if request == Request::Prepare {
            return Ok(());
        }
        // Whoever began it may have left the steps to the submit.
        let is_without = held.drive.txn().def.branches.is_empty();
        let branches = if is_without {
            fanned_out(&self.shared, &def).await.map_err(Failed::Refused)?.branches.clone()
        } else {
            Vec::new()
        };
        self.make_room(branches.iter().map(Branch::bytes).sum())?;
        let Definition { options, custom_data, digest, .. } = Arc::unwrap_or_clone(def);
        let amendment = Amendment { options, custom_data, digest };
        let event = Event::Submit { amendment, branches };
        let Some(held) = &mut self.held else { return Ok(()) };
        apply(&mut held.drive, event, self.shared.moment())
            .map_err(|source| Failed::Refused(RequestError::Illegal { gid: self.gid.clone(), source }))
    }

    async fn register(&mut self, registration: Registration) -> Result<(), Failed> {
        self.make_room(registration.branch.bytes())?;
        self.event(Some(registration.pattern), Event::Register(registration.branch)).await
    }

    async fn abort(&mut self, abort: escrow_txn::Abort) -> Result<Asked, Failed> {
        self.event(Some(abort.pattern), Event::Abort { reason: abort.reason }).await?;
        let waits = self.held.as_ref().is_some_and(|h| h.drive.txn().options().wait_result);
        Ok(if waits { Asked::Result } else { Asked::Receipt })
    }

    async fn order(&mut self, operator: Operator, event: impl FnOnce(Operator) -> Event) -> Result<(), Failed> {
        tracing::info!(gid = %self.gid, by = operator.by, "an operator gave an order");
        self.event(None, event(operator)).await
    }

    /// Applies an event to a transaction that must exist, and must be of this pattern if one is named.
    async fn event(&mut self, pattern: Option<Pattern>, event: Event) -> Result<(), Failed> {
        if !self.load().await? {
            return Err(Failed::Refused(RequestError::NotFound { gid: self.gid.clone() }));
        }
        let Some(held) = &mut self.held else { return Ok(()) };
        let stored = held.drive.txn().def.pattern;
        if let Some(sent) = pattern.filter(|&sent| sent != stored) {
            let source = RepeatRefused::Pattern { stored, sent };
            return Err(Failed::Refused(RequestError::Repeat { gid: self.gid.clone(), source }));
        }
        apply(&mut held.drive, event, self.shared.moment())
            .map_err(|source| Failed::Refused(RequestError::Illegal { gid: self.gid.clone(), source }))
    }

    pub(super) fn send_replies(&mut self) {
        for (reply, asked) in std::mem::take(&mut self.replies) {
            match asked {
                Asked::Receipt => respond(reply, Ok(Receipt::Accepted)),
                Asked::Result => {
                    self.waiters.extend(reply.inspect(ReplyTo::is_durable));
                }
            }
        }
    }

    /// The state is durable, and final or a wait: tells those who waited for it.
    pub(super) fn tell_waiters(&mut self) {
        let Some(held) = &self.held else { return };
        let Progress { status, reason, .. } = &held.drive.txn().progress;
        for waiter in std::mem::take(&mut self.waiters) {
            let (status, reason) = (*status, reason.clone());
            let receipt =
                if status.is_final() { Receipt::Ended { status, reason } } else { Receipt::Waiting { status, reason } };
            waiter.send(Ok(receipt));
        }
    }
}

/// Why a request was not taken in.
pub(super) enum Failed {
    /// It is refused; the driver goes on.
    Refused(RequestError),
    Lost(Lost),
}

impl From<Lost> for Failed {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

pub(super) fn respond(reply: Reply, answer: Result<Receipt, RequestError>) {
    if let Some(reply) = reply {
        reply.send(answer);
    }
}
