//! `verify`: whether a captured delivery is genuine, and if not, why.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use twenty_webhook::{
    Verified, WebhookEvent,
    diagnose::Diagnosis,
    verify::{FixedClock, Secret, SystemClock, Timestamp},
};

use crate::{
    capture::Capture,
    finding::{self, Finding, is_post},
    input,
    output::{self, Failure, harmless_line, shortened, style, styled, wrapped},
    secrets::SecretOptions,
    time::{self, Moment},
};

/// Tell whether a captured delivery is genuine, and if not, why.
///
/// FILE is what `listen --save` writes, or any HTTP request with its headers and body; or a body alone, with its timestamp and
/// signature as options. Exits with 0 when it verifies, and with 1 when it does not.
#[derive(Args)]
#[command(after_help = "Examples:\n  twenty-webhook verify captures/1790932471733-9c56cc51b374.http\n  \
    twenty-webhook verify body.json --timestamp 1790932471733 --signature db637a878ed8…")]
pub(crate) struct Verify {
    /// A capture, or a body; `-` for standard input
    file: PathBuf,

    /// The header X-Twenty-Webhook-Timestamp, for a body alone
    #[arg(long, value_name = "MILLISECONDS")]
    timestamp: Option<String>,

    /// The header X-Twenty-Webhook-Signature, for a body alone
    #[arg(long, value_name = "HEX")]
    signature: Option<String>,

    /// The time to judge its age by: `now`, or another. Without it, when it was captured, or else when it was signed
    #[arg(long, value_name = "TIME")]
    as_of: Option<Moment>,

    #[command(flatten)]
    secret: SecretOptions,
}

impl Verify {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        self.secret.check_standard_input([&*self.file])?;
        let secret = self.secret.require()?;
        let capture = self.read()?;
        let (now, reason) = self.present(&secret, &capture)?;
        let verifier = self.secret.verifier(secret, FixedClock::at(now))?;

        let headers = capture.headers.iter().map(|(name, value)| (name, value));
        let diagnosis = verifier.diagnose(headers.clone(), &capture.body);
        let mut report = told(&capture.method, &diagnosis);
        let verified = verifier.verify(headers, capture.body);
        if let Ok(verified) = &verified {
            report += &tell(verified);
        }
        report += &format!("judged as of {}{reason}\n", time::told(now));
        output::print(&report)?;
        Ok(if verified.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }

    fn read(&self) -> Result<Capture, Failure> {
        let file = input::read(&self.file)?;
        let options = [("timestamp", &self.timestamp), ("signature", &self.signature)];
        let given =
            options.into_iter().filter_map(|(name, value)| Some((self.header(name), value.clone()?.into_bytes())));
        let headers: Vec<_> = given.collect();
        let name = input::name(&self.file);
        match (Capture::is_one(&file), headers.is_empty()) {
            (true, true) => Capture::parse(&file).map_err(|error| Failure::about(name, &error)),
            (false, false) => Ok(Capture { method: "POST".to_owned(), headers, body: file, captured_at: None }),
            (true, false) => Err(Failure::new(format!(
                "{name} is a capture with headers of its own: leave out --timestamp and --signature"
            ))),
            (false, true) => Err(Failure::new(format!(
                "{name} is a body without headers: give those of the delivery with --timestamp and --signature"
            ))),
        }
    }

    /// One of the signature's headers.
    fn header(&self, name: &str) -> String {
        format!("{}-{name}", self.secret.header_prefix.as_deref().unwrap_or("x-twenty-webhook"))
    }

    /// The time to judge by, and why it is that.
    fn present(&self, secret: &Secret, capture: &Capture) -> Result<(Timestamp, &'static str), Failure> {
        if let Some(moment) = self.as_of {
            return Ok((moment.timestamp(), if moment == Moment::Now { ", which is now" } else { "" }));
        }
        if let Some(captured_at) = capture.captured_at.and_then(time::from_civil) {
            return Ok((captured_at, ", when it was captured; for the present, --as-of now"));
        }
        let headers = capture.headers.iter().map(|(name, value)| (name, value));
        let claimed = self.secret.verifier(secret.clone(), SystemClock)?.claimed_timestamp(headers);
        Ok(match claimed {
            Some(claimed) => (claimed, ", its own timestamp; for the present, --as-of now"),
            None => (Moment::Now.timestamp(), ", which is now: it has no timestamp that can be read"),
        })
    }
}

/// The verdict in its colour, and what is to be done about it.
fn told(method: &str, diagnosis: &Diagnosis) -> String {
    let mut told = match diagnosis.verdict() {
        Ok(()) if is_post(method) => {
            format!("{}: the delivery is genuine and in time\n", styled(style::GOOD, "verifies"))
        }
        Ok(()) => format!(
            "{}: genuine and in time, but receivers accept POST only, and it came as {}\n",
            styled(style::GOOD, "verifies"),
            shortened(method)
        ),
        Err(error) => format!("{}: {error}\n", styled(style::BAD, "does not verify")),
    };
    let findings = diagnosis.verdict().err().map(|_| finding::all(method, diagnosis)).unwrap_or_default();
    for (Finding { cause, advice }, number) in findings.iter().zip(1..) {
        let name = wrapped(&format!("{number}. "), &harmless_line(cause));
        told += &format!("{}\n{}", styled(style::ODD, name.trim_end()), wrapped("   ", advice));
    }
    told
}

/// What the delivery is.
fn tell(verified: &Verified) -> String {
    let secret = if verified.secret_index() == 0 { "the secret" } else { "the previous secret" };
    let signed = format!("signed on {} with {secret}\n", time::told(verified.timestamp()));
    match WebhookEvent::<twenty_webhook::event::Record>::from_verified(verified.clone()) {
        Ok(event) => {
            let name = event.record.display_name().unwrap_or_else(|| "-".to_owned());
            signed + &format!("{}  {}\n", shortened(event.name.as_str()), shortened(&name))
        }
        Err(error) => signed + &format!("{}\n", harmless_line(&error.to_string())),
    }
}
