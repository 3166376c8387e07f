//! Creates, opens and locks the file.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    hash::{BuildHasher, RandomState},
    io,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use redb::{Builder, ConcurrencyMode, Database, ReadableDatabase, StorageBackend, backends::FileBackend};

use super::{
    super::{InboxError, InboxErrorKind},
    Failure, caught, damaged, read,
    rewrite::{self, Health, Watched},
    tables::{SCHEMA, Tables},
};

#[derive(Clone, Copy, Debug)]
pub(in crate::inbox) struct FileOptions {
    /// The size of the cache in bytes.
    pub(in crate::inbox) cache: usize,
    pub(in crate::inbox) create_if_missing: bool,
    /// How long to wait for another process to close the file.
    pub(in crate::inbox) lock_timeout: Duration,
}

/// The interval between attempts to lock the file.
const TRY_AGAIN: Duration = Duration::from_millis(20);

pub(super) fn open_or_create(path: &Path, options: &FileOptions, health: &Health) -> Result<Database, InboxError> {
    if !is_there(path)? {
        if !options.create_if_missing {
            return Err(missing());
        }
        create(path, options)?;
    }
    warn_of_its_mode(path);
    // `None` for a timeout that is too long to represent.
    let deadline = Instant::now().checked_add(options.lock_timeout);
    let mut is_waiting = false;
    loop {
        // This is also checked during the wait, because another process may have rewritten the
        // file.
        health.set_unsynced(rewrite::is_left_over(path));
        let opened =
            if health.is_unsynced() { rewrite::rewrite(path, options, health) } else { open(path, options, health) };
        match opened {
            Err(error)
                if error.kind() == InboxErrorKind::Locked
                    && deadline.is_none_or(|deadline| Instant::now() < deadline) =>
            {
                if !is_waiting {
                    is_waiting = true;
                    log_waiting(options.lock_timeout);
                }
                sleep(TRY_AGAIN);
            }
            opened => return opened,
        }
    }
}

/// Returns whether a file that is not empty exists. Rejects anything else, because opening a named
/// pipe would wait for its writer.
pub(super) fn is_there(path: &Path) -> Result<bool, InboxError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(metadata.len() > 0),
        Ok(_) => Err(InboxError::new(InboxErrorKind::Settings, "the inbox's path is not a file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(unavailable("cannot open the inbox's file", error)),
    }
}

/// Returns the error for a missing or empty file, if no file may be created.
pub(super) fn missing() -> InboxError {
    InboxError::new(InboxErrorKind::Unavailable, "the inbox's file does not exist, or is empty")
}

fn log_waiting(timeout: Duration) {
    #[cfg(feature = "tracing")]
    tracing::info!(timeout = ?timeout, "waiting for another process to close the inbox's file");
    #[cfg(not(feature = "tracing"))]
    let _ = timeout;
}

pub(super) fn open(path: &Path, options: &FileOptions, health: &Health) -> Result<Database, InboxError> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.map_err(|error| unavailable("cannot open the inbox's file", error))?;
    open_locked(path, file, options, health)
}

/// Opens an inbox in a file that was opened at this path. If another process has replaced the file
/// at the path meanwhile, the file counts as locked, so that the caller tries again with the new
/// file.
pub(super) fn open_locked(
    path: &Path,
    file: File,
    options: &FileOptions,
    health: &Health,
) -> Result<Database, InboxError> {
    let cannot = |error| unavailable("cannot open the inbox's file", error);
    let opened = file.metadata().map_err(cannot)?;
    let backend = FileBackend::new(file).map_err(Failure::from)?;
    let database = open_backend(Watched { backend, health: health.clone() }, options.cache)?;
    // A process that replaces a file holds the lock of the old file, so the path is final here.
    if is_same_file(&opened, &fs::metadata(path).map_err(cannot)?) {
        Ok(database)
    } else {
        Err(Failure(redb::Error::DatabaseAlreadyOpen).into())
    }
}

pub(super) fn is_same_file(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;

        (one.dev(), one.ino()) == (other.dev(), other.ino())
    }
    #[cfg(not(unix))]
    {
        let _ = (one, other);
        true
    }
}

/// Opens an existing inbox. A damaged file can make redb panic.
pub(super) fn open_backend(backend: impl StorageBackend, cache: usize) -> Result<Database, InboxError> {
    let (database, schema) = caught(|| {
        let database = builder(cache).create_with_backend(backend)?;
        let schema = read::schema(&database.begin_read()?)?;
        Ok((database, schema))
    })?;
    check_schema(schema).map(|()| database)
}

pub(super) fn check_schema(schema: Option<u64>) -> Result<(), InboxError> {
    match schema {
        Some(SCHEMA) => Ok(()),
        Some(0) | None => Err(damaged("it has no schema number")),
        Some(newer) => Err(InboxError::because(
            InboxErrorKind::NewerVersion,
            "a newer version of this crate wrote the inbox's file: use that version or a later one",
            format!("the file's schema is {newer}, but this version supports {SCHEMA}"),
        )),
    }
}

/// Creates an inbox in an empty backend. Returns after it is on disk.
pub(super) fn initialise(backend: impl StorageBackend, cache: usize) -> Result<(), InboxError> {
    let create = || -> Result<(), Failure> {
        let database = builder(cache).create_with_backend(backend)?;
        let mut transaction = database.begin_write()?;
        transaction.set_quick_repair(true);
        let mut tables = Tables::open(&transaction)?;
        tables.initialise()?;
        drop(tables);
        transaction.commit()?;
        Ok(database.close()?)
    };
    create().map_err(InboxError::from)
}

pub(super) fn builder(cache: usize) -> Builder {
    let mut builder = Builder::new();
    // This mode lets the command-line tool read while a receiver runs.
    builder.set_concurrency_mode(ConcurrencyMode::SingleWriter).set_cache_size(cache);
    builder
}

/// Creates the inbox under a temporary name, and renames it when it is on disk. Without this, a
/// power cut while redb creates the file can leave a file that never opens. Until then, an empty
/// file has the final name, and the process that creates the inbox holds its lock.
fn create(path: &Path, options: &FileOptions) -> Result<(), InboxError> {
    let cannot = |error| unavailable("cannot create the inbox's file", error);
    let empty = open_private(OpenOptions::new().create(true), path).map_err(cannot)?;
    // If the path is a symbolic link, its target is replaced, not the link.
    let path = &fs::canonicalize(path).map_err(cannot)?;
    // Another process may have created the inbox already, and may keep its file locked for a long
    // time.
    if empty.metadata().map_err(cannot)?.len() > 0 {
        return Ok(());
    }
    lock_within(&empty, options.lock_timeout).map_err(cannot)?;
    if is_there(path)? {
        return Ok(());
    }
    let temporary = temporary_name(path).map_err(cannot)?;
    let result = (|| {
        let file = open_private(OpenOptions::new().create_new(true), &temporary).map_err(cannot)?;
        let backend = FileBackend::new(file.try_clone().map_err(cannot)?).map_err(Failure::from)?;
        initialise(backend, options.cache)?;
        file.sync_all().map_err(cannot)?;
        drop(file);
        fs::rename(&temporary, path).map_err(cannot)
    })();
    // The file has its final name now, or is not needed.
    let _ = fs::remove_file(&temporary);
    result?;
    sync_directory(path).map_err(cannot)
}

fn lock_within(file: &File, timeout: Duration) -> io::Result<()> {
    let deadline = Instant::now().checked_add(timeout);
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if deadline.is_none_or(|deadline| Instant::now() < deadline) => {
                sleep(TRY_AGAIN);
            }
            locked => return Ok(locked?),
        }
    }
}

fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    let name =
        path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name"))?;
    let mut temporary = name.to_owned();
    temporary.push(format!(".{:016x}.new", RandomState::new().hash_one(name)));
    Ok(path.with_file_name(temporary))
}

pub(super) fn open_private(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.open(path)
}

/// Syncs the directory. A new name is on disk only after this.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Warns if other users than the owner can read or write the file, which contains deliveries.
fn warn_of_its_mode(path: &Path) {
    #[cfg(all(unix, feature = "tracing"))]
    if let Ok(metadata) = fs::metadata(path) {
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
        if mode & 0o077 != 0 {
            tracing::warn!(
                mode = format!("{mode:o}"),
                "other users than the owner can open the inbox's file: set its mode to 600"
            );
        }
    }
    #[cfg(not(all(unix, feature = "tracing")))]
    let _ = path;
}

pub(super) fn unavailable(message: &'static str, error: io::Error) -> InboxError {
    InboxError::because(InboxErrorKind::Unavailable, message, error)
}

impl From<Failure> for io::Error {
    fn from(Failure(error): Failure) -> Self {
        Self::other(error)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    /// The process that creates the inbox may already have stored events when the last process
    /// tries to create it.
    #[test]
    fn processes_that_create_an_inbox_concurrently_get_the_same_file() {
        let options = FileOptions { cache: 1 << 20, create_if_missing: true, lock_timeout: Duration::from_secs(60) };
        for round in 0..40 {
            let path = std::env::temp_dir().join(format!("twenty-create-{}-{round}.redb", std::process::id()));
            if round % 2 == 0 {
                // Created with `touch`.
                drop(File::create(&path).unwrap());
            }
            // Locks belong to open files, so threads can stand for processes.
            let inodes: Vec<_> = std::thread::scope(|scope| {
                let create = || {
                    create(&path, &options).unwrap();
                    fs::metadata(&path).unwrap().ino()
                };
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(create)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(inodes.iter().all(|inode| *inode == inodes[0]), "{inodes:?}");
            let mode = fs::metadata(&path).unwrap().mode() & 0o777;
            let left = fs::read_dir(path.parent().unwrap()).unwrap().filter(|entry| {
                let name = entry.as_ref().unwrap().file_name();
                name.to_string_lossy().starts_with(&*path.file_name().unwrap().to_string_lossy())
            });
            let left = left.count();
            fs::remove_file(&path).unwrap();
            assert_eq!((mode, left), (0o600, 1), "its mode, and the number of files");
        }
    }
}
