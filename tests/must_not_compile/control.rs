//! Correct uses of the same items. They compile, so the other programs are rejected only for their
//! marked lines.
#![deny(unused_must_use)]

use twenty_webhook::{
    Verified, Verifier, WebhookEvent,
    tower::WebhookLayer,
    verify::{Secret, Signer, VerifyError},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let secret = Secret::new("secret")?;
    println!("{secret:?} {}", secret.expose_secret());
    let verifier = Verifier::new("secret")?;
    let headers = verifier.parse_headers(Signer::new("secret")?.sign("{}").pairs())?;
    let mut verification = verifier.begin(headers)?;
    verification.update("{}")?;
    let verified: Result<Verified, VerifyError> = verification.finalize();
    let event: WebhookEvent = WebhookEvent::from_verified(verified?)?;
    println!("{event:?}");
    let _ = WebhookLayer::new(verifier);
    Ok(())
}
