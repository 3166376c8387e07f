//! Why a request does not verify: the library's diagnosis, and what the method adds to it.

use serde::Serialize;
use twenty_webhook::diagnose::{Cause, Diagnosis, Rewriting};

use crate::{formats::Loss, output::shortened};

/// One reason, and what to do about it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) cause: String,
    pub(crate) advice: &'static str,
}

const NO_DELIVERY: &str =
    "Twenty's deliveries are POST requests. A browser, a health check or a scanner sends such a request.";
const BODY_LOST: &str = "A redirect turns POST into GET and loses the body: after 301, 302 and 303 senders do so. Give Twenty the address \
                         that the redirect leads to (https, with or without the slash at the end). Or a browser opened the address.";
const OTHER_METHOD: &str = "Twenty's deliveries are POST requests, and receivers answer 405 to other methods. Look for a redirect, a \
                            proxy or a test tool that changes the method.";

/// Instead of the secret alone, where the bytes may be others than Twenty signed.
const NOT_EXACT: &str = "the capture may not hold the exact bytes that Twenty signed, or another secret signed";
/// What to do then.
const BYTES_OR_SECRET: &str = "Escapes, redaction, parsed and rewritten JSON, wrapped or shortened lines and changed \
                               spaces all change the bytes: capture the raw request with `twenty-webhook listen --save`. \
                               If the capture does hold the exact bytes, the secret is another one: copy it from this \
                               webhook in Twenty again.";

/// For JSON that the signature shows to be rewritten, perhaps by what made the capture.
const REWRITTEN: &str = "The file's JSON was parsed and written again, by your program or by the tool that made the \
                         capture. Verify the raw bytes before any JSON parser has them, and capture the raw request \
                         with `twenty-webhook listen --save`.";

/// For text without all of Twenty's headers, which may be another text than a request.
const NO_HEADERS: &str = "The file may be no request of Twenty, or the capture left out the headers: capture the raw \
                          request, with all headers, with `twenty-webhook listen --save`.";

/// Whether Twenty uses this method.
pub(crate) fn is_post(method: &str) -> bool {
    method == "POST"
}

/// All findings about a captured delivery. What its file has certainly lost comes first, what it
/// may have lost comes last, and in both cases the secret is not blamed. Unless the capture is
/// known to hold the exact bytes, causes that nothing proves name the capture before the secret.
pub(crate) fn of_capture(method: &str, diagnosis: &Diagnosis, loss: Option<Loss>, is_exact: bool) -> Vec<Finding> {
    let is_damaged = loss.is_some() || diagnosis.causes().contains(&Cause::BodyHasReplacements);
    let blame = Cause::Unexplained.to_string();
    let mut findings = all(method, diagnosis);
    if !is_exact {
        let is_guess = |cause: &&Cause| {
            matches!(
                cause,
                Cause::BodyIncomplete { .. }
                    | Cause::BodyNotJson { .. }
                    | Cause::BodyHasReplacements
                    | Cause::BodyLengthChanged { .. }
                    | Cause::BodyRewritten { what: Rewriting::Order }
            )
        };
        let lacks = [Cause::Unsigned, Cause::MissingSignature, Cause::MissingTimestamp].map(|cause| cause.to_string());
        let is_rewritten = |cause: &Cause| matches!(cause, Cause::BodyRewritten { .. });
        let rewritten = diagnosis.causes().iter().find(|cause| is_rewritten(cause)).map(Cause::to_string);
        let guesses: Vec<_> = diagnosis.causes().iter().filter(is_guess).map(Cause::to_string).collect();
        for finding in &mut findings {
            if finding.cause == blame && !is_damaged {
                *finding = Finding { cause: NOT_EXACT.to_owned(), advice: BYTES_OR_SECRET };
            } else if lacks.contains(&finding.cause) {
                finding.advice = NO_HEADERS;
            } else if guesses.contains(&finding.cause) {
                finding.advice = BYTES_OR_SECRET;
            } else if rewritten.as_ref() == Some(&finding.cause) {
                finding.advice = REWRITTEN;
            }
        }
    }
    findings.retain(|finding| !is_damaged || finding.cause != blame);
    if let Some(Loss { is_certain, what, advice }) = loss {
        let tool =
            diagnosis.causes().iter().find(|cause| matches!(cause, Cause::TestTool { .. })).map(Cause::to_string);
        let before_tool = findings.iter().position(|finding| tool.as_ref() == Some(&finding.cause));
        let at = if is_certain { 0 } else { before_tool.unwrap_or(findings.len()) };
        findings.insert(at, Finding { cause: what.to_owned(), advice });
    }
    findings
}

/// All findings, the first to look at first. The library does not see the method, so its guesses
/// that the method answers are replaced.
pub(crate) fn all(method: &str, diagnosis: &Diagnosis) -> Vec<Finding> {
    let causes = diagnosis.causes();
    let is_post = is_post(method);
    let by_method = (!is_post).then(|| of_method(method, causes));
    let is_answered = |cause: &Cause| !is_post && matches!(cause, Cause::Unsigned | Cause::BodyEmpty);
    let others = causes.iter().filter(|cause| !is_answered(cause));
    let others = others.map(|cause| Finding { cause: cause.to_string(), advice: cause.advice() });
    by_method.into_iter().chain(others).collect()
}

fn of_method(method: &str, causes: &[Cause]) -> Finding {
    let method = shortened(method);
    if causes.contains(&Cause::Unsigned) {
        let cause = format!("the request is not a delivery: its method is {method}, and it is not signed");
        Finding { cause, advice: NO_DELIVERY }
    } else if causes.contains(&Cause::BodyEmpty) {
        let cause = format!("the body is empty and the method is {method}: a redirect or a browser sent this request");
        Finding { cause, advice: BODY_LOST }
    } else {
        Finding { cause: format!("the method is {method} instead of POST"), advice: OTHER_METHOD }
    }
}

#[cfg(test)]
mod tests {
    use twenty_webhook::{Verifier, verify::Signer};

    use super::*;

    fn causes(method: &str, signer: Option<&str>, body: &str) -> Vec<String> {
        let headers = signer.map(|secret| Signer::new(secret).unwrap().sign("{}").pairs()).unwrap_or_default();
        let diagnosis = Verifier::new("secret").unwrap().diagnose(headers, body);
        all(method, &diagnosis).into_iter().map(|finding| finding.cause).collect()
    }

    #[test]
    fn the_method_replaces_guesses_and_adds_no_second_cause() {
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "post"] {
            for (signer, body, expected) in [
                (None, "", "the request is not a delivery"),
                (None, "{}", "the request is not a delivery"),
                (Some("secret"), "", "the body is empty and the method is"),
            ] {
                let causes = causes(method, signer, body);
                assert!(causes.len() == 1 && causes[0].starts_with(expected), "{method} {body}: {causes:?}");
                assert!(causes[0].contains(method), "{causes:?}");
            }
            let causes = causes(method, Some("other"), "{}");
            assert_eq!(causes[0], format!("the method is {method} instead of POST"));
            assert!(causes[1].starts_with("nothing known explains"), "{causes:?}");
        }
        for (signer, body) in [(None, ""), (Some("secret"), ""), (Some("other"), "{}")] {
            assert!(!causes("POST", signer, body)[0].contains("POST"));
        }
        assert!(causes(&"x".repeat(100_000), None, "")[0].len() < 300);
    }
}
