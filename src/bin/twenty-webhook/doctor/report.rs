//! A line for each check.

use std::process::ExitCode;

use serde::Serialize;

use crate::output::{Failure, Format, harmless_line, json_line, print, shortened, style, styled, wrapped};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Ok,
    /// May be a reason.
    Warn,
    /// Is a reason.
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

/// Prints checks as they are made, and remembers whether one has failed.
pub(super) struct Report {
    format: Format,
    has_failed: bool,
}

impl Report {
    pub(super) const fn new(format: Format) -> Self {
        Self { format, has_failed: false }
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(u8::from(self.has_failed))
    }

    pub(super) fn ok(&mut self, check: &'static str, text: impl Into<String>) -> Result<(), Failure> {
        self.add(check, Status::Ok, text, "")
    }

    /// `advice` is empty when there is nothing to do.
    pub(super) fn add(
        &mut self,
        check: &'static str,
        status: Status,
        text: impl Into<String>,
        advice: &str,
    ) -> Result<(), Failure> {
        self.print(&Line { check, status, webhook: None, text: &text.into(), advice })
    }

    /// About one of the webhooks.
    pub(super) fn webhook(
        &mut self,
        check: &'static str,
        status: Status,
        id: &str,
        text: impl Into<String>,
        advice: &str,
    ) -> Result<(), Failure> {
        self.print(&Line { check, status, webhook: Some(id), text: &text.into(), advice })
    }

    fn print(&mut self, line: &Line<'_>) -> Result<(), Failure> {
        self.has_failed |= line.status == Status::Fail;
        match self.format {
            Format::Json => print(&json_line(line)),
            Format::Pretty => print(&pretty(line)),
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
    let about = line.webhook.map(|id| format!("webhook {}: ", shortened(id))).unwrap_or_default();
    let first =
        format!("{} {:<12} {about}{}\n", styled(style, format!("{name:<4}")), line.check, harmless_line(line.text));
    if line.advice.is_empty() { first } else { first + &wrapped(INDENT, line.advice) }
}
