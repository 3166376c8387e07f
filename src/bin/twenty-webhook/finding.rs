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
    let causes: Vec<_> = unanswered(method, diagnosis.causes())
        .filter(|cause| !(is_damaged && matches!(cause, Cause::Unexplained)))
        .collect();
    let of_cause = |cause: &&Cause| if is_exact { proven(cause) } else { guessed(cause) };
    let mut findings: Vec<_> = by_method(method, diagnosis.causes()).into_iter().collect();
    let before = findings.len();
    findings.extend(causes.iter().map(of_cause));
    if let Some(Loss { is_certain, what, advice }) = loss {
        let is_tool = |cause: &&Cause| matches!(cause, Cause::TestTool { .. });
        let before_tool = causes.iter().position(is_tool).map_or(findings.len(), |at| before.saturating_add(at));
        findings.insert(if is_certain { 0 } else { before_tool }, Finding { cause: what.to_owned(), advice });
    }
    findings
}

/// All findings, the first to look at first. The library does not see the method, so its guesses
/// that the method answers are replaced.
pub(crate) fn all(method: &str, diagnosis: &Diagnosis) -> Vec<Finding> {
    let causes = diagnosis.causes();
    by_method(method, causes).into_iter().chain(unanswered(method, causes).map(proven)).collect()
}

fn proven(cause: &Cause) -> Finding {
    Finding { cause: cause.to_string(), advice: cause.advice() }
}

/// Of a capture that may hold other bytes than Twenty signed.
fn guessed(cause: &Cause) -> Finding {
    let advice = match cause {
        Cause::Unexplained => return Finding { cause: NOT_EXACT.to_owned(), advice: BYTES_OR_SECRET },
        Cause::Unsigned | Cause::MissingSignature | Cause::MissingTimestamp => NO_HEADERS,
        Cause::BodyIncomplete { .. }
        | Cause::BodyNotJson { .. }
        | Cause::BodyHasReplacements
        | Cause::BodyLengthChanged { .. }
        | Cause::BodyRewritten { what: Rewriting::Order } => BYTES_OR_SECRET,
        Cause::BodyRewritten { .. } => REWRITTEN,
        _ => cause.advice(),
    };
    Finding { cause: cause.to_string(), advice }
}

/// The causes that the method does not answer.
fn unanswered<'d>(method: &str, causes: &'d [Cause]) -> impl Iterator<Item = &'d Cause> {
    let is_post = is_post(method);
    causes.iter().filter(move |cause| is_post || !matches!(cause, Cause::Unsigned | Cause::BodyEmpty))
}

fn by_method(method: &str, causes: &[Cause]) -> Option<Finding> {
    (!is_post(method)).then(|| of_method(method, causes))
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
