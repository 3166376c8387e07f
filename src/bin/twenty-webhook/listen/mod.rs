//! `listen`: receives deliveries and shows them.

mod forward;
mod observe;
mod printer;
mod repetition;
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
    output::{Failure, Format, harmless_line, note, style, styled},
    secrets::{self, SecretOptions},
    target::Target,
};

const EXAMPLES: &str = "\
Deliveries may come to any path. Refused ones are answered as the crate's receivers do, and never forwarded. \
Ctrl-C and SIGTERM end it.

A delivery that this process forwarded before is answered 508: --forward-to leads back here. It is known by its `Via` header, so a proxy \
that removes `Via` hides a loop.

The members of a JSON object: time, status, verified, and method where it is not POST; of a verified delivery event, recordId, \
displayName, updatedFields, unexpected (members of unexpected types, which read as absent), repetition (how many times it came \
before), previousSecret and forwarded; of a refused one refusal and causes; of a saved one capture; with --show, record or body.

Examples:
  twenty-webhook listen
  twenty-webhook listen --secret-file secret.txt --forward-to http://localhost:8080/webhooks/twenty
  twenty-webhook listen --ui --save captures --forward-to http://localhost:8080/webhooks/twenty
  twenty-webhook listen --show record --filter 'person.*' --filter company.updated
  twenty-webhook listen --format json --show record | jq .record.name";

/// Receive deliveries, verify them and show each one as it comes.
///
/// Without a secret it makes one and says where to put it.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Listen {
    /// Address to listen on; `:PORT` stands for 127.0.0.1:PORT, and port 0 lets the system choose
    /// one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:3000")]
    addr: String,

    /// Post verified deliveries on to this address, byte for byte, and answer what it answers
    #[arg(long, value_name = "URL")]
    forward_to: Option<Target>,

    /// Write every request into a file of this directory, unverified ones too, copies of a verified
    /// one once; `verify` and `replay` read them
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,

    /// How many verified captures the directory may hold, and how many unverified ones (these also
    /// 256 MiB at most); the oldest ones of the same kind are removed, by the time in their names
    #[arg(long, value_name = "NUMBER", default_value = "1000", requires = "save", value_parser = input::positive)]
    keep: NonZeroUsize,

    /// How to show a delivery
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// Show a verified delivery's JSON, too: on a terminal each member on a line, elsewhere all of it
    /// on one line
    #[arg(long, value_enum, value_name = "PART")]
    show: Option<Part>,

    /// Show only verified deliveries of these events, such as `person.*`; repeatable. Other events
    /// are still answered, saved and forwarded, and refused requests are always shown
    #[arg(long, value_name = "PATTERN")]
    filter: Vec<EventPattern>,

    /// Serve a page that shows the deliveries as they come, and print its address. With --save it
    /// also shows those that were saved before; with --forward-to it sends them again
    #[arg(long)]
    ui: bool,

    /// Address of that page; port 0 lets the system choose one. The page shows every delivery, so
    /// leave it on this machine
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0", requires = "ui")]
    ui_addr: String,

    #[command(flatten)]
    secret: SecretOptions,
}

/// How long open requests may take after the program was asked to end: as long as Twenty waits, and a little more.
const GRACE: Duration = Duration::from_secs(6);

/// How long the last deliveries may take to be shown after that.
const PRINTING: Duration = Duration::from_secs(3);

impl Listen {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| Failure::about("the runtime", &error))?.block_on(self.listen())
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
                    "--forward-to {target} is where this listens itself: choose another port"
                )));
            }
            target => target.map(Forward::new).transpose()?,
        };
        let inspector = if self.ui { Some(Inspector::bind(&self.ui_addr).await?) } else { None };
        let saved_in = self.save.as_ref().map(|directory| directory.display().to_string());
        // It removes the excess, so it comes after everything else that may fail.
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
                // Nobody reads what is shown.
                _ = closed => {}
            }
            let _ = stopping.send(());
        };
        let late = async {
            let _ = stopped.await;
            sleep(GRACE).await;
        };
        tokio::select! {
            served = axum::serve(listener, app).with_graceful_shutdown(stop) => {
                served.map_err(|error| Failure::about("the listener", &error))?;
            }
            () = late => {}
        }
        // A connection that is still open keeps its sender, so the printer is told. Whoever should read what it shows may
        // have stopped reading.
        let end = async {
            queue.end().await;
            while !printed.is_finished() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        if timeout(PRINTING, end).await.is_err() {
            return Err(Failure::new(
                "the last requests are not shown: standard output is not read, or a diagnosis takes too long",
            ));
        }
        let printed = printed.join().unwrap_or_else(|_| Err(io::Error::other("the printer panicked")));
        match printed {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::about("standard output", &error)),
            _ => Ok(ExitCode::SUCCESS),
        }
    }
}

/// Where to send deliveries, on standard error: standard output has deliveries only. `options`: what `send` needs beside the secret.
fn greet(address: SocketAddr, forward: Option<&Forward>, new_secret: Option<&str>, options: &str) {
    let url = format!("http://{address}/webhooks/twenty");
    note(&styled(style::STRONG, format_args!("listening on {url}")));
    if is_private(address.ip()) {
        note(&format!(
            "Twenty on another machine needs a tunnel, such as cloudflared tunnel --url http://{}\n\
             Twenty's safe mode blocks private addresses but those in OUTBOUND_HTTP_ALLOWED_INTERNAL_HOSTS",
            from_this_machine(address)
        ));
    }
    if let Some(forward) = forward {
        note(&format!("forwarding to {}", forward.target()));
    }
    if let Some(secret) = new_secret {
        note(&format!(
            "no secret was given, so here is a new one: {}\n\
             put it into Twenty, under Settings > APIs & Webhooks, on the webhook's page; or try it from another terminal:\n  \
             {}",
            styled(style::STRONG, secret),
            send_command(address, &format!(" --secret {secret}{options}")),
        ));
    }
}

/// The command that sends a sample here. `options`: what it needs beside the address.
fn send_command(address: SocketAddr, options: &str) -> String {
    format!("{} send person.created --to http://{address}/webhooks/twenty{options}", harmless_line(&program()))
}

/// Only a port: the host of the default.
fn full_address(asked: &str) -> String {
    let is_port = asked.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    if is_port { format!("127.0.0.1{asked}") } else { asked.to_owned() }
}

/// Who connects to the unspecified address reaches this machine, but not on every system.
fn from_this_machine(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// As it was called, so that the command works where this one did.
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
        // Also when the host cannot be looked up, for which there is no kind.
        _ => "; it should be HOST:PORT, such as 127.0.0.1:3000".to_owned(),
    };
    Failure::new(format!("cannot listen on {address}: {error}{advice}"))
}

/// By Ctrl-C or by SIGTERM.
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
