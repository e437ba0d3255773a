use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::files::{Listing, log_dir, segment_path};
use super::frame::Kind;
use super::survey::{Ending, Seen, Survey};
use super::{LogError, SegmentNo};
use crate::disk::Disk;
use crate::identity::StoreId;

/// What a reading of the whole log has shown.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Files with the name of a segment.
    pub(crate) segments: u64,
    /// Frames that can be read, closing frames included.
    pub(crate) frames: u64,
    /// Bytes of their bodies.
    pub(crate) bytes: u64,
    /// The sequence of the last frame; 0 if there is none.
    pub(crate) last_sequence: u64,
    /// Whether the log ends with a clean stop.
    pub(crate) is_stopped: bool,
    pub(crate) findings: Vec<Finding>,
}

/// Something that is wrong with a log, or that a start would drop.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    /// Whether it keeps the log from being opened.
    pub(crate) is_damage: bool,
    pub(crate) what: String,
}

/// Reads a log without changing anything, hands over the body of every frame that can be read, and lists all that is wrong.
///
/// # Errors
/// A file that cannot be read, or (as [`io::ErrorKind::Unsupported`], with the [`LogError`] inside) one of a newer version. That
/// there is no log is a finding.
pub(crate) fn check(
    disk: &dyn Disk,
    dir: &Path,
    store: StoreId,
    on_frame: &mut dyn FnMut(SegmentNo, u64, &[u8]),
) -> io::Result<Report> {
    let log_dir = log_dir(dir);
    let listing = Listing::read(disk, &log_dir)?;
    let mut report = Report { segments: listing.segments.len() as u64, ..Report::default() };
    let outcome = Survey::new(disk, dir, store, &listing).run(&mut |seen| report.see(seen, on_frame));
    match outcome {
        Ok(ControlFlow::Continue(ending)) => report.end(&ending, segment_path(&log_dir, ending.segment)),
        Ok(ControlFlow::Break(error)) | Err(LogError::Io { source: error, .. }) => return Err(error),
        // Nobody may take what stands before it for all there is.
        Err(error @ LogError::Newer { .. }) => return Err(io::Error::new(io::ErrorKind::Unsupported, error)),
        Err(error) => {
            report.findings.push(Finding { path: log_dir, offset: 0, is_damage: true, what: error.to_string() });
        }
    }
    Ok(report)
}

impl Report {
    fn see(&mut self, seen: Seen<'_>, on_frame: &mut dyn FnMut(SegmentNo, u64, &[u8])) -> ControlFlow<io::Error> {
        match seen {
            Seen::Damage(damage) => {
                let place = &damage.place;
                let (path, offset, what) = (place.path.clone(), place.offset, damage.at_its_place());
                self.findings.push(Finding { path, offset, is_damage: true, what });
            }
            Seen::Frame { reader, found } => {
                self.frames += 1;
                self.bytes += u64::from(found.header.length);
                self.last_sequence = found.header.sequence;
                if found.header.kind == Kind::Data {
                    let segment = reader.home.segment;
                    match reader.body(&found) {
                        Ok(body) => on_frame(segment, found.header.sequence, body),
                        Err(error) => return ControlFlow::Break(error),
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn end(&mut self, ending: &Ending, path: PathBuf) {
        self.is_stopped = ending.is_stopped();
        let is_known = self.findings.last().is_some_and(|last| last.path == path && last.offset == ending.offset);
        if ending.is_torn() && !is_known {
            let next = self.last_sequence.saturating_add(1);
            let what = format!(
                "frame {next} was cut off while it was written ({}); a start drops it, nobody was told that it is stored",
                ending.flaw
            );
            self.findings.push(Finding { path, offset: ending.offset, is_damage: false, what });
        }
    }
}
