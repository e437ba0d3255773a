//! SQLite on a simulated disk. What its own system for Unix does beyond the bare calls is done here too: the first sync of
//! a journal makes its name durable, deleting does not, and an empty journal counts as none.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use sqlite_vfs::{DatabaseHandle, LockKind, OpenAccess, OpenKind, OpenOptions, RegisterError, Vfs, WalDisabled};

use super::state::parent_of;
use super::{Shared, SimDisk, SimFile};
use crate::disk::{DiskFile, read_full_at};

const VFS_NAME: &str = "escrow-simulated";

/// The disks that have databases, by their numbers.
///
/// SQLite never forgets a file system that was registered. So there is one for all disks, and a path starts with the number
/// of its disk.
static DISKS: Mutex<BTreeMap<u64, Weak<Shared>>> = Mutex::new(BTreeMap::new());

static REGISTERED: LazyLock<Result<(), RegisterError>> =
    LazyLock::new(|| sqlite_vfs::register(VFS_NAME, SimVfs, false));

fn disks() -> MutexGuard<'static, BTreeMap<u64, Weak<Shared>>> {
    DISKS.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn connect(disk: &SimDisk, path: &Path) -> rusqlite::Result<Connection> {
    if let Err(error) = &*REGISTERED {
        return Err(rusqlite::Error::ToSqlConversionFailure(error.to_string().into()));
    }
    let name = name(disk, path).ok_or_else(|| rusqlite::Error::InvalidPath(path.to_owned()))?;
    disks().insert(disk.shared.number, Arc::downgrade(&disk.shared));
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags_and_vfs(name, flags, VFS_NAME)
}

/// The name that this file system knows a file by.
pub(super) fn name(disk: &SimDisk, path: &Path) -> Option<String> {
    Some(format!("/{}/{}", disk.shared.number, path.to_str()?))
}

/// Forgets a disk that nobody uses any more.
pub(super) fn forget(number: u64) {
    disks().remove(&number);
}

/// Whether a disk with this number is in use and has databases.
pub(super) fn knows(number: u64) -> bool {
    disks().contains_key(&number)
}

struct SimVfs;

impl Vfs for SimVfs {
    type Handle = Handle;

    fn open(&self, name: &str, options: OpenOptions) -> io::Result<Handle> {
        if is_temporary(options.kind) {
            return Ok(Handle::Temporary(Vec::new()));
        }
        let (disk, path) = locate(name)?;
        let exists = disk.state().find(path)?.is_some();
        let creates = matches!(options.access, OpenAccess::Create | OpenAccess::CreateNew);
        let file = match (exists, options.access) {
            (true, OpenAccess::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (false, _) if creates => disk.create_file(path)?,
            _ => disk.open_file(path)?,
        };
        let is_journal = options.kind != OpenKind::MainDb;
        let number = disk.state().new_lock();
        Ok(Handle::OnDisk { file, path: path.to_owned(), number, name_unsynced: creates && is_journal })
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        if name == TEMPORARY {
            return Ok(());
        }
        let (disk, path) = locate(name)?;
        // Any other kind of error would come up as "interrupted"; this one is an I/O error to SQLite.
        disk.state().remove(path).map_err(|error| io::Error::new(io::ErrorKind::NotFound, error))
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        let (disk, path) = locate(name)?;
        let state = disk.state();
        match state.find(path) {
            Ok(Some(file)) => Ok(state.len(file)? > 0),
            Ok(None) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn temporary_name(&self) -> String {
        TEMPORARY.to_owned()
    }

    /// SQLite asks the default file system, not this one, for what it draws.
    fn random(&self, buffer: &mut [i8]) {
        rand::fill(buffer);
    }

    /// Does not wait: whoever waits for a lock finds it as it is.
    fn sleep(&self, duration: Duration) -> Duration {
        duration
    }
}

const TEMPORARY: &str = "/temporary";

fn is_temporary(kind: OpenKind) -> bool {
    matches!(kind, OpenKind::TempDb | OpenKind::TempJournal | OpenKind::TransientDb | OpenKind::SubJournal)
}

/// The disk and the path on it, from a name that [`connect`] made, or SQLite from one of those.
fn locate(name: &str) -> io::Result<(SimDisk, &Path)> {
    let parts = name.strip_prefix('/').and_then(|rest| rest.split_once('/'));
    let (number, path) = parts.ok_or(io::ErrorKind::InvalidInput)?;
    let number: u64 = number.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    let shared = disks().get(&number).and_then(Weak::upgrade).ok_or(io::ErrorKind::NotFound)?;
    Ok((SimDisk { shared }, Path::new(path)))
}

/// A file as SQLite uses it. Nothing here panics: SQLite is C and could not unwind.
enum Handle {
    OnDisk {
        file: SimFile,
        path: PathBuf,
        /// Whom its locks belong to.
        number: u64,
        /// Whether the next sync makes the name durable, too.
        name_unsynced: bool,
    },
    /// What SQLite sorts or remembers for a statement: it would lie elsewhere, and nobody looks for it after a crash.
    Temporary(Vec<u8>),
}

impl DatabaseHandle for Handle {
    type WalIndex = WalDisabled;

    fn size(&self) -> io::Result<u64> {
        match self {
            Handle::OnDisk { file, .. } => file.len(),
            Handle::Temporary(bytes) => Ok(bytes.len() as u64),
        }
    }

    fn read_exact_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let read = match self {
            Handle::OnDisk { file, .. } => read_full_at(file, buffer, offset)?,
            Handle::Temporary(bytes) => {
                let rest = bytes.get(offset as usize..).unwrap_or_default();
                let count = rest.len().min(buffer.len());
                buffer[..count].copy_from_slice(&rest[..count]);
                count
            }
        };
        if read == buffer.len() {
            return Ok(());
        }
        // SQLite relies on zeros there.
        buffer[read..].fill(0);
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match self {
            Handle::OnDisk { file, .. } => file.write_all_at(bytes, offset).map_err(full_for_sqlite),
            Handle::Temporary(file) => {
                let end = offset as usize + bytes.len();
                file.resize(file.len().max(end), 0);
                file[offset as usize..end].copy_from_slice(bytes);
                Ok(())
            }
        }
    }

    fn sync(&mut self, _data_only: bool) -> io::Result<()> {
        let Handle::OnDisk { file, path, name_unsynced, .. } = self else { return Ok(()) };
        file.sync()?;
        if *name_unsynced {
            file.disk.state().sync_dir(parent_of(path))?;
            *name_unsynced = false;
        }
        Ok(())
    }

    /// Only cuts off: SQLite's hint how far a file will grow arrives here as well, and its Unix system ignores that one.
    fn set_len(&mut self, size: u64) -> io::Result<()> {
        if size >= self.size()? {
            return Ok(());
        }
        match self {
            Handle::OnDisk { file, .. } => file.disk.state().set_len(file.id, size),
            Handle::Temporary(bytes) => {
                bytes.truncate(size as usize);
                Ok(())
            }
        }
    }

    fn lock(&mut self, lock: LockKind) -> io::Result<bool> {
        match self {
            Handle::OnDisk { file, number, .. } => Ok(file.disk.state().file_mut(file.id)?.lock(*number, lock)),
            Handle::Temporary(_) => Ok(true),
        }
    }

    fn reserved(&mut self) -> io::Result<bool> {
        match self {
            Handle::OnDisk { file, .. } => Ok(file.disk.state().file(file.id)?.is_reserved()),
            Handle::Temporary(_) => Ok(false),
        }
    }

    fn current_lock(&self) -> io::Result<LockKind> {
        match self {
            Handle::OnDisk { file, number, .. } => Ok(file.disk.state().file(file.id)?.lock_of(*number)),
            Handle::Temporary(_) => Ok(LockKind::None),
        }
    }

    fn moved(&self) -> io::Result<bool> {
        match self {
            Handle::OnDisk { file, path, .. } => Ok(file.disk.state().find(path)? != Some(file.id)),
            Handle::Temporary(_) => Ok(false),
        }
    }

    fn wal_index(&self, _readonly: bool) -> io::Result<WalDisabled> {
        Ok(WalDisabled)
    }
}

/// The kind that comes up as `SQLITE_FULL`.
fn full_for_sqlite(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::StorageFull => io::Error::new(io::ErrorKind::WriteZero, error),
        _ => error,
    }
}
