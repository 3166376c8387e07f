//! What an operator sees at the level `warn` before anything is lost, or when everything is.
#![cfg(all(feature = "actix-web", feature = "axum", feature = "metrics", feature = "tracing"))]

mod support;
#[path = "support/telemetry.rs"]
mod telemetry;

use serde_json::Value;
use telemetry::Written;
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    layer::{Layer as _, SubscriberExt as _},
};

/// A log of its own for this thread, from this level on.
fn log(level: LevelFilter) -> (Written, tracing::subscriber::DefaultGuard) {
    let written = Written::default();
    let ours = Targets::new().with_target("twenty_webhook", level);
    let layer = fmt::layer().json().with_writer(written.clone()).with_filter(ours);
    (written, tracing::subscriber::set_default(tracing_subscriber::registry().with(layer)))
}

/// The fields of each line.
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
    fn each_way_of_building_a_verifier_warns() {
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
                // It is legal all the same, and neither trimmed nor unquoted.
                let signed = Signer::new(text).unwrap().sign("{}");
                assert!(verifier.verify(signed.pairs(), "{}").is_ok());
            }
        }
        for text in ["5b0c2f7d9e1a4c3b", "two words", "it's", "p\u{e4}ssword"] {
            Verifier::new(text).unwrap();
            assert_eq!(fields(&written), [Value::Null; 0], "{text:?}");
        }
    }

    /// A resolver may make the keys anew for each request, which unauthenticated clients cause.
    #[tokio::test]
    async fn a_tenants_keys_warn_once_in_a_while() {
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
