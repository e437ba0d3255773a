use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::LogError;
use super::files::{Listing, log_dir, segment_path, temporary_path};
use super::frame::{Home, Kind};
use super::survey::{Seen, Survey};
use super::writing::FrameFile;
use crate::disk::Disk;
use crate::identity::StoreId;

/// What a repair has done.
#[derive(Debug, Default)]
pub(crate) struct Repaired {
    /// Data frames that were kept.
    pub(crate) kept: u64,
    /// Empty if the log was sound: then nothing was changed.
    pub(crate) dropped: Vec<Dropped>,
}

/// A stretch of the log that could not be read.
#[derive(Debug)]
pub(crate) struct Dropped {
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    pub(crate) what: String,
}

/// Rewrites a log so that it opens: what can be read before and behind damage is kept, under new sequence numbers.
///
/// The result is one new segment behind all others, which a single renaming makes the log: until then nothing is changed.
///
/// # Errors
/// [`LogError::Newer`] or a file that cannot be read or written; then the log is as it was.
pub(crate) fn repair(disk: Arc<dyn Disk>, dir: &Path, store: StoreId) -> Result<Repaired, LogError> {
    let disk = &*disk;
    let log_dir = log_dir(dir);
    let listing = Listing::read(disk, &log_dir).map_err(LogError::io(&log_dir))?;
    let survey = Survey::new(disk, dir, store, &listing);
    let repaired = look(&survey)?;
    let Some(last) = listing.segments.last().copied().filter(|_| !repaired.dropped.is_empty()) else {
        return Ok(repaired);
    };
    let segment = last.next();
    let path = segment_path(&log_dir, segment);
    if let Err(error) = rewrite(disk, &survey, &path, Home { store, segment }) {
        // What it has taken of a full disk is given back; the first error is the one to tell.
        let _ = disk.remove(&temporary_path(&path));
        return Err(error);
    }
    // The newest frame says now that these are not needed; a start would remove them, too.
    for &old in &listing.segments {
        let old = segment_path(&log_dir, old);
        disk.remove(&old).map_err(LogError::io(&old))?;
    }
    disk.sync_dir(&log_dir).map_err(LogError::io(&log_dir))?;
    Ok(repaired)
}

/// What would be kept and dropped.
fn look(survey: &Survey<'_>) -> Result<Repaired, LogError> {
    let mut repaired = Repaired::default();
    let _ending = survey.run::<()>(&mut |seen| {
        match seen {
            Seen::Frame { found, .. } => repaired.kept += u64::from(found.header.kind == Kind::Data),
            Seen::Damage(damage) => {
                let what = damage.describe();
                let place = damage.place;
                repaired.dropped.push(Dropped { path: place.path, offset: place.offset, what });
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(repaired)
}

/// Writes all data that can be read into the segment `home`, and a clean stop.
fn rewrite(disk: &dyn Disk, survey: &Survey<'_>, path: &Path, home: Home) -> Result<(), LogError> {
    let mut file = FrameFile::create(disk, path, home).map_err(LogError::io(path))?;
    let outcome = survey.run(&mut |seen| match seen {
        Seen::Frame { reader, found } if found.header.kind == Kind::Data => {
            match reader.body(&found).and_then(|body| file.push(Kind::Data, body, home.segment)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            }
        }
        _ => ControlFlow::Continue(()),
    })?;
    let stopped = match outcome {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(_) => file.push(Kind::Stopped, &[], home.segment),
    };
    stopped.and_then(|()| file.finish(disk)).map_err(LogError::io(path))
}
