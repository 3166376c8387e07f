//! Checks the message of every variant of every public error. The table is compared with the
//! source, so it cannot miss a new variant.

use std::{collections::HashMap, error::Error, io};

use twenty_webhook::{
    WebhookEvent,
    deduplicate::{StoreError, StoreErrorKind},
    event::{EventPattern, record::Person},
    inbox::{EventId, Inbox, InboxError, StartError},
    receiver::{Refusal, RefusalKind, WebhookRejection},
    testing::{Delivery, Forgery},
    tower::EventRouter,
    verify::{ConfigError, SecretFileError, Signer, Verifier, VerifyError, VerifyErrorKind},
};

use crate::support::source;

/// An error with its type, its variant or kind, and the expected message.
struct Case {
    of: &'static str,
    variant: String,
    error: Box<dyn Error>,
    message: &'static str,
}

fn case(of: &'static str, variant: impl std::fmt::Debug, error: impl Error + 'static, message: &'static str) -> Case {
    let variant = format!("{variant:?}");
    Case { of, variant: source::identifier(&variant).to_owned(), error: Box::new(error), message }
}

fn cases() -> Vec<Case> {
    let mut cases = verify();
    cases.extend(events());
    cases.extend(receiver());
    cases.extend(stores());
    cases.extend(testing());
    cases.extend(inbox());
    cases
}

fn verify() -> Vec<Case> {
    use VerifyErrorKind::*;
    let kinds = [
        (Unsigned, "unsigned: neither signature nor timestamp header (a webhook without a secret sends none)"),
        (MissingSignature, "timestamp header without a signature header"),
        (MissingTimestamp, "signature header without a timestamp header"),
        (RepeatedSignature, "more than one signature header"),
        (RepeatedTimestamp, "more than one timestamp header"),
        (MalformedSignature, "signature header is not 64 lower-case hexadecimal digits"),
        (MalformedTimestamp, "timestamp header is not decimal milliseconds since 1970"),
        (TimestampInSeconds, "timestamp header is in seconds, expected milliseconds since 1970"),
        (TooOld, "timestamp is older than the tolerance allows"),
        (FromTheFuture, "timestamp is further in the future than the tolerance allows"),
        (BodyTooLong, "body is longer than the limit"),
        (SignatureMismatch, "no secret gives this signature for this timestamp and body"),
    ];
    let kinds = kinds.map(|(kind, message)| case("VerifyErrorKind", kind, VerifyError::from(kind), message));
    let configs = [
        (ConfigError::BlankSecret, "the webhook secret is empty or blank"),
        (ConfigError::NoSecret, "no webhook secret: add at least one"),
        (ConfigError::TooManySecrets, "more than 8 secrets under one id"),
        (ConfigError::KeysAndSecrets, "both keys and single secrets were given: use only one kind"),
        (ConfigError::InvalidHeaderPrefix, "the header prefix is not 1 to 1024 characters of a header name"),
        (ConfigError::BlankId, "the id of the expected workspace or webhook is blank"),
    ];
    let configs = configs.map(|(error, message)| case("ConfigError", error, error, message));
    kinds.into_iter().chain(configs).chain(secret_files()).collect()
}

fn secret_files() -> impl Iterator<Item = Case> {
    use SecretFileError::*;
    let path = || "/run/a\nb".into();
    let errors = [
        (
            Read { path: path(), source: io::Error::other("what lies beneath") },
            r#"failed to read the webhook secret from "/run/a\nb""#,
        ),
        (TooLong { path: path() }, r#"the file of the webhook secret is longer than 64 KiB: "/run/a\nb""#),
        (NotUtf8 { path: path() }, r#"the file of the webhook secret is not UTF-8 text: "/run/a\nb""#),
        (Blank { path: path() }, r#"the file of the webhook secret is empty or blank: "/run/a\nb""#),
    ];
    errors.into_iter().map(|(error, message)| {
        let variant = format!("{error:?}");
        let variant = source::identifier(&variant).to_owned();
        Case { of: "SecretFileError", variant, error: Box::new(error), message }
    })
}

/// Returns the errors of events, and those of the extractor that contain them.
fn events() -> Vec<Case> {
    #[derive(Debug, serde::Deserialize)]
    #[serde(rename = "note")]
    #[allow(dead_code, reason = "only read")]
    struct Titled {
        title: String,
    }

    fn refused<T: twenty_webhook::event::record::FromRecord>(body: &'static str) -> twenty_webhook::event::EventError {
        let headers = Signer::new("secret").unwrap().sign(body).pairs();
        let verified = Verifier::new("secret").unwrap().verify(headers, body).unwrap();
        WebhookEvent::<T>::from_verified(verified).map(drop).unwrap_err()
    }

    let mut cases = Vec::new();
    for (error, message) in [
        (refused::<Person>("{\n!"), "verified body is not JSON (line 2, column 1)"),
        (refused::<Person>("{\n\"\u{e9}\":}"), "verified body is not JSON (line 2, column 6)"),
        (refused::<Vec<u32>>("[]"), "verified body does not fit the expected type (line 1, column 0)"),
        (refused::<Titled>(r#"{"eventName":"note.created"}"#), "`record.title` is missing (line 1, column 28)"),
        (
            refused::<Titled>(r#"{"eventName":"note.created","record":{"title":7}}"#),
            "`record.title` does not fit the expected type (line 1, column 48)",
        ),
        (
            refused::<Person>(r#"{"eventName":"no\nte.created"}"#),
            r"expected an event of `person`, found `no\nte.created`",
        ),
    ] {
        cases.push(case("EventErrorKind", error.kind(), error.clone(), message));
        let rejection = WebhookRejection::from(error);
        cases.push(case("WebhookRejection", rejection.clone(), rejection, message));
    }
    for (rejection, message) in [
        (WebhookRejection::MissingMiddleware, "request was not verified: wrap this route with the webhook middleware"),
        (
            WebhookRejection::InboxBehindManaged,
            "the inbox already deduplicates and acknowledges: remove `deduplicate` and `acknowledge_within` \
             from its receiver",
        ),
        (WebhookRejection::NotStored, "the inbox could neither store nor handle the delivery"),
    ] {
        cases.push(case("WebhookRejection", rejection.clone(), rejection, message));
    }

    let malformed = "no\nte".parse::<EventPattern>().unwrap_err();
    let message = r"malformed event pattern `no\nte`: expected `object.action` or `metadata.kind.action`";
    cases.push(case("PatternError", "Malformed", malformed, message));
    let impossible = "Person.created".parse::<EventPattern>().unwrap_err();
    let message = "event pattern `Person.created` never matches: an object's name begins with a lower-case letter and \
                   has letters and digits only";
    cases.push(case("PatternError", "ObjectName", impossible, message));
    let service = || tower::service_fn(|_: http::Request<()>| async { Ok::<_, ()>(http::Response::new(())) });
    let twice = EventRouter::new().on("note.*", service()).on("note.*", service()).build().unwrap_err();
    cases.push(case("PatternError", "GivenTwice", twice, "event pattern `note.*` was added twice"));
    cases
}

fn receiver() -> Vec<Case> {
    use RefusalKind::*;
    let kinds = [
        (Verify(VerifyErrorKind::TooOld), "timestamp is older than the tolerance allows"),
        (ContentEncoding, "body has a Content-Encoding, but Twenty sends none"),
        (BodyTruncated, "truncated body"),
        (BodyTimeout, "body did not arrive within its deadline"),
        (OtherWorkspace, "verified, but from another workspace than expected"),
        (OtherWebhook, "verified, but from another webhook than expected"),
        (UnknownTenant, "unknown tenant"),
        (ResolverFailed, "failed to resolve the tenant's keys"),
        (Overloaded, "too many unverified bytes in memory"),
        (BeingHandled, "the delivery is being handled, and a duplicate already waits for it"),
        (StoreFailed, "the claim store failed"),
        (OtherRoute, "a duplicate arrived at another route first, and its handler failed"),
        (BackgroundFull, "too many background handlers"),
        (Draining, "the receiver is draining: the program is shutting down"),
        (Nested, "two receivers that deduplicate or acknowledge wrap the same route: remove one of them"),
    ];
    kinds.into_iter().map(|(kind, message)| case("RefusalKind", kind, Refusal::from(kind), message)).collect()
}

fn stores() -> Vec<Case> {
    use StoreErrorKind::*;
    let kinds = [
        (Settings, "the claim store's settings are invalid"),
        (Timeout, "the claim store did not answer within the deadline"),
        (Connection, "no connection to the claim store"),
        (Refused, "the claim store rejected the command"),
        (Full, "the claim store is full of running claims"),
        (Unexpected, "unexpected answer from the claim store"),
    ];
    let errors = |(kind, message): (StoreErrorKind, _)| {
        let caused = StoreError::new(kind, io::Error::other("what lies beneath"));
        [StoreError::from(kind), caused].map(|error| case("StoreErrorKind", kind, error, message))
    };
    kinds.into_iter().flat_map(errors).collect()
}

fn testing() -> Vec<Case> {
    let set = |body: &'static str, path: &str| Delivery::from_body(body).set(path, HashMap::from([([0], 0)]));
    let keyless = |path: &str| Delivery::from_body(r#"{"a":"b"}"#).set(path, 0).unwrap_err();
    let mut cases = Vec::new();
    for (error, message) in [
        (Delivery::from_body("{").set("a", 0).unwrap_err(), "the body is not JSON"),
        (Delivery::from_body("[]").set("a", 0).unwrap_err(), "the body is an array, not an object"),
        (keyless("a..b"), "the path contains an empty name"),
        (keyless("b.c"), "there is no `b`"),
        (keyless("a.c"), "`a` is a string, not an object"),
        (set("{}", "a").unwrap_err(), "the value cannot be written as JSON"),
    ] {
        let variant = format!("{error:?}");
        cases.push(Case {
            of: "SetError",
            variant: source::identifier(&variant).to_owned(),
            error: Box::new(error),
            message,
        });
    }
    let unknown = "replayed".parse::<Forgery>().unwrap_err();
    let message = "no such forgery: choose one of tampered, stale, unsigned, wrong-secret";
    cases.push(case("ParseForgeryError", unknown, unknown, message));
    cases
}

fn inbox() -> Vec<Case> {
    async fn person(_: WebhookEvent<Person>) {}

    let id = "no id".parse::<EventId>().unwrap_err();
    let message = "invalid event id: expected 32 lower-case hexadecimal digits";
    let mut cases = vec![case("InboxError", id.kind(), id, message)];
    let worker = || Inbox::builder().in_memory().worker(());
    let running = async {
        let inbox = Inbox::builder().in_memory();
        let _worker = inbox.worker(()).start().unwrap();
        inbox.worker(()).start().unwrap_err()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (error, message) in [
        (worker().start().unwrap_err(), "no tokio runtime: start the worker inside a runtime"),
        (worker().on("x", person).start().unwrap_err(), "an event pattern of the worker is invalid"),
        (
            worker().on("company.*", person).start().unwrap_err(),
            "the handler of `company.*` accepts events of another object",
        ),
        (runtime.block_on(running), "the inbox already has a worker: add all handlers to that worker"),
    ] {
        let variant = format!("{error:?}");
        let variant = source::identifier(&variant).to_owned();
        cases.push(Case { of: "StartError", variant, error: Box::new(error), message });
    }
    cases
}

#[test]
fn every_variant_has_its_message() {
    let cases = cases();
    for Case { of, variant, error, message } in &cases {
        assert_eq!(error.to_string(), *message, "{of}::{variant}");
    }
    for of in [
        "VerifyErrorKind",
        "ConfigError",
        "SecretFileError",
        "EventErrorKind",
        "WebhookRejection",
        "RefusalKind",
        "StoreErrorKind",
        "SetError",
        "StartError",
    ] {
        let covered = cases.iter().filter(|case| case.of == of).map(|case| case.variant.as_str());
        source::assert_covers(covered, &source::variants(of));
    }
    let types = [
        "ConfigError",
        "SecretFileError",
        "EventError",
        "InboxError",
        "PatternError",
        "Refusal",
        "SetError",
        "StartError",
        "StoreError",
        "ParseForgeryError",
        "VerifyError",
        "WebhookRejection",
    ];
    source::assert_covers(types, &source::error_types());
}

/// A report of the whole chain says everything once.
#[test]
fn no_source_is_repeated() {
    let mut sources = 0;
    for Case { of, variant, error, .. } in cases() {
        let mut shown = vec![error.to_string()];
        let mut next = error.source();
        while let Some(source) = next {
            let text = source.to_string();
            assert!(shown.iter().all(|earlier| !earlier.contains(&text)), "{of}::{variant}: {shown:?}, then {text:?}");
            shown.push(text);
            next = source.source();
            sources += 1;
        }
    }
    assert_eq!(
        sources,
        source::variants("StoreErrorKind").len() + 4,
        "those of stores, a file, a value that is no JSON, and a worker's patterns and types"
    );
}

/// Each message can follow a colon in a line of a log.
#[test]
fn each_message_is_one_line_without_a_full_stop() {
    for Case { error, .. } in cases() {
        let message = error.to_string();
        assert!(!message.contains('\n') && !message.ends_with('.'), "{message}");
        assert!(!message.starts_with(|c: char| c.is_uppercase()), "{message}");
    }
}

/// Programs whose errors cross threads can use `?`.
#[test]
fn each_error_converts_to_a_boxed_error() {
    fn crosses<E: Into<Box<dyn Error + Send + Sync>> + 'static>() {}
    crosses::<ConfigError>();
    crosses::<SecretFileError>();
    crosses::<VerifyError>();
    crosses::<twenty_webhook::event::EventError>();
    crosses::<twenty_webhook::event::PatternError>();
    crosses::<Refusal>();
    crosses::<WebhookRejection>();
    crosses::<StoreError>();
    crosses::<InboxError>();
    crosses::<StartError>();
}
