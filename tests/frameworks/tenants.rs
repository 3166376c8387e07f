//! Tests of one receiver for many tenants: which keys verify, when they are requested, and what
//! unauthenticated clients can learn. axum and actix-web behave alike.

use std::{
    collections::HashMap,
    future::pending,
    sync::{Arc, Mutex, RwLock},
    time::Duration,
};

use tokio::time::timeout;
use twenty_webhook::{
    Receiver,
    deduplicate::MemoryStore,
    receiver::{OutcomeKind, TenantRequest},
    verify::{ConfigError, Keys, Signer, Verifier, VerifierBuilder},
};

use crate::support::{
    NOW, SIGNATURE, clock,
    http1::{Connection, Request, soon, unsigned},
    secret,
    stack::{self, Outcomes, Server, Stack, event},
};

fn builder() -> VerifierBuilder {
    Verifier::builder().clock(clock())
}

fn keys(id: &str, secrets: &[&str]) -> Keys {
    Keys::new(id, secrets.iter().map(|text| secret(text))).unwrap()
}

/// Returns a delivery to a tenant, signed with this secret.
fn delivery(tenant: &str, secret: &str, body: impl AsRef<[u8]>) -> Request {
    let headers = Signer::new(secret).unwrap().sign_at(NOW, &body).pairs();
    let request = unsigned(body).line(&format!("POST /webhooks/twenty/{tenant} HTTP/1.1"));
    headers.into_iter().fold(request, |request, (name, value)| request.with(&name, value))
}

/// The tenants, which a test can change, and the requests to the resolver.
#[derive(Clone)]
struct Tenants {
    keys: Arc<RwLock<HashMap<String, Keys>>>,
    asked: Arc<Mutex<Vec<TenantRequest>>>,
}

impl Tenants {
    fn new() -> Self {
        let keys = [("acme", "acme's"), ("bolt", "bolt's")].map(|(id, secret)| (id.to_owned(), keys(id, &[secret])));
        Self { keys: Arc::new(RwLock::new(keys.into())), asked: Arc::default() }
    }

    fn set(&self, tenant: &str, secrets: &[&str]) {
        self.keys.write().unwrap().insert(tenant.to_owned(), keys(tenant, secrets));
    }

    fn receiver(&self, verifier: VerifierBuilder) -> Receiver {
        let tenants = self.clone();
        let resolve = move |request: TenantRequest| {
            let tenants = tenants.clone();
            async move {
                tenants.asked.lock().unwrap().push(request.clone());
                match request.last_segment() {
                    "down" => Err("the database is down")?,
                    "hangs" => pending().await,
                    "panics" => panic!("as code of the user's can"),
                    "panics%20when%20dropped" => {
                        let _dropped = PanicsOnDrop;
                        pending().await
                    }
                    tenant => Ok(tenants.keys.read().unwrap().get(tenant).cloned()),
                }
            }
        };
        Receiver::for_tenants(verifier, resolve).unwrap()
    }

    fn asked(&self) -> Vec<TenantRequest> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

async fn everywhere(
    receiver: impl Fn(&Tenants) -> Receiver,
    scenario: impl AsyncFn(&Tenants, &mut Server, &mut Outcomes),
) {
    Stack::each(async |stack| {
        let tenants = Tenants::new();
        let (receiver, mut outcomes) = Outcomes::of(receiver(&tenants));
        let mut server = stack.serve(receiver).await;
        scenario(&tenants, &mut server, &mut outcomes).await;
        server.calls.assert_none();
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn each_tenant_is_verified_with_its_own_keys() {
    everywhere(
        |tenants| tenants.receiver(builder()),
        async |tenants, server, outcomes| {
            for (tenant, secret) in [("acme", "acme's"), ("bolt", "bolt's")] {
                let request = delivery(tenant, secret, event("own"));
                assert_eq!(server.post_handled(request.clone(), 200).await, 200);
                assert_eq!(outcomes.next().await.verified.keys_id(), tenant);
                assert_eq!(server.post_handled(request.chunked(3), 200).await, 200);
                assert_eq!(outcomes.next().await.verified.keys_id(), tenant);
            }
            assert_eq!(tenants.asked().len(), 4);
            for (tenant, secret) in [("acme", "bolt's"), ("bolt", "acme's"), ("nobody", "acme's")] {
                assert_eq!(server.post(delivery(tenant, secret, event("wrong"))).await.status, 401, "{tenant}");
            }
        },
    )
    .await;
}

/// The keys that stand for those of an unknown tenant have a secret, too, and it verifies nothing.
#[tokio::test]
async fn unknown_tenants_are_rejected_like_wrong_signatures_and_after_the_same_work() {
    everywhere(
        |tenants| tenants.receiver(builder()),
        async |_, server, _| {
            let mut answers = Vec::new();
            for (tenant, secret) in [("nobody", "nobody"), ("acme", "wrong")] {
                let request = delivery(tenant, secret, event("strange")).bytes();
                let (most, rest) = request.split_at(request.len() - 1);
                let mut connection = Connection::open(server.address).await;
                connection.send(most).await;
                let early = timeout(Duration::from_millis(50), connection.answer()).await;
                assert!(early.is_err(), "{tenant} was rejected before its body was complete");
                connection.send(rest).await;
                let mut answer = connection.answer().await.unwrap();
                answer.headers.retain(|(name, _)| name != "date");
                assert_eq!(answer.status, 401);
                answers.push(format!("{answer:?}"));
            }
            assert_eq!(answers[0], answers[1]);
        },
    )
    .await;
}

struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("as code of the user's can");
    }
}

#[tokio::test]
async fn a_resolver_that_fails_hangs_or_panics_is_503() {
    everywhere(
        |tenants| tenants.receiver(builder()).body_deadline(Duration::from_millis(100)),
        async |_, server, _| {
            for tenant in ["down", "hangs", "panics", "panics%20when%20dropped"] {
                let answer = server.post(delivery(tenant, "acme's", event("no keys"))).await;
                assert_eq!((answer.status, answer.body.len()), (503, 0), "{tenant}");
                assert_eq!(answer.header("www-authenticate"), None);
            }
            assert_eq!(server.post_handled(delivery("acme", "acme's", event("keys")), 200).await, 200);
        },
    )
    .await;
}

#[tokio::test]
async fn secrets_can_change_at_run_time() {
    everywhere(
        |tenants| tenants.receiver(builder()),
        async |tenants, server, outcomes| {
            let old = || delivery("acme", "acme's", event("rotated"));
            let new = || delivery("acme", "acme's new", event("rotated"));
            assert_eq!(server.post(new()).await.status, 401);
            tenants.set("acme", &["acme's new", "acme's"]);
            for (request, index) in [(new(), 0), (old(), 1)] {
                assert_eq!(server.post_handled(request, 200).await, 200);
                assert_eq!(outcomes.next().await.verified.secret_index(), index);
            }
            tenants.set("acme", &["acme's new"]);
            assert_eq!(server.post(old()).await.status, 401);
            tenants.keys.write().unwrap().remove("acme");
            assert_eq!(server.post(new()).await.status, 401);
        },
    )
    .await;
}

#[tokio::test]
async fn unsigned_requests_do_not_reach_the_resolver() {
    everywhere(
        |tenants| tenants.receiver(builder().body_limit(1000)),
        async |tenants, server, _| {
            let signed = || delivery("acme", "acme's", event("strange"));
            let cases = [
                (unsigned(event("strange")).line("POST /webhooks/twenty/acme HTTP/1.1"), 401),
                (signed().timestamp("1000000000000"), 401),
                (signed().timestamp("9999999999999"), 401),
                (signed().timestamp("now"), 400),
                (signed().signature("none"), 400),
                (signed().without(SIGNATURE), 400),
                (signed().with(SIGNATURE, "0".repeat(64)), 400),
                (signed().with("content-encoding", "gzip"), 415),
                (delivery("acme", "acme's", event(&"x".repeat(1000))), 413),
            ];
            for (request, status) in cases {
                assert_eq!(server.post(request).await.status, status);
            }
            assert!(tenants.asked().is_empty());
        },
    )
    .await;
}

#[tokio::test]
async fn limits_and_budget_apply_to_tenants() {
    everywhere(
        |tenants| tenants.receiver(builder().body_limit(1000)).unverified_budget(500),
        async |_, server, _| {
            for tenant in ["acme", "nobody"] {
                let long = delivery(tenant, "acme's", event(&"x".repeat(1000))).chunked(100);
                assert_eq!(server.post(long).await.status, 503, "the budget is used up first");
            }
            for _ in 0..3 {
                let fits = delivery("acme", "acme's", event(&"x".repeat(400)));
                assert_eq!(server.post_handled(fits, 500).await, 500, "all of the budget was freed");
            }
        },
    )
    .await;
    everywhere(
        |tenants| tenants.receiver(builder().body_limit(1000)),
        async |_, server, _| {
            let long = delivery("nobody", "acme's", event(&"x".repeat(1000))).chunked(100);
            assert_eq!(server.post(long).await.status, 413);
        },
    )
    .await;
}

#[tokio::test]
async fn a_tenant_is_identified_by_any_part_of_the_request() {
    everywhere(
        |tenants| tenants.receiver(builder()),
        async |tenants, server, _| {
            let request = delivery("acme", "acme's", event("asks"));
            let request = request.line("POST /webhooks/twenty/acme?token=hush&x HTTP/1.1");
            let request = request.with("X-Tenant", b"caf\xe9").with("x-tenant", "second");
            assert_eq!(server.post_handled(request, 200).await, 200);
            let [asked] = &tenants.asked()[..] else { panic!("not once") };
            assert_eq!((asked.path(), asked.last_segment()), ("/webhooks/twenty/acme", "acme"));
            assert_eq!(asked.query(), Some("token=hush&x"));
            assert_eq!(asked.header("x-tENANT"), Some(&b"caf\xe9"[..]));
            assert_eq!(asked.header("x-other"), None);
            // Query and headers can contain credentials.
            assert_eq!(format!("{asked:?}"), r#"TenantRequest { path: "/webhooks/twenty/acme", .. }"#);

            assert_eq!(server.post_handled(delivery("acme", "acme's", event("asks")), 200).await, 200);
            assert_eq!(tenants.asked()[0].query(), None);
        },
    )
    .await;
}

/// A tenant can sign any body with its own secret, for example the body that another tenant is
/// about to receive.
#[tokio::test]
async fn no_tenant_prevents_the_handling_of_anothers_delivery() {
    everywhere(
        |tenants| tenants.receiver(builder()).deduplicate(MemoryStore::new(1000)),
        async |_, server, outcomes| {
            let body = event("for both");
            for (tenant, secret) in [("acme", "acme's"), ("bolt", "bolt's")] {
                assert_eq!(server.post_handled(delivery(tenant, secret, &body), 200).await, 200);
                assert_eq!(outcomes.next().await.kind, OutcomeKind::Handled);
            }
            for (tenant, secret) in [("acme", "acme's"), ("bolt", "bolt's")] {
                assert_eq!(server.post(delivery(tenant, secret, &body)).await.status, 200);
                assert_eq!(outcomes.next().await.kind, OutcomeKind::Duplicate);
            }
            // The other tenant's delivery is also handled while the first handler runs.
            let body = event("for both, at once");
            let acme = stack::post(server.address, delivery("acme", "acme's", &body));
            let acmes = server.calls.next().await;
            assert_eq!(server.post_handled(delivery("bolt", "bolt's", &body), 200).await, 200);
            acmes.answer(200);
            assert_eq!(soon(acme).await.unwrap().unwrap().status, 200);
        },
    )
    .await;
}

#[test]
fn a_verifier_with_secrets_is_rejected_beside_a_resolver() {
    let nobody = |_| async { Ok(None) };
    let keys = Keys::new("keys", [secret("hush")]).unwrap();
    for given in [builder().secret(secret("hush")), builder().keys(keys)] {
        assert_eq!(Receiver::for_tenants(given, nobody).unwrap_err(), ConfigError::KeysAndSecrets);
    }
    let receiver = Receiver::for_tenants(builder(), nobody).unwrap();
    let shown = format!("{receiver:?}");
    assert!(shown.contains("resolver: Some(<fn>)"), "{shown}");
}
