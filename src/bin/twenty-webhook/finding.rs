//! Why a request does not verify, or may not reach a handler: the library's diagnosis, and findings
//! about the request's method and length.

use serde::Serialize;
use twenty_webhook::{
    Verifier,
    diagnose::{Cause, Diagnosis, Rewriting},
};

use crate::{formats::Loss, output::shortened};

/// One reason, and what to do about it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) cause: String,
    pub(crate) advice: &'static str,
}

const NO_DELIVERY: &str =
    "Twenty's deliveries are POST requests. This one is from a browser, a health check or a scanner, for example.";
const BODY_LOST: &str = "After a redirect with 301, 302 or 303, a sender uses GET and drops the body. Give Twenty the address that the \
                         redirect leads to (https, with or without the slash at the end). Or a browser opened the address.";
const OTHER_METHOD: &str = "Twenty's deliveries are POST requests, and receivers answer 405 to other methods. Look for a redirect, a \
                            proxy or a test tool that changes the method.";

/// The cause if no mistake was found and the capture may contain other bytes than Twenty signed.
const NOT_EXACT: &str =
    "the capture may differ from the bytes that Twenty signed, or the delivery was signed with another secret";
/// The advice for [`NOT_EXACT`].
const BYTES_OR_SECRET: &str = "Escapes, redaction, parsed and rewritten JSON, wrapped or shortened lines and changed \
                               spaces all change the bytes: capture the raw request with `twenty-webhook listen --save`. \
                               If the capture does contain the exact bytes, the secret is wrong: copy it from this \
                               webhook in Twenty again.";

/// The advice if the signature proves that the JSON was rewritten. The tool that made the capture
/// may have done this.
const REWRITTEN: &str = "The file's JSON was parsed and serialized again, by your program or by the tool that made the \
                         capture. Verify the raw bytes before any JSON parser reads them, and capture the raw request \
                         with `twenty-webhook listen --save`.";

/// The advice if some of Twenty's headers are missing. The text may not be a request at all.
const NO_HEADERS: &str = "The file may not be a request from Twenty, or the capture left out the headers: capture the raw \
                          request, with all headers, with `twenty-webhook listen --save`.";

/// Returns whether Twenty uses this method.
pub(crate) fn is_post(method: &str) -> bool {
    method == "POST"
}

/// Returns a warning about a body that verifies here, but is longer than receivers accept by
/// default.
pub(crate) fn too_long_by_default(bytes: usize) -> Option<String> {
    let limit = Verifier::DEFAULT_BODY_LIMIT;
    (bytes > limit)
        .then(|| format!("the body has {bytes} bytes, and receivers accept {limit} by default: raise `body_limit`"))
}

/// Returns all findings about a captured delivery. A certain loss in the file comes first, and a
/// possible loss comes last. In both cases, no finding blames the secret. If `is_exact` is false,
/// the capture may not contain the exact bytes, so findings without a proof name the capture before
/// the secret.
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

/// Returns all findings, in the order in which to check them. The library does not know the method,
/// so its guesses are replaced where the method explains the failure.
pub(crate) fn all(method: &str, diagnosis: &Diagnosis) -> Vec<Finding> {
    let causes = diagnosis.causes();
    by_method(method, causes).into_iter().chain(unanswered(method, causes).map(proven)).collect()
}

fn proven(cause: &Cause) -> Finding {
    Finding { cause: cause.to_string(), advice: cause.advice() }
}

/// Returns the finding for a capture that may contain other bytes than Twenty signed.
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

/// Returns the causes that the method does not explain.
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
            assert!(causes[1].starts_with("no known mistake was found"), "{causes:?}");
        }
        for (signer, body) in [(None, ""), (Some("secret"), ""), (Some("other"), "{}")] {
            assert!(!causes("POST", signer, body)[0].contains("POST"));
        }
        assert!(causes(&"x".repeat(100_000), None, "")[0].len() < 300);
    }
}
