use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::filter::{Fingerprint, GidFilter};

/// A filter that is built while writes go on.
#[derive(Debug, Default)]
pub(super) struct Fingerprints(RwLock<State>);

#[derive(Debug, Default)]
enum State {
    /// Nothing is known.
    #[default]
    Absent,
    /// The gids of an earlier state are being read; these writes have come since, in their order.
    Building(Vec<Write>),
    /// Exactly what is in the database, and what is about to be.
    Built(GidFilter),
}

#[derive(Clone, Copy, Debug)]
enum Write {
    Inserted(Fingerprint),
    Removed(Fingerprint),
}

impl Fingerprints {
    pub(super) fn may_hold(&self, fingerprint: Fingerprint) -> bool {
        match &*self.read() {
            State::Absent | State::Building(_) => true,
            State::Built(filter) => filter.may_hold(fingerprint),
        }
    }

    pub(super) fn is_built(&self) -> bool {
        matches!(&*self.read(), State::Built(_))
    }

    /// These gids are being inserted, and were not there.
    pub(super) fn insert(&self, fingerprints: &[Fingerprint]) {
        self.note(fingerprints, Write::Inserted);
    }

    /// These gids were there, or were about to be, and are not any more.
    pub(super) fn remove(&self, fingerprints: &[Fingerprint]) {
        self.note(fingerprints, Write::Removed);
    }

    fn note(&self, fingerprints: &[Fingerprint], write: impl Fn(Fingerprint) -> Write) {
        let writes = fingerprints.iter().map(|fingerprint| write(*fingerprint));
        match &mut *self.write() {
            State::Absent => {}
            State::Building(since) => since.extend(writes),
            State::Built(filter) => writes.for_each(|write| apply(filter, write)),
        }
    }

    /// The gids of the database as it is now are about to be read. Whether nobody else is doing so.
    pub(super) fn begin(&self) -> bool {
        let mut state = self.write();
        let begun = matches!(&*state, State::Absent);
        if begun {
            *state = State::Building(Vec::new());
        }
        begun
    }

    /// They have been read; or could not be.
    pub(super) fn end(&self, read: Option<Vec<Fingerprint>>) {
        let built = read.map(|fingerprints| GidFilter::of(fingerprints, 0));
        let mut state = self.write();
        *state = match (built, std::mem::take(&mut *state)) {
            (Some(mut filter), State::Building(since)) => {
                since.into_iter().for_each(|write| apply(&mut filter, write));
                State::Built(filter)
            }
            (Some(_) | None, _) => State::Absent,
        };
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn apply(filter: &mut GidFilter, write: Write) {
    match write {
        Write::Inserted(fingerprint) => filter.insert_counted(fingerprint),
        Write::Removed(fingerprint) => filter.remove(fingerprint),
    }
}
