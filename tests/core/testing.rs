//! Tests of the kit for users' own tests: its samples equal Twenty's deliveries, and its forgeries
//! are rejected for the right reason.

use std::collections::HashSet;

use proptest::{
    collection::{btree_map, vec},
    prelude::*,
};
use serde_json::{Value, json};
use twenty_webhook::{
    Verifier,
    event::{Action, FromRecord, RawJson, Record, record::*},
    testing::{Delivery, Forgery, SetError, SignedDelivery},
    verify::{FixedClock, Secret, Signer, Timestamp, VerifyErrorKind},
};

use crate::support::{
    data_text,
    event::{event, objects, typed, unexpected},
};

const ACTIONS: [&str; 5] = ["created", "updated", "deleted", "restored", "destroyed"];

/// Fields that only older versions of Twenty sent.
const OLDER: &[(&str, &[&str])] = &[
    ("person", &["xLink", "city"]),
    ("company", &["employees", "xLink", "annualRecurringRevenue", "idealCustomerProfile"]),
    ("opportunity", &["probability"]),
    ("note", &["body"]),
    ("noteTarget", &["personId", "companyId", "opportunityId"]),
    ("task", &["body"]),
    ("taskTarget", &["personId", "companyId", "opportunityId"]),
    (
        "attachment",
        &[
            "type",
            "authorId",
            "taskId",
            "noteId",
            "personId",
            "companyId",
            "opportunityId",
            "dashboardId",
            "workflowId",
        ],
    ),
];

/// Fields that are `null` in a sample: the former path of a file, and all targets of an attachment
/// but one.
const NULL: &[(&str, &[&str])] = &[
    ("noteTarget", &["targetCompanyId", "targetOpportunityId"]),
    ("taskTarget", &["targetPersonId", "targetCompanyId"]),
    (
        "attachment",
        &[
            "fullPath",
            "targetTaskId",
            "targetPersonId",
            "targetCompanyId",
            "targetOpportunityId",
            "targetDashboardId",
            "targetWorkflowId",
            "targetAgentChatThreadId",
        ],
    ),
    ("calendarEventParticipant", &["workspaceMemberId"]),
    ("message", &["messageCampaignId"]),
    ("workflow", &["coreWorkflowId"]),
    ("workflowVersion", &["coreWorkflowVersionId"]),
    ("workflowRun", &["coreWorkflowId", "coreWorkflowVersionId"]),
    ("messageParticipant", &["workspaceMemberId", "messageCampaignId"]),
    ("messageCampaign", &["unsubscribeTopicId"]),
    ("callRecording", &["applicationId"]),
    ("calendarEventTarget", &["targetCompanyId", "targetOpportunityId"]),
    ("messageThreadTarget", &["targetCompanyId", "targetOpportunityId"]),
];

fn of<'a>(table: &[(&str, &'a [&'a str])], object: &str) -> &'a [&'a str] {
    table.iter().find(|row| row.0 == object).map_or(&[], |row| row.1)
}

/// Returns the fields that the docs list for an object, in the order in which Twenty sends them.
fn fields(object: &str) -> Vec<String> {
    let (_, fields) = objects().into_iter().find(|(name, _)| name == object).unwrap();
    fields.into_iter().map(|(name, _)| name).collect()
}

#[track_caller]
fn json_members(json: &[u8]) -> Vec<(String, RawJson)> {
    serde_json::from_slice::<RawJson>(json).unwrap().members()
}

fn names(members: &[(String, RawJson)]) -> Vec<&str> {
    members.iter().map(|(name, _)| name.as_str()).collect()
}

fn standard_objects() -> Vec<&'static str> {
    fn reads<T: FromRecord>(object: &'static str) -> &'static str {
        for action in ACTIONS {
            let event = typed::<T>(Delivery::sample(format!("{object}.{action}")).body().clone());
            assert_eq!(unexpected(&event), [], "{object}.{action}");
        }
        object
    }
    macro_rules! objects {
        ($($Name:ident)*) => { vec![$(reads::<$Name>($Name::OBJECT)),*] };
    }
    objects! {
        Person Company Opportunity Note NoteTarget Task TaskTarget Attachment WorkspaceMember CalendarEvent
        CalendarEventParticipant Message Workflow WorkflowVersion WorkflowRun
    }
}

#[test]
fn every_sample_is_read_by_its_own_type() {
    for object in standard_objects() {
        let event = event(Delivery::sample(format!("{object}.created")).body().clone());
        assert!(!matches!(event.record, Record::Custom(_) | Record::Metadata(_)), "{object}");
        assert_eq!(unexpected(&event), [], "{object}");
    }
}

#[test]
fn a_record_has_the_fields_of_the_newest_twenty_in_the_same_order() {
    for object in standard_objects() {
        let event = event(Delivery::sample(format!("{object}.deleted")).body().clone());
        let fields = fields(object);
        let sent = fields.iter().filter(|field| !of(OLDER, object).contains(&field.as_str()));
        let record = event.raw_record().unwrap().members();
        let known = record.iter().filter(|(name, _)| fields.contains(name)).map(|(name, _)| name);
        assert!(known.eq(sent), "{object}: {:?}", names(&record));

        let null = record.iter().filter(|(name, value)| fields.contains(name) && value.as_str() == "null");
        assert!(null.map(|(name, _)| name).eq(of(NULL, object)), "{object}");
    }
}

#[test]
fn the_envelope_is_as_twenty_writes_it() {
    for name in [
        "person.created",
        "person.updated",
        "company.deleted",
        "person.restored",
        "person.destroyed",
        "subscription.created",
        "metadata.objectMetadata.created",
        "metadata.fieldMetadata.updated",
    ] {
        let captured = data_text(&format!("{name}.json")).into_bytes();
        let (sample, captured) = (Delivery::sample(name), json_members(&captured));
        let sample = json_members(sample.body());
        let who = ["userId", "workspaceMemberId"];
        let without_who = |members| names(members).into_iter().filter(|name| !who.contains(name)).collect::<Vec<_>>();
        if name == "subscription.created" {
            // The captured delivery was caused by an API key, not by a user.
            assert_eq!(without_who(&sample), without_who(&captured), "{name}");
        } else {
            assert_eq!(names(&sample), names(&captured), "{name}");
        }
        let payload = |members: &[(String, RawJson)]| members.iter().find(|m| m.0 == "event").map(|m| m.1.clone());
        if let (Some(sample), Some(captured)) = (payload(&sample), payload(&captured)) {
            assert_eq!(names(&sample.members()), names(&captured.members()), "{name}");
            let properties = |event: RawJson| event.get("properties").unwrap().members();
            assert_eq!(names(&properties(sample)), names(&properties(captured)), "{name}");
        }
    }
}

#[test]
fn a_record_fits_its_action() {
    for object in standard_objects().into_iter().chain(["subscription", "rocket"]) {
        for action in ACTIONS {
            let name = format!("{object}.{action}");
            let event = event(Delivery::sample(name.as_str()).body().clone());
            assert!(event.name == *name);
            assert_eq!(event.object_metadata.as_ref().unwrap().name_singular.as_deref(), Some(object));
            let record = event.raw_record().unwrap();
            let [created_at, updated_at, deleted_at] =
                ["createdAt", "updatedAt", "deletedAt"].map(|field| record.get(field).unwrap().to_text());
            assert_eq!(created_at == updated_at, action == "created", "{name}");
            assert_eq!(deleted_at.is_some(), matches!(action, "deleted" | "destroyed"), "{name}");
            let source = record.get("createdBy").unwrap().get("source").unwrap().to_text();
            assert_eq!(event.user_id.is_some(), source.as_deref() == Some("MANUAL"), "{name}");
            assert_eq!(event.workspace_member_id.is_some(), event.user_id.is_some(), "{name}");

            let updated = event.updated_fields.as_deref();
            match event.name.action() {
                Action::Updated => {
                    let is_member = |field: &str| record.get(field).is_some();
                    let updated = updated.unwrap();
                    assert!(!updated.is_empty(), "{name}");
                    // A relation is listed twice: as the relation and as its column.
                    assert!(
                        updated.iter().all(|field| is_member(field) || updated.contains(&format!("{field}Id"))),
                        "{name}"
                    );
                }
                Action::Deleted | Action::Restored => assert_eq!(updated.unwrap(), ["deletedAt"], "{name}"),
                _ => assert_eq!(updated, None, "{name}"),
            }
        }
    }
}

#[test]
fn metadata_fits_its_action() {
    // Only the rows of that kind have these members.
    let own = ["nameSingular", "objectMetadataId"];
    for (kind, has) in [("objectMetadata", own[0]), ("fieldMetadata", own[1]), ("view", ""), ("role", "")] {
        for (action, before, after) in [("created", false, true), ("updated", true, true), ("deleted", true, false)] {
            let event = typed::<MetadataEvent>(Delivery::sample(format!("metadata.{kind}.{action}")).body().clone());
            let change = &event.record;
            assert_eq!(change.metadata_name(), kind);
            assert_eq!((change.before().is_some(), change.after().is_some()), (before, after), "{kind} {action}");
            let row = change.after().or_else(|| change.before()).unwrap();
            assert_eq!(row.get("id").unwrap().to_text(), change.record_id().map(|id| id.to_string()), "{kind}");
            assert!(own.iter().all(|member| row.get(member).is_some() == (*member == has)), "{kind}");
            assert_eq!(change.raw().get("type").unwrap().to_text().as_deref(), Some(action));
            if action == "updated" {
                let [difference] = &*change.diff() else { panic!("{kind}") };
                assert_eq!(change.updated_fields(), [difference.field.as_str()]);
                let was = change.before().unwrap().get(&difference.field);
                assert_eq!((was, row.get(&difference.field)), (difference.before.clone(), difference.after.clone()));
                assert_ne!(difference.before, difference.after, "{kind}");
            } else {
                assert!(change.diff().is_empty());
            }
        }
    }
}

#[test]
fn samples_are_compact_and_always_the_same() {
    let mut names = HashSet::new();
    for delivery in Delivery::samples() {
        let name = delivery.name().to_string();
        assert_eq!(delivery, Delivery::sample(name.as_str()), "{name}");
        // The parsed body, written again, has the same length if the body has no white space.
        let value: Value = serde_json::from_slice(delivery.body()).unwrap();
        assert_eq!(value.to_string().len(), delivery.body().len(), "{name}");
        assert!(names.insert(name));
    }
    assert_eq!(names.len(), (22 + 1) * 5 + 2 * 3);
}

#[test]
fn any_name_has_a_sample() {
    for name in
        ["rocket.archived", "person.merged", "person", "metadata.view.created", "metadata.", ".", "", "a\"b\\.\n"]
    {
        let delivery = Delivery::sample(name);
        assert!(*delivery.name() == *name);
        let event = event(delivery.body().clone());
        assert!(event.name == *name, "{name:?}");
        assert_eq!(unexpected(&event), [], "{name:?}");
        assert!(event.record.id().is_some(), "{name:?}");
        assert_eq!(event.updated_fields, None, "{name:?}");
    }
}

#[test]
fn any_body_can_be_signed() {
    let delivery = Delivery::from_value(&json!({"eventName": "person.created", "record": {}})).unwrap();
    assert!(*delivery.name() == *"person.created");
    assert_eq!(delivery, Delivery::from_body(r#"{"eventName":"person.created","record":{}}"#));
    assert!(*Delivery::from_body("not JSON").name() == *"");
    assert!(Delivery::from_value(&std::collections::BTreeMap::from([(vec![1], 2)])).is_err());
}

#[test]
fn set_changes_only_one_member() {
    let body = r#"{ "b" : {"x":1.0,"y":{"z":"\u00e9"}} , "a":[], "e": { },"b":2}"#;
    let set = |path: &str, value: Value| {
        let delivery = Delivery::from_body(body).set(path, value).unwrap();
        String::from_utf8(delivery.body().to_vec()).unwrap()
    };
    assert_eq!(set("b.x", json!(2)), body.replace("1.0", "2"));
    assert_eq!(set("b.y.z", json!({"new": [null]})), body.replace(r#""\u00e9""#, r#"{"new":[null]}"#));
    assert_eq!(set("b.y.new", json!("é")), body.replace(r#""}}"#, r#"","new":"é"}}"#));
    assert_eq!(set("e.q\"", json!(true)), body.replace("{ }", r#"{"q\"":true }"#));
    assert_eq!(set("c", json!(null)), body.replace(r#""b":2}"#, r#""b":2,"c":null}"#));
    assert_eq!(set("b", json!(0)), body.replace(r#"{"x":1.0,"y":{"z":"\u00e9"}}"#, "0"), "the first of that name");

    let renamed = Delivery::sample("person.created").set("eventName", "company.created").unwrap();
    assert!(*renamed.name() == *"company.created");
}

/// Does on a parsed value what `set` should do.
fn set_in(value: &mut Value, path: &[&str], new: Value) -> bool {
    match (path, value.as_object_mut()) {
        ([name], Some(object)) => {
            object.insert((*name).to_owned(), new);
            true
        }
        ([name, rest @ ..], Some(object)) => object.get_mut(*name).is_some_and(|member| set_in(member, rest, new)),
        _ => false,
    }
}

fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![Just("\"}"), Just("{"), Just("é,]"), Just("")];
    let scalar = prop_oneof![any::<i64>().prop_map(Value::from), text.prop_map(Value::from), Just(Value::Null)];
    scalar.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map("[a-c]", inner, 0..4).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn set_has_the_same_effect_as_on_a_parsed_value(
        mut old in value(),
        is_pretty: bool,
        path in vec("[a-d]", 1..4),
        new in value(),
    ) {
        let body = if is_pretty { serde_json::to_string_pretty(&old) } else { serde_json::to_string(&old) }.unwrap();
        let set = Delivery::from_body(body).set(&path.join("."), &new).map(|delivery| {
            serde_json::from_slice::<Value>(delivery.body()).unwrap()
        });
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        let is_possible = set_in(&mut old, &path, new);
        prop_assert_eq!(set.ok(), is_possible.then_some(old));
    }
}

#[test]
fn set_reports_the_member_that_is_not_an_object() {
    let error = |body: &'static str, path: &str| Delivery::from_body(body).set(path, 1).unwrap_err().to_string();
    let body = r#"{"record":{"name":"Ada","links":[{}]}}"#;
    assert_eq!(error(body, "record.name.firstName"), "`record.name` is a string, not an object");
    assert_eq!(error(body, "record.links.0"), "`record.links` is an array, not an object");
    assert_eq!(error(body, "record.emails.primaryEmail"), "there is no `record.emails`");
    assert_eq!(error("[]", "record"), "the body is an array, not an object");
    for path in ["", ".", "record.", ".record", "record..name"] {
        assert_eq!(error(body, path), "the path contains an empty name", "{path:?}");
    }
    for body in ["", "{", "{}{}", "not JSON"] {
        assert_eq!(error(body, "record"), "the body is not JSON", "{body:?}");
    }
    let of_bytes = Delivery::from_body(&b"{\"\xff\":1}"[..]).set("record", 1).unwrap_err();
    assert!(matches!(of_bytes, SetError::NotJson));
    let no_value = Delivery::from_body("{}").set("a", std::collections::BTreeMap::from([(vec![1], 2)])).unwrap_err();
    assert!(matches!(no_value, SetError::Value(_)));
    assert!(std::error::Error::source(&no_value).is_some());
}

const NOW: Timestamp = Timestamp::from_millis(1_790_932_471_733);

fn verifier() -> Verifier {
    Verifier::builder().secret(Secret::new("secret").unwrap()).clock(FixedClock::at(NOW)).build().unwrap()
}

fn signer() -> Signer {
    Signer::new("secret").unwrap()
}

fn verify_error(forgery: Forgery) -> VerifyErrorKind {
    match forgery {
        Forgery::Tampered | Forgery::WrongSecret => VerifyErrorKind::SignatureMismatch,
        Forgery::Stale => VerifyErrorKind::TooOld,
        Forgery::Unsigned => VerifyErrorKind::Unsigned,
        other => panic!("{other}"),
    }
}

#[test]
fn signed_deliveries_verify_and_forgeries_do_not() {
    let odd = ["{}", "[]", "", "not JSON", r#"{"a":true}"#].map(Delivery::from_body);
    for delivery in Delivery::samples().chain(odd) {
        let verify = |signed: SignedDelivery| {
            verifier().verify(signed.headers(), signed.body().clone()).map_err(|error| error.kind())
        };
        let signed = delivery.sign_at(&signer(), NOW);
        let shown = |is_signed| format!("SignedDelivery {{ is_signed: {is_signed}, len: {} }}", delivery.body().len());
        assert_eq!(format!("{signed:?}"), shown(true));
        assert_eq!(format!("{:?}", delivery.forge_at(Forgery::Unsigned, &signer(), NOW)), shown(false));
        let verified = verify(signed).unwrap();
        assert_eq!(verified.body(), delivery.body());
        for &forgery in Forgery::ALL {
            let forged = delivery.forge_at(forgery, &signer(), NOW);
            assert_eq!(forged.body() != delivery.body(), forgery == Forgery::Tampered);
            assert_eq!(verify(forged).unwrap_err(), verify_error(forgery), "{forgery} {delivery:?}");
        }
    }
}

#[test]
fn a_delivery_signed_now_is_fresh() {
    let verifier = Verifier::new("secret").unwrap();
    let delivery = Delivery::sample("person.created");
    let verify =
        |signed: SignedDelivery| verifier.verify(signed.headers(), signed.body().clone()).map_err(|error| error.kind());
    assert!(verify(delivery.sign(&signer())).is_ok());
    for &forgery in Forgery::ALL {
        assert_eq!(verify(delivery.forge(forgery, &signer())).unwrap_err(), verify_error(forgery));
    }
}

#[test]
fn a_tampered_event_differs_in_one_digit() {
    for delivery in Delivery::samples() {
        let tampered = delivery.forge(Forgery::Tampered, &signer()).body().clone();
        assert_eq!(&event(tampered.clone()).name, delivery.name());
        let changed = tampered.iter().zip(delivery.body()).filter(|(new, old)| new != old);
        assert_eq!(changed.count(), 1);
        assert_eq!(tampered.len(), delivery.body().len());
    }
}

#[test]
fn headers_equal_those_of_twenty() {
    let delivery = Delivery::sample("person.created");
    let signed = delivery.sign_at(&signer(), NOW);
    let names: Vec<_> = signed.headers().map(|(name, _)| name).collect();
    let signature = ["x-twenty-webhook-timestamp", "x-twenty-webhook-signature", "x-twenty-webhook-nonce"];
    assert_eq!(names, [&["accept", "content-type", "user-agent"][..], &signature].concat());
    assert_eq!(signed.headers().nth(1), Some(("content-type", "application/json")));

    let unsigned = delivery.forge(Forgery::Unsigned, &signer());
    assert_eq!(unsigned.headers().count(), 3);

    let branded = signer().header_prefix("x-aston-webhook").unwrap();
    for signed in [delivery.sign(&branded), delivery.forge(Forgery::WrongSecret, &branded)] {
        assert_eq!(signed.headers().filter(|(name, _)| name.starts_with("x-aston-webhook-")).count(), 3);
    }
}

#[test]
fn forgeries_have_names() {
    for &forgery in Forgery::ALL {
        assert_eq!(forgery.to_string().parse(), Ok(forgery));
    }
    assert_eq!(
        "Stale".parse::<Forgery>().unwrap_err().to_string(),
        "no such forgery: choose one of tampered, stale, unsigned, wrong-secret"
    );
    assert_eq!(format!("{:>9}", Forgery::Stale), "    stale");
}

#[test]
fn debug_shows_no_content() {
    let delivery = Delivery::sample("person.created");
    let shown = format!("{delivery:?} {:?}", delivery.sign(&signer()));
    assert!(shown.contains("person.created"));
    for content in ["Ada", "2e6f6a2f", "signature:", "axios"] {
        assert!(!shown.contains(content), "{shown}");
    }
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn axum_accepts_samples_and_rejects_forgeries() {
    use axum::{Router, body::Body, routing::post};
    use tower::ServiceExt;
    use twenty_webhook::{WebhookEvent, tower::WebhookLayer};

    async fn on_event(event: WebhookEvent) -> String {
        event.name.to_string()
    }
    let app = Router::new().route("/hook", post(on_event).layer(WebhookLayer::new(verifier())));
    for delivery in Delivery::samples() {
        let request = delivery.sign_at(&signer(), NOW).into_http_request::<Body>("/hook").unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let name = axum::body::to_bytes(response.into_body(), 100).await.unwrap();
        assert_eq!(name, delivery.name().as_str());
        for &forgery in Forgery::ALL {
            let request = delivery.forge_at(forgery, &signer(), NOW).into_http_request::<Body>("/hook").unwrap();
            assert_eq!(app.clone().oneshot(request).await.unwrap().status(), 401, "{forgery}");
        }
    }
}

#[cfg(feature = "tower")]
#[test]
fn a_request_has_an_address() {
    let signed = Delivery::sample("person.created").sign(&signer());
    let request = signed.clone().into_http_request::<bytes::Bytes>("https://example.com/hook?token=1").unwrap();
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/hook"));
    assert_eq!(request.headers().len(), signed.headers().count());
    assert!(signed.clone().into_http_request::<bytes::Bytes>("no address").is_err());
    assert!(signed.into_http_request::<bytes::Bytes>(http::Uri::from_static("/hook")).is_ok());
}

#[cfg(feature = "actix-web")]
#[tokio::test]
async fn actix_accepts_samples_and_rejects_forgeries() {
    use actix_web::{App, test, web};
    use twenty_webhook::{WebhookEvent, actix_web::WebhookMiddleware};

    async fn on_event(event: WebhookEvent) -> String {
        event.name.to_string()
    }
    let route = web::resource("/hook").wrap(WebhookMiddleware::new(verifier())).route(web::post().to(on_event));
    let app = test::init_service(App::new().service(route)).await;
    for delivery in Delivery::samples() {
        let request = delivery.sign_at(&signer(), NOW).into_test_request().uri("/hook").to_request();
        let response = test::call_service(&app, request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(test::read_body(response).await, delivery.name().as_str());
        for &forgery in Forgery::ALL {
            let request = delivery.forge_at(forgery, &signer(), NOW).into_test_request().uri("/hook").to_request();
            assert_eq!(test::call_service(&app, request).await.status(), 401, "{forgery}");
        }
    }
}
