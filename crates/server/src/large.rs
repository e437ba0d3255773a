//! What large requests and replies may take: some memory, and some processors. Whoever uses it up keeps other large ones
//! out or waiting, and nothing that is small.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Up to this many bytes a body or reply is small: what all of them come to is bounded by the number of connections.
const SMALL_BYTES_MAX: usize = 16 * 1024;
/// Large ones that are decoded, loaded or written at once.
const TURNS: usize = 2;
/// How long one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// Cheap to clone; all clones share the same memory and turns.
#[derive(Clone, Debug)]
pub(crate) struct Large {
    bytes: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// The memory of one body or reply, until it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    large: Large,
    held: Option<OwnedSemaphorePermit>,
}

/// The right to work on something large.
#[derive(Debug)]
pub(crate) struct Turn(#[expect(dead_code, reason = "it is held, not read")] OwnedSemaphorePermit);

/// Too much of it is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl Large {
    /// `bytes` is the memory; the small part of each body and reply is not counted.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { bytes: Arc::new(Semaphore::new(bytes)), turns: Arc::new(Semaphore::new(TURNS)) }
    }

    /// A room of no size.
    pub(crate) fn room(&self) -> Room {
        Room { large: self.clone(), held: None }
    }

    /// The same bytes; they give their room back when the last of them is dropped.
    pub(crate) fn hold(&self, bytes: Bytes) -> Result<Bytes, NoRoom> {
        struct Held(Bytes, #[expect(dead_code, reason = "it is held, not read")] Room);

        impl AsRef<[u8]> for Held {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        let mut room = self.room();
        room.grow_to(bytes.len())?;
        if room.held.is_some() { Ok(Bytes::from_owner(Held(bytes, room))) } else { Ok(bytes) }
    }

    /// Waits for a turn, but not for ever.
    pub(crate) async fn turn(&self) -> Result<Turn, NoRoom> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        // The semaphore is never closed.
        turn.map_err(|_| NoRoom)?.map(Turn).map_err(|_| NoRoom)
    }

    /// Does work on something of so many bytes: at once if they are few, otherwise when it is its turn.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NoRoom> {
        if bytes <= SMALL_BYTES_MAX { Ok(work()) } else { Ok(self.turn().await?.work(bytes, work).await) }
    }
}

impl Turn {
    /// Does work on something of so many bytes. If they are many, on a thread apart: what is small must not queue behind it.
    pub(crate) async fn work<T: Send + 'static>(self, bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
        if bytes <= SMALL_BYTES_MAX {
            return work();
        }
        let done = tokio::task::spawn_blocking(move || {
            let _until_done = self;
            work()
        });
        done.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
    }
}

impl Room {
    /// What it is a part of.
    pub(crate) fn large(&self) -> &Large {
        &self.large
    }

    /// Makes room for `bytes` in all.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = bytes.saturating_sub(SMALL_BYTES_MAX).saturating_sub(held);
        if missing == 0 {
            return Ok(());
        }
        let missing = u32::try_from(missing).map_err(|_| NoRoom)?;
        let more = Arc::clone(&self.large.bytes).try_acquire_many_owned(missing).map_err(|_| NoRoom)?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: usize = SMALL_BYTES_MAX;

    #[test]
    fn what_is_small_always_has_room_and_what_is_large_only_while_there_is_some() {
        let large = Large::new(1000);
        let (mut first, mut second) = (large.room(), large.room());
        assert_eq!(first.grow_to(SMALL + 400), Ok(()));
        assert_eq!(first.grow_to(SMALL + 900), Ok(()));
        assert_eq!(second.grow_to(SMALL + 101), Err(NoRoom));
        assert_eq!(second.grow_to(SMALL + 100), Ok(()));
        assert_eq!(large.room().grow_to(SMALL), Ok(()));
        assert_eq!(large.room().grow_to(SMALL + 1), Err(NoRoom));
        drop(first);
        assert_eq!(second.grow_to(SMALL + 1000), Ok(()));
    }

    #[test]
    fn bytes_hold_their_room_as_long_as_any_part_of_them_is_there() {
        let large = Large::new(1000);
        let whole = large.hold(Bytes::from(vec![7; SMALL + 1000])).unwrap();
        let part = whole.slice(5..);
        drop(whole);
        assert_eq!(large.hold(Bytes::from(vec![7; SMALL + 1])), Err(NoRoom));
        drop(part);
        assert_eq!(large.hold(Bytes::from(vec![7; SMALL + 1])).unwrap().len(), SMALL + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn small_work_needs_no_turn_and_large_work_does_not_wait_for_ever() {
        let large = Large::new(1000);
        let mut turns = Vec::new();
        for _ in 0..TURNS {
            turns.push(large.turn().await.unwrap());
        }
        assert_eq!(large.work(SMALL, || 1).await, Ok(1));
        assert_eq!(large.work(SMALL + 1, || 2).await, Err(NoRoom));
        turns.pop();
        assert_eq!(large.work(SMALL + 1, || 3).await, Ok(3));
    }
}
