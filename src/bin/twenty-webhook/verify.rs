//! `verify`: checks whether captured deliveries are genuine, and explains why not.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use twenty_webhook::{
    Verified, WebhookEvent,
    diagnose::{Cause, Diagnosis, Rewriting},
    verify::{FixedClock, Secret, SystemClock, Timestamp},
};

use crate::{
    capture::Capture,
    finding::{self, Finding, is_post},
    formats::{self, Delivery, Loss, Names, NotFound, Reading},
    input,
    output::{self, Failure, harmless_line, shortened, style, styled, wrapped},
    secrets::SecretOptions,
    time::{self, Moment},
};

/// Check whether captured deliveries are genuine, and explain why not.
///
/// A FILE is a capture of `listen --save`, another HTTP request with headers and body, or the
/// output of another tool: a HAR file, curl's output or command, an event of AWS Lambda, or JSON or
/// log lines that contain the headers and the body. It can contain any number of deliveries. It can
/// also be a body alone, whose timestamp and signature you pass as options.
///
/// Exits with 0 if all deliveries verify, and with 1 if one of them does not. Exits with 2 if a
/// file contains no delivery, or contains a signature whose delivery cannot be read.
#[derive(Args)]
#[command(after_help = "Examples:\n  twenty-webhook verify captures/1790932471733-9c56cc51b374.http\n  \
    twenty-webhook verify captures/ requests.har\n  \
    twenty-webhook verify body.json --timestamp 1790932471733 --signature db637a878ed8…")]
pub(crate) struct Verify {
    /// Captures, directories with captures, or a body; `-` for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The header X-Twenty-Webhook-Timestamp, for a body alone
    #[arg(long, value_name = "MILLISECONDS")]
    timestamp: Option<String>,

    /// The header X-Twenty-Webhook-Signature, for a body alone
    #[arg(long, value_name = "HEX")]
    signature: Option<String>,

    /// The time at which to judge the age: `now`, or another time. Default: the time of the
    /// capture, or else of the signature
    #[arg(long, value_name = "TIME")]
    as_of: Option<Moment>,

    #[command(flatten)]
    secret: SecretOptions,
}

impl Verify {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        self.secret.check_standard_input(self.files.iter().map(PathBuf::as_path))?;
        let secret = self.secret.require()?;
        let files = input::files(&self.files)?;
        let names = Names::new(self.secret.header_prefix.as_deref());
        let (mut genuine, mut other, mut unread, mut hidden) = (0_usize, 0_usize, 0_usize, 0_usize);
        for file in &files {
            let Reading { deliveries, unread: left } = match self.read(file, &names) {
                Ok(reading) => reading,
                Err(failure) if files.len() == 1 => return Err(failure),
                Err(failure) => {
                    output::complain(&failure);
                    unread = unread.saturating_add(1);
                    continue;
                }
            };
            let (count, is_full) = (deliveries.len().saturating_add(left), deliveries.len() >= formats::MAX_DELIVERIES);
            let is_one = files.len() == 1 && count == 1;
            for (delivery, number) in deliveries.into_iter().zip(1_usize..) {
                let heading = heading(file, &delivery, number, count);
                let (report, is_genuine) = self.judge(&secret, delivery)?;
                let counted = if is_genuine { &mut genuine } else { &mut other };
                *counted = counted.saturating_add(1);
                output::print(&if is_one { report } else { format!("{heading}{report}\n") })?;
            }
            if left > 0 {
                hidden = hidden.saturating_add(left);
                let name = input::name(file);
                output::print(&unread_report(&name, count, left, is_full))?;
            }
        }
        if genuine.saturating_add(other).saturating_add(unread).saturating_add(hidden) > 1 {
            let mut summary = format!("{genuine} verified, {other} did not verify");
            if hidden > 0 {
                summary += &format!(", {hidden} could not be read");
            }
            if unread > 0 {
                summary += &format!(", {unread} files could not be read");
            }
            output::print(&format!("{summary}\n"))?;
        }
        Ok(match (other, unread.saturating_add(hidden)) {
            (0, 0) => ExitCode::SUCCESS,
            (_, 0) => ExitCode::from(1),
            _ => ExitCode::from(2),
        })
    }

    /// Returns the report on a delivery, and whether it verifies.
    fn judge(&self, secret: &Secret, delivery: Delivery) -> Result<(String, bool), Failure> {
        let Delivery { mut capture, other_bodies, mut notes, lost, declared, .. } = delivery;
        let (now, reason) = self.present(secret, &capture)?;
        let verifier = self.secret.verifier(secret.clone(), FixedClock::at(now))?;
        let mut diagnosis = verifier.diagnose(capture.headers.iter().map(|(name, value)| (name, value)), &capture.body);
        for body in other_bodies {
            // If it is not clear which bytes are the body, the signature decides.
            if diagnosis.verdict().is_ok() {
                break;
            }
            let other = verifier.diagnose(capture.headers.iter().map(|(name, value)| (name, value)), &body);
            if other.verdict().is_ok() || explains(&other) && !explains(&diagnosis) {
                (diagnosis, capture.body) = (other, body);
            }
        }
        let has_loss = lost.is_some();
        let is_open = diagnosis.verdict().is_err() && !explains(&diagnosis);
        let lost = lost.or_else(|| may_have_dots(&capture, &diagnosis).then_some(DOTS)).filter(|_| is_open);
        let is_exact = declared == Some(capture.body.len())
            && !has_loss
            && (capture.captured_at.is_some() || !shows_changes(&diagnosis));
        let mut report = verdict_report(&capture.method, &diagnosis, lost, is_exact);
        let headers = capture.headers.iter().map(|(name, value)| (name, value));
        let verified = verifier.verify(headers, capture.body);
        if let Ok(verified) = &verified {
            report += &description(verified);
            if capture.headers.iter().any(is_encoding) {
                report += &wrapped("", ENCODED);
            }
        }
        notes.push(format!("judged as of {}{reason}", time::format(now)));
        for note in notes {
            report += &format!("{}\n", harmless_line(&note));
        }
        Ok((report, verified.is_ok()))
    }

    fn read(&self, path: &Path, names: &Names) -> Result<Reading, Failure> {
        let file = input::read(path)?;
        let options = [("timestamp", &self.timestamp), ("signature", &self.signature)];
        let given =
            options.into_iter().filter_map(|(name, value)| Some((self.header(name), value.clone()?.into_bytes())));
        let headers: Vec<_> = given.collect();
        let name = input::name(path);
        match (formats::read(&file, names), headers.is_empty()) {
            (Ok(reading), true) => Ok(reading),
            (Err(NotFound::BodyAlone | NotFound::Unknown { .. } | NotFound::NoBody { .. }), false) => {
                let capture = Capture { method: "POST".to_owned(), headers, body: file, captured_at: None };
                Ok(Reading { deliveries: vec![formats::whole(capture)], unread: 0 })
            }
            (Ok(_) | Err(NotFound::Malformed(_)), false) => {
                Err(Failure::new(format!("{name} is a capture that has headers: omit --timestamp and --signature")))
            }
            (Err(NotFound::BodyAlone), true) => Err(Failure::new(format!(
                "{name} is a body without headers: pass the delivery's headers with --timestamp and --signature"
            ))),
            (Err(error @ NotFound::Malformed(_)), true) => Err(Failure::new(format!("{name}: {error}"))),
            (Err(error), _) => Err(Failure::new(format!("{name} {error}"))),
        }
    }

    /// Returns the name of one of the signature headers.
    fn header(&self, name: &str) -> String {
        format!("{}-{name}", self.secret.header_prefix.as_deref().unwrap_or("x-twenty-webhook"))
    }

    /// Returns the time at which to judge a delivery, and a text that says which time this is.
    fn present(&self, secret: &Secret, capture: &Capture) -> Result<(Timestamp, &'static str), Failure> {
        if let Some(moment) = self.as_of {
            return Ok((moment.timestamp(), if moment == Moment::Now { ", which is now" } else { "" }));
        }
        if let Some(captured_at) = capture.captured_at.and_then(time::from_civil) {
            return Ok((captured_at, ", when it was captured; for the current time, use --as-of now"));
        }
        let headers = capture.headers.iter().map(|(name, value)| (name, value));
        let claimed = self.secret.verifier(secret.clone(), SystemClock)?.claimed_timestamp(headers);
        Ok(match claimed {
            Some(claimed) => (claimed, ", the delivery's timestamp; for the current time, use --as-of now"),
            None => (Moment::Now.timestamp(), ", which is now, because the delivery has no readable timestamp"),
        })
    }
}

/// Reports deliveries that could not be read, although their signatures were found. `is_full` means
/// that the maximum number of deliveries was read.
fn unread_report(name: &str, count: usize, left: usize, is_full: bool) -> String {
    let cause = format!("{name}: {left} of {count} deliveries could not be read");
    let advice = if is_full {
        "The file has too many deliveries to read all of them. Split it into smaller files."
    } else {
        "The file has other signatures, and it is unclear which body belongs to them. Put each delivery into its own \
         file, or capture the raw requests with `twenty-webhook listen --save`."
    };
    format!("{}\n{}", styled(style::BAD, &cause), wrapped("   ", advice))
}

/// Returns the heading of a report, which identifies the delivery.
fn heading(file: &Path, delivery: &Delivery, number: usize, count: usize) -> String {
    let mut heading = input::name(file);
    if count > 1 {
        heading += &format!(", {number} of {count}");
    }
    if !delivery.place.is_empty() {
        heading += &format!(" ({})", harmless_line(&delivery.place));
    }
    format!("{heading}:\n")
}

/// Returns whether the diagnosis explains the delivery.
fn explains(diagnosis: &Diagnosis) -> bool {
    let is_open = |cause: &Cause| {
        matches!(
            cause,
            Cause::Unexplained
                | Cause::BodyIncomplete { .. }
                | Cause::BodyNotJson { .. }
                | Cause::BodyLengthChanged { .. }
        )
    };
    !diagnosis.causes().iter().any(is_open)
}

/// Returns whether the body shows that it was changed, even if its length is right.
fn shows_changes(diagnosis: &Diagnosis) -> bool {
    let is_change = |cause: &Cause| {
        matches!(
            cause,
            Cause::BodyIncomplete { .. } | Cause::BodyNotJson { .. } | Cause::BodyRewritten { what: Rewriting::Order }
        )
    };
    diagnosis.causes().iter().any(is_change)
}

const DOTS: Loss = Loss {
    is_certain: false,
    what: "the body has several dots in a row, and only ASCII characters",
    advice: "Wireshark and other tools that save text as ASCII write a dot for each byte that is not ASCII. If this \
             file was saved in this way, capture the raw bytes. Otherwise copy the secret from this webhook in Twenty \
             again.",
};

/// Returns whether dots may stand for other bytes. Captures of `listen --save` have all bytes.
fn may_have_dots(capture: &Capture, diagnosis: &Diagnosis) -> bool {
    let body = &capture.body;
    let is_unexplained = diagnosis.causes().contains(&Cause::Unexplained);
    is_unexplained && capture.captured_at.is_none() && body.is_ascii() && body.windows(2).any(|pair| pair == b"..")
}

const ENCODED: &str = "the request has a Content-Encoding, which Twenty does not send, and receivers reject it with 415: \
                       let the proxy in between forward bodies unchanged";

/// Returns whether a header names an encoding for which receivers reject the request.
fn is_encoding((name, value): &(String, Vec<u8>)) -> bool {
    // In JSON, `base64` is how the file contains the body.
    let is_plain =
        |coding: &[u8]| ["", "identity", "base64"].iter().any(|plain| coding.eq_ignore_ascii_case(plain.as_bytes()));
    let mut codings = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    name.eq_ignore_ascii_case("content-encoding") && !codings.all(is_plain)
}

/// Returns the verdict in its colour, and what to do.
fn verdict_report(method: &str, diagnosis: &Diagnosis, lost: Option<Loss>, is_exact: bool) -> String {
    let mut report = match diagnosis.verdict() {
        Ok(()) if is_post(method) => {
            format!("{}: the delivery is genuine and fresh\n", styled(style::GOOD, "verifies"))
        }
        Ok(()) => format!(
            "{}: genuine and fresh, but receivers accept only POST, and its method is {}\n",
            styled(style::GOOD, "verifies"),
            shortened(method)
        ),
        Err(error) => format!("{}: {error}\n", styled(style::BAD, "does not verify")),
    };
    let findings = diagnosis.verdict().err().map(|_| finding::of_capture(method, diagnosis, lost, is_exact));
    for (Finding { cause, advice }, number) in findings.iter().flatten().zip(1..) {
        let name = wrapped(&format!("{number}. "), &harmless_line(cause));
        report += &format!("{}\n{}", styled(style::ODD, name.trim_end()), wrapped("   ", advice));
    }
    report
}

/// Describes the verified delivery.
fn description(verified: &Verified) -> String {
    let secret = if verified.secret_index() == 0 { "the secret" } else { "the previous secret" };
    let signed = format!("signed on {} with {secret}\n", time::format(verified.timestamp()));
    let long = finding::too_long_by_default(verified.body().len());
    let signed = signed + &long.map(|long| wrapped("", &long)).unwrap_or_default();
    match WebhookEvent::<twenty_webhook::event::Record>::from_verified(verified.clone()) {
        Ok(event) => {
            let name = event.record.display_name().unwrap_or_else(|| "-".to_owned());
            signed + &format!("{}  {}\n", shortened(event.name.as_str()), shortened(&name))
        }
        Err(error) => signed + &format!("{}\n", harmless_line(&error.to_string())),
    }
}
