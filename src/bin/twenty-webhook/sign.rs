//! `sign`: prints the headers that Twenty would send with a body.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use crate::{
    capture::Capture,
    input,
    output::{self, Failure},
    secrets::SecretOptions,
    time::Moment,
};

/// Print the headers that Twenty would send with a body.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    twenty-webhook sign body.json | curl --header @- --header 'content-type: application/json' \\\n      \
    --data-binary @body.json http://localhost:8080/webhooks/twenty")]
pub(crate) struct Sign {
    /// The body, exactly as it will be sent; `-` for standard input
    file: PathBuf,

    /// The time of the signature: milliseconds since 1970, or a time such as 2026-10-02T09:14:31Z
    #[arg(long, value_name = "TIME", default_value = "now")]
    timestamp: Moment,

    #[command(flatten)]
    secret: SecretOptions,
}

impl Sign {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        self.secret.check_standard_input([&*self.file])?;
        let signer = self.secret.signer()?;
        let body = input::read(&self.file)?;
        if Capture::is_one(&body) {
            return Err(Failure::new(format!(
                "{} is a complete delivery, not a body: send it with `replay --resign`",
                input::name(&self.file)
            )));
        }
        let headers = signer.sign_at(self.timestamp.timestamp(), body).pairs();
        let lines = headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
        output::print(&lines.collect::<String>())?;
        Ok(ExitCode::SUCCESS)
    }
}
