//! What is wrong with a store that nobody has open, and how it can be opened all the same.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use escrow_store::{Clock, error_chain};
use escrow_txn::Gid;

use crate::backup::copy_all;
use crate::disk::{Disk, RealDisk};
use crate::error::OpenError;
use crate::files::Files;
use crate::identity::{self, Found, StoreId};
use crate::open;
use crate::rebuild::{self, Contents, Still, begin_anew};

/// What a check has shown.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Segments of the log.
    pub segments: u64,
    /// Frames in them.
    pub frames: u64,
    /// Whether the log was ended cleanly.
    pub is_stopped: bool,
    /// Unfinished transactions.
    pub unfinished: u64,
    /// Finished transactions that are archived.
    pub archived: u64,
    /// Archive files.
    pub partitions: u64,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// In which file or directory.
    pub path: PathBuf,
    /// At which byte of it.
    pub offset: Option<u64>,
    /// With which transaction.
    pub gid: Option<Gid>,
    /// What.
    pub what: String,
    /// Whether something is wrong; otherwise it is only worth knowing, as the end of a log that a crash has torn.
    pub is_damage: bool,
}

impl Checked {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| !finding.is_damage)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(offset) = self.offset {
            write!(f, ", byte {offset}")?;
        }
        if let Some(gid) = &self.gid {
            write!(f, ", transaction {gid}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// What a repair has done.
#[derive(Clone, Debug)]
pub struct Repaired {
    /// Where everything stands as it was before.
    pub copy: PathBuf,
    /// What was dropped, or cannot be put right.
    pub findings: Vec<Finding>,
    /// What the store holds now.
    pub contents: Contents,
    /// Whether everything unfinished is on hold.
    pub is_held: bool,
}

/// Reads everything in the store in `dir`, which nobody may have open, and lists what is wrong. No transaction is changed.
///
/// # Errors
/// [`OpenError`] if it cannot be read at all.
pub fn check(dir: &Path, clock: &dyn Clock) -> Result<Checked, OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let (_files, id) = lock(&disk, dir)?;
    let still = Still::read(&disk, dir, id, clock.now())?;
    Ok(look_at(dir, &still))
}

/// What is wrong with a store.
pub(crate) fn look_at(dir: &Path, still: &Still) -> Checked {
    let in_log = |gid, what, is_damage| Finding { path: dir.join(crate::log::DIR), offset: None, gid, what, is_damage };
    let mut findings: Vec<Finding> = still.log.findings.iter().map(of_log).collect();
    findings.extend(still.nonsense.iter().map(|error| in_log(None, error_chain(error), true)));
    findings.extend(still.spill.check().iter().chain(&still.archive.check()).map(of_database));
    let unreadable = still.table.rows().filter_map(|row| Some((row, row.decode().err()?)));
    findings.extend(unreadable.map(|(row, error)| in_log(Some(row.gid.clone()), error_chain(&error), true)));
    findings.extend(still.unknown.map(|kind| {
        let what = format!("records of kind {kind} are left alone: a newer version of this program wrote them");
        in_log(None, what, false)
    }));
    let archive = still.archive.info();
    let live = still.table.rows().filter(|row| !row.head.status.is_final()).count() as u64;
    Checked {
        segments: still.log.segments,
        frames: still.log.frames,
        is_stopped: still.log.is_stopped,
        unfinished: live + still.spilled_only(),
        archived: archive.rows,
        partitions: archive.partitions,
        findings,
    }
}

/// Makes the store in `dir`, which nobody may have open, one that can be opened: what cannot be read of its log is dropped,
/// and everything else goes on. A copy of the directory is made first.
///
/// If something is dropped, everything unfinished is on hold afterwards: nobody can say what was in it.
///
/// # Errors
/// [`OpenError`]; the copy is complete if it is there.
pub fn repair(dir: &Path, clock: &dyn Clock) -> Result<Repaired, OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let (_files, id) = lock(&disk, dir)?;
    let copy = beside(dir, clock);
    copy_all(dir, &copy).map_err(|source| OpenError::Io { path: copy.clone(), source })?;
    let (findings, contents, is_held) = repair_in_place(&disk, dir, id, clock)?;
    Ok(Repaired { copy, findings, contents, is_held })
}

pub(crate) fn repair_in_place(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    id: StoreId,
    clock: &dyn Clock,
) -> Result<(Vec<Finding>, Contents, bool), OpenError> {
    let still = Still::read(disk, dir, id, clock.now())?;
    still.check_known(dir)?;
    let checked = look_at(dir, &still);
    let is_held = !checked.is_sound();
    let contents = still.settle(is_held, clock.now());
    let contents = contents.map_err(|error| OpenError::of_database(dir, error))?;
    drop(still);
    begin_anew(disk, dir, id)?;
    Ok((checked.findings, contents, is_held))
}

fn lock(disk: &Arc<dyn Disk>, dir: &Path) -> Result<(Files, StoreId), OpenError> {
    // A lock would make the directory, and leave its file where there is no store.
    if !dir.is_dir() || open::is_empty(&**disk, dir)? {
        return Err(OpenError::NotAStore { path: dir.to_owned() });
    }
    let files = Files::lock(dir)?;
    match identity::find(&**disk, dir)? {
        Found::Store(id) => {
            rebuild::complete(disk, dir, id)?;
            Ok((files, id))
        }
        Found::Nothing { .. } => Err(OpenError::NotAStore { path: dir.to_owned() }),
    }
}

/// A name beside the directory that nothing has yet.
fn beside(dir: &Path, clock: &dyn Clock) -> PathBuf {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let name = dir.file_name().map_or("store".to_owned(), |name| name.to_string_lossy().into_owned());
    let seconds = clock.now().as_micros() / 1_000_000;
    let taken = |number: &u32| dir.with_file_name(format!("{name}.before-repair-{seconds}-{number}")).exists();
    let number = (1_u32..).find(|number| !taken(number)).unwrap_or(u32::MAX);
    dir.with_file_name(format!("{name}.before-repair-{seconds}-{number}"))
}

fn of_log(finding: &crate::log::Finding) -> Finding {
    Finding {
        path: finding.path.clone(),
        offset: Some(finding.offset),
        gid: None,
        what: finding.what.clone(),
        is_damage: finding.is_damage,
    }
}

fn of_database(finding: &crate::finding::Finding) -> Finding {
    Finding {
        path: finding.file.clone(),
        offset: None,
        gid: finding.gid.clone(),
        what: error_chain(&finding.problem),
        is_damage: true,
    }
}

#[cfg(test)]
mod tests {
    use escrow_store::SystemClock;

    use super::*;
    use crate::{LocalStore, backup, restore};

    #[test]
    fn where_no_store_is_nothing_is_made_and_nothing_is_left() {
        let home = tempfile::tempdir().unwrap();
        let (empty, missing, to) = (home.path().join("empty"), home.path().join("missing"), home.path().join("to"));
        std::fs::create_dir(&empty).unwrap();
        for dir in [&empty, &missing] {
            let refused = |result: Result<(), OpenError>| {
                assert!(matches!(&result, Err(OpenError::NotAStore { path }) if path == dir), "{result:?}");
            };
            refused(check(dir, &SystemClock).map(drop));
            refused(repair(dir, &SystemClock).map(drop));
            refused(backup(dir, &to).map(drop));
        }
        assert_eq!(empty.read_dir().unwrap().count(), 0);
        assert_eq!(home.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn a_database_that_is_gone_is_missed_and_not_made_anew() {
        let home = tempfile::tempdir().unwrap();
        let [dir, copy, restored] = ["store", "copy", "restored"].map(|name| home.path().join(name));
        drop(LocalStore::open(&dir, Arc::new(SystemClock)).unwrap());
        backup(&dir, &copy).unwrap();
        for place in [&dir, &copy] {
            std::fs::remove_file(place.join("unfinished.db")).unwrap();
        }
        let gone = |result: Result<(), OpenError>| {
            assert!(matches!(&result, Err(OpenError::Gone { path }) if path.ends_with("unfinished.db")), "{result:?}");
        };
        gone(check(&dir, &SystemClock).map(drop));
        gone(repair(&dir, &SystemClock).map(drop));
        gone(restore(&copy, &restored, &SystemClock).map(drop));
        gone(LocalStore::open(&dir, Arc::new(SystemClock)).map(drop));
    }

    #[test]
    fn a_backup_of_a_damaged_log_is_refused_as_damaged() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("store");
        drop(LocalStore::open(&dir, Arc::new(SystemClock)).unwrap());
        let segment = dir.join("log/0000000000000001.log");
        let mut bytes = std::fs::read(&segment).unwrap();
        bytes[0] ^= 1;
        std::fs::write(&segment, bytes).unwrap();
        let refused = backup(&dir, &home.path().join("copy")).unwrap_err();
        assert!(matches!(&refused, OpenError::Damaged { dir: named, .. } if *named == dir), "{refused:?}");
    }

    #[test]
    fn a_backup_is_not_opened_as_a_store_but_restored() {
        let home = tempfile::tempdir().unwrap();
        let [dir, copy, restored] = ["store", "copy", "restored"].map(|name| home.path().join(name));
        drop(LocalStore::open(&dir, Arc::new(SystemClock)).unwrap());
        backup(&dir, &copy).unwrap();
        let is_backup = |error: &OpenError| matches!(error, OpenError::IsBackup { path } if *path == copy);
        assert!(is_backup(&LocalStore::open(&copy, Arc::new(SystemClock)).unwrap_err()));
        assert!(is_backup(&check(&copy, &SystemClock).unwrap_err()));
        assert!(is_backup(&backup(&copy, &home.path().join("again")).unwrap_err()));
        restore(&copy, &restored, &SystemClock).unwrap();
        LocalStore::open(&restored, Arc::new(SystemClock)).unwrap();
    }
}
