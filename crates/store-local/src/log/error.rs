use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::frame::Flaw;

/// Why a log cannot be made, opened or repaired.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LogError {
    #[error("{} cannot be used", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("there is no log in {}", dir.display())]
    Missing { dir: PathBuf },
    /// A log is to be made where one is.
    #[error("there is a log in {} already", dir.display())]
    Exists { dir: PathBuf },
    #[error("{}, at byte {offset}, was written by a newer version of Escrow (log format {version})", path.display())]
    Newer { path: PathBuf, offset: u64, version: u8 },
    #[error(transparent)]
    Damage(#[from] Box<Damage>),
}

impl LogError {
    /// Names the path that an operation failed on.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum OpenError<E: std::error::Error + 'static> {
    #[error(transparent)]
    Log(#[from] LogError),
    /// The caller did not take a frame.
    #[error("frame {sequence} in {} cannot be used", path.display())]
    Frame { path: PathBuf, sequence: u64, source: E },
}

/// Something that was written and synced cannot be read any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {flaw}{}", Behind(proof))]
pub(crate) struct Damage {
    pub(crate) place: Place,
    pub(crate) flaw: Flaw,
    /// What shows that the frame had been on the disk; `None` if the place alone does.
    pub(crate) proof: Option<Place>,
}

impl Damage {
    /// What is wrong, for whoever is told the place already.
    pub(crate) fn at_its_place(&self) -> String {
        let (flaw, behind) = (&self.flaw, Behind(&self.proof));
        match self.place.sequence {
            0 => format!("the log should begin here: {flaw}{behind}"),
            sequence => format!("frame {sequence} should be here: {flaw}{behind}"),
        }
    }
}

/// A place in the log, and the frame that stands there or should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    /// 0: the first frame of all that are needed, whatever its number.
    pub(crate) sequence: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, offset, sequence } = self;
        let path = path.display();
        match sequence {
            0 => write!(f, "{path} is damaged at byte {offset}, where the log begins"),
            _ => write!(f, "{path} is damaged at byte {offset}, where frame {sequence} should be"),
        }
    }
}

struct Behind<'a>(&'a Option<Place>);

impl fmt::Display for Behind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(Place { path, offset, sequence: 0 }) => {
                write!(f, "; {}, at byte {offset}, exists only if more was written before it", path.display())
            }
            Some(Place { path, offset, sequence }) => {
                let path = path.display();
                write!(f, "; frame {sequence} in {path}, at byte {offset}, was written when it was on the disk")
            }
            None => Ok(()),
        }
    }
}

/// Why a frame was not appended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AppendError {
    /// Nothing happened; it may be tried again, also with another body.
    #[error("no space is left for the log")]
    Full(#[source] io::Error),
    /// It is not known what is on the disk: nothing may be appended any more.
    #[error("the log cannot be written")]
    Failed(#[source] io::Error),
    /// Nothing happened.
    #[error("a frame of {bytes} bytes is larger than the allowed {max}")]
    TooLarge { bytes: usize, max: usize },
}

impl AppendError {
    /// For an operation that has changed nothing if it found no space.
    pub(super) fn of_write(error: io::Error) -> Self {
        if is_full(&error) { Self::Full(error) } else { Self::Failed(error) }
    }

    pub(super) fn into_io(self) -> io::Error {
        match self {
            Self::Full(error) | Self::Failed(error) => error,
            Self::TooLarge { .. } => io::Error::other(self),
        }
    }
}

/// Whether a write found no room: it can be tried again once there is some.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
