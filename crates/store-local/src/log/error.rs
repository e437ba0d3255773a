use std::io;
use std::path::PathBuf;

/// Why a log cannot be made, opened or repaired.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LogError {
    #[error("{} cannot be used", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("there is no log in {}", dir.display())]
    Missing { dir: PathBuf },
    #[error("{} was written by a newer version: format {version} at byte {offset}", path.display())]
    Newer { path: PathBuf, offset: u64, version: u8 },
    #[error(transparent)]
    Damage(#[from] Box<Damage>),
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
#[derive(Debug, thiserror::Error)]
#[error("{} is damaged", path.display())]
pub(crate) struct Damage {
    pub(crate) path: PathBuf,
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
