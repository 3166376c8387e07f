//! Tests of the warnings that an operator sees before deliveries are lost, or when all are lost.

use serde_json::Value;
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    layer::{Layer as _, SubscriberExt as _},
};

use crate::support::telemetry::Written;

/// Returns a log of this thread at this level.
fn log(level: LevelFilter) -> (Written, tracing::subscriber::DefaultGuard) {
    let written = Written::default();
    let ours = Targets::new().with_target("twenty_webhook", level);
    let layer = fmt::layer().json().with_writer(written.clone()).with_filter(ours);
    (written, tracing::subscriber::set_default(tracing_subscriber::registry().with(layer)))
}

/// Returns the fields of each line.
fn fields(written: &Written) -> Vec<Value> {
    written.take_json().into_iter().map(|mut line| line["fields"].take()).collect()
}

mod of_secrets {
    use twenty_webhook::{
        Receiver, Verifier,
        verify::{Keys, Secret, Signer},
    };

    use super::*;

    const ODD: [&str; 7] = ["marker\n", "marker\r\n", " marker", "marker\t", "\"marker\"", "'marker'", "\"marker\"\n"];

    #[test]
    fn each_way_of_building_a_verifier_warns_about_the_secret() {
        let (written, _guard) = log(LevelFilter::WARN);
        for text in ODD {
            let secret = || Secret::new(text).unwrap();
            let keys = Keys::new("acme", [Secret::new("plain").unwrap(), secret()]).unwrap();
            let builds: [(&dyn Fn() -> Verifier, _, _); 3] = [
                (&|| Verifier::new(text).unwrap(), "default", 0),
                (&|| Verifier::builder().secret(secret()).build().unwrap(), "default", 0),
                (&|| Verifier::builder().keys(keys.clone()).build().unwrap(), "acme", 1),
            ];
            for (build, id, index) in builds {
                let verifier = build();
                let lines = fields(&written);
                let [line] = &lines[..] else { panic!("{text:?}: {lines:?}") };
                assert!(line["message"].as_str().unwrap().starts_with("the webhook secret looks misconfigured"));
                assert_eq!((&line["keys.id"], &line["secret.index"]), (&id.into(), &index.into()));
                let found = line["found"].as_str().unwrap();
                for (says, is_there) in [
                    ("line end", text.contains(['\r', '\n'])),
                    ("white space", text.trim() != text),
                    ("quotation mark", text.contains(['"', '\''])),
                ] {
                    assert_eq!(found.contains(says), is_there, "{text:?}: {found}");
                }
                assert!(!line.to_string().contains("marker"), "{line}");
                // The secret is legal, and it is neither trimmed nor unquoted.
                let signed = Signer::new(text).unwrap().sign("{}");
                assert!(verifier.verify(signed.pairs(), "{}").is_ok());
            }
        }
        for text in ["5b0c2f7d9e1a4c3b", "two words", "it's", "p\u{e4}ssword"] {
            Verifier::new(text).unwrap();
            assert_eq!(fields(&written), [Value::Null; 0], "{text:?}");
        }
    }

    /// A resolver may create the keys for each request, and unauthenticated clients can send
    /// requests.
    #[tokio::test]
    async fn a_tenants_keys_warn_at_intervals() {
        use http::{HeaderName, Request};
        use http_body_util::Full;
        use tower::{Layer as _, ServiceExt as _, service_fn};
        use twenty_webhook::tower::{VerifiedBody, WebhookLayer};

        let (written, _guard) = log(LevelFilter::WARN);
        let receiver = Receiver::for_tenants(Verifier::builder(), |_| async {
            Ok(Some(Keys::new("acme", [Secret::new("marker\n")?])?))
        });
        let service = WebhookLayer::new(receiver.unwrap()).layer(service_fn(|_: Request<VerifiedBody>| async {
            Ok::<_, std::convert::Infallible>(http::Response::new(Full::<bytes::Bytes>::default()))
        }));
        assert_eq!(fields(&written), [Value::Null; 0]);
        for _ in 0..5 {
            let mut request = Request::post("/acme").body(Full::<bytes::Bytes>::from("{}")).unwrap();
            for (name, value) in Signer::new("marker\n").unwrap().sign("{}").pairs() {
                request.headers_mut().insert(HeaderName::try_from(name).unwrap(), value.try_into().unwrap());
            }
            assert_eq!(service.clone().oneshot(request).await.unwrap().status(), 200);
        }
        let lines = fields(&written);
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!((&line["keys.id"], &line["found"]), (&"acme".into(), &"a line end, white space around it".into()));
    }
}

mod of_event_routers {
    use actix_web::{
        App, HttpResponse,
        test::{TestRequest, call_service, init_service},
        web,
    };
    use axum::body::Body;
    use bytes::Bytes;
    use http::Request;
    use http_body_util::Full;
    use tower::{Layer as _, ServiceExt as _, service_fn};
    use twenty_webhook::{
        actix_web::WebhookMiddleware,
        tower::{VerifiedBody, WebhookLayer},
    };

    use super::*;
    use crate::support::{signed, verifier};

    async fn on_event() -> HttpResponse {
        HttpResponse::Ok().finish()
    }

    async fn in_tower(_: Request<VerifiedBody>) -> Result<http::Response<Full<Bytes>>, std::convert::Infallible> {
        Ok(http::Response::default())
    }

    /// Builds a router of each framework with these patterns. Returns whether it was built.
    fn build(patterns: &[&str]) -> [bool; 3] {
        let axum = patterns
            .iter()
            .fold(twenty_webhook::axum::EventRouter::<()>::new(), |router, pattern| router.on(pattern, async || ()));
        let actix = patterns
            .iter()
            .fold(twenty_webhook::actix_web::EventRouter::new(), |router, pattern| router.on(pattern, on_event));
        let tower = patterns.iter().fold(twenty_webhook::tower::EventRouter::new(), |router, pattern| {
            router.on(pattern, service_fn(in_tower))
        });
        [axum.build().is_ok(), actix.build().is_ok(), tower.build().is_ok()]
    }

    #[test]
    fn building_a_router_warns_about_an_action_that_is_never_sent() {
        let (written, _guard) = log(LevelFilter::WARN);
        for pattern in
            ["person.create", "person.Created", "*.upserted", "metadata.view.destroyed", "metadata.*.restored"]
        {
            assert_eq!(build(&["person.created", pattern, "*.*"]), [true; 3]);
            let lines = fields(&written);
            assert_eq!(lines.len(), 3, "{lines:?}");
            for line in lines {
                assert_eq!(line["pattern"], pattern);
                assert!(line["message"].as_str().unwrap().contains("no known version of Twenty sends the action"));
            }
        }
        let known =
            ["person.created", "*.updated", "a.deleted", "a.destroyed", "a.restored", "a.*", "metadata.*.deleted"];
        assert_eq!(build(&known), [true; 3]);
        assert_eq!(fields(&written), [Value::Null; 0]);
    }

    fn bodies(names: impl IntoIterator<Item = String>) -> Vec<String> {
        names.into_iter().map(|name| serde_json::json!({ "eventName": name, "record": {} }).to_string()).collect()
    }

    fn request<B>(body: &str, make: impl FnOnce(String) -> B) -> Request<B> {
        let mut request = Request::post("/");
        for (name, value) in signed(body) {
            request = request.header(name, value);
        }
        request.body(make(body.to_owned())).unwrap()
    }

    /// Posts each body to a router of each framework, with a handler for `persons.created` and, on
    /// request, a fallback. Returns the names in the warnings.
    async fn warned(bodies: &[String], has_fallback: bool) -> [Vec<Value>; 3] {
        let (written, _guard) = log(LevelFilter::WARN);
        let axum = twenty_webhook::axum::EventRouter::<()>::new().on("persons.created", async || ());
        let axum = if has_fallback { axum.fallback(async || ()) } else { axum };
        let axum = axum::routing::post(axum.build().unwrap()).layer(WebhookLayer::new(verifier()));
        let axum = axum::Router::<()>::new().route("/", axum);
        let tower = twenty_webhook::tower::EventRouter::new().on("persons.created", service_fn(in_tower));
        let tower = if has_fallback { tower.fallback(service_fn(in_tower)) } else { tower };
        let tower = WebhookLayer::new(verifier()).layer(tower.build().unwrap());
        let actix = twenty_webhook::actix_web::EventRouter::new().on("persons.created", on_event);
        let actix = if has_fallback { actix.fallback(on_event) } else { actix };
        let resource = web::resource("/").wrap(WebhookMiddleware::new(verifier()));
        let actix = init_service(App::new().service(resource.route(web::post().to(actix.build().unwrap())))).await;
        let names =
            || fields(&written).into_iter().map(|mut line| line["twenty.event.name"].take()).collect::<Vec<_>>();

        for body in bodies {
            assert_eq!(axum.clone().oneshot(request(body, Body::from)).await.unwrap().status(), 200);
        }
        let of_axum = names();
        for body in bodies {
            assert_eq!(tower.clone().oneshot(request(body, Full::<Bytes>::from)).await.unwrap().status(), 200);
        }
        let of_tower = names();
        for body in bodies {
            let request = signed(body).into_iter().fold(TestRequest::post(), TestRequest::insert_header);
            let answer = call_service(&actix, request.set_payload(body.clone()).to_request()).await;
            assert_eq!(answer.status(), 200);
        }
        [of_axum, of_tower, names()]
    }

    #[actix_web::test]
    async fn the_first_unmatched_event_of_each_name_warns() {
        let names = ["person.created", "person.created", "company.updated", "persons.created", "person.created", "odd"];
        let bodies = bodies(names.map(str::to_owned));
        let expected = ["person.created", "company.updated", "odd"];
        for seen in warned(&bodies, false).await {
            assert_eq!(seen, expected);
        }
        for seen in warned(&bodies, true).await {
            assert_eq!(seen, [Value::Null; 0]);
        }
    }

    /// Anyone who has the secret can invent any number of names, of any length.
    #[actix_web::test]
    async fn unmatched_events_are_remembered_up_to_a_bound() {
        let many = (0..1_500).chain(0..1_500).map(|number| format!("object{number}.created"));
        let long = (0..100).map(|number| format!("{}{number}.created", "x".repeat(5_000)));
        for seen in warned(&bodies(long.chain(many)), false).await {
            assert_eq!(seen.len(), 1_000, "the long names begin alike and count as one");
        }
    }
}
