//! `doctor`: checks from outside why nothing arrives, or why nothing verifies.

mod probe;
mod report;
mod sample;
mod webhooks;

pub(crate) use self::probe::is_private;

use std::{path::PathBuf, process::ExitCode};

use axum::http::HeaderValue;
use clap::Args;
use jiff::SignedDuration;
use serde_json::Value as Json;
use twenty_webhook::verify::{Secret, Signer, SystemClock};

use self::{
    report::{Report, Status},
    webhooks::{Webhook, covers, never_sent},
};
use crate::{
    api::{Api, ApiError, ApiUrl},
    output::{self, Failure, Format},
    secrets::SecretOptions,
    target::Target,
    time,
};

const EXAMPLES: &str = "\
Examples:
  twenty-webhook doctor --url https://crm.example.com --token-file token
  twenty-webhook doctor --url https://crm.example.com --token-file token \\
      --target https://hooks.example.com/webhooks/twenty --events person.created,workflowRun.updated
  twenty-webhook doctor --url https://crm.example.com --token-file token \\
      --target https://hooks.example.com/webhooks/twenty --send";

/// The maximum number of webhooks that are checked and shown. A workspace has a few.
const MOST_WEBHOOKS: usize = 50;

/// Check from outside why nothing arrives, or why nothing verifies.
///
/// Reads the workspace's webhooks through Twenty's API, and checks the target's address. With
/// --target, it also sends a GET request without a body to the target. If you pass the receiver's
/// secret, it compares this secret with the webhook's.
///
/// The result of each check is `ok`, `warn`, `fail` or `skip`. Exits with 1 if a check fails.
/// Secrets and the API key are never shown. Only the first 50 webhooks are checked.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Doctor {
    /// The address of the web app, or `https://api.twenty.com`
    #[arg(long, value_name = "URL")]
    url: ApiUrl,

    /// Read the API key from a file, `-` for standard input. Create the key in Twenty, under
    /// Settings > APIs & Webhooks
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,

    /// The receiver's public address, as the webhook in Twenty has it
    #[arg(long, value_name = "URL")]
    target: Option<Target>,

    /// Events that should arrive: person.created,company.*
    #[arg(long, value_name = "EVENTS", value_delimiter = ',')]
    events: Vec<String>,

    /// Post two samples to the target, one signed with the webhook's secret and one with another
    /// secret. The receiver handles the first one, whose event is twentyWebhookDoctor.checked
    #[arg(long, requires = "target")]
    send: bool,

    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    format: Format,

    #[command(flatten)]
    secret: SecretOptions,
}

impl Doctor {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        self.secret.check_standard_input([&*self.token_file])?;
        let secret = self.secret.find()?;
        let api = Api::new(self.url.clone(), &self.token_file)?;
        let redaction = api.redaction();
        if let Some(secret) = &secret {
            redaction.add_secret(secret.expose_secret());
        }
        let mut report = Report::new(self.format, redaction.clone());
        let examined = output::run_async(self.examine(&api, secret, &mut report)).flatten();
        examined.map_err(|failure| Failure::new(redaction.hide_in_sentence(&failure.to_string())))?;
        Ok(report.exit_code())
    }

    async fn examine(&self, api: &Api, secret: Option<Secret>, report: &mut Report) -> Result<(), Failure> {
        let (webhooks, twentys_clock) = self.webhooks(api, report).await?;
        let chosen = match &webhooks {
            Some(webhooks) => self.choose(webhooks, report)?,
            None => Vec::new(),
        };
        for webhook in &chosen {
            self.check_webhook(webhook, secret.as_ref(), report)?;
        }
        let mut clocks = (twentys_clock, None);
        match &self.target {
            Some(target) => {
                probe::check_address(target, None, true, report).await?;
                clocks.1 = probe::check_answer(target, report).await?;
            }
            None => {
                for webhook in &chosen {
                    match webhook.target() {
                        Some(target) => probe::check_address(&target, Some(&webhook.id), false, report).await?,
                        None => report.webhook(
                            "scheme",
                            Status::Fail,
                            &webhook.id,
                            format!("{} is not an address for POST requests", report.shown_url(&webhook.target_url)),
                            "Give the webhook an address that begins with https://",
                        )?,
                    }
                }
            }
        }
        check_clocks(clocks, report)?;
        if let (true, Some(target)) = (self.send, &self.target) {
            self.send_samples(target, &chosen, report).await?;
        }
        Ok(())
    }

    /// Returns the workspace's webhooks, if the API answers, and how far its clock is ahead of this
    /// machine's.
    async fn webhooks(
        &self,
        api: &Api,
        report: &mut Report,
    ) -> Result<(Option<Vec<Webhook>>, Option<SignedDuration>), Failure> {
        let mut clock = None;
        let mut asked = api.get_with(webhooks::PATH, |response| clock = ahead(response.headers.get("date"))).await;
        if matches!(asked, Err(ApiError::NotTwenty(_) | ApiError::Server { .. })) {
            // A server without this route may still support GraphQL.
            asked = api.graphql(webhooks::QUERY).await.or(asked);
        }
        let webhooks: Result<Vec<Webhook>, ApiError> = asked.and_then(|json: Json| {
            webhooks::read(json).ok_or_else(|| ApiError::NotTwenty("its answer is not a list of webhooks".to_owned()))
        });
        match webhooks {
            Ok(webhooks) => {
                report.ok("api", format!("{} answers", api.base()))?;
                report.ok("token", "the API key is accepted")?;
                Ok((Some(webhooks), clock))
            }
            Err(error) => {
                let advice = error.advice().unwrap_or_default();
                let text = error.to_string();
                if error.is_of_twenty() {
                    report.ok("api", format!("{} answers", api.base()))?;
                    report.add("token", Status::Fail, text, advice)?;
                } else {
                    report.add("api", Status::Fail, format!("{}: {text}", api.base()), advice)?;
                    report.add("token", Status::Skip, "not checked, because the API did not answer", "")?;
                }
                report.add("webhook", Status::Skip, "not checked, because the API did not answer", "")?;
                Ok((None, clock))
            }
        }
    }

    /// Returns the webhooks to check: those that point at the target, or all.
    fn choose<'a>(&self, webhooks: &'a [Webhook], report: &mut Report) -> Result<Vec<&'a Webhook>, Failure> {
        let all: Vec<_> = webhooks.iter().collect();
        if all.is_empty() {
            let advice = "Create a webhook under Settings > APIs & Webhooks. If it exists, this API key belongs to another workspace";
            report.add("webhook", Status::Fail, "the workspace has no webhook", advice)?;
            return Ok(all);
        }
        let Some(target) = &self.target else {
            let first = some_of(all, report)?;
            for webhook in &first {
                report.webhook(
                    "webhook",
                    Status::Ok,
                    &webhook.id,
                    format!("points at {}", report.shown_url(&webhook.target_url)),
                    "",
                )?;
            }
            return Ok(first);
        };
        let there: Vec<_> = all.iter().copied().filter(|webhook| webhook.points_at(target)).collect();
        match there[..] {
            [] => {
                let near = all.iter().find_map(|webhook| Some((webhook, webhook.differs_in(target)?)));
                let (text, advice) = match near {
                    Some((webhook, what)) => (
                        format!(
                            "no webhook points at the target; {} points at {}, which differs in {what}",
                            report.shown(&webhook.id),
                            report.shown_url(&webhook.target_url)
                        ),
                        "Give the webhook exactly the address at which the receiver answers",
                    ),
                    None => (
                        format!("none of the {} webhooks points at the target", all.len()),
                        "Create a webhook under Settings > APIs & Webhooks, or correct a webhook's address",
                    ),
                };
                report.add("webhook", Status::Fail, text, advice)?;
            }
            [webhook] => report.webhook("webhook", Status::Ok, &webhook.id, "points at the target", "")?,
            _ => {
                let text = format!("{} webhooks point at the target", there.len());
                let advice = "An event that several of them cover arrives several times, each time signed with \
                              a different secret. Keep one of them, or configure all secrets in the receiver";
                report.add("webhook", Status::Warn, text, advice)?;
            }
        }
        some_of(there, report)
    }

    fn check_webhook(&self, webhook: &Webhook, secret: Option<&Secret>, report: &mut Report) -> Result<(), Failure> {
        let id = &webhook.id;
        match (&webhook.secret, secret) {
            (None, _) => report.webhook(
                "secret",
                Status::Fail,
                id,
                "has no secret: its deliveries are not signed, and every receiver of this crate rejects them"
                    .to_owned(),
                "Set a secret on the webhook's page, under Settings > APIs & Webhooks, and configure it in the receiver",
            )?,
            (Some(_), None) => report.webhook("secret", Status::Ok, id, "has a secret", "")?,
            (Some(of_webhook), Some(of_receiver)) => {
                // The secrets are compared as in a receiver: one signs, and the other one verifies.
                let Ok(signer) = Signer::new(of_webhook.clone());
                let verifier = self.secret.verifier(of_receiver.clone(), SystemClock)?;
                let headers = signer_with_prefix(signer, self.secret.header_prefix.as_deref())?.sign("{}").pairs();
                if verifier.verify(headers, "{}").is_ok() {
                    report.webhook("secret", Status::Ok, id, "has the receiver's secret", "")?;
                } else {
                    report.webhook(
                        "secret",
                        Status::Fail,
                        id,
                        "has a different secret from the receiver".to_owned(),
                        "Copy the whole secret from the webhook's page, without a space or a newline",
                    )?;
                }
            }
        }
        self.check_operations(webhook, report)
    }

    fn check_operations(&self, webhook: &Webhook, report: &mut Report) -> Result<(), Failure> {
        let id = &webhook.id;
        let listed = report.shown(&webhook.operations.join(", "));
        if webhook.operations.is_empty() {
            let advice = "Choose objects and actions on the webhook's page";
            return report.webhook("operations", Status::Fail, id, "covers no event", advice);
        }
        if let Some(event) = self.events.iter().find(|event| never_sent(event)) {
            let text = format!("Twenty never sends {} to webhooks", report.shown(event));
            return report.webhook("operations", Status::Fail, id, text, "Use another event");
        }
        let missing = self.events.iter().filter(|event| !covers(&webhook.operations, event));
        let missing: Vec<_> = missing.map(|event| report.shown(event)).collect();
        if !missing.is_empty() {
            let text = format!("covers {listed}, but not {}", missing.join(", "));
            let advice = if missing.iter().any(|event| event == "workflowRun.updated") {
                "Add them on the webhook's page. Since September 2026, `workflowRun.updated` must be named exactly: no \
                 `*` covers it"
            } else {
                "Add them on the webhook's page"
            };
            return report.webhook("operations", Status::Fail, id, text, advice);
        }
        let has_wildcard = covers(&webhook.operations, "workflowRun.created");
        let but = if self.events.is_empty() && has_wildcard && !covers(&webhook.operations, "workflowRun.updated") {
            " (not workflowRun.updated, which must be named exactly)"
        } else {
            ""
        };
        report.webhook("operations", Status::Ok, id, format!("covers {listed}{but}"), "")
    }

    async fn send_samples(&self, target: &Target, chosen: &[&Webhook], report: &mut Report) -> Result<(), Failure> {
        let with_secret = chosen.iter().filter_map(|webhook| Some((webhook, webhook.secret.clone()?)));
        let mut is_sent = false;
        for (webhook, secret) in with_secret {
            let Ok(signer) = Signer::new(secret);
            let signer = signer_with_prefix(signer, self.secret.header_prefix.as_deref())?;
            sample::send(target, webhook, &signer, report).await?;
            is_sent = true;
        }
        if !is_sent {
            let text = "nothing was sent: no webhook with a secret points at the target".to_owned();
            report.add("delivery", Status::Skip, text, "")?;
        }
        Ok(())
    }
}

/// Returns the first webhooks, and reports the number of the others.
fn some_of<'a>(mut webhooks: Vec<&'a Webhook>, report: &mut Report) -> Result<Vec<&'a Webhook>, Failure> {
    let more = webhooks.len().saturating_sub(MOST_WEBHOOKS);
    if more > 0 {
        webhooks.truncate(MOST_WEBHOOKS);
        let text = format!("{more} more webhooks are not checked: only the first {MOST_WEBHOOKS} are checked");
        report.add("webhook", Status::Skip, text, "")?;
    }
    Ok(webhooks)
}

fn signer_with_prefix(signer: Signer, prefix: Option<&str>) -> Result<Signer, Failure> {
    match prefix {
        Some(prefix) => signer.header_prefix(prefix).map_err(|error| Failure::about("--header-prefix", &error)),
        None => Ok(signer),
    }
}

/// Returns how far the clock that wrote this `Date` header is ahead of this machine's.
fn ahead(date: Option<&HeaderValue>) -> Option<SignedDuration> {
    let date = jiff::fmt::rfc2822::parse(date?.to_str().ok()?).ok()?.timestamp();
    Some(date.duration_since(time::now()))
}

/// Compares the clocks that a receiver compares: Twenty's, which is signed, and its own.
fn check_clocks(
    (twenty, receiver): (Option<SignedDuration>, Option<SignedDuration>),
    report: &mut Report,
) -> Result<(), Failure> {
    let (difference, whose) = match (twenty, receiver) {
        (Some(twenty), Some(receiver)) => (twenty.saturating_sub(receiver), "Twenty's and the receiver's"),
        (Some(twenty), None) => (twenty, "Twenty's and this machine's"),
        _ => return report.add("clock", Status::Skip, "not compared, because there is no Date header", ""),
    };
    let seconds = difference.as_secs().unsigned_abs();
    let advice =
        "A receiver rejects deliveries signed more than 5 minutes before or after its own time. Set both clocks by NTP";
    let (status, text) = match seconds {
        // The header has whole seconds, and the network takes time.
        0..=3 => (Status::Ok, format!("{whose} clocks agree")),
        4..=60 => (Status::Ok, format!("{whose} clocks differ by {seconds} s")),
        61..=240 => (Status::Warn, format!("{whose} clocks differ by {seconds} s")),
        _ => (Status::Fail, format!("{whose} clocks differ by {seconds} s")),
    };
    report.add("clock", status, text, if status == Status::Ok { "" } else { advice })
}
