//! `replay`: posts captured deliveries again.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
};

use axum::http::Method;
use clap::Args;
use twenty_webhook::verify::Signer;

use crate::{
    batch::{self, Ready},
    capture::Capture,
    client::headers_to_resend,
    finding::is_post,
    formats::{self, Delivery, Names, NotFound, Reading},
    input,
    output::{Failure, harmless_line, note, shortened},
    secrets::SecretOptions,
    target::Target,
};

/// Post captured deliveries again, one after the other.
///
/// Each delivery is sent as it was captured, with the captured method. Receivers reject deliveries
/// that were signed more than five minutes ago, and methods other than POST. With `--resign`,
/// deliveries are signed again.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    twenty-webhook replay --resign captures/*.http --to http://localhost:8080/webhooks/twenty")]
pub(crate) struct Replay {
    /// Captures of `listen --save`, directories with captures, or other files that `verify` reads;
    /// `-` for standard input
    #[arg(required = true, value_name = "CAPTURE")]
    captures: Vec<PathBuf>,

    /// The receiver's address
    #[arg(long, value_name = "URL")]
    to: Target,

    /// Sign the bodies with the secret and the current time
    #[arg(long)]
    resign: bool,

    #[command(flatten)]
    secret: SecretOptions,
}

impl Replay {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        self.secret.check_standard_input(self.captures.iter().map(PathBuf::as_path))?;
        let signer = if self.resign { Some(self.secret.signer()?) } else { None };
        let names = Names::new(self.secret.header_prefix.as_deref());
        let mut captures = Vec::new();
        // All captures are read before the first one is sent.
        for file in input::files(&self.captures)? {
            captures.extend(read(&file, &names)?);
        }
        let count = captures.len() as u64;
        let deliveries = captures.into_iter().map(|capture| ready(capture, signer.as_ref()));
        let hint = if self.resign {
            "compare the secrets"
        } else {
            "receivers reject deliveries that were signed more than 5 minutes ago: sign them again with --resign"
        };
        batch::post(&self.to, NonZeroUsize::MIN, count, deliveries, Some(hint))
    }
}

/// Reads the deliveries in a file.
fn read(file: &Path, names: &Names) -> Result<Vec<Capture>, Failure> {
    let name = input::name(file);
    let Reading { deliveries, unread } = formats::read(&input::read(file)?, names).map_err(|error| {
        let separator = if matches!(error, NotFound::Malformed(_)) { ":" } else { "" };
        Failure::new(format!("{name}{separator} {error}"))
    })?;
    if unread > 0 {
        let found = deliveries.len().saturating_add(unread);
        note(&format!("{name} has {found} deliveries; {unread} of them cannot be read and are not sent"));
    }
    for Delivery { capture, place, notes, .. } in &deliveries {
        let place = if place.is_empty() { String::new() } else { format!(" ({})", harmless_line(place)) };
        if !is_post(&capture.method) {
            let method = shortened(&capture.method);
            note(&format!("{name}{place} was captured as {method} and is sent as {method}"));
        }
        notes.iter().for_each(|about| note(&format!("{name}{place}: {about}")));
    }
    Ok(deliveries.into_iter().map(|delivery| delivery.capture).collect())
}

fn ready(Capture { method, headers, body, .. }: Capture, signer: Option<&Signer>) -> Result<Ready, Failure> {
    let method = Method::from_bytes(method.as_bytes());
    let method = method.map_err(|error| Failure::about("a capture has a method that cannot be sent", &error))?;
    let headers = headers_to_resend(headers, &body, signer)?;
    Ok(Ready { method, headers, body: body.into() })
}
