//! The command-line tool: receives Twenty's webhooks and shows them, sends samples, verifies and
//! replays what was captured, generates types from the workspace's objects, and looks for the
//! reason when nothing arrives.
//!
//! A user of the crate like any other: all that it knows of Twenty comes from the public API.

// No input may make it panic.
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
    /// When to colour: `always`, `never`, or `auto`, which is on a terminal and unless `NO_COLOR`
    /// is set
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
  --secret-file FILE     other users of this machine see what the file's mode lets them see
  TWENTY_WEBHOOK_SECRET  other users do not see it; your own programs do
  --secret SECRET        everybody sees it in the list of processes, and your shell remembers it
  During a rotation, `listen` and `verify` also accept that of TWENTY_WEBHOOK_PREVIOUS_SECRET.

Exit codes:
  0  all went well
  1  a delivery did not verify, or was not answered with a 2xx status; no dead letter has the id;
     generated types differ from the workspace's objects; a check of `doctor` has failed
  2  wrong usage, or something that is needed is not there: a file, a secret, a port

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
    /// Show what a durable inbox holds (not in this build: it needs the feature redb or postgres).
    #[cfg(not(any(feature = "postgres", feature = "redb")))]
    #[command(disable_help_flag = true)]
    Inbox {
        #[arg(hide = true, allow_hyphen_values = true, trailing_var_arg = true)]
        _arguments: Vec<std::ffi::OsString>,
    },
    /// Print a script that makes a shell complete this tool's commands and options.
    #[command(after_help = "Examples:\n  source <(twenty-webhook completions bash)\n  \
                            twenty-webhook completions fish > ~/.config/fish/completions/twenty-webhook.fish")]
    Completions {
        /// For which shell.
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
            "this build has no inbox: install the tool with the feature of your inbox's store, in a clone with \
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
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
