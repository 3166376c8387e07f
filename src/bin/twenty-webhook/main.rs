//! The command-line tool. It receives and shows Twenty's webhooks, sends samples, verifies and
//! replays captures, generates types from the workspace's objects, and finds out why nothing
//! arrives.
//!
//! It uses only the public API of the crate.

// No input may cause a panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

mod api;
mod batch;
mod capture;
mod client;
mod doctor;
mod finding;
mod formats;
#[cfg(any(feature = "postgres", feature = "redb"))]
mod inbox;
mod input;
mod listen;
mod output;
#[cfg(any(feature = "postgres", feature = "redb"))]
mod place;
mod replay;
mod secrets;
mod send;
mod sign;
mod tally;
mod target;
mod time;
mod types;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::output::{Color, Failure};

/// Receive, send, verify and replay the webhooks of Twenty CRM.
#[derive(Parser)]
#[command(version, after_help = AFTER_HELP, max_term_width = 110)]
struct Cli {
    /// When to use colours: `always`, `never` or `auto` (on a terminal, unless `NO_COLOR` is set)
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        display_order = 100
    )]
    color: Color,

    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Secrets:
  --secret-file FILE     visible to the users that the file's mode allows
  TWENTY_WEBHOOK_SECRET  visible to your own programs, not to other users
  --secret SECRET        visible to every user in the list of processes, and kept in your shell's history
  During a rotation, `listen` and `verify` also accept the secret in TWENTY_WEBHOOK_PREVIOUS_SECRET.

Exit codes:
  0  success
  1  a delivery did not verify, or was not answered with a 2xx status; no dead letter has the id;
     generated types differ from the workspace's objects; a check of `doctor` failed
  2  wrong usage; a file without a delivery, or with one that cannot be read; a missing file or
     secret; a port that is in use; any other error

Examples:
  twenty-webhook listen
  twenty-webhook send person.created --to http://127.0.0.1:3000/webhooks/twenty
  twenty-webhook listen --forward-to http://localhost:8080/webhooks/twenty --save captures
  twenty-webhook verify captures/1790932471733-9c56cc51b374.http
  twenty-webhook replay --resign captures/*.http --to http://localhost:8080/webhooks/twenty
  twenty-webhook types --url https://crm.example.com --token-file token --custom --output src/twenty.rs
  twenty-webhook doctor --url https://crm.example.com --token-file token";

#[derive(Subcommand)]
enum Command {
    Listen(listen::Listen),
    Send(send::Send),
    Verify(verify::Verify),
    Replay(replay::Replay),
    Sign(sign::Sign),
    Types(types::Types),
    Doctor(doctor::Doctor),
    #[cfg(any(feature = "postgres", feature = "redb"))]
    Inbox(inbox::InboxCommand),
    /// Show the events in a durable inbox (not in this build: it requires the feature redb or
    /// postgres).
    #[cfg(not(any(feature = "postgres", feature = "redb")))]
    #[command(disable_help_flag = true)]
    Inbox {
        #[arg(hide = true, allow_hyphen_values = true, trailing_var_arg = true)]
        _arguments: Vec<std::ffi::OsString>,
    },
    /// Print a completion script for a shell.
    #[command(after_help = "Examples:\n  source <(twenty-webhook completions bash)\n  \
                            twenty-webhook completions fish > ~/.config/fish/completions/twenty-webhook.fish")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    let Cli { color, command } = Cli::parse();
    color.apply();
    let done = match command {
        Command::Listen(listen) => listen.run(),
        Command::Send(send) => send.run(),
        Command::Verify(verify) => verify.run(),
        Command::Replay(replay) => replay.run(),
        Command::Sign(sign) => sign.run(),
        Command::Types(types) => types.run(),
        Command::Doctor(doctor) => doctor.run(),
        #[cfg(any(feature = "postgres", feature = "redb"))]
        Command::Inbox(inbox) => inbox.run(),
        #[cfg(not(any(feature = "postgres", feature = "redb")))]
        Command::Inbox { .. } => Err(Failure::new(
            "this build does not support inboxes: install the tool again, in a clone with \
             `cargo install --path . --features cli,redb` for a file or `--features cli,postgres` for PostgreSQL",
        )),
        Command::Completions { shell } => completions(shell),
    };
    done.unwrap_or_else(|failure| {
        output::complain(&failure);
        ExitCode::from(2)
    })
}

fn completions(shell: clap_complete::Shell) -> Result<ExitCode, Failure> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    // In bash, clap_complete spells a name with a hyphen in two ways, so that nothing would be
    // completed after a subcommand (clap's issue 6421).
    let script = String::from_utf8_lossy(&script).replace("twenty__subcmd__webhook", "twenty__webhook");
    output::print(&script)?;
    Ok(ExitCode::SUCCESS)
}
