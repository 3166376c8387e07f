//! `inbox`: shows the events in a durable inbox, and redrives and purges dead letters.

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use serde::Serialize;
use twenty_webhook::{
    WebhookEvent,
    event::Record,
    inbox::{DeadLetter, EventId, Inbox, InboxError},
};

use crate::{
    capture::Capture,
    input, listen,
    output::{self, Failure, Format, complain, harmless, json_line, note, shortened, style, styled},
    place::{Access, Place},
    time,
};

const EXAMPLES: &str = "\
`stats`, `list`, `show` and `ui` can read a file while a receiver uses it. `redrive` and `purge` fail while a receiver has the file \
open: stop the receiver first, or call `Inbox::redrive` or `Inbox::purge` in it. With PostgreSQL, all commands work while receivers and \
workers run. The connection to PostgreSQL does not use TLS.

Members of the JSON objects of --format json:
  list   id, event, recordId, receivedAt, diedAt, reason, attempts, interruptions, message, bytes
  stats  ready, delayed, running, dead, bytes, rememberedKeys, oldestPending

Examples:
  twenty-webhook inbox stats twenty-inbox.redb
  twenty-webhook inbox list twenty-inbox.redb --format json | jq .reason
  twenty-webhook inbox show twenty-inbox.redb c29b14b4e7a1bd0a5d2c61ad9f4e9d3a --output capture.http
  twenty-webhook inbox ui twenty-inbox.redb
  twenty-webhook inbox redrive postgres://crm@localhost/crm --all
  printenv DATABASE_URL | twenty-webhook inbox list -";

/// Show the events in a durable inbox, and redrive or purge its dead letters.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InboxCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Show the number of events in each state
    Stats {
        #[command(flatten)]
        place: Place,

        /// Output format
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// List the dead letters, in the order in which they were accepted
    List {
        #[command(flatten)]
        place: Place,

        /// Output format
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Write a dead letter as a capture, which `verify` and `replay` can read
    ///
    /// To handle the event again, use `redrive`. If you replay the capture to the same inbox, it counts as a duplicate, even after
    /// `purge`.
    Show {
        #[command(flatten)]
        place: Place,

        /// The dead letter's id, as shown by `list`
        id: EventId,

        /// Write the capture into a new file that only you can read, instead of standard output
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Make dead letters ready again, for new attempts
    #[command(override_usage = "twenty-webhook inbox redrive [OPTIONS] <FILE|URL> <ID...|--all>")]
    Redrive(Letters),
    /// Delete dead letters
    #[command(override_usage = "twenty-webhook inbox purge [OPTIONS] <FILE|URL> <ID...|--all>")]
    Purge(Letters),
    /// Serve a page that shows the numbers and the dead letters as they change, and print its
    /// address. The page can also redrive and purge dead letters
    Ui {
        #[command(flatten)]
        place: Place,

        /// Address of that page; port 0 lets the system choose one. The page shows every dead
        /// letter, so do not open it to other machines
        #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
        ui_addr: String,
    },
}

/// Which dead letters.
#[derive(Args)]
struct Letters {
    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    which: Which,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The dead letters' ids, as shown by `list`
    #[arg(value_name = "ID")]
    ids: Vec<EventId>,

    /// All dead letters
    #[arg(long)]
    all: bool,
}

/// A change of dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Redrive,
    Purge,
}

impl Change {
    /// Changes one dead letter, or all of them. Returns their number.
    pub(crate) async fn apply(self, inbox: &Inbox, id: Option<EventId>) -> Result<u64, Failure> {
        let changed = match (self, id) {
            (Self::Redrive, Some(id)) => inbox.redrive(id).await.map(u64::from),
            (Self::Purge, Some(id)) => inbox.purge(id).await.map(u64::from),
            (Self::Redrive, None) => inbox.redrive_all().await,
            (Self::Purge, None) => inbox.purge_all().await,
        };
        changed.map_err(failed)
    }
}

impl InboxCommand {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        output::run_async(async {
            match self.action {
                Action::Stats { place, format } => stats(&place.open(Access::Read).await?, format).await,
                Action::List { place, format } => list(&place.open(Access::Read).await?, format).await,
                Action::Show { place, id, output } => {
                    show(&place.open(Access::Read).await?, id, output.as_deref()).await
                }
                Action::Redrive(letters) => letters.change(Change::Redrive).await,
                Action::Purge(letters) => letters.change(Change::Purge).await,
                Action::Ui { place, ui_addr } => listen::show_inbox(place, &ui_addr).await,
            }
        })
        .flatten()
    }
}

impl Letters {
    /// The exit code is 1 if an id has no dead letter.
    async fn change(self, change: Change) -> Result<ExitCode, Failure> {
        let inbox = self.place.open(Access::Write).await?;
        let mut changed: u64 = 0;
        let mut exit_code = ExitCode::SUCCESS;
        if self.which.all {
            changed = change.apply(&inbox, None).await?;
        }
        for id in self.which.ids {
            let is_changed = change.apply(&inbox, Some(id)).await? > 0;
            changed = changed.saturating_add(u64::from(is_changed));
            if !is_changed {
                complain(&no_letter(id));
                exit_code = ExitCode::from(1);
            }
        }
        let letters = if changed == 1 { "1 dead letter".to_owned() } else { format!("{changed} dead letters") };
        output::print(&match change {
            Change::Redrive => format!("made {letters} ready again\n"),
            Change::Purge => format!("purged {letters}\n"),
        })?;
        Ok(exit_code)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: InboxError) -> Failure {
    Failure::about("the inbox", &error)
}

/// The members of a JSON line.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    ready: u64,
    delayed: u64,
    running: u64,
    dead: u64,
    bytes: u64,
    remembered_keys: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_pending: Option<String>,
}

fn no_letter(id: EventId) -> String {
    format!("no dead letter has the id {id}: the event may be pending, handled or purged")
}

async fn stats(inbox: &Inbox, format: Format) -> Result<ExitCode, Failure> {
    let stats = inbox.stats().await.map_err(failed)?;
    let oldest = stats.oldest_pending.map(time::format);
    output::print(&match format {
        Format::Pretty => {
            let row = |name, number: u64| format!("{name:<16}{number:>12}\n");
            row("ready", stats.ready)
                + &row("delayed", stats.delayed)
                + &row("running", stats.running)
                + &row("dead letters", stats.dead)
                + &row("bytes", stats.bytes)
                + &row("remembered keys", stats.remembered_keys)
                + &format!("oldest pending  {}\n", oldest.as_deref().unwrap_or("none"))
        }
        Format::Json => json_line(&Counts {
            ready: stats.ready,
            delayed: stats.delayed,
            running: stats.running,
            dead: stats.dead,
            bytes: stats.bytes,
            remembered_keys: stats.remembered_keys,
            oldest_pending: oldest,
        }),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A dead letter, whose members are those of a JSON line.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    id: String,
    event: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    record_id: Option<String>,
    received_at: String,
    died_at: String,
    reason: &'static str,
    attempts: u32,
    interruptions: u32,
    message: String,
    bytes: usize,
}

impl Entry {
    fn new(letter: &DeadLetter) -> Self {
        let event = WebhookEvent::<Record>::from_verified(letter.verified().clone());
        Self {
            id: letter.id().to_string(),
            event: letter.name().to_string(),
            record_id: event.ok().and_then(|event| Some(event.record.id()?.to_string())),
            received_at: time::format(letter.received_at()),
            died_at: time::format(letter.died_at()),
            reason: letter.reason().as_str(),
            attempts: letter.attempts(),
            interruptions: letter.interruptions(),
            message: letter.message().to_owned(),
            bytes: letter.body().len(),
        }
    }

    fn pretty(&self) -> String {
        let Self { id, received_at, reason, attempts, event, message, .. } = self;
        let event = if event.is_empty() { "-" } else { event };
        let event = styled(style::STRONG, shortened(event));
        format!("{id}  {received_at}  {attempts:>8}  {reason:<11}  {event}  {}\n", shortened(message))
    }
}

async fn list(inbox: &Inbox, format: Format) -> Result<ExitCode, Failure> {
    let mut letters = inbox.dead_letters();
    let mut line = match format {
        Format::Pretty => {
            let title =
                format!("{:<32}  {:<24}  {:>8}  {:<11}  event, message", "id", "received", "attempts", "reason");
            styled(style::FAINT, title) + "\n"
        }
        Format::Json => String::new(),
    };
    let mut is_any = false;
    while let Some(letter) = letters.next().await.map_err(failed)? {
        let entry = Entry::new(&letter);
        line += &match format {
            Format::Pretty => entry.pretty(),
            Format::Json => json_line(&entry),
        };
        match output::write_out(&line) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            written => written.map_err(|error| Failure::about("standard output", &error))?,
        }
        line.clear();
        is_any = true;
    }
    if !is_any {
        note("no dead letters");
    }
    Ok(ExitCode::SUCCESS)
}

/// The path of a dead letter's request is not known, so captures have the path of the examples.
pub(crate) const TARGET: &str = "/webhooks/twenty";

/// Returns the headers of a request with a dead letter's body.
pub(crate) fn headers_of(letter: &DeadLetter) -> impl Iterator<Item = (String, String)> {
    let content_type = ("content-type".to_owned(), "application/json".to_owned());
    [content_type].into_iter().chain(letter.signature_headers().pairs())
}

pub(crate) fn received_at(letter: &DeadLetter) -> jiff::Timestamp {
    time::to_civil(letter.received_at()).unwrap_or(jiff::Timestamp::MAX)
}

async fn show(inbox: &Inbox, id: EventId, output: Option<&Path>) -> Result<ExitCode, Failure> {
    let Some(letter) = inbox.dead_letter(id).await.map_err(failed)? else {
        complain(&no_letter(id));
        return Ok(ExitCode::from(1));
    };
    let capture = Capture::write("POST", TARGET, headers_of(&letter), letter.body(), received_at(&letter));
    if let Some(path) = output {
        output::write_private(path, &capture).map_err(|error| Failure::about(input::name(path), &error))?;
    } else if io::stdout().is_terminal() {
        output::print(&harmless(&String::from_utf8_lossy(&capture)))?;
    } else {
        output::print_bytes(&capture)?;
    }
    Ok(ExitCode::SUCCESS)
}
