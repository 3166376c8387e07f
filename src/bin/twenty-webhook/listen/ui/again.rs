//! Sends a delivery to the forward target again: as it was, or edited and signed again.

use bytes::Bytes;
use serde::Deserialize;
use twenty_webhook::{Verifier, WebhookEvent, verify::Signer};

use super::{
    super::{forward::Forward, report::Report},
    entry::{Entry, Received, Source},
    store::Store,
};
use crate::{client::headers_to_resend, output::Failure, time};

pub(super) struct Resender {
    pub(super) forward: Forward,
    /// Signs deliveries again, so that the page does not need the secret.
    pub(super) signer: Signer,
    pub(super) verifier: Verifier,
}

/// How the page wants a delivery to be sent again.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Request {
    /// Whether to sign the delivery again, with the current time.
    sign_anew: bool,
    /// An edited body, which is always signed again.
    body: Option<String>,
}

impl Resender {
    /// Sends the delivery, and returns the entry for the list.
    ///
    /// # Errors
    ///
    /// If the request cannot be created.
    pub(super) async fn send(&self, entry: &Entry, request: Request, store: &Store) -> Result<Entry, Failure> {
        let original = entry.body.clone().filter(|_| entry.is_sendable);
        let original = original.ok_or_else(|| Failure::new("only verified events are sent again"))?;
        let edited = request.body.map(Bytes::from).filter(|body| *body != original);
        let (is_edited, is_signed_anew) = (edited.is_some(), edited.is_some() || request.sign_anew);
        let body = edited.unwrap_or(original);
        let captured = entry.headers.iter().map(|(name, value)| (name, value));
        let headers = headers_to_resend(captured, &body, is_signed_anew.then_some(&self.signer))?;
        let at = time::now();
        let mut report = Report::new(at, &entry.method, 0);
        let signed_at = self.verifier.claimed_timestamp(&headers);
        report.forwarded(&self.forward.post(headers.clone(), body.clone()).await);
        // An edited body may no longer be an event. This check uses a new signature, because an old
        // signature no longer verifies, although the event is the same.
        let present = self.signer.sign(&body).pairs();
        let verified = self.verifier.verify(present.iter().map(|(name, value)| (name, value)), body.clone());
        match verified.map(WebhookEvent::from_verified) {
            Ok(Ok(event)) => report.accepted(&event),
            Ok(Err(error)) => report.verified_but_rejected(error.to_string()),
            Err(error) => report.rejected(error.to_string()),
        }
        let pairs = headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
        let source = Source::Sent { origin: entry.id.clone(), is_edited, is_signed_anew };
        let received = Received {
            at,
            method: entry.method.clone(),
            target: entry.target.clone(),
            headers: pairs.collect(),
            body: Some(body),
            signed_at,
            source,
            is_event: true,
        };
        Ok(Entry::new(&report, received, store))
    }
}
