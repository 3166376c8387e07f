//! The report on a delivery.

use std::{io, path::PathBuf};

use serde::Serialize;
use twenty_webhook::{
    Verifier, WebhookEvent,
    event::{Record, UnexpectedMember},
};

use super::show::Shown;
use crate::{
    client::{Answer, PostError},
    finding::{Finding, is_post, too_long_by_default},
    output::{self, harmless_line, shortened, style, styled, wrapped},
};

/// The report on a delivery, whose members are those of a JSON line.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    time: jiff::Timestamp,
    /// The method, if it is not `POST`.
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    status: u16,
    verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejection: Option<String>,
    #[serde(rename = "causes", skip_serializing_if = "Vec::is_empty")]
    pub(super) findings: Vec<Finding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    updated_fields: Vec<String>,
    /// Members that read as absent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unexpected: Vec<String>,
    /// How many times the delivery was received before.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) repetition: u64,
    #[serde(skip_serializing_if = "is_false")]
    previous_secret: bool,
    /// The length of a body that is longer than receivers accept by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    long_body: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarded: Option<Forwarded>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capture: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capture_error: Option<String>,
    /// Added to the line as text, so that it stays as it was sent.
    #[serde(skip)]
    pub(super) shown: Option<Shown>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Forwarded {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    milliseconds: Option<u128>,
    /// Where a redirect leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Report {
    pub(super) fn new(time: jiff::Timestamp, method: &str, status: u16) -> Self {
        Self {
            time,
            method: (!is_post(method)).then(|| method.to_owned()),
            status,
            verified: false,
            rejection: None,
            findings: Vec::new(),
            event: None,
            record_id: None,
            display_name: None,
            updated_fields: Vec::new(),
            unexpected: Vec::new(),
            repetition: 0,
            previous_secret: false,
            long_body: None,
            forwarded: None,
            capture: None,
            capture_error: None,
            shown: None,
        }
    }

    pub(super) fn accepted(&mut self, event: &WebhookEvent) {
        self.verified = true;
        self.event = Some(event.name.to_string());
        self.record_id = event.record.id().map(|id| id.to_string());
        self.display_name = event.record.display_name();
        self.updated_fields = match &event.record {
            Record::Metadata(metadata) => metadata.updated_fields(),
            _ => event.updated_fields.clone().unwrap_or_default(),
        };
        self.unexpected = event.unexpected().iter().map(unexpected).collect();
        self.previous_secret = event.verified().secret_index() > 0;
        let bytes = event.verified().body().len();
        self.long_body = (bytes > Verifier::DEFAULT_BODY_LIMIT).then_some(bytes);
    }

    /// Adds the target's answer.
    pub(super) fn forwarded(&mut self, forwarded: &Result<Answer, PostError>) {
        self.forwarded = Some(Forwarded::new(forwarded));
    }

    /// Records that the delivery was verified, but rejected.
    pub(super) fn verified_but_rejected(&mut self, why: String) {
        self.verified = true;
        self.rejected(why);
    }

    pub(super) fn rejected(&mut self, why: String) {
        self.rejection = Some(why);
    }

    /// Adds a remark to the reason for the rejection.
    pub(super) fn add_to_rejection(&mut self, remark: &str) {
        if let Some(why) = &mut self.rejection {
            *why += &format!(" ({remark})");
        }
    }

    pub(super) fn saved(&mut self, saved: &io::Result<PathBuf>) {
        match saved {
            Ok(path) => self.capture = Some(path.display().to_string()),
            Err(error) => self.capture_error = Some(error.to_string()),
        }
    }

    /// Returns whether the report is shown even if a filter hides the event.
    pub(super) const fn is_alarming(&self) -> bool {
        self.capture_error.is_some()
    }

    /// Returns a JSON object on a line.
    pub(super) fn json(&self) -> String {
        let line = output::json_line(self);
        match (&self.shown, line.strip_suffix("}\n")) {
            (Some(shown), Some(start)) => format!("{start},\"{}\":{}}}\n", shown.name, shown.compact()),
            _ => line,
        }
    }

    /// Returns a line, followed by explanations and the shown JSON.
    pub(super) fn pretty(&self) -> String {
        let time = styled(style::FAINT, self.time.strftime("%H:%M:%SZ"));
        let good = if self.verified && self.status < 300 { style::GOOD } else { style::BAD };
        let mut line = format!("{time}  {}  ", styled(good, self.status));
        match &self.rejection {
            None => self.add_event(&mut line),
            Some(why) => {
                let method =
                    self.method.as_deref().map(|method| format!("{}: ", shortened(method))).unwrap_or_default();
                line += &format!("{}  {method}{}", styled(style::BAD, "rejected"), harmless_line(why));
            }
        }
        if let Some(path) = &self.capture {
            line += &styled(style::FAINT, format_args!("  saved as {}", harmless_line(path)));
        }
        line.push('\n');
        if let Some(error) = &self.capture_error {
            line += &format!("    {}\n", styled(style::BAD, format_args!("not saved: {}", harmless_line(error))));
        }
        if let Some(text) = self.long_body.and_then(too_long_by_default) {
            line += &format!("{}\n", styled(style::ODD, wrapped("    ", &text).trim_end()));
        }
        if !self.unexpected.is_empty() {
            let text = format!("members of unexpected types, read as if absent: {}", self.unexpected.join(", "));
            let text = wrapped("    ", &harmless_line(&text));
            line += &format!("{}\n", styled(style::ODD, text.trim_end()));
        }
        for (Finding { cause, advice }, number) in self.findings.iter().zip(1..) {
            let cause = wrapped(&format!("    {number}. "), &harmless_line(cause));
            line += &format!("{}\n", styled(style::ODD, cause.trim_end()));
            line += &wrapped("       ", &harmless_line(advice));
        }
        line += &self.shown.as_ref().map(Shown::pretty).unwrap_or_default();
        line
    }

    fn add_event(&self, line: &mut String) {
        *line += &styled(style::GOOD, "verified");
        let names = [&self.event, &self.display_name];
        for (name, style) in names.into_iter().zip([style::STRONG, anstyle::Style::new()]) {
            let name = name.as_deref().filter(|name| !name.is_empty()).unwrap_or("-");
            *line += &format!("  {}", styled(style, shortened(name)));
        }
        if !self.updated_fields.is_empty() {
            let fields = self.updated_fields.join(", ");
            *line += &styled(style::FAINT, format_args!("  changed: {}", shortened(&fields)));
        }
        if self.repetition > 0 {
            *line += &styled(style::ODD, format_args!("  duplicate, received {} before", times(self.repetition)));
        }
        if self.previous_secret {
            *line += &styled(style::ODD, "  signed with the previous secret");
        }
        match &self.forwarded {
            Some(Forwarded { status: Some(status), milliseconds: Some(milliseconds), location, .. }) => {
                *line += &format!("  forwarded: {status} in {milliseconds} ms");
                if let Some(location) = location {
                    *line += &format!(", a redirect to {}", shortened(location));
                }
            }
            Some(Forwarded { error: Some(error), .. }) => {
                *line += &styled(style::BAD, format_args!("  not forwarded: {}", harmless_line(error)));
            }
            _ => {}
        }
    }
}

impl Forwarded {
    fn new(forwarded: &Result<Answer, PostError>) -> Self {
        match forwarded {
            Ok(Answer { status, latency, location, .. }) => Self {
                status: Some(*status),
                milliseconds: Some(latency.as_millis()),
                location: location.clone(),
                error: None,
            },
            Err(error) => Self { status: None, milliseconds: None, location: None, error: Some(error.to_string()) },
        }
    }
}

fn unexpected(UnexpectedMember { path, found, is_repeated, .. }: &UnexpectedMember) -> String {
    if *is_repeated { format!("{path} (repeated)") } else { format!("{path} ({found})") }
}

fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{count} times"),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(flag: &bool) -> bool {
    !flag
}
