use escrow_wire::dtm::DecodeError;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::time::{Instant, timeout_at};

use crate::answer::ApiError;
use crate::config::HttpConfig;
use crate::large::{Large, Room};

/// A whole body, and the memory that it takes.
#[derive(Debug)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    room: Room,
}

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It is longer than it may be.
    TooLarge,
    /// It did not come, or not fast enough.
    TooSlow,
    /// The memory for large bodies is taken.
    NoRoom,
    /// The client went away, or its framing is wrong.
    Broken,
}

/// Reads a body within the limits of `config`. Of one that says beforehand that it is too long, nothing is read.
///
/// It has to end within `config.body`, or bring so much in each such time as `config.bytes_per_second_min` asks for.
pub(crate) async fn read(mut body: Incoming, config: &HttpConfig, large: &Large) -> Result<Body, Unread> {
    let max = config.body_bytes_max;
    let announced = body.size_hint();
    if announced.lower() > max as u64 {
        return Err(Unread::TooLarge);
    }
    let max_or_announced =
        announced.upper().and_then(|bytes| usize::try_from(bytes).ok()).map_or(max, |all| all.min(max));
    let mut whole = Body { bytes: Vec::new(), room: large.room() };
    let mut until = Instant::now() + config.body;
    let mut due = config.bytes_due(config.body);
    loop {
        let Ok(frame) = timeout_at(until, body.frame()).await else {
            if whole.bytes.len() < due {
                return Err(Unread::TooSlow);
            }
            until += config.body;
            due = whole.bytes.len() + config.bytes_due(config.body);
            continue;
        };
        let Some(frame) = frame else { return Ok(whole) };
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        if whole.bytes.len() + data.len() > max {
            return Err(Unread::TooLarge);
        }
        whole.append(&data, max_or_announced)?;
    }
}

impl Body {
    /// What it says. Its memory is given back.
    pub(crate) async fn decode<T: Send + 'static>(
        self,
        decode: impl FnOnce(&[u8]) -> Result<T, DecodeError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let large = self.room.large().clone();
        Ok(large.work(self.bytes.len(), move || decode(&self.bytes)).await??)
    }

    /// Appends to a body that will have at most `max` bytes. Copies: what arrives in many small pieces must not take more
    /// memory than its bytes.
    fn append(&mut self, data: &[u8], max: usize) -> Result<(), Unread> {
        let needed = self.bytes.len() + data.len();
        if needed > self.bytes.capacity() {
            let capacity = needed.max((self.bytes.capacity() * 2).min(max));
            self.room.grow_to(capacity).map_err(|_| Unread::NoRoom)?;
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }
}
