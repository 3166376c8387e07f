//! The options for secrets and for the prefix of the signature headers.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use twenty_webhook::{
    Verifier,
    verify::{Clock, Secret, Signer},
};
use uuid::Uuid;

use crate::{
    input,
    output::{Failure, shell_word},
};

const VARIABLE: &str = "TWENTY_WEBHOOK_SECRET";
const PREVIOUS: &str = "TWENTY_WEBHOOK_PREVIOUS_SECRET";

/// The options for the secret, whose default is `TWENTY_WEBHOOK_SECRET`, and for the headers of a
/// fork of Twenty.
#[derive(clap::Args)]
#[command(next_help_heading = "Signature (or set TWENTY_WEBHOOK_SECRET for the secret)")]
pub(crate) struct SecretOptions {
    /// Read the webhook's secret from a file, `-` for standard input; a newline at the end is
    /// ignored
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,

    /// The webhook's secret. Only for trials: every user of this machine can see it in the list of
    /// processes
    #[arg(long, value_name = "SECRET", conflicts_with = "secret_file")]
    secret: Option<String>,

    /// Prefix of the signature headers, for forks of Twenty that rename them: X-Their-Brand-Webhook
    #[arg(long, value_name = "PREFIX")]
    pub(crate) header_prefix: Option<String>,
}

impl SecretOptions {
    /// Returns the secret, if there is one.
    pub(crate) fn find(&self) -> Result<Option<Secret>, Failure> {
        if let Some(file) = &self.secret_file {
            return from_file(file).map(Some);
        }
        if let Some(secret) = &self.secret {
            return named("--secret", secret.clone()).map(Some);
        }
        env::var_os(VARIABLE).map(|value| from_variable(VARIABLE, value)).transpose()
    }

    /// Returns the options with which another command finds the same secret, without the secret
    /// itself. Empty if the secret is in the environment.
    pub(crate) fn hint(&self, is_new: bool) -> String {
        let secret = match &self.secret_file {
            Some(file) if !input::is_standard_input(file) => {
                format!(" --secret-file {}", shell_word(&input::name(file)))
            }
            None if self.secret.is_none() && !is_new => String::new(),
            _ => " --secret SECRET".to_owned(),
        };
        let prefix = self.header_prefix.as_ref().map(|prefix| format!(" --header-prefix {prefix}"));
        secret + &prefix.unwrap_or_default()
    }

    /// Returns the secret, or an error if there is none.
    pub(crate) fn require(&self) -> Result<Secret, Failure> {
        self.find()?.ok_or_else(|| {
            Failure::new(format!(
                "no secret: set {VARIABLE}, or use --secret-file FILE. Twenty shows it under \
                 Settings > APIs & Webhooks, on the webhook's page"
            ))
        })
    }

    /// Returns a signer with the secret, or an error if there is none.
    pub(crate) fn signer(&self) -> Result<Signer, Failure> {
        self.signer_with(self.require()?)
    }

    /// Returns a signer with this secret.
    pub(crate) fn signer_with(&self, secret: Secret) -> Result<Signer, Failure> {
        let Ok(signer) = Signer::new(secret);
        match &self.header_prefix {
            Some(prefix) => signer.header_prefix(prefix).map_err(|error| Failure::about("--header-prefix", &error)),
            None => Ok(signer),
        }
    }

    /// Returns a verifier with this secret and, if there is one, the previous secret.
    pub(crate) fn verifier(&self, secret: Secret, clock: impl Clock) -> Result<Verifier, Failure> {
        let mut builder = Verifier::builder().secret(secret).clock(clock).body_limit(input::LIMIT);
        if let Some(value) = env::var_os(PREVIOUS).filter(|value| !value.is_empty()) {
            builder = builder.secret(from_variable(PREVIOUS, value)?);
        }
        if let Some(prefix) = &self.header_prefix {
            builder = builder.header_prefix(prefix);
        }
        builder.build().map_err(|error| Failure::about("--header-prefix", &error))
    }

    /// Checks that at most one file is standard input, which can be read only once.
    pub(crate) fn check_standard_input<'a>(&'a self, files: impl IntoIterator<Item = &'a Path>) -> Result<(), Failure> {
        let readers = files.into_iter().chain(self.secret_file.as_deref());
        if readers.filter(|file| input::is_standard_input(file)).count() > 1 {
            return Err(Failure::new("`-` was used twice, but standard input can be read only once"));
        }
        Ok(())
    }
}

/// Generates a secret in the form of Twenty's: 64 hexadecimal digits.
pub(crate) fn generate() -> Result<Secret, Failure> {
    named("a new secret", format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()))
}

fn from_file(file: &Path) -> Result<Secret, Failure> {
    let name = format!("the secret in {}", input::name(file));
    // Somebody may have given the secret itself instead of a file.
    let bytes = input::read_as(file, "--secret-file")?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::new(format!("{name} is not UTF-8 text")))?;
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if line.contains('\n') {
        return Err(Failure::new(format!("{name} has several lines: the file must contain only the secret")));
    }
    named(&name, line.to_owned())
}

fn from_variable(variable: &str, value: OsString) -> Result<Secret, Failure> {
    let text = value.into_string().map_err(|_| Failure::new(format!("{variable} is not UTF-8 text")))?;
    named(variable, text)
}

fn named(name: &str, text: String) -> Result<Secret, Failure> {
    Secret::new(text).map_err(|error| Failure::about(name, &error))
}
