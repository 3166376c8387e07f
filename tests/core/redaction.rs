//! Checks that the `Debug` output of no public type shows a secret, a signature, a body or a part
//! of a record. The list is compared with the source, so it cannot miss a type.
//! `tests/telemetry.rs` checks the logs, and `tests/core/errors.rs` checks the messages of errors.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt::Debug,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body_util::Full;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tower::{Layer, Service, service_fn};
use twenty_webhook::{
    Receiver, WebhookEvent, actix_web, axum,
    deduplicate::*,
    diagnose::*,
    event::{field::*, record::*, *},
    inbox::*,
    receiver::*,
    testing::*,
    tower::{EventRouter, EventService, ResponseBody, VerifiedBody, WebhookLayer},
    verify::*,
};

use crate::support::{NOW, SIGNATURE, clock, source};

/// A text that no output may show. It is a part of each secret, password, header, query, body,
/// record and field in these tests.
const MARKER: &str = "mark3r";
const NUMBER: i64 = 48_151_623;
const DAY: &str = "1848-04-15";

/// The outputs of each type.
#[derive(Default)]
struct Shown(BTreeMap<String, String>);

impl Shown {
    fn of(&mut self, name: &str, value: &impl Debug) {
        self.0.entry(name.to_owned()).or_default().push_str(&format!("{value:?} {value:#?}\n"));
    }

    /// Records the output of a field that contains a value.
    fn read<T: DeserializeOwned + Debug>(&mut self, name: &str, sent: Value) {
        let value: T = serde_json::from_value(sent).unwrap_or_else(|error| panic!("{name}: {error}"));
        self.of(name, &value);
    }
}

fn secret() -> Secret {
    Secret::new(format!("{MARKER}-secret")).unwrap()
}

fn builder() -> VerifierBuilder {
    Verifier::builder().secret(secret()).clock(clock())
}

fn verifier() -> Verifier {
    builder().build().unwrap()
}

fn headers(body: &[u8]) -> SignatureHeaders {
    Signer::new(secret()).unwrap().sign_at(NOW, body)
}

fn verified(body: &[u8]) -> Verified {
    verifier().verify(headers(body).pairs(), body.to_vec()).unwrap()
}

fn event(body: &Value) -> WebhookEvent {
    WebhookEvent::from_verified(verified(body.to_string().as_bytes())).unwrap()
}

const BODY: &str = r#"{"eventName":"note.created","targetUrl":"mark3r","userId":"mark3r","record":{"title":"mark3r"}}"#;

/// Returns an object with the members of every composite field.
fn composite() -> Value {
    let texts = "firstName lastName primaryEmail primaryPhoneNumber primaryPhoneCountryCode primaryPhoneCallingCode number \
                 countryCode callingCode primaryLinkLabel primaryLinkUrl label url fileId extension currencyCode \
                 addressStreet1 addressStreet2 addressStreet3 addressCity addressPostcode addressState addressCountry source \
                 workspaceMemberId name provider applicationId agentId blocknote markdown";
    let mut members: serde_json::Map<_, _> =
        texts.split_whitespace().map(|name| (name.into(), MARKER.into())).collect();
    for name in ["amountMicros", "addressLat", "addressLng"] {
        members.insert(name.into(), NUMBER.into());
    }
    members.insert("additionalEmails".into(), json!([MARKER]));
    members.into()
}

fn of_verify(shown: &mut Shown) {
    shown.of("verify::Secret", &secret());
    shown.of("verify::Keys", &Keys::new("id", [secret(), secret()]).unwrap());
    shown.of("verify::Signer", &Signer::new(secret()).unwrap());
    shown.of("verify::SignatureHeaders", &headers(BODY.as_bytes()));
    shown.of("verify::VerifierBuilder", &builder());
    shown.of("verify::Verifier", &verifier());
    let mut verification = verifier().begin(headers(BODY.as_bytes())).unwrap();
    verification.update(BODY).unwrap();
    shown.of("verify::Verification", &verification);
    shown.of("verify::Verified", &verification.finalize().unwrap());
    let error = verifier().verify(headers(b"other").pairs(), BODY).unwrap_err();
    shown.of("verify::VerifyError", &error);
    shown.of("verify::VerifyErrorKind", &error.kind());
    shown.of("verify::ConfigError", &Secret::new(" ").unwrap_err());
    // The file of an executable is either too long or not UTF-8.
    let error = Secret::from_file(std::env::current_exe().unwrap()).unwrap_err();
    shown.of("verify::SecretFileError", &error);
    shown.of("verify::SecretFileError", &error.to_string());
    shown.of("verify::Timestamp", &NOW);
    shown.of("verify::FixedClock", &clock());
    shown.of("verify::SystemClock", &SystemClock);
    let padded = Secret::new(format!("{MARKER}-secret\n")).unwrap();
    let padded = Verifier::builder().secret(padded).clock(clock()).build().unwrap();
    for body in [BODY, &BODY.replace(':', ": ")] {
        let diagnosis = padded.diagnose(headers(BODY.as_bytes()).pairs(), body);
        shown.of("diagnose::Diagnosis", &diagnosis);
        shown.of("diagnose::Diagnosis", &diagnosis.to_string());
        shown.of("diagnose::Cause", &diagnosis.causes());
    }
    shown.of("diagnose::SecretEncoding", &SecretEncoding::Hex);
    shown.of("diagnose::Rewriting", &Rewriting::Spaces);
}

fn of_event(shown: &mut Shown) {
    let note = event(&serde_json::from_str(BODY).unwrap());
    shown.of("event::WebhookEvent", &note);
    shown.of("event::RawJson", &note.raw_record().unwrap());
    shown.of("event::JsonType", &JsonType::Null);
    shown.of("event::EventName", &note.name);
    shown.of("event::Action", &note.name.action());
    shown.of("event::EventPattern", &"note.*".parse::<EventPattern>().unwrap());
    shown.of("event::PatternError", &"note".parse::<EventPattern>().unwrap_err());
    let odd =
        event(&json!({ "eventName": "note.created", "eventDate": MARKER, "record": { "title": { MARKER: MARKER } },
        "objectMetadata": { "id": MARKER, "nameSingular": "note" } }));
    assert_eq!(odd.unexpected().len(), 2);
    shown.of("event::WebhookEvent", &odd);
    shown.of("event::UnexpectedMember", &odd.unexpected());
    shown.of("event::ObjectMetadata", &odd.object_metadata);
    for body in [BODY, "mark3r", r#"{"eventName":"person.created","record":"mark3r"}"#] {
        let error = WebhookEvent::<Person>::from_verified(verified(body.as_bytes())).unwrap_err();
        shown.of("event::EventError", &error);
        shown.of("event::EventError", &error.to_string());
        shown.of("event::EventErrorKind", &error.kind());
        shown.of("receiver::WebhookRejection", &WebhookRejection::from(error));
    }
    of_fields(shown);
    of_records(shown);
    let person = json!({ "eventName": "person.created", "record": { "jobTitle": MARKER, "city": MARKER } });
    let person = verified(person.to_string().as_bytes()).into_event::<With<Person, BTreeMap<String, Value>>>().unwrap();
    assert_eq!(person.record.custom["jobTitle"], MARKER);
    shown.of("event::With", &person.record);
}

fn of_fields(shown: &mut Shown) {
    shown.read::<Address>("event::Address", composite());
    shown.read::<RichText>("event::RichText", composite());
    shown.read::<Links>("event::Links", composite());
    shown.read::<Link>("event::Link", composite());
    shown.read::<FileRef>("event::FileRef", composite());
    shown.read::<Actor>("event::Actor", composite());
    shown.read::<ActorContext>("event::ActorContext", composite());
    shown.read::<Currency>("event::Currency", composite());
    shown.read::<FullName>("event::FullName", composite());
    shown.read::<Emails>("event::Emails", composite());
    shown.read::<Phones>("event::Phones", composite());
    shown.read::<PhoneNumber>("event::PhoneNumber", composite());
    shown.read::<Id>("event::Id", MARKER.into());
    shown.read::<Date>("event::Date", DAY.into());
    shown.read::<Decimal>("event::Decimal", NUMBER.into());
    shown.read::<ActorSource>("event::ActorSource", MARKER.into());
    shown.read::<OpportunityStage>("event::OpportunityStage", MARKER.into());
    shown.read::<TaskStatus>("event::TaskStatus", MARKER.into());
    shown.read::<ResponseStatus>("event::ResponseStatus", MARKER.into());
    shown.read::<WorkflowStatus>("event::WorkflowStatus", MARKER.into());
    shown.read::<WorkflowRunStatus>("event::WorkflowRunStatus", MARKER.into());
    shown.read::<MessageParticipantRole>("event::MessageParticipantRole", MARKER.into());
    shown.read::<MessageDirection>("event::MessageDirection", MARKER.into());
    shown.read::<MessageCampaignStatus>("event::MessageCampaignStatus", MARKER.into());
    shown.read::<CallRecordingStatus>("event::CallRecordingStatus", MARKER.into());
}

/// Records each standard object with all of its fields, which the table in the docs lists.
fn of_records(shown: &mut Shown) {
    let rows = include_str!("../../src/event/record/FIELDS.md").lines().skip(2);
    let mut fields: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in rows {
        let [_, object, field, ..] = row.split('|').map(|cell| cell.trim()).collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let object = object.split('`').nth(1).unwrap_or_default();
        fields.entry(object).or_default().push(field.trim_matches('`'));
    }
    let of_all = fields.remove("").unwrap();
    assert_eq!(fields.len(), 22);
    for (object, fields) in fields {
        let name = format!("{object}.created");
        let empty = event(&json!({ "eventName": name, "record": {} }));
        for value in [MARKER.into(), NUMBER.into(), DAY.into(), json!([MARKER]), composite(), json!([composite()])] {
            let record: serde_json::Map<_, _> =
                of_all.iter().chain(&fields).map(|field| ((*field).to_owned(), value.clone())).collect();
            let event = event(&json!({ "eventName": name, "record": record }));
            assert!(value.is_array() || event.record != empty.record, "{object} has nothing of {value}");
            let debug = format!("{:?}", event.record);
            shown.of(&format!("event::{}", source::identifier(&debug)), &event.record);
            shown.of("event::Record", &event.record);
            shown.of("event::UnexpectedMember", &event.unexpected());
        }
    }
    let custom = event(&json!({ "eventName": "rocket.created", "record": { "fuel": MARKER } }));
    let Record::Custom(custom) = custom.record else { panic!("{custom:?}") };
    shown.of("event::CustomRecord", &custom);
    let change = json!({ "before": MARKER, "after": NUMBER });
    let properties = json!({ "before": { "name": MARKER }, "after": { "name": NUMBER }, "diff": { "name": change } });
    let changed =
        json!({ "eventName": "metadata.view.updated", "event": { "recordId": MARKER, "properties": properties } });
    let Record::Metadata(metadata) = event(&changed).record else { panic!() };
    assert_eq!(metadata.diff().len(), 1);
    shown.of("event::MetadataEvent", &metadata);
    shown.of("event::FieldChange", &metadata.diff());
}

async fn of_deduplicate(shown: &mut Shown) {
    let store = MemoryStore::new(10);
    // A key is already a digest, and only four bytes of it are shown.
    let key = ClaimKey::new(MARKER, MARKER, MARKER.as_bytes());
    let outcome = store.claim(key, Duration::from_secs(1)).await.unwrap();
    shown.of("deduplicate::ClaimOutcome", &outcome);
    let ClaimOutcome::Fresh(claim) = outcome else { panic!() };
    shown.of("deduplicate::Claim", &claim);
    shown.of("deduplicate::ClaimKey", &key);
    shown.of("deduplicate::MemoryStore", &store);
    let builder = RedisStore::builder(&format!("redis://{MARKER}:{MARKER}@127.0.0.1:1/")).prefix("prefix");
    shown.of("deduplicate::RedisStoreBuilder", &builder);
    shown.of("deduplicate::RedisStore", &builder.connect_lazy().unwrap());
    let error = RedisStore::connect(&format!("no-redis://{MARKER}:{MARKER}@127.0.0.1")).await.unwrap_err();
    shown.of("deduplicate::StoreErrorKind", &error.kind());
    shown.of("deduplicate::StoreError", &error.with_claim(claim));
}

/// Outputs that parts of the receiver recorded while they ran.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<Vec<(&'static str, String)>>>);

impl Noted {
    fn of(&self, name: &'static str, value: &impl Debug) {
        self.0.lock().unwrap().push((name, format!("{value:?} {value:#?}")));
    }
}

async fn of_receiver(shown: &mut Shown, noted: &Noted) {
    let resolves = noted.clone();
    let keys = Keys::new("tenant", [secret()]).unwrap();
    let receiver = Receiver::for_tenants(Verifier::builder().clock(clock()), move |tenant| {
        resolves.of("receiver::TenantRequest", &tenant);
        let keys = keys.clone();
        async move { Ok(Some(keys)) }
    })
    .unwrap();
    let hears = noted.clone();
    let deduplicate = Deduplicate::new(MemoryStore::new(10)).key_by(|_| Some(vec![MARKER.to_owned()]));
    shown.of("deduplicate::Deduplicate", &deduplicate);
    shown.of("deduplicate::StoreFailure", &StoreFailure::Reject);
    let receiver = receiver.deduplicate(deduplicate).on_outcome(move |outcome| {
        hears.of("receiver::Outcome", outcome);
        hears.of("receiver::OutcomeKind", &outcome.kind);
    });
    shown.of("receiver::Receiver", &receiver);
    shown.of("receiver::Drained", &receiver.drain(Duration::ZERO).await);

    let handles = noted.clone();
    let handler = service_fn(move |request: Request<VerifiedBody>| {
        handles.of("tower::VerifiedBody", request.body());
        handles.of("verify::Verified", &request.extensions().get::<Verified>());
        async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) }
    });
    let layer = WebhookLayer::new(receiver);
    shown.of("tower::WebhookLayer", &layer);
    let service = layer.layer(handler);
    shown.of("tower::WebhookService", &service);
    for signed in [BODY, "another"] {
        let mut request = Request::post(format!("/webhooks/twenty?token={MARKER}"));
        for (name, value) in headers(signed.as_bytes()).pairs() {
            request = request.header(HeaderName::try_from(name).unwrap(), value);
        }
        let request = request.header("authorization", MARKER).body(Full::<Bytes>::from(BODY)).unwrap();
        let future = service.clone().call(request);
        shown.of("tower::ResponseFuture", &future);
        let answer = future.await.unwrap();
        if let Some(refusal) = answer.extensions().get::<Refusal>() {
            shown.of("receiver::Refusal", refusal);
            shown.of("receiver::RefusalKind", &refusal.kind());
        }
        let body: &ResponseBody<Full<Bytes>> = answer.body();
        shown.of("tower::ResponseBody", body);
    }
    // The user's own response may show everything, because it is sent to the client.
    shown.of("receiver::RefusalResponse", &RefusalResponse::new(404).body("text/plain", "not found"));
}

fn of_adapters(shown: &mut Shown) {
    type Handlers = EventRouter<VerifiedBody, Full<Bytes>, Infallible>;
    type Built = EventService<VerifiedBody, Full<Bytes>, Infallible>;
    shown.of("tower::EventRouter", &Handlers::new());
    let built: Built = Handlers::new().build().unwrap();
    shown.of("tower::EventService", &built);
    let router = || axum::EventRouter::<String>::new().on("note.created", |_: WebhookEvent| async {});
    shown.of("axum::EventRouter", &router());
    shown.of("axum::EventHandler", &router().build().unwrap());
    let router = || {
        actix_web::EventRouter::new()
            .on("note.created", |_: WebhookEvent| async { ::actix_web::HttpResponse::Ok().finish() })
    };
    shown.of("actix_web::EventRouter", &router());
    shown.of("actix_web::EventHandler", &router().build().unwrap());
    shown.of("actix_web::WebhookMiddleware", &actix_web::WebhookMiddleware::new(verifier()));
}

fn of_testing(shown: &mut Shown) {
    let delivery = Delivery::from_body(BODY);
    shown.of("testing::Delivery", &delivery);
    shown.of("testing::SignedDelivery", &delivery.sign_at(&Signer::new(secret()).unwrap(), NOW));
    shown.of("testing::Forgery", &Forgery::Tampered);
    shown.of("testing::ParseForgeryError", &MARKER.parse::<Forgery>().unwrap_err());
    shown.of("testing::SetError", &delivery.set("record.title.name", MARKER).unwrap_err());
}

async fn of_inbox(shown: &mut Shown) {
    let builder = || Inbox::builder().clock(clock()).key_by(|_| Some(vec![MARKER.to_owned()]));
    shown.of("inbox::InboxBuilder", &builder());
    let inbox = builder().in_memory();
    shown.of("inbox::Accepted", &inbox.accept(verified(BODY.as_bytes())).await.unwrap());
    shown.of("inbox::Inbox", &inbox);
    let attempts = Noted::default();
    let notes = attempts.clone();
    let handler = move |noted: Noted, event: WebhookEvent, attempt: Attempt| {
        noted.of("event::WebhookEvent", &event);
        noted.of("inbox::Attempt", &attempt);
        async { Err::<(), _>(HandlerError::permanent(MARKER)) }
    };
    let worker = inbox.worker(notes).fallback(handler).retry(RetryPolicy::default());
    shown.of("inbox::WorkerBuilder", &worker);
    let worker = worker.start().unwrap();
    shown.of("inbox::Worker", &worker);
    while inbox.stats().await.unwrap().dead == 0 {
        tokio::task::yield_now().await;
    }
    let mut letters = inbox.dead_letters();
    let letter = letters.next().await.unwrap().unwrap();
    shown.of("inbox::DeadLetters", &letters);
    shown.of("inbox::DeadLetter", &letter);
    shown.of("inbox::DeadReason", &letter.reason());
    shown.of("inbox::EventId", &letter.id());
    shown.of("inbox::Stats", &inbox.stats().await.unwrap());
    shown.of("inbox::StartError", &inbox.worker(()).start().unwrap_err());
    shown.of("inbox::Shutdown", &worker.shutdown(Duration::from_secs(5)).await);
    let error = MARKER.parse::<EventId>().unwrap_err();
    shown.of("inbox::InboxError", &error);
    shown.of("inbox::InboxErrorKind", &error.kind());
    shown.of("inbox::InboxFailure", &InboxFailure::default());
    shown.of("inbox::RetryPolicy", &RetryPolicy::default());
    // The user decides what the user's error shows.
    shown.of("inbox::HandlerError", &HandlerError::permanent("no"));
    for (name, text) in attempts.0.lock().unwrap().drain(..) {
        shown.0.entry(name.to_owned()).or_default().push_str(&text);
    }
}

#[tokio::test]
async fn no_type_shows_content() {
    let (mut shown, noted) = (Shown::default(), Noted::default());
    of_verify(&mut shown);
    of_event(&mut shown);
    of_deduplicate(&mut shown).await;
    of_receiver(&mut shown, &noted).await;
    of_adapters(&mut shown);
    of_testing(&mut shown);
    of_inbox(&mut shown).await;
    for (name, text) in noted.0.lock().unwrap().drain(..) {
        shown.0.entry(name.to_owned()).or_default().push_str(&text);
    }

    // The last type is a marker that cannot be constructed.
    let covered = shown.0.keys().map(String::as_str);
    source::assert_covers(covered, &source::public_types());

    let signatures = [BODY, "another"].map(|body| headers(body.as_bytes()).pairs());
    let signatures = signatures.iter().flatten().filter(|(name, _)| name == SIGNATURE).map(|(_, value)| value.clone());
    let bytes_of = |text: &str| format!("{:?}", text.as_bytes()).trim_matches(['[', ']']).to_owned();
    let mut hidden = vec![MARKER.to_owned(), NUMBER.to_string(), DAY.to_owned(), bytes_of(MARKER)];
    for signature in signatures {
        let bytes: Vec<u8> = (0..8).map(|at| u8::from_str_radix(&signature[2 * at..2 * at + 2], 16).unwrap()).collect();
        hidden.extend([signature[..16].to_owned(), format!("{bytes:?}").trim_matches(['[', ']']).to_owned()]);
    }
    for (name, text) in &shown.0 {
        assert!(!text.trim().is_empty(), "{name} shows nothing at all");
        // Each output is there twice: on one line and on several lines.
        let plain = text.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(").replace("[ ", "[");
        for hidden in &hidden {
            assert!(!plain.contains(hidden.as_str()), "{name} shows {hidden}: {plain}");
        }
    }
}
