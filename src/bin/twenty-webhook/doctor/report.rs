//! Prints a line for each check.

use std::process::ExitCode;

use serde::Serialize;

use crate::{
    api::Redaction,
    output::{Failure, Format, harmless_line, json_line, print, style, styled, wrapped},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Ok,
    /// A possible reason.
    Warn,
    /// A certain reason.
    Fail,
    Skip,
}

#[derive(Serialize)]
struct Line<'a> {
    check: &'a str,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<&'a str>,
    text: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    advice: &'a str,
}

/// Prints the results of checks, and remembers whether one has failed. Everything that `doctor`
/// prints on standard output is printed here, without the API key and secrets.
pub(super) struct Report {
    format: Format,
    redaction: Redaction,
    has_failed: bool,
}

impl Report {
    pub(super) const fn new(format: Format, redaction: Redaction) -> Self {
        Self { format, redaction, has_failed: false }
    }

    /// Returns the beginning of a text from elsewhere, for a check's text.
    pub(super) fn shown(&self, text: &str) -> String {
        self.redaction.shown(text)
    }

    /// Does the same for an address, without the parts that may be a password or a token.
    pub(super) fn shown_url(&self, url: &str) -> String {
        self.redaction.shown_url(url)
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(u8::from(self.has_failed))
    }

    pub(super) fn ok(&mut self, check: &'static str, text: impl Into<String>) -> Result<(), Failure> {
        self.add(check, Status::Ok, text, "")
    }

    /// Prints a check. `advice` is empty if there is nothing to do.
    pub(super) fn add(
        &mut self,
        check: &'static str,
        status: Status,
        text: impl Into<String>,
        advice: &str,
    ) -> Result<(), Failure> {
        self.print(check, status, None, &text.into(), advice)
    }

    /// Prints a check of one of the webhooks.
    pub(super) fn webhook(
        &mut self,
        check: &'static str,
        status: Status,
        id: &str,
        text: impl Into<String>,
        advice: &str,
    ) -> Result<(), Failure> {
        let id = self.shown(id);
        self.print(check, status, Some(&id), &text.into(), advice)
    }

    fn print(
        &mut self,
        check: &str,
        status: Status,
        webhook: Option<&str>,
        text: &str,
        advice: &str,
    ) -> Result<(), Failure> {
        self.has_failed |= status == Status::Fail;
        let line = Line { check, status, webhook, text: &self.redaction.hide_in_sentence(text), advice };
        match self.format {
            Format::Json => print(&json_line(&line)),
            Format::Pretty => print(&pretty(&line)),
        }
    }
}

fn pretty(line: &Line<'_>) -> String {
    const INDENT: &str = "                  ";
    let (name, style) = match line.status {
        Status::Ok => ("ok", style::GOOD),
        Status::Warn => ("warn", style::ODD),
        Status::Fail => ("fail", style::BAD),
        Status::Skip => ("skip", style::FAINT),
    };
    let about = line.webhook.map(|id| format!("webhook {id}: ")).unwrap_or_default();
    let first =
        format!("{} {:<12} {about}{}\n", styled(style, format!("{name:<4}")), line.check, harmless_line(line.text));
    if line.advice.is_empty() { first } else { first + &wrapped(INDENT, line.advice) }
}
