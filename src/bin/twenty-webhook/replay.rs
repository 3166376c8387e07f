//! `replay`: posts captured deliveries again.

use std::{num::NonZeroUsize, path::PathBuf, process::ExitCode};

use axum::http::{Method, header};
use clap::Args;
use twenty_webhook::verify::Signer;

use crate::{
    batch::{self, Ready},
    capture::Capture,
    client::header_map,
    finding::is_post,
    input,
    output::{Failure, note, shortened},
    secrets::SecretOptions,
    target::Target,
};

/// Post captured deliveries again, one after the other.
///
/// They are sent as they were captured, with the method of the capture: receivers reject what was
/// signed more than five minutes ago, and any other method than POST. With `--resign` they are
/// signed anew.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    twenty-webhook replay --resign captures/*.http --to http://localhost:8080/webhooks/twenty")]
pub(crate) struct Replay {
    /// What `listen --save` wrote, or any HTTP request with its headers and body; `-` for standard input
    #[arg(required = true, value_name = "CAPTURE")]
    captures: Vec<PathBuf>,

    /// The receiver's address
    #[arg(long, value_name = "URL")]
    to: Target,

    /// Sign the bodies as of now, with the secret
    #[arg(long)]
    resign: bool,

    #[command(flatten)]
    secret: SecretOptions,
}

impl Replay {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        self.secret.check_standard_input(self.captures.iter().map(PathBuf::as_path))?;
        let signer = if self.resign { Some(self.secret.signer()?) } else { None };
        let read = |file: &PathBuf| {
            let capture = Capture::parse(&input::read(file)?);
            let capture = capture.map_err(|error| Failure::about(input::name(file), &error))?;
            if !is_post(&capture.method) {
                let method = shortened(&capture.method);
                note(&format!("{} was captured as {method} and is sent as {method}", input::name(file)));
            }
            Ok(capture)
        };
        // All of them, before the first is sent.
        let captures = self.captures.iter().map(read).collect::<Result<Vec<_>, Failure>>()?;
        let count = captures.len() as u64;
        let deliveries = captures.into_iter().map(|capture| ready(capture, signer.as_ref()));
        let hint = if self.resign {
            "compare the secrets"
        } else {
            "receivers refuse what was signed more than 5 minutes ago: --resign signs it as of now"
        };
        batch::post(&self.to, NonZeroUsize::MIN, count, deliveries, Some(hint))
    }
}

fn ready(Capture { method, headers, body, .. }: Capture, signer: Option<&Signer>) -> Result<Ready, Failure> {
    let unsendable = |error: &dyn std::error::Error| Failure::about("a capture cannot be sent", error);
    let method = Method::from_bytes(method.as_bytes()).map_err(|error| unsendable(&error))?;
    let mut headers = header_map(headers)?;
    // It tells the way of the captured request. Kept, it would make the listener that forwarded
    // that one see a loop.
    headers.remove(header::VIA);
    if let Some(signer) = signer {
        for (name, value) in header_map(signer.sign(&body).pairs())? {
            // Replaces the captured one, however often it was there.
            let inserted = name.map(|name| headers.try_insert(name, value)).transpose();
            inserted.map_err(|error| unsendable(&error))?;
        }
    }
    Ok(Ready { method, headers, body: body.into() })
}
