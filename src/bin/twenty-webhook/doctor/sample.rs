//! Posts two samples to a receiver: one that it should accept, and one that it should reject.

use std::time::Duration;

use axum::http::Method;
use twenty_webhook::{
    testing::{Delivery, Forgery, SetError, SignedDelivery},
    verify::Signer,
};
use uuid::Uuid;

use super::{
    report::{Report, Status},
    webhooks::Webhook,
};
use crate::{
    client::{Answer, Client, PostError, header_map},
    output::Failure,
    target::Target,
    time::{self, format_duration},
};

/// An object that no workspace has, and an action that Twenty does not have.
const EVENT: &str = "twentyWebhookDoctor.checked";

/// The longest time that a receiver should take, because Twenty waits for the answer before it
/// sends the next change.
const SOON: Duration = Duration::from_secs(1);

pub(super) async fn send(
    target: &Target,
    webhook: &Webhook,
    signer: &Signer,
    report: &mut Report,
) -> Result<(), Failure> {
    let delivery = delivery(webhook).map_err(|error| Failure::about("the sample", &error))?;
    let client = Client::new(target.clone())?;
    let genuine = post(&client, delivery.sign(signer)).await?;
    let is_answered = genuine.is_ok();
    let (status, text, advice) = judge_genuine(genuine);
    report.webhook("delivery", status, &webhook.id, text, advice)?;
    if is_answered {
        let (status, text, advice) = judge_forged(post(&client, delivery.forge(Forgery::WrongSecret, signer)).await?);
        report.webhook("forgery", status, &webhook.id, text, advice)?;
    }
    Ok(())
}

/// Returns a sample as this webhook would send it, because a receiver may check the ids.
fn delivery(webhook: &Webhook) -> Result<Delivery, SetError> {
    let delivery = Delivery::sample(EVENT)
        .set("targetUrl", &webhook.target_url)?
        .set("webhookId", &webhook.id)?
        .set("eventDate", format!("{:.3}", time::now()))?
        .set("record.id", Uuid::new_v4().to_string())?;
    match &webhook.workspace_id {
        Some(id) => delivery.set("workspaceId", id),
        None => Ok(delivery),
    }
}

async fn post(client: &Client, signed: SignedDelivery) -> Result<Result<Answer, PostError>, Failure> {
    let headers = header_map(signed.headers())?;
    Ok(client.send(Method::POST, &headers, signed.body().clone()).await)
}

type Judgement = (Status, String, &'static str);

fn judge_genuine(answer: Result<Answer, PostError>) -> Judgement {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return (Status::Fail, format!("a signed sample: {error}"), "Look at the receiver's log"),
    };
    let message = format!("a signed sample was answered {} in {}", answer.status, format_duration(answer.latency));
    match answer.status {
        200..=299 if answer.latency <= SOON => (Status::Ok, message, ""),
        200..=299 => (
            Status::Warn,
            message,
            "Twenty waits for this answer before it sends the next change, and gives up after 5 seconds. Answer \
             immediately and work later: see `acknowledge_within` and the inbox",
        ),
        401 => (
            Status::Fail,
            message,
            "The receiver has another secret, its clock is off by more than 5 minutes, or something on the way \
             changes the body. Its log has the reason at `debug`. To see an explanation, run `twenty-webhook listen` in its place",
        ),
        404 | 405 => (Status::Fail, message, "There is no receiver for POST requests at this path"),
        403 => (Status::Fail, message, "Perhaps a firewall or a bot protection answered instead of the receiver"),
        _ => (Status::Fail, message, "Look at the receiver's log"),
    }
}

fn judge_forged(answer: Result<Answer, PostError>) -> Judgement {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            return (
                Status::Warn,
                format!("a sample signed with another secret: {error}"),
                "Look at the receiver's log",
            );
        }
    };
    let message = format!("a sample signed with another secret was answered {}", answer.status);
    match answer.status {
        401 => (Status::Ok, message, ""),
        200..=299 => (
            Status::Fail,
            message,
            "The receiver accepts deliveries without verifying them, so anybody can post to it. Wrap its route in \
             the middleware",
        ),
        _ => (Status::Warn, message, "A receiver of this crate answers 401"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_is_a_warning() {
        let answered = |status, millis| {
            let latency = Duration::from_millis(millis);
            judge_genuine(Ok(Answer { status, latency, location: None, body: Vec::new(), date: None })).0
        };
        assert_eq!(answered(200, 1000), Status::Ok);
        assert_eq!(answered(202, 1001), Status::Warn);
        assert_eq!(answered(500, 1), Status::Fail);
        assert_eq!(judge_genuine(Err(PostError::TooLate)).0, Status::Fail);
    }

    #[test]
    fn a_forgery_must_be_rejected() {
        let answered = |status| {
            judge_forged(Ok(Answer { status, latency: Duration::ZERO, location: None, body: Vec::new(), date: None })).0
        };
        let expected =
            [(401, Status::Ok), (403, Status::Warn), (500, Status::Warn), (200, Status::Fail), (204, Status::Fail)];
        for (status, expected) in expected {
            assert_eq!(answered(status), expected, "{status}");
        }
    }
}
