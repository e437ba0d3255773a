use std::io;
use std::path::Path;

use super::LogError;
use super::files::{Listing, log_dir, segment_path};
use super::frame::{Flaw, Home, Kind};
use super::reader::{Expected, Found, Reader};
use super::survey::Survey;
use super::writing::FrameFile;
use crate::disk::Disk;
use crate::identity::StoreId;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Copied {
    /// Frames, closing frames included.
    pub(crate) frames: u64,
    /// What they take in the files.
    pub(crate) bytes: u64,
    /// The sequence of the last of them; a clean stop was put behind it.
    pub(crate) last_sequence: u64,
}

/// Copies the frames of a log that is being appended to. Every frame that was durable before this is called is copied; of
/// those that come meanwhile, some. The copy ends with a clean stop.
///
/// `from` and `to` are directories of stores; the log in `to` is replaced if there is one. No segment may be retired
/// meanwhile: the caller sees to that.
///
/// # Errors
/// As for opening; the copy is of no use then.
pub(crate) fn copy_running(disk: &dyn Disk, from: &Path, to: &Path, store: StoreId) -> Result<Copied, LogError> {
    let (from_dir, to_dir) = (log_dir(from), log_dir(to));
    disk.create_dir(&to_dir).and_then(|()| clear(disk, &to_dir)).map_err(LogError::io(&to_dir))?;
    let listing = Listing::read(disk, &from_dir).map_err(LogError::io(&from_dir))?;
    let mut segment = Survey::new(disk, from, store, &listing).first_needed()?;
    let mut copied = Copied::default();
    let mut last = None;
    loop {
        let home = Home { store, segment };
        let path = segment_path(&from_dir, segment);
        let reader = Reader::open(disk, &from_dir, home).map_err(LogError::io(&path))?;
        let copy_path = segment_path(&to_dir, segment);
        let copy = FrameFile::create(disk, &copy_path, home).map_err(LogError::io(&copy_path))?;
        let mut source = Source { disk, dir: from, store, reader };
        let mut copy = copy.follow(last);
        copy_segment(&mut source, &mut copy, &mut copied)?;
        last = copy.last().copied();
        let continues = last.is_some_and(|last| last.kind == Kind::Continues) && copy.bytes() > 0;
        finish(copy, disk, continues).map_err(LogError::io(&copy_path))?;
        if !continues {
            return Ok(copied);
        }
        segment = segment.next();
    }
}

/// Copies the frames of one segment.
fn copy_segment(source: &mut Source<'_>, copy: &mut FrameFile, copied: &mut Copied) -> Result<(), LogError> {
    let mut at = 0;
    while let Some(found) = source.next(at, copy.last().map_or(Expected::ANY, Expected::after))? {
        let path = source.reader.path.clone();
        copy.copy(&mut source.reader, &found).map_err(LogError::io(&path))?;
        copied.frames += 1;
        copied.bytes += found.end - at;
        copied.last_sequence = found.header.sequence;
        at = found.end;
        if found.header.kind == Kind::Continues {
            break;
        }
    }
    Ok(())
}

/// A segment that is written to while it is read.
#[derive(Debug)]
struct Source<'a> {
    disk: &'a dyn Disk,
    /// The directory of the store.
    dir: &'a Path,
    store: StoreId,
    reader: Reader,
}

impl Source<'_> {
    /// The frame that follows at `at`; `None` if it is not written, or half.
    fn next(&mut self, at: u64, expected: Expected) -> Result<Option<Found>, LogError> {
        if let Ok(found) = self.expect(at, expected)? {
            return Ok(Some(found));
        }
        // What was read ahead may be older than frames that are durable by now.
        self.reader.refresh();
        let flaw = match self.expect(at, expected)? {
            Ok(found) => return Ok(Some(found)),
            Err(flaw) => flaw,
        };
        let listing = Listing::read(self.disk, &log_dir(self.dir)).map_err(LogError::io(self.dir))?;
        let survey = Survey::new(self.disk, self.dir, self.store, &listing);
        let Some(damage) = survey.damage_at(&mut self.reader, at, flaw, expected)? else {
            return Ok(None);
        };
        // Unless another frame came behind it meanwhile: then it is whole by now.
        self.reader.refresh();
        let found = self.expect(at, expected)?;
        found.map(Some).map_err(|_| Box::new(damage).into())
    }

    fn expect(&mut self, at: u64, expected: Expected) -> Result<Result<Found, Flaw>, LogError> {
        let found = self.reader.expect(at, expected).map_err(LogError::io(&self.reader.path))?;
        if let Ok(Found { header, at: offset, .. }) = found
            && !header.is_known()
        {
            let (path, version) = (self.reader.path.clone(), header.version);
            return Err(LogError::Newer { path, offset, version });
        }
        Ok(found)
    }
}

/// The last segment gets a clean stop: a flipped bit in the last frame of the copy is damage then, and no torn tail.
fn finish(mut copy: FrameFile, disk: &dyn Disk, continues: bool) -> io::Result<()> {
    let is_stopped = copy.last().is_some_and(|last| last.kind == Kind::Stopped);
    if let Some(first) = copy.last().map(|last| last.first_segment)
        && !continues
        && !is_stopped
    {
        copy.push(Kind::Stopped, &[], first)?;
    }
    copy.finish(disk)
}

/// Removes the files of a log.
fn clear(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let Listing { segments, temporary, .. } = Listing::read(disk, dir)?;
    for path in segments.into_iter().map(|segment| segment_path(dir, segment)) {
        disk.remove(&path)?;
    }
    for name in temporary {
        disk.remove(&dir.join(name))?;
    }
    disk.sync_dir(dir)
}
