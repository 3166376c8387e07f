//! Verifies deliveries without an adapter, from headers and bytes, for use in any server.
//!
//!     cargo run --example any_framework

use twenty_webhook::{
    Verifier, WebhookEvent,
    event::{EventError, EventErrorKind},
    verify::{Signer, VerifyError, VerifyErrorKind},
};

enum Refused {
    NotVerified(VerifyError),
    NotAnEvent(EventError),
}

/// Verifies the raw body, then reads the event from the verified bytes. `chunks` are the parts of
/// the body as they arrive. If you have the whole body, `verifier.verify(headers, body)` does the
/// same in one call.
fn receive(
    verifier: &Verifier,
    headers: &[(String, String)],
    chunks: impl Iterator<Item = Vec<u8>>,
) -> Result<WebhookEvent, Refused> {
    let verify = || {
        let signature = verifier.parse_headers(headers.iter().map(|(name, value)| (name, value)))?;
        let mut verification = verifier.begin(signature)?;
        for chunk in chunks {
            verification.update(chunk)?;
        }
        verification.finalize()
    };
    let verified = verify().map_err(Refused::NotVerified)?;
    WebhookEvent::from_verified(verified).map_err(Refused::NotAnEvent)
}

/// Returns the status of the response. It has no body, so an attacker learns no reason.
fn status(outcome: &Result<WebhookEvent, Refused>) -> u16 {
    match outcome {
        Ok(_) => 200,
        Err(Refused::NotVerified(error)) => match error.kind() {
            VerifyErrorKind::Unsigned
            | VerifyErrorKind::SignatureMismatch
            | VerifyErrorKind::TooOld
            | VerifyErrorKind::FromTheFuture => 401,
            VerifyErrorKind::BodyTooLong => 413,
            _ => 400,
        },
        Err(Refused::NotAnEvent(error)) if error.kind() == EventErrorKind::NotJson => 400,
        Err(Refused::NotAnEvent(_)) => 422,
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let verifier = Verifier::new("dev-secret")?;
    let body = r#"{"eventName":"person.created","record":{"name":{"firstName":"Ada","lastName":"Lovelace"}}}"#;
    let headers = Signer::new("dev-secret")?.sign(body).pairs();

    let genuine = receive(&verifier, &headers, body.as_bytes().chunks(16).map(<[u8]>::to_vec));
    println!(
        "genuine:  {} {:?}",
        status(&genuine),
        genuine.as_ref().ok().and_then(|event| event.record.display_name())
    );

    let forged = receive(&verifier, &headers, std::iter::once(body.replace("Ada", "Eve").into_bytes()));
    println!("tampered: {}", status(&forged));
    if let Err(Refused::NotVerified(error)) = &forged {
        println!("          {error}"); // for your log
    }
    Ok(())
}
