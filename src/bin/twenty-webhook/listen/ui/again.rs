//! Sends a delivery to the forward target again: as it was, or edited and signed anew.

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
    /// The secret stays here.
    pub(super) signer: Signer,
    pub(super) verifier: Verifier,
}

/// What the page asks for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Request {
    /// Sign it as of now.
    sign_anew: bool,
    /// Another body, which is always signed anew.
    body: Option<String>,
}

impl Resender {
    /// Sends it, and returns what is to be listed.
    ///
    /// # Errors
    ///
    /// When the request cannot be put together.
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
        // What it is now may be no event any more. Signed anew, because an old signature does not verify
        // any more, but the event is the same.
        let present = self.signer.sign(&body).pairs();
        let verified = self.verifier.verify(present.iter().map(|(name, value)| (name, value)), body.clone());
        match verified.map(WebhookEvent::from_verified) {
            Ok(Ok(event)) => report.accepted(&event),
            Ok(Err(error)) => report.rejected(error.to_string()),
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
