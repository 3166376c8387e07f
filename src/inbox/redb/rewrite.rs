//! Rewrites the file after a failed sync.
//!
//! After a failed sync the kernel can count pages as written that are not on the disk: they are in
//! its cache only, and a later sync reports success without them. So no sync of the same file can
//! be trusted again, and the file's content is copied from the cache into a new file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, Write},
    ops::Bound,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::{BackendError, Database, DatabaseError, StorageBackend, StorageError, backends::FileBackend};

use super::{
    super::InboxError,
    Failure,
    file::{self, FileOptions, is_same_file, open_private, sync_directory, unavailable},
};

/// What the opened files of an inbox share.
#[derive(Clone, Debug, Default)]
pub(super) struct Health {
    is_unsynced: Arc<AtomicBool>,
    /// Makes each sync fail.
    #[cfg(test)]
    pub(super) is_broken: Arc<AtomicBool>,
}

impl Health {
    /// Returns whether the file's last sync may have left something out.
    pub(super) fn is_unsynced(&self) -> bool {
        self.is_unsynced.load(Ordering::Relaxed)
    }

    fn set_unsynced(&self, is_unsynced: bool) {
        self.is_unsynced.store(is_unsynced, Ordering::Relaxed);
    }

    /// A write that the file system refuses for lack of space is harmless: it changes no page, or
    /// leaves pages that the next sync writes. A sync that fails for lack of space is not.
    fn after_write(&self, result: io::Result<()>) -> io::Result<()> {
        let is_harmless = |error: &io::Error| matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
        result.inspect_err(|error| {
            if !is_harmless(error) {
                self.set_unsynced(true);
            }
        })
    }
}

/// A backend that remembers failed syncs and writes.
#[derive(Debug)]
pub(super) struct Watched<B> {
    pub(super) backend: B,
    pub(super) health: Health,
}

impl<B: StorageBackend> StorageBackend for Watched<B> {
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.health.after_write(self.backend.write(offset, data))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.health.after_write(self.backend.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        #[cfg(test)]
        if self.health.is_broken.load(Ordering::Relaxed) {
            self.health.set_unsynced(true);
            return Err(io::Error::other("the disk is broken"));
        }
        self.backend.sync_data().inspect_err(|_| self.health.set_unsynced(true))
    }

    fn len(&self) -> io::Result<u64> {
        self.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.backend.read(offset, out)
    }

    fn close(&self) -> io::Result<()> {
        self.backend.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.query_lock_range(start, end)
    }
}

/// Opens the file again, and rewrites it first if a sync failed.
pub(super) fn reopen(path: &Path, options: &FileOptions, health: &Health) -> Result<Database, InboxError> {
    if health.is_unsynced() { rewrite(path, options, health) } else { file::open(path, options, health) }
}

fn rewrite(path: &Path, options: &FileOptions, health: &Health) -> Result<Database, InboxError> {
    let cannot = |error| unavailable("cannot rewrite the inbox's file after a failed sync", error);
    // Replaces the file behind a symbolic link, not the link.
    let path = &fs::canonicalize(path).map_err(cannot)?;
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(cannot)?;
    let old = FileBackend::new(file.try_clone().map_err(cannot)?).map_err(Failure::from)?;
    lock(&old).map_err(Failure::from)?;
    let (opened, current) = (file.metadata().map_err(cannot)?, fs::metadata(path).map_err(cannot)?);
    if !is_same_file(&opened, &current) {
        return Err(Failure::from(DatabaseError::DatabaseAlreadyOpen).into());
    }
    log_rewriting(&file);
    let temporary = temporary_name(path);
    let result = (|| {
        // A process that was killed here may have left one.
        remove_left_over(path);
        let new = open_private(OpenOptions::new().create_new(true), &temporary).map_err(cannot)?;
        copy(&file, &new).map_err(cannot)?;
        keep_owner_and_mode(&file, &new).map_err(cannot)?;
        new.sync_all().map_err(cannot)?;
        // It has its lock before it has its name.
        let backend = FileBackend::new(new).map_err(Failure::from)?;
        let database = file::open_backend(Watched { backend, health: health.clone() }, options.cache)?;
        fs::rename(&temporary, path).map_err(cannot)?;
        sync_directory(path).map_err(cannot)?;
        Ok(database)
    })();
    let _ = old.close();
    if result.is_ok() {
        health.set_unsynced(false);
        log_rewritten();
    } else {
        remove_left_over(path);
    }
    result
}

/// Takes the lock that a writer takes in redb. Opening the database would also write to the old
/// file, and could make what is on the disk refer to pages that are not.
fn lock(old: &FileBackend) -> Result<(), DatabaseError> {
    const BYTES: (Bound<u64>, Bound<u64>) = (Bound::Included(1 << 62), Bound::Included((1 << 62) + 1));

    let locked = match old.try_lock_range(BYTES.0, BYTES.1) {
        // Without locks of ranges, redb locks the whole file.
        Err(error) if is_unsupported(&error) => old.try_lock_range(Bound::Unbounded, Bound::Unbounded),
        locked => locked,
    };
    match locked {
        Ok(false) => Err(DatabaseError::DatabaseAlreadyOpen),
        Ok(true) => Ok(()),
        // Without any locks, redb relies on the user.
        Err(error) if is_unsupported(&error) => Ok(()),
        Err(BackendError::Io(error)) => Err(StorageError::Io(error).into()),
        Err(error) => Err(StorageError::Io(io::Error::other(error)).into()),
    }
}

fn is_unsupported(error: &BackendError) -> bool {
    match error {
        BackendError::Unsupported => true,
        BackendError::Io(error) => error.kind() == ErrorKind::Unsupported,
        _ => false,
    }
}

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".rewrite.new");
    PathBuf::from(name)
}

/// Removes the copy that a killed process left. The caller holds the file's lock.
pub(super) fn remove_left_over(path: &Path) {
    if let Ok(path) = fs::canonicalize(path) {
        let _ = fs::remove_file(temporary_name(&path));
    }
}

/// Copies what the kernel's cache has. `io::copy` could let the new file share the old one's
/// blocks on the disk, which are the ones that were not written.
fn copy(mut from: &File, mut to: &File) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    from.rewind()?;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => to.write_all(buffer.get(..length).unwrap_or_default())?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The new file is private until it has the old one's owner.
fn keep_owner_and_mode(old: &File, new: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};

        let (before, after) = (old.metadata()?, new.metadata()?);
        let is_same = (before.uid(), before.gid()) == (after.uid(), after.gid());
        if is_same || fchown(new, Some(before.uid()), Some(before.gid())).is_ok() {
            new.set_permissions(before.permissions())?;
        }
    }
    #[cfg(not(unix))]
    let _ = (old, new);
    Ok(())
}

fn log_rewriting(file: &File) {
    #[cfg(feature = "tracing")]
    tracing::error!(
        bytes = file.metadata().map(|metadata| metadata.len()).unwrap_or_default(),
        "the inbox's file could not be synced: rewriting it"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = file;
}

fn log_rewritten() {
    #[cfg(feature = "tracing")]
    tracing::info!("the inbox's file was rewritten");
}
