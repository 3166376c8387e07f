//! `replay`: posts captured deliveries again.

use std::{num::NonZeroUsize, path::PathBuf, process::ExitCode};

use clap::Args;
use twenty_webhook::verify::Signer;

use crate::{
    batch::{self, Ready},
    capture::Capture,
    client::header_map,
    input,
    output::Failure,
    secrets::SecretOptions,
    target::Target,
};

/// Post captured deliveries again, one after the other.
///
/// As they were captured: receivers refuse what was signed more than five minutes ago. With `--resign` they are signed anew.
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
            capture.map_err(|error| Failure::about(input::name(file), &error))
        };
        // All of them, before the first is sent.
        let captures = self.captures.iter().map(read).collect::<Result<Vec<_>, _>>()?;
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

fn ready(Capture { headers, body, .. }: Capture, signer: Option<&Signer>) -> Result<Ready, Failure> {
    let mut headers = header_map(headers)?;
    if let Some(signer) = signer {
        for (name, value) in header_map(signer.sign(&body).pairs())? {
            // `insert` replaces the captured one, however often it was there.
            name.map(|name| headers.insert(name, value));
        }
    }
    Ok((headers, body.into()))
}
