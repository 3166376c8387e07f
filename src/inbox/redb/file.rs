//! The file itself: how it is created, opened and locked.

use std::{
    fs::{self, File, OpenOptions},
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
    tables::{SCHEMA, Tables},
};

#[derive(Clone, Copy, Debug)]
pub(in crate::inbox) struct FileOptions {
    /// In bytes.
    pub(in crate::inbox) cache: usize,
    pub(in crate::inbox) create_if_missing: bool,
    /// How long to wait for another process to close the file.
    pub(in crate::inbox) lock_timeout: Duration,
}

/// How often the lock is tried.
const TRY_AGAIN: Duration = Duration::from_millis(20);

pub(super) fn open_or_create(path: &Path, options: &FileOptions) -> Result<Database, InboxError> {
    let is_there = match fs::metadata(path) {
        Ok(metadata) => metadata.len() > 0,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(unavailable("cannot open the inbox's file", error)),
    };
    if !is_there {
        if !options.create_if_missing {
            return Err(InboxError::new(InboxErrorKind::Unavailable, "the inbox's file does not exist"));
        }
        create(path, options)?;
    }
    warn_of_its_mode(path);
    // None for a timeout so long that it never ends.
    let deadline = Instant::now().checked_add(options.lock_timeout);
    let mut is_waiting = false;
    loop {
        match open(path, options) {
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

fn log_waiting(timeout: Duration) {
    #[cfg(feature = "tracing")]
    tracing::info!(timeout = ?timeout, "waiting for another process to close the inbox's file");
    #[cfg(not(feature = "tracing"))]
    let _ = timeout;
}

pub(super) fn open(path: &Path, options: &FileOptions) -> Result<Database, InboxError> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.map_err(|error| unavailable("cannot open the inbox's file", error))?;
    let backend = FileBackend::new(file).map_err(Failure::from)?;
    open_backend(backend, options.cache)
}

/// Opens what is an inbox already. A damaged file can make redb panic.
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
            format!("its schema is {newer}, and this version knows {SCHEMA}"),
        )),
    }
}

/// Makes an inbox of an empty backend. Returns once it is on disk.
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
    // So that the command-line tool reads beside a running receiver.
    builder.set_concurrency_mode(ConcurrencyMode::SingleWriter).set_cache_size(cache);
    builder
}

/// A power cut while redb creates a file can leave one that never opens. So it is created under
/// another name, and gets its own once it is on disk.
fn create(path: &Path, options: &FileOptions) -> Result<(), InboxError> {
    let cannot = |error| unavailable("cannot create the inbox's file", error);
    // An empty file behind a symbolic link is replaced, and not the link.
    let target = fs::canonicalize(path);
    let path = target.as_deref().unwrap_or(path);
    let temporary = temporary_name(path).map_err(cannot)?;
    let result = (|| {
        let file = create_private(&temporary).map_err(cannot)?;
        let backend = FileBackend::new(file.try_clone().map_err(cannot)?).map_err(Failure::from)?;
        initialise(backend, options.cache)?;
        file.sync_all().map_err(cannot)?;
        drop(file);
        put_in_place(&temporary, path).map_err(cannot)
    })();
    // It has another name by now, or is of no use.
    let _ = fs::remove_file(&temporary);
    result?;
    sync_directory(path).map_err(cannot)
}

/// Without replacing a file that another process created meanwhile, and perhaps filled.
fn put_in_place(temporary: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(temporary, path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Somebody's, or an empty file, which is not an inbox yet.
            if fs::metadata(path)?.len() > 0 { Ok(()) } else { fs::rename(temporary, path) }
        }
        // A file system without hard links.
        Err(_) => fs::rename(temporary, path),
    }
}

fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    let name =
        path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "this is not a file's name"))?;
    let mut temporary = name.to_owned();
    temporary.push(format!(".{:016x}.new", RandomState::new().hash_one(name)));
    Ok(path.with_file_name(temporary))
}

fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A new name is on disk when its directory is.
fn sync_directory(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Warns when others than the owner can read or write the file: it holds deliveries.
fn warn_of_its_mode(path: &Path) {
    #[cfg(all(unix, feature = "tracing"))]
    if let Ok(metadata) = fs::metadata(path) {
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
        if mode & 0o077 != 0 {
            tracing::warn!(
                mode = format!("{mode:o}"),
                "others than its owner can open the inbox's file, which holds what Twenty sent: set its mode to 600"
            );
        }
    }
    #[cfg(not(all(unix, feature = "tracing")))]
    let _ = path;
}

fn unavailable(message: &'static str, error: io::Error) -> InboxError {
    InboxError::because(InboxErrorKind::Unavailable, message, error)
}

impl From<Failure> for io::Error {
    fn from(Failure(error): Failure) -> Self {
        Self::other(error)
    }
}
