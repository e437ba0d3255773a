use std::sync::{Arc, LazyLock};

/// What a drive writes as a whole, in bytes: after a power cut a sector is all old or all new.
pub(crate) const SECTOR: usize = 512;

pub(super) type Sector = Arc<[u8; SECTOR]>;

/// New segments are nothing but zeros: their sectors are all this one.
static ZEROS: LazyLock<Sector> = LazyLock::new(|| Arc::new([0; SECTOR]));

pub(super) fn zeros() -> Sector {
    Arc::clone(&ZEROS)
}

/// The bytes of a file. A clone costs nothing until one of the two is changed.
///
/// There is a sector for every byte, none beyond the last, and the rest of the last one is zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    len: u64,
    sectors: Arc<Vec<Sector>>,
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The sector with this number; zeros beyond the end.
    pub(super) fn sector(&self, number: usize) -> Sector {
        self.sectors.get(number).map_or_else(zeros, Arc::clone)
    }

    /// Puts a sector in its place. [`Content::set_len`] has to follow if that place is beyond the end.
    pub(super) fn put(&mut self, number: usize, sector: Sector) {
        let sectors = Arc::make_mut(&mut self.sectors);
        if sectors.len() <= number {
            sectors.resize_with(number + 1, zeros);
        }
        sectors[number] = sector;
    }

    /// Cuts the file off, or makes it longer with zeros.
    pub(super) fn set_len(&mut self, len: u64) {
        let (whole, rest) = (len as usize / SECTOR, len as usize % SECTOR);
        let count = whole + usize::from(rest > 0);
        if self.sectors.len() != count {
            Arc::make_mut(&mut self.sectors).resize_with(count, zeros);
        }
        if rest > 0 && self.sectors[whole][rest..].iter().any(|&byte| byte != 0) {
            Arc::make_mut(&mut Arc::make_mut(&mut self.sectors)[whole])[rest..].fill(0);
        }
        self.len = len;
    }

    /// Reads what there is; returns how many bytes.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let wanted = (buffer.len() as u64).min(self.len.saturating_sub(offset)) as usize;
        let mut read = 0;
        while read < wanted {
            let at = offset as usize + read;
            let from = at % SECTOR;
            let count = (SECTOR - from).min(wanted - read);
            buffer[read..read + count].copy_from_slice(&self.sectors[at / SECTOR][from..from + count]);
            read += count;
        }
        wanted
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len as usize];
        self.read(&mut bytes, 0);
        bytes
    }

    /// Changes the byte at `offset`, if there is one.
    pub(super) fn change(&mut self, offset: u64, change: impl FnOnce(&mut u8)) {
        if offset < self.len {
            let number = offset as usize / SECTOR;
            change(&mut Arc::make_mut(&mut Arc::make_mut(&mut self.sectors)[number])[offset as usize % SECTOR]);
        }
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        let mut content = Content::default();
        for (number, chunk) in bytes.chunks(SECTOR).enumerate() {
            content.put(number, overlaid(zeros(), chunk, 0));
        }
        content.set_len(bytes.len() as u64);
        content
    }
}

/// A sector with some of its bytes replaced.
pub(super) fn overlaid(sector: Sector, bytes: &[u8], from: usize) -> Sector {
    if bytes == ZEROS.as_slice() {
        return zeros();
    }
    let mut changed = *sector;
    changed[from..from + bytes.len()].copy_from_slice(bytes);
    Arc::new(changed)
}
