//! The arguments that locate an inbox.

#[cfg(feature = "redb")]
use std::time::Duration;
use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

use clap::Args;
use twenty_webhook::inbox::Inbox;
#[cfg(feature = "redb")]
use twenty_webhook::inbox::{InboxError, InboxErrorKind};

use crate::{input, output::Failure};

/// The arguments that locate the inbox.
#[derive(Args)]
pub(crate) struct Place {
    /// The inbox: a file, or the URL of a PostgreSQL database. `-` reads it from standard input, so
    /// that other users of this machine cannot see a password in it
    #[arg(value_name = "FILE|URL")]
    inbox: OsString,

    /// The schema of the table in PostgreSQL
    #[cfg(feature = "postgres")]
    #[arg(long, default_value = twenty_webhook::inbox::InboxBuilder::DEFAULT_SCHEMA)]
    schema: String,

    /// The table in PostgreSQL
    #[cfg(feature = "postgres")]
    #[arg(long, default_value = twenty_webhook::inbox::InboxBuilder::DEFAULT_TABLE)]
    table: String,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Access {
    Read,
    Write,
}

impl Place {
    /// Replaces `-` by the place that is read from standard input, so that the inbox can be opened
    /// more than once.
    pub(crate) fn resolved(mut self) -> Result<Self, Failure> {
        self.inbox = self.read()?;
        Ok(self)
    }

    fn read(&self) -> Result<OsString, Failure> {
        let name = Path::new(&self.inbox);
        let (inbox, source) = if input::is_standard_input(name) {
            let text = String::from_utf8(input::read(name)?);
            let text = text.map_err(|error| Failure::about("standard input", &error))?;
            (text.trim_ascii_end().into(), "standard input")
        } else {
            (self.inbox.clone(), "the argument FILE|URL")
        };
        if inbox.is_empty() {
            return Err(Failure::new(format!("{source} is empty: it should be the inbox's file or URL")));
        }
        Ok(inbox)
    }

    pub(crate) async fn open(&self, access: Access) -> Result<Inbox, Failure> {
        let inbox = self.read()?;
        let is_url = |text: &&str| text.starts_with("postgres://") || text.starts_with("postgresql://");
        match inbox.to_str().filter(is_url) {
            Some(url) => self.connect(url).await,
            None if may_have_password(&inbox) => Err(Failure::new(
                "the inbox is neither an existing file nor a URL of the form postgres://user:password@host/database \
                 (it is not repeated here, because it may contain a password)",
            )),
            None => open_file(Path::new(&inbox), access),
        }
    }

    #[cfg(feature = "postgres")]
    async fn connect(&self, url: &str) -> Result<Inbox, Failure> {
        let builder = Inbox::builder().schema(&self.schema).table(&self.table).create_if_missing(false);
        builder.connect(url).await.map_err(|error| {
            // The message of the library names a function.
            if error.to_string().contains("connect_with_tls") {
                return Failure::new(
                    "the database's URL requires TLS, but this tool connects without TLS: remove `sslmode=require`, \
                     and run the tool on the database's machine or through a tunnel, such as ssh -L",
                );
            }
            Failure::about("the database", &error)
        })
    }

    #[cfg(not(feature = "postgres"))]
    async fn connect(&self, _: &str) -> Result<Inbox, Failure> {
        Err(Failure::new("this tool was built without the feature `postgres`"))
    }
}

/// Returns whether the text may be meant as the address of a database. Errors about files contain
/// the file's name.
fn may_have_password(inbox: &OsStr) -> bool {
    let text = inbox.to_string_lossy();
    let is_like_address = ["://", "@", "password"].iter().any(|part| text.contains(part));
    is_like_address && !Path::new(inbox).exists()
}

#[cfg(feature = "redb")]
fn open_file(path: &Path, access: Access) -> Result<Inbox, Failure> {
    use std::{thread::sleep, time::Instant};

    let builder = || Inbox::builder().create_if_missing(false);
    let opened = match access {
        Access::Write => builder().lock_timeout(PATIENCE).open(path),
        Access::Read => {
            let begun = Instant::now();
            let read = || builder().open_read_only(path);
            let write = || builder().lock_timeout(Duration::ZERO).open(path);
            open_to_read(read, write, || {
                sleep(Duration::from_millis(20));
                begun.elapsed() < PATIENCE
            })
        }
    };
    opened.map_err(|error| {
        let failure = Failure::about(input::name(path), &error);
        if error.kind() != InboxErrorKind::Locked || access == Access::Read {
            return failure;
        }
        Failure::new(format!("{failure}. Stop the receiver first, or call `Inbox::redrive` or `Inbox::purge` in it"))
    })
}

/// How long to wait for a receiver that starts or ends, because it locks the file for a moment.
#[cfg(feature = "redb")]
const PATIENCE: Duration = Duration::from_secs(2);

/// Tries to open a file until it is not locked, or until `wait` returns `false`.
#[cfg(feature = "redb")]
fn open_to_read<T>(
    read: impl Fn() -> Result<T, InboxError>,
    write: impl Fn() -> Result<T, InboxError>,
    wait: impl Fn() -> bool,
) -> Result<T, InboxError> {
    loop {
        let opened = match read() {
            // If the process that wrote it was killed, opening the file for writing recovers it. A
            // new process may have opened it meanwhile.
            Err(error) if error.kind() == InboxErrorKind::Unavailable => write(),
            opened => opened,
        };
        match opened {
            Err(error) if error.kind() == InboxErrorKind::Locked && wait() => {}
            opened => return opened,
        }
    }
}

#[cfg(not(feature = "redb"))]
fn open_file(path: &Path, _: Access) -> Result<Inbox, Failure> {
    let name = input::name(path);
    Err(Failure::new(format!("{name} is not a URL, and this tool was built without the feature `redb` for files")))
}

#[cfg(all(test, feature = "redb"))]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Returns two errors of the public API: one for a locked file, and one for a file that does
    /// not exist.
    fn errors(test: &str) -> (InboxError, InboxError) {
        let path = std::env::temp_dir().join(format!("twenty-place-{test}-{}.redb", std::process::id()));
        let open = || Inbox::builder().lock_timeout(Duration::ZERO).open(&path).map(drop);
        let _inbox = Inbox::open(&path).unwrap();
        let locked = open().unwrap_err();
        std::fs::remove_file(&path).unwrap();
        (locked, Inbox::builder().create_if_missing(false).open(&path).unwrap_err())
    }

    /// A receiver was killed and starts again: its file must be recovered first, then the new
    /// process has it locked, then it can be read.
    #[test]
    fn a_file_is_read_after_a_restarted_receiver_has_opened_it() {
        let (locked, unavailable) = errors("read");
        let next = Cell::new(0);
        let step = |is_write: bool| {
            let at = next.replace(next.get() + 1);
            let (expected, result) = [
                (false, Err(&locked)),
                (false, Err(&unavailable)),
                (true, Err(&locked)),
                (false, Err(&unavailable)),
                (true, Err(&locked)),
                (false, Ok(())),
            ][at];
            assert_eq!(is_write, expected, "{at}");
            result.map_err(Clone::clone)
        };
        open_to_read(|| step(false), || step(true), || true).unwrap();
        assert_eq!(next.get(), 6);
    }

    #[test]
    fn waiting_for_a_locked_file_ends_and_other_errors_are_returned_immediately() {
        let (locked, unavailable) = errors("refused");
        let left = Cell::new(5);
        let wait = || {
            left.set(left.get() - 1);
            left.get() > 0
        };
        let refuse = |error: &InboxError| Err::<(), _>(error.clone());
        let refused = open_to_read(|| refuse(&locked), || unreachable!(), wait).unwrap_err();
        assert_eq!((refused.kind(), left.get()), (locked.kind(), 0));
        let refused = open_to_read(|| refuse(&unavailable), || refuse(&unavailable), || unreachable!()).unwrap_err();
        assert_eq!(refused.kind(), unavailable.kind());
    }
}
