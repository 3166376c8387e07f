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
    time::{Duration, Instant},
};

use redb::{BackendError, Database, DatabaseError, StorageBackend, StorageError, backends::FileBackend};

use super::{
    super::{InboxError, InboxErrorKind, telemetry},
    Failure, caught, damaged,
    file::{self, FileOptions, is_same_file, open_private, sync_directory, unavailable},
    writer::Source,
};

/// The state that all opened files of an inbox share.
#[derive(Clone, Debug, Default)]
pub(super) struct Health {
    is_unsynced: Arc<AtomicBool>,
    /// The inbox's path.
    path: Option<Arc<Path>>,
    /// If set, each sync fails. Only tests set it.
    #[cfg(test)]
    pub(super) is_broken: Arc<AtomicBool>,
}

impl Health {
    /// Returns whether the file's last sync may have left something out.
    pub(super) fn is_unsynced(&self) -> bool {
        self.is_unsynced.load(Ordering::Relaxed)
    }

    pub(super) fn set_unsynced(&self, is_unsynced: bool) {
        self.is_unsynced.store(is_unsynced, Ordering::Relaxed);
    }

    /// Records a failed sync. Also leaves an empty file for the next process, which may open the
    /// inbox as soon as this process has closed it or was killed.
    fn set_failed(&self) {
        self.set_unsynced(true);
        if let Some(path) = self.path.as_deref().and_then(|path| fs::canonicalize(path).ok()) {
            let _ = open_private(OpenOptions::new().create_new(true), &temporary_name(&path));
        }
    }

    /// Records a failed write, unless the file system rejected it for lack of space. Such a write
    /// changes no page, or leaves pages that the next sync writes. A sync that fails for lack of
    /// space can lose pages.
    fn after_write(&self, result: io::Result<()>) -> io::Result<()> {
        let is_harmless = |error: &io::Error| matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
        result.inspect_err(|error| {
            if !is_harmless(error) {
                self.set_failed();
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
            self.health.set_failed();
            return Err(io::Error::other("the disk is broken"));
        }
        self.backend.sync_data().inspect_err(|_| self.health.set_failed())
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

/// The path at which the writer's thread opens the file.
pub(super) struct Place {
    path: PathBuf,
    options: FileOptions,
    health: Health,
    pub(super) pause: Pause,
    /// The file that was opened.
    opened: Option<fs::Metadata>,
    is_replaced: bool,
}

impl Place {
    pub(super) fn new(path: &Path, options: FileOptions, mut health: Health) -> Self {
        health.path = Some(path.into());
        let (pause, opened) = (Pause::default(), None);
        Self { path: path.to_owned(), options, health, pause, opened, is_replaced: false }
    }

    /// Opens the file for the first time, or creates it. Returns `None` if a process was killed
    /// after a failed sync, and the file cannot be rewritten yet.
    pub(super) fn create_or_open(&mut self) -> Result<Option<Database>, InboxError> {
        let database = match file::open_or_create(&self.path, &self.options, &self.health) {
            Err(error) if self.health.is_unsynced() && error.kind() == InboxErrorKind::Unavailable => {
                telemetry::worker_failed("open", &error);
                self.pause.extend(Instant::now(), error);
                return Ok(None);
            }
            opened => opened?,
        };
        self.opened = fs::metadata(&self.path).ok();
        Ok(Some(database))
    }
}

impl Source for Place {
    /// Opens the file again, and rewrites it first if a sync failed.
    fn open(&mut self) -> Result<Database, InboxError> {
        // Another process may have opened the file meanwhile, and failed to sync it.
        let database = if self.health.is_unsynced() || is_left_over(&self.path) {
            self.pause.check(Instant::now())?;
            rewrite(&self.path, &self.options, &self.health)
                .inspect_err(|error| self.pause.extend(Instant::now(), error.clone()))?
        } else {
            file::open(&self.path, &self.options, &self.health)?
        };
        self.pause = Pause::default();
        self.opened = fs::metadata(&self.path).ok();
        Ok(database)
    }

    fn check(&mut self) {
        let Some(opened) = &self.opened else { return };
        let is_replaced = match fs::metadata(&self.path) {
            Ok(current) => !is_same_file(opened, &current),
            Err(error) => error.kind() == ErrorKind::NotFound,
        };
        if is_replaced {
            telemetry::file_replaced(!self.is_replaced);
        }
        self.is_replaced = is_replaced;
    }
}

/// The growing pause between attempts to rewrite the file, because each attempt copies the whole
/// file. The thread does not wait: during the pause, it repeats the last error.
#[derive(Default)]
pub(super) struct Pause(Option<(Instant, Duration, InboxError)>);

impl Pause {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    pub(super) fn check(&self, now: Instant) -> Result<(), InboxError> {
        match &self.0 {
            Some((begun, length, error)) if now.saturating_duration_since(*begun) < *length => Err(error.clone()),
            _ => Ok(()),
        }
    }

    pub(super) fn extend(&mut self, now: Instant, error: InboxError) {
        let length = self.0.as_ref().map_or(Self::FIRST, |(_, length, _)| length.saturating_mul(2).min(Self::LONGEST));
        self.0 = Some((now, length, error));
    }
}

pub(super) fn rewrite(path: &Path, options: &FileOptions, health: &Health) -> Result<Database, InboxError> {
    let cannot = |error| unavailable("cannot rewrite the inbox's file after a failed sync", error);
    // If the path is a symbolic link, its target is replaced, not the link.
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
        // The last attempt may have left this file. Its syncs cannot be trusted either.
        let _ = fs::remove_file(&temporary);
        let new = open_private(OpenOptions::new().create_new(true), &temporary).map_err(cannot)?;
        copy(&file, &new).map_err(cannot)?;
        keep_owner_and_mode(&file, &new).map_err(cannot)?;
        new.sync_all().map_err(cannot)?;
        // The new file is locked before it is renamed.
        let backend = FileBackend::new(new).map_err(Failure::from)?;
        let mut database = file::open_backend(Watched { backend, health: health.clone() }, options.cache)?;
        // The kernel may have dropped pages that it could not write. If so, the old file stays,
        // because the pages may be on its disk. This check takes about as long as the copy.
        if !caught(|| Ok(database.check_integrity()?))? {
            return Err(damaged("a part of it was lost after a failed sync"));
        }
        fs::rename(&temporary, path).map_err(cannot)?;
        sync_directory(path).map_err(cannot)?;
        Ok(database)
    })();
    if result.is_ok() {
        health.set_unsynced(false);
        log_rewritten();
    } else {
        // This file tells the next process that a sync failed. The next process creates its own
        // copy under this name once the lock is free.
        let _ = open_private(OpenOptions::new().create(true).truncate(true), &temporary);
    }
    let _ = old.close();
    result
}

/// Takes the same lock as a writer in redb. Opening the database instead would also write to the
/// old file, and pages on the disk could then refer to pages that are not on the disk.
fn lock(old: &FileBackend) -> Result<(), DatabaseError> {
    const BYTES: (Bound<u64>, Bound<u64>) = (Bound::Included(1 << 62), Bound::Included((1 << 62) + 1));

    let locked = match old.try_lock_range(BYTES.0, BYTES.1) {
        // If locks of ranges are not supported, redb locks the whole file.
        Err(error) if is_unsupported(&error) => old.try_lock_range(Bound::Unbounded, Bound::Unbounded),
        locked => locked,
    };
    match locked {
        Ok(false) => Err(DatabaseError::DatabaseAlreadyOpen),
        Ok(true) => Ok(()),
        // If no locks are supported, redb requires the user to prevent concurrent access.
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

/// Returns whether a process ended before it could rewrite the file.
pub(super) fn is_left_over(path: &Path) -> bool {
    fs::canonicalize(path).is_ok_and(|path| temporary_name(&path).is_file())
}

/// Copies the content of the kernel's cache. `io::copy` could let the new file share blocks of the
/// old file on the disk, which may not have been written.
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

/// Copies owner and mode. The new file stays private until it has the owner of the old file.
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
    crate::report::report(|| {
        tracing::error!(
            bytes = file.metadata().map(|metadata| metadata.len()).unwrap_or_default(),
            "the inbox's file could not be synced: rewriting it"
        );
    });
    #[cfg(not(feature = "tracing"))]
    let _ = file;
}

fn log_rewritten() {
    #[cfg(feature = "tracing")]
    crate::report::report(|| tracing::info!("the inbox's file was rewritten"));
}
