//! A disk in memory whose power can be cut.

use std::{
    io,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard},
};

use redb::{BackendError, StorageBackend};

/// A disk. Synced data survives a power cut. Any subset of the sectors that were written later
/// survives, too.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    durable: Vec<u8>,
    current: Vec<u8>,
    pending: Vec<Operation>,
    /// If set, syncs are reported but not done.
    lies: bool,
    is_full: bool,
    /// The number of operations after which the power is cut and every operation fails.
    fuse: Option<u64>,
    operations: u64,
    syncs: u64,
}

#[derive(Clone, Debug)]
enum Operation {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

const SECTOR: usize = 512;

impl Operation {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(at, data) => {
                let end = at + data.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*at..end].copy_from_slice(data);
            }
            Self::SetLen(len) => content.resize(*len, 0),
        }
    }
}

/// A generator of random numbers, from a seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        // SplitMix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

impl Disk {
    pub(super) fn lying() -> Self {
        let disk = Self::default();
        disk.state().lies = true;
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn with_content(content: Vec<u8>) -> Self {
        let state = State { durable: content.clone(), current: content, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(super) fn content(&self) -> Vec<u8> {
        self.state().current.clone()
    }

    pub(super) fn operations(&self) -> u64 {
        self.state().operations
    }

    pub(super) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Returns the disk as the next process finds it after this process is killed. The kernel keeps
    /// all written data.
    pub(super) fn after_kill(&self) -> Self {
        Self::with_content(self.content())
    }

    /// Cuts the power after this number of operations.
    pub(super) fn cut_after(&self, operations: u64) {
        let mut state = self.state();
        state.fuse = Some(state.operations + operations);
    }

    pub(super) fn set_full(&self, is_full: bool) {
        self.state().is_full = is_full;
    }

    /// Returns the disk after a power cut.
    pub(super) fn after_cut(&self, random: &mut Random) -> Self {
        let state = self.state();
        let mut content = state.durable.clone();
        // The chance in percent that a sector survives, from 0 to 100.
        let chance = random.below(101);
        for operation in &state.pending {
            match operation {
                Operation::Write(at, data) => {
                    for (number, sector) in data.chunks(SECTOR).enumerate() {
                        if random.below(100) < chance {
                            Operation::Write(at + number * SECTOR, sector.to_vec()).apply(&mut content);
                        }
                    }
                }
                Operation::SetLen(_) if random.below(100) < chance => operation.apply(&mut content),
                Operation::SetLen(_) => {}
            }
        }
        let lies = state.lies;
        drop(state);
        let disk = Self::with_content(content);
        disk.state().lies = lies;
        disk
    }

    fn change(&self, operation: Option<Operation>) -> io::Result<()> {
        let mut state = self.state();
        if state.fuse.is_some_and(|fuse| state.operations >= fuse) {
            return Err(io::Error::other("the power is off"));
        }
        state.operations += 1;
        match operation {
            Some(operation) if state.is_full => {
                drop(operation);
                Err(io::ErrorKind::StorageFull.into())
            }
            Some(operation) => {
                operation.apply(&mut state.current);
                state.pending.push(operation);
                Ok(())
            }
            None if state.lies => Ok(()),
            None => {
                state.syncs += 1;
                state.pending.clear();
                state.durable = state.current.clone();
                Ok(())
            }
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        let at = usize::try_from(offset).unwrap();
        let found = state.current.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Some(Operation::SetLen(usize::try_from(len).unwrap())))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(None)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Some(Operation::Write(usize::try_from(offset).unwrap(), data.to_vec())))
    }

    // Only one process has the disk open, so locks always succeed.

    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn try_lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn query_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(false)
    }
}
