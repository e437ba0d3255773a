use std::collections::BTreeMap;
use std::mem;

/// A file, whatever its names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId(pub(super) u64);

/// A change of names, and the operation that did it.
#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Link { name: String, file: FileId },
    Rename { from: String, to: String },
    Unlink { name: String },
}

type Names = BTreeMap<String, FileId>;

/// A directory: the names that a power cut leaves for sure, and what was done since.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    durable: Names,
    current: Names,
    unsynced: Vec<(u64, NameChange)>,
}

impl Directory {
    pub(super) fn get(&self, name: &str) -> Option<FileId> {
        self.current.get(name).copied()
    }

    pub(super) fn names(&self) -> &Names {
        &self.current
    }

    pub(super) fn change(&mut self, at: u64, change: NameChange) {
        apply(&mut self.current, &change);
        self.unsynced.push((at, change));
    }

    pub(super) fn sync(&mut self) {
        for (_, change) in mem::take(&mut self.unsynced) {
            apply(&mut self.durable, &change);
        }
    }

    /// The operations that are not known to be on the disk, oldest first.
    pub(super) fn unsynced(&self) -> &[(u64, NameChange)] {
        &self.unsynced
    }

    /// What the next boot finds if the first `kept` of the un-synced changes reached the disk.
    pub(super) fn after_cut(&self, kept: usize) -> Directory {
        let mut names = self.durable.clone();
        for (_, change) in &self.unsynced[..kept] {
            apply(&mut names, change);
        }
        Directory { durable: names.clone(), current: names, unsynced: Vec::new() }
    }

    /// The files that have a name here, or may have one after a power cut.
    pub(super) fn files(&self) -> impl Iterator<Item = FileId> {
        let unsynced = self.unsynced.iter().filter_map(|(_, change)| match change {
            NameChange::Link { file, .. } => Some(*file),
            NameChange::Rename { .. } | NameChange::Unlink { .. } => None,
        });
        self.current.values().chain(self.durable.values()).copied().chain(unsynced)
    }
}

fn apply(names: &mut Names, change: &NameChange) {
    match change {
        NameChange::Link { name, file } => {
            names.insert(name.clone(), *file);
        }
        NameChange::Rename { from, to } => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        NameChange::Unlink { name } => {
            names.remove(name);
        }
    }
}
