//! `listen`: receives deliveries and shows them.

mod duplicates;
mod forward;
mod observe;
mod printer;
mod report;
mod save;
mod show;
mod tee;
mod ui;

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroUsize,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use tokio::{
    net::TcpListener,
    sync::oneshot,
    time::{sleep, timeout},
};
use twenty_webhook::{event::EventPattern, verify::SystemClock};

#[cfg(any(feature = "postgres", feature = "redb"))]
pub(crate) use self::ui::show_inbox;
use self::{
    forward::Forward,
    printer::Printer,
    save::Captures,
    show::{Part, View},
    ui::Inspector,
};
use crate::{
    doctor::is_private,
    input,
    output::{Failure, Format, harmless_line, note, run_async, shell_word, style, styled},
    secrets::{self, SecretOptions},
    target::Target,
};

const EXAMPLES: &str = "\
Deliveries can have any path. Rejected deliveries get the same answers as from the crate's receivers, and are never forwarded. \
Ctrl-C and SIGTERM end the listener.

If --forward-to leads back to this listener, a delivery returns after it was forwarded. It is answered 508. The header `Via` \
identifies such deliveries, so a proxy that removes `Via` hides a loop.

Members of the JSON objects of --format json:
  always              time, status, verified; method if it is not POST
  if it is verified   event, recordId, displayName, updatedFields, forwarded, previousSecret;
                      unexpected: members of unexpected types, read as if absent;
                      longBody: the body's length, if receivers reject it by default;
                      repetition: how many times the delivery was received before
  if it is rejected   rejection, causes
  if it is saved      capture
  with --show         record or body

Examples:
  twenty-webhook listen
  twenty-webhook listen --secret-file secret.txt --forward-to http://localhost:8080/webhooks/twenty
  twenty-webhook listen --ui --save captures --forward-to http://localhost:8080/webhooks/twenty
  twenty-webhook listen --show record --filter 'person.*' --filter company.updated
  twenty-webhook listen --format json --show record | jq .record.name";

/// Receive and verify deliveries, and show each one as it arrives.
///
/// If you pass no secret, it generates one and prints where to enter it.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Listen {
    /// Address to listen on; `:PORT` means 127.0.0.1:PORT, and port 0 lets the system choose one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:3000")]
    addr: String,

    /// Forward verified deliveries to this address, byte for byte, and answer with the same status
    #[arg(long, value_name = "URL")]
    forward_to: Option<Target>,

    /// Save requests to files in this directory: each unverified request, and each verified
    /// delivery once. `verify` and `replay` read these files
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,

    /// Maximum number of verified captures in the directory, and separately of unverified captures,
    /// which also take at most 256 MiB. The oldest captures of the same kind, by the time in their
    /// names, are removed
    #[arg(long, value_name = "NUMBER", default_value = "1000", requires = "save", value_parser = input::positive)]
    keep: NonZeroUsize,

    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// Also show the JSON of verified deliveries: on a terminal with one member per line, otherwise
    /// on one line
    #[arg(long, value_enum, value_name = "PART")]
    show: Option<Part>,

    /// Show only verified deliveries of these events, such as `person.*`; repeatable. Other events
    /// are still answered, saved and forwarded, and rejected requests are always shown
    #[arg(long, value_name = "PATTERN")]
    filter: Vec<EventPattern>,

    /// Serve a page that shows deliveries as they arrive, and print its address. With --save, the
    /// page also shows deliveries that were saved before; with --forward-to, it can send them again
    #[arg(long)]
    ui: bool,

    /// Address of that page; port 0 lets the system choose one. The page shows every delivery, so
    /// do not open it to other machines
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0", requires = "ui")]
    ui_addr: String,

    #[command(flatten)]
    secret: SecretOptions,
}

/// How long open requests may take after a signal to end: a little longer than Twenty waits.
const GRACE: Duration = Duration::from_secs(6);

/// How long it may take afterwards to show the last deliveries.
const PRINTING: Duration = Duration::from_secs(3);

impl Listen {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        run_async(self.listen()).flatten()
    }

    async fn listen(self) -> Result<ExitCode, Failure> {
        let given = self.secret.find()?;
        let is_new = given.is_none();
        let secret = given.map_or_else(secrets::generate, Ok)?;
        let shown_secret = is_new.then(|| secret.expose_secret().to_owned());
        let verifier = self.secret.verifier(secret.clone(), SystemClock)?;

        let asked = &self.addr;
        let listener =
            TcpListener::bind(full_address(asked)).await.map_err(|error| cannot_listen("--addr", asked, &error))?;
        let address = listener.local_addr().map_err(|error| cannot_listen("--addr", asked, &error))?;
        let forward = match self.forward_to {
            Some(target) if target.is_address(address) => {
                return Err(Failure::new(format!(
                    "--forward-to {target} is the address of this listener: choose another port"
                )));
            }
            target => target.map(Forward::new).transpose()?,
        };
        let inspector = if self.ui { Some(Inspector::bind(&self.ui_addr).await?) } else { None };
        let saved_in = self.save.as_ref().map(|directory| directory.display().to_string());
        // Opening the directory removes files, so it comes after everything else that may fail.
        let captures = self.save.map(|directory| Captures::open(directory, self.keep)).transpose()?;
        let prefix = self.secret.header_prefix.as_ref().map(|prefix| format!(" --header-prefix {prefix}"));
        greet(address, forward.as_ref(), shown_secret.as_deref(), &prefix.unwrap_or_default());

        let view = View { format: self.format, show: self.show, filter: self.filter };
        let store = inspector.as_ref().map(|inspector| inspector.store.clone());
        let parts = ui::Parts {
            origin: format!("http://{}", from_this_machine(address)),
            send: send_command(from_this_machine(address), &self.secret.hint(is_new)),
            forward: forward.clone(),
            verifier: verifier.clone(),
            signer: self.secret.signer_with(secret.clone())?,
            secret,
            options: self.secret,
            saved: captures.as_ref().map(Captures::saved),
            saved_in,
        };
        let (queue, printer) = Printer::start(verifier.clone(), captures, view, store);
        if let Some(inspector) = inspector {
            inspector.start(parts);
        }
        let app = observe::app(verifier, forward, queue.clone());
        let (closed, printed) = (printer.closed, printer.thread);
        let (stopping, stopped) = oneshot::channel();
        let stop = async move {
            tokio::select! {
                () = asked_to_end() => {}
                // Nobody reads the output.
                _ = closed => {}
            }
            let _ = stopping.send(());
        };
        let serve = async {
            let served = axum::serve(listener, app).with_graceful_shutdown(stop).await;
            queue.idle().await;
            served
        };
        let late = async {
            let _ = stopped.await;
            sleep(GRACE).await;
        };
        tokio::select! {
            served = serve => {
                served.map_err(|error| Failure::about("the listener", &error))?;
            }
            () = late => {}
        }
        // An open connection keeps its sender of the queue, so the printer must be ended
        // explicitly. This is limited in time, because nobody may be reading its output.
        let end = async {
            queue.end().await;
            while !printed.is_finished() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        if timeout(PRINTING, end).await.is_err() {
            return Err(Failure::new(
                "the last requests were not shown, nor saved with --save: nobody reads standard output, or a diagnosis \
                 takes too long",
            ));
        }
        let printed = printed.join().unwrap_or_else(|_| Err(io::Error::other("the printer panicked")));
        match printed {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::about("standard output", &error)),
            _ => Ok(ExitCode::SUCCESS),
        }
    }
}

/// Prints where to send deliveries. This goes to standard error, because standard output contains
/// only deliveries. `options` are the options that `send` requires in addition to the secret.
fn greet(address: SocketAddr, forward: Option<&Forward>, new_secret: Option<&str>, options: &str) {
    let url = format!("http://{address}/webhooks/twenty");
    note(&styled(style::STRONG, format_args!("listening on {url}")));
    if is_private(address.ip()) {
        note(&format!(
            "Twenty on another machine requires a tunnel, such as cloudflared tunnel --url http://{}\n\
             Twenty's safe mode blocks private addresses except those in OUTBOUND_HTTP_ALLOWED_INTERNAL_HOSTS",
            from_this_machine(address)
        ));
    }
    if let Some(forward) = forward {
        note(&format!("forwarding to {}", forward.target()));
    }
    if let Some(secret) = new_secret {
        note(&format!(
            "no secret was given, so here is a new one: {}\n\
             enter it in Twenty, under Settings > APIs & Webhooks, on the webhook's page; or try it from another terminal:\n  \
             {}",
            styled(style::STRONG, secret),
            send_command(from_this_machine(address), &format!(" --secret {secret}{options}")),
        ));
    }
}

/// Returns the command that sends a sample to this listener. `options` are the options that it
/// requires in addition to the address.
fn send_command(address: SocketAddr, options: &str) -> String {
    let program = shell_word(&harmless_line(&program()));
    format!("{program} send person.created --to http://{address}/webhooks/twenty{options}")
}

/// Completes an address that is only a port with the host of the default.
fn full_address(asked: &str) -> String {
    let is_port = asked.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    if is_port { format!("127.0.0.1{asked}") } else { asked.to_owned() }
}

/// Replaces the unspecified address, because not every system can connect to it.
fn from_this_machine(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Returns the name with which the program was called, so that the printed command works, too.
fn program() -> String {
    std::env::args_os().next().map_or("twenty-webhook".into(), |name| name.to_string_lossy().into_owned())
}

fn cannot_listen(option: &str, address: &str, error: &io::Error) -> Failure {
    let advice = match error.kind() {
        ErrorKind::AddrInUse => {
            format!("; another program listens there, so choose another one: {option} 127.0.0.1:0")
        }
        ErrorKind::AddrNotAvailable => {
            "; this machine does not have that address: 127.0.0.1 and 0.0.0.0 always work".to_owned()
        }
        ErrorKind::PermissionDenied => {
            format!("; ports below 1024 may need more rights, so choose another one: {option} 127.0.0.1:3000")
        }
        // This includes a host that cannot be resolved, for which there is no kind.
        _ => "; it should be HOST:PORT, such as 127.0.0.1:3000".to_owned(),
    };
    Failure::new(format!("cannot listen on {address}: {error}{advice}"))
}

/// Waits for Ctrl-C or SIGTERM.
pub(crate) async fn asked_to_end() {
    let ctrl_c = tokio::signal::ctrl_c();
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = ctrl_c => {}
            _ = terminate.recv() => {}
        }
        return;
    }
    let _ = ctrl_c.await;
}
