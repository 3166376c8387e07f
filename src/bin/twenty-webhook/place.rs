//! The arguments that locate an inbox.

use std::{ffi::OsString, path::Path};

use clap::Args;
use twenty_webhook::inbox::Inbox;

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
    /// Reads the place from standard input, if it is `-`, so that it can be opened more than once.
    pub(crate) fn resolved(mut self) -> Result<Self, Failure> {
        self.inbox = self.read()?;
        Ok(self)
    }

    fn read(&self) -> Result<OsString, Failure> {
        if !input::is_standard_input(Path::new(&self.inbox)) {
            return Ok(self.inbox.clone());
        }
        let text = String::from_utf8(input::read(Path::new(&self.inbox))?);
        let text = text.map_err(|error| Failure::about("standard input", &error))?;
        Ok(text.trim_ascii_end().into())
    }

    pub(crate) async fn open(&self, access: Access) -> Result<Inbox, Failure> {
        let inbox = self.read()?;
        let is_url = |text: &&str| text.starts_with("postgres://") || text.starts_with("postgresql://");
        match inbox.to_str().filter(is_url) {
            Some(url) => self.connect(url).await,
            None => open_file(Path::new(&inbox), access),
        }
    }

    #[cfg(feature = "postgres")]
    async fn connect(&self, url: &str) -> Result<Inbox, Failure> {
        let builder = Inbox::builder().schema(&self.schema).table(&self.table).create_if_missing(false);
        builder.connect(url).await.map_err(|error| Failure::about("the database", &error))
    }

    #[cfg(not(feature = "postgres"))]
    async fn connect(&self, _: &str) -> Result<Inbox, Failure> {
        Err(Failure::new("this tool was built without the feature `postgres`"))
    }
}

#[cfg(feature = "redb")]
fn open_file(path: &Path, access: Access) -> Result<Inbox, Failure> {
    use std::time::Duration;

    use twenty_webhook::inbox::InboxErrorKind;

    // A receiver that is shutting down closes the file soon.
    const PATIENCE: Duration = Duration::from_secs(2);

    let builder = || Inbox::builder().create_if_missing(false).lock_timeout(PATIENCE);
    if access == Access::Read {
        match builder().open_read_only(path) {
            // If the process that wrote it was killed, opening the file for writing recovers it.
            Err(error) if error.kind() == InboxErrorKind::Unavailable => {}
            opened => return opened.map_err(|error| Failure::about(input::name(path), &error)),
        }
    }
    builder().open(path).map_err(|error| {
        let failure = Failure::about(input::name(path), &error);
        if error.kind() != InboxErrorKind::Locked {
            return failure;
        }
        Failure::new(format!("{failure}. Stop the receiver first, or call `Inbox::redrive` or `Inbox::purge` in it"))
    })
}

#[cfg(not(feature = "redb"))]
fn open_file(path: &Path, _: Access) -> Result<Inbox, Failure> {
    let name = input::name(path);
    Err(Failure::new(format!("{name} is not a URL, and this tool was built without the feature `redb` for files")))
}
