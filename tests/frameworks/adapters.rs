//! Sends one table of requests over real sockets to axum and actix-web. Both answer alike, wherever
//! the middleware is.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use tokio::{net::TcpListener, task::JoinSet};
use twenty_webhook::{
    Receiver, WebhookEvent,
    event::{FromRecord, Record, record::Person},
    verify::Signer,
};

use crate::support::{
    self, NONCE, NOW, SIGNATURE, TIMESTAMP, builder, data, event_of,
    http1::{Connection, Request, delivery, soon, unsigned},
    signed_at,
};

/// The length of the longest accepted body.
const LIMIT: usize = 16 << 10;

/// The receiver and the handler that a request reaches.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Setup {
    /// A receiver that verifies.
    Plain,
    /// A receiver with a short deadline for the body.
    Impatient,
    /// A receiver that accepts the deliveries of one workspace and webhook.
    Expecting,
    /// A receiver with a small budget for unverified bytes.
    Poor,
    /// A handler that accepts only persons.
    Persons,
    /// A handler without a receiver.
    Bare,
}

impl Setup {
    const ALL: [Self; 6] = [Self::Plain, Self::Impatient, Self::Expecting, Self::Poor, Self::Persons, Self::Bare];

    fn receiver(self) -> Option<Receiver> {
        let receiver = Receiver::new(builder().body_limit(LIMIT).build().unwrap());
        match self {
            Self::Plain | Self::Persons => Some(receiver),
            Self::Impatient => Some(receiver.body_deadline(Duration::from_millis(500))),
            Self::Expecting => Some(
                receiver
                    .expect_workspace("3b8e6458-5fc1-4e63-8563-008ccddaa6db")
                    .unwrap()
                    .expect_webhook("90056586-1228-4e03-a507-70140aa85c05")
                    .unwrap(),
            ),
            Self::Poor => Some(receiver.unverified_budget(1000)),
            Self::Bare => None,
        }
    }

    /// Returns a genuine delivery and the expected status.
    fn next(self) -> (Vec<u8>, u16) {
        let (name, status) = match self {
            Self::Poor => ("company.deleted.2025-partial.json", 200),
            Self::Bare => ("person.created.json", 500),
            _ => ("person.created.json", 200),
        };
        (delivery(data(name)).with("x-case", "next").bytes(), status)
    }
}

/// The way in which the client writes to its connection.
enum Script {
    /// Writes a request.
    Whole(Vec<u8>),
    /// Writes a request byte by byte.
    Trickle(Vec<u8>),
    /// Writes a part of a request, then nothing more.
    Stall(Vec<u8>),
    /// Writes a part of a request, then closes its half of the connection.
    Truncate(Vec<u8>),
}

struct Case {
    name: &'static str,
    setup: Setup,
    script: Script,
    status: u16,
}

fn request(name: &'static str, request: Request) -> (&'static str, Script) {
    (name, Script::Whole(request.with("x-case", name).bytes()))
}

fn trickled(name: &'static str, request: Request) -> (&'static str, Script) {
    (name, Script::Trickle(request.with("x-case", name).bytes()))
}

/// Sends only `len` bytes of the body.
fn stalled(name: &'static str, request: Request, len: usize) -> (&'static str, Script) {
    (name, Script::Stall(cut(&request.with("x-case", name), len)))
}

/// Sends only `len` bytes of the body, then closes the client's half of the connection.
fn truncated(name: &'static str, request: Request, len: usize) -> (&'static str, Script) {
    (name, Script::Truncate(cut(&request.with("x-case", name), len)))
}

fn cut(request: &Request, len: usize) -> Vec<u8> {
    let mut bytes = request.bytes();
    bytes.truncate(request.head_bytes().len() + len);
    bytes
}

/// Returns the table. Exactly the requests that are answered with 200 reach the handler.
fn cases() -> Vec<Case> {
    let event = data("person.created.json");
    let company = data("company.deleted.json");
    let metadata = data("metadata.fieldMetadata.updated.json");
    let at_the_limit = event_of(LIMIT);
    let over_the_limit = event_of(LIMIT + 1);
    let minutes = Duration::from_secs(301);
    let signed_at = |time| unsigned(&event).with_all(signed_at(time, &event));
    let signed_with = |secret: &str| {
        let headers = Signer::new(secret).unwrap().sign_at(NOW, &event);
        unsigned(&event).with_all(headers.pairs())
    };
    let signature = "0".repeat(64);
    // The body is longer than what is read of a rejected body, and longer than what a server reads
    // together with the head.
    let long = vec![b' '; 300_000];

    let table = vec![
        (
            Setup::Plain,
            200,
            vec![
                request("signed", delivery(&event)),
                request("of an object that is not a person", delivery(&company)),
                request("of metadata", delivery(&metadata)),
                request("of an unknown object", delivery(r#"{"eventName":"rocket.launched","record":{}}"#)),
                request("without a nonce", delivery(&event).without(NONCE)),
                request("with another nonce", delivery(&event).changed(NONCE, "00000000000000000000000000000000")),
                request("with an invalid nonce", delivery(&event).changed(NONCE, b"\xff")),
                request("with header names in upper case", delivery(&event).in_capitals()),
                request("with a header that is not ASCII", delivery(&event).with("x-note", b"caf\xc3\xa9 \xff")),
                request("identity encoding", delivery(&event).with("content-encoding", "Identity")),
                request("identity twice", delivery(&event).with("content-encoding", "identity, , identity")),
                request("an empty list of encodings", delivery(&event).with("content-encoding", "")),
                request(
                    "with an absolute target",
                    delivery(&event).line("POST http://localhost/webhooks/twenty HTTP/1.1"),
                ),
                request("in chunks", delivery(&event).chunked(100)),
                request("in chunks of one byte", delivery(&event).chunked(1)),
                trickled("one byte at a time", delivery(&event)),
                request("exactly at the limit", delivery(&at_the_limit)),
                request("in chunks, exactly at the limit", delivery(&at_the_limit).chunked(1000)),
                request("with Expect: 100-continue", delivery(&event).with("expect", "100-continue")),
                request("HTTP/1.0", delivery(&event).line("POST /webhooks/twenty HTTP/1.0")),
                request("with a query", delivery(&event).line("POST /webhooks/twenty?token=t HTTP/1.1")),
                request("five minutes old", signed_at(NOW.saturating_sub(Duration::from_secs(300)))),
                request("five minutes ahead", signed_at(NOW.saturating_add(Duration::from_secs(300)))),
            ],
        ),
        (
            Setup::Plain,
            401,
            vec![
                request("unsigned", unsigned(&event)),
                request("unsigned in chunks", unsigned(&event).chunked(100)),
                request("unsigned without a body", unsigned("")),
                request("unsigned, with Expect: 100-continue", unsigned(&event).with("expect", "100-continue")),
                request("nonce only", delivery(&event).without(SIGNATURE).without(TIMESTAMP)),
                request("stale", signed_at(NOW.saturating_sub(minutes))),
                request("from the future", signed_at(NOW.saturating_add(minutes))),
                request("another secret", signed_with("another")),
                request("any signature", delivery(&event).signature(&signature)),
                request("tampered", delivery(&event).body(event.to_ascii_lowercase())),
                request("tampered in chunks", delivery(&event).body(event.to_ascii_lowercase()).chunked(100)),
                request("timestamp changed", delivery(&event).timestamp("1790932471734")),
                request("shortened", delivery(&event).changed("content-length", "10").body(&event[..10])),
                request("without a length", delivery(&event).without("content-length").body("")),
                request("forged and not JSON", delivery("{").signature(&signature)),
                request("unsigned and longer than the limit", unsigned(&over_the_limit)),
                request("unsigned and encoded", unsigned(&event).with("content-encoding", "gzip")),
                request("unsigned and long", unsigned(&long)),
                request("unsigned and long, in chunks", unsigned(&long).chunked(10_000)),
                request("unsigned and long, with Expect: 100-continue", unsigned(&long).with("expect", "100-continue")),
                request(
                    "stale and long",
                    unsigned(&long).with_all(support::signed_at(NOW.saturating_sub(minutes), &long)),
                ),
                stalled("unsigned and incomplete", unsigned(&long), 200),
            ],
        ),
        (
            Setup::Plain,
            400,
            vec![
                request("no signature", delivery(&event).without(SIGNATURE)),
                request("no timestamp", delivery(&event).without(TIMESTAMP)),
                request("two signatures", delivery(&event).with(SIGNATURE, &signature)),
                request("two timestamps", delivery(&event).with(TIMESTAMP, "1790932471733")),
                request("a signature in upper case", delivery(&event).signature("A".repeat(64))),
                request("a signature with a scheme", delivery(&event).signature(format!("sha256={signature}"))),
                request("a signature that is not ASCII", delivery(&event).signature([0xff; 64])),
                request("an empty signature", delivery(&event).signature("")),
                request("seconds", delivery(&event).timestamp("1790932471")),
                request("a timestamp out of range", delivery(&event).timestamp("17909324717330000000000")),
                request("a negative timestamp", delivery(&event).timestamp("-9223372036854775808")),
                request("an empty timestamp", delivery(&event).timestamp("")),
                request("malformed and long", delivery(&long).timestamp("soon")),
                request("no timestamp, long", delivery(&long).without(TIMESTAMP)),
                request("malformed, encoded and too long", {
                    delivery(&over_the_limit).timestamp("soon").with("content-encoding", "gzip")
                }),
                truncated("truncated", delivery(&event), 100),
                truncated("truncated before the first byte", delivery(&event), 0),
                truncated("truncated in a chunk", delivery(&event).chunked(100), 150),
                truncated("truncated before the last chunk", delivery(&event).chunked(event.len()), {
                    event.len() + 7
                }),
            ],
        ),
        (
            Setup::Plain,
            400,
            vec![
                request("verified, but not JSON", delivery("not JSON")),
                request("verified, but empty", delivery("")),
                request("verified, but incomplete JSON", delivery(&event[..100])),
            ],
        ),
        // HTTP forbids this framing, and the servers themselves reject it.
        (
            Setup::Plain,
            400,
            vec![
                request("two lengths", delivery(&event).with("content-length", "15")),
                request("a length with a sign", delivery(&event).changed("content-length", "+1577")),
                request("a length that overflows", delivery(&event).changed("content-length", "9".repeat(30))),
                request("chunks in HTTP/1.0", delivery(&event).chunked(9).line("POST /webhooks/twenty HTTP/1.0")),
            ],
        ),
        (
            Setup::Plain,
            413,
            vec![
                request("declared longer than the limit", delivery(&over_the_limit)),
                request("in chunks, longer than the limit", delivery(&over_the_limit).chunked(1000)),
                request("in one chunk, longer than the limit", delivery(&over_the_limit).chunked(LIMIT * 2)),
                request("declared much longer than the limit", delivery(&long)),
                request("in chunks, much longer than the limit", delivery(&long).chunked(10_000)),
                stalled(
                    "declared 50 MiB",
                    delivery(vec![b' '; 64 << 10]).changed("content-length", "52428800"),
                    64 << 10,
                ),
                stalled(
                    "declared much more than is sent",
                    delivery(vec![b' '; 64 << 10]).changed("content-length", i64::MAX.to_string()),
                    64 << 10,
                ),
                stalled(
                    "declared 50 MiB, with Expect: 100-continue",
                    delivery("").changed("content-length", "52428800").with("expect", "100-continue"),
                    0,
                ),
            ],
        ),
        (
            Setup::Plain,
            415,
            vec![
                request("gzip", delivery(&event).with("content-encoding", "gzip")),
                request("gzip and long", delivery(&long).with("content-encoding", "gzip")),
                request("gzip after identity", {
                    delivery(&event).with("content-encoding", "identity").with("content-encoding", "gzip")
                }),
                request("several encodings", delivery(&event).with("content-encoding", "identity, br")),
                request("an encoding that is not ASCII", delivery(&event).with("content-encoding", b"\xff")),
            ],
        ),
        (
            Setup::Impatient,
            200,
            vec![request("in time", delivery(&event)), request("in time, in chunks", delivery(&event).chunked(500))],
        ),
        (
            Setup::Impatient,
            408,
            vec![
                stalled("not begun", delivery(&event), 0),
                stalled("stalled", delivery(&event), 100),
                stalled("stalled at the last byte", delivery(&event), event.len() - 1),
                stalled("stalled in a chunk", delivery(&event).chunked(100), 150),
                stalled("stalled before the last chunk", delivery(&event).chunked(event.len()), event.len() + 7),
            ],
        ),
        (Setup::Impatient, 401, vec![stalled("unsigned and stalled", unsigned(&event), 100)]),
        (
            Setup::Impatient,
            413,
            vec![stalled("declared 50 MiB and stalled", delivery("").changed("content-length", "52428800"), 0)],
        ),
        (Setup::Expecting, 200, vec![request("of the workspace and webhook", delivery(&event))]),
        (
            Setup::Expecting,
            401,
            vec![
                request("of another workspace", delivery(swapped(&event, "3b8e6458", "3b8e6459"))),
                request("of another webhook", delivery(swapped(&event, "90056586", "90056587"))),
                request("without a workspace", delivery(data("documented.person.created.json"))),
                request("without a known webhook", delivery("no JSON")),
                request("of the workspace, but forged", delivery(&event).signature(&signature)),
            ],
        ),
        (Setup::Poor, 200, vec![request("within the budget", delivery(data("company.deleted.2025-partial.json")))]),
        (
            Setup::Poor,
            503,
            vec![
                request("over the budget", delivery(event_of(1001))),
                request("in chunks, over the budget", delivery(event_of(1001)).chunked(200)),
                stalled("over the budget and incomplete", delivery(event_of(1010)), 1005),
            ],
        ),
        (Setup::Poor, 401, vec![request("unsigned, not counted", unsigned(event_of(1001)))]),
        (
            Setup::Poor,
            413,
            vec![
                request("too long, not counted", delivery(&over_the_limit)),
                request("much too long, not counted", delivery(&long)),
            ],
        ),
        (
            Setup::Persons,
            200,
            vec![
                request("a person", delivery(&event)),
                request("a documented person", delivery(data("documented.person.created.json"))),
            ],
        ),
        (
            Setup::Persons,
            422,
            vec![
                request("a company", delivery(&company)),
                request("metadata", delivery(&metadata)),
                request("a name without a record", delivery(r#"{"eventName":"company.created"}"#)),
            ],
        ),
        (Setup::Persons, 400, vec![request("no JSON", delivery("no JSON"))]),
        (Setup::Persons, 401, vec![request("a forged company", delivery(&company).signature(&signature))]),
        (
            Setup::Bare,
            500,
            vec![
                request("signed, without a receiver", delivery(&event)),
                request("unsigned, without a receiver", unsigned(&event)),
                request("not JSON, without a receiver", delivery("no JSON")),
                request("long, without a receiver", delivery(&long)),
            ],
        ),
        (Setup::Bare, 404, vec![request("another path", delivery(&event).line("POST /elsewhere HTTP/1.1"))]),
        (Setup::Bare, 405, vec![request("another method", unsigned("").line("GET /webhooks/twenty HTTP/1.1"))]),
    ];
    let case = |setup, status| move |(name, script)| Case { name, setup, script, status };
    table.into_iter().flat_map(|(setup, status, cases)| cases.into_iter().map(case(setup, status))).collect()
}

fn swapped(body: &[u8], from: &str, to: &str) -> String {
    let text = std::str::from_utf8(body).unwrap();
    assert!(text.contains(from));
    text.replace(from, to)
}

/// The names of the cases whose handler ran.
type Handled = Arc<Mutex<BTreeSet<String>>>;

/// Runs the cases against the servers that `start` starts.
async fn play<S: Server>(start: impl AsyncFn(Setup, Handled) -> S) {
    let mut wrong = Vec::new();
    for setup in Setup::ALL {
        let handled = Handled::default();
        let server = start(setup, Arc::clone(&handled)).await;
        let mut running = JoinSet::new();
        for case in cases().into_iter().filter(|case| case.setup == setup) {
            let (address, handled) = (server.address(), Arc::clone(&handled));
            running.spawn(async move { (case.name, play_one(address, &case, &handled).await) });
            if setup == Setup::Poor {
                // The budget is shared, so these cases run one after the other.
                wrong.extend(running.join_next().await.map(Result::unwrap));
            }
        }
        wrong.extend(running.join_all().await);
        server.stop().await;
    }
    let wrong: Vec<_> = wrong.into_iter().filter_map(|(name, verdict)| Some((name, verdict.err()?))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

async fn play_one(address: SocketAddr, case: &Case, handled: &Handled) -> Result<(), String> {
    let mut connection = Connection::open(address).await;
    match &case.script {
        Script::Whole(bytes) | Script::Stall(bytes) => connection.send(bytes).await,
        Script::Trickle(bytes) => {
            for byte in bytes {
                connection.send([*byte]).await;
            }
        }
        Script::Truncate(bytes) => {
            connection.send(bytes).await;
            connection.finish().await;
        }
    }
    let is_closing = judge(&mut connection, case, handled).await?;
    if let Script::Whole(bytes) | Script::Trickle(bytes) = &case.script {
        let (next, status) = case.setup.next();
        connection.send(&next).await;
        judge_next(&mut connection, is_closing, status).await?;
        // The same request is sent again, directly followed by the next one.
        handled.lock().unwrap().remove(case.name);
        let mut connection = Connection::open(address).await;
        connection.send([bytes.as_slice(), &next].concat()).await;
        judge(&mut connection, case, handled).await?;
        judge_next(&mut connection, is_closing, status).await?;
    }
    Ok(())
}

/// Checks that the next bytes are read as a separate request, unless the response announced that
/// the connection closes.
async fn judge_next(connection: &mut Connection, is_closing: bool, status: u16) -> Result<(), String> {
    match connection.answer().await {
        None if is_closing => Ok(()),
        Some(answer) if answer.status == status => Ok(()),
        answer => Err(format!("expected {status} next, closing {is_closing}: {answer:?}")),
    }
}

/// Checks the response. Returns whether the connection closes after it.
async fn judge(connection: &mut Connection, case: &Case, handled: &Handled) -> Result<bool, String> {
    let answer = connection.answer().await.ok_or("closed without an answer")?;
    let wrong = |what: &str| Err(format!("{what}: {answer:?}"));
    let is_success = case.status == 200;
    if answer.status != case.status {
        return wrong(&format!("expected {}", case.status));
    }
    if handled.lock().unwrap().contains(case.name) != is_success {
        return wrong("handler ran, or did not");
    }
    // The bodies of the frameworks' own responses are not checked.
    if is_success == answer.body.is_empty() && !matches!(case.status, 404 | 405) {
        return wrong("body");
    }
    for (status, name, value) in [
        (401, "www-authenticate", "Twenty-Webhook"),
        (415, "accept-encoding", "identity"),
        (408, "connection", "close"),
    ] {
        let found = answer.header(name);
        if (answer.status == status && found != Some(value))
            || (answer.status != status && name != "connection" && found.is_some())
        {
            return wrong(name);
        }
    }
    if answer.status == 408 && !connection.is_closed().await {
        return wrong("not closed");
    }
    Ok(answer.header("connection") == Some("close") || case.name == "HTTP/1.0")
}

trait Server {
    fn address(&self) -> SocketAddr;
    async fn stop(self);
}

mod on_axum {
    use ::axum::{Router, extract::State, http::HeaderMap, routing::post};
    use twenty_webhook::tower::WebhookLayer;

    use super::*;

    async fn on_event<T: FromRecord>(
        State(handled): State<Handled>,
        headers: HeaderMap,
        event: WebhookEvent<T>,
        body: Bytes,
    ) -> Bytes {
        handled.lock().unwrap().insert(headers["x-case"].to_str().unwrap().to_owned());
        assert_eq!(event.body(), &body);
        body
    }

    struct Running {
        address: SocketAddr,
        task: tokio::task::JoinHandle<()>,
    }

    impl Server for Running {
        fn address(&self) -> SocketAddr {
            self.address
        }

        async fn stop(self) {
            self.task.abort();
            let _ = self.task.await;
        }
    }

    async fn serve(app: Router) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Running { address, task: tokio::spawn(async move { ::axum::serve(listener, app).await.unwrap() }) }
    }

    async fn play_with(app: impl Fn(Setup, Handled, Option<WebhookLayer>) -> Router) {
        let app = &app;
        play(async move |setup: Setup, handled| {
            serve(app(setup, handled, setup.receiver().map(WebhookLayer::new))).await
        })
        .await;
    }

    fn route(setup: Setup) -> ::axum::routing::MethodRouter<Handled> {
        if setup == Setup::Persons { post(on_event::<Person>) } else { post(on_event::<Record>) }
    }

    #[tokio::test]
    async fn a_route_behaves_as_in_the_table() {
        play_with(|setup, handled, layer| {
            let route = match layer {
                Some(layer) => route(setup).layer(layer),
                None => route(setup),
            };
            Router::new().route("/webhooks/twenty", route).with_state(handled)
        })
        .await;
    }

    #[tokio::test]
    async fn a_router_and_its_route_behave_as_in_the_table() {
        play_with(|setup, handled, layer| {
            let router = match layer {
                Some(layer) => Router::new().route("/webhooks/twenty", route(setup).layer(layer.clone())).layer(layer),
                None => Router::new().route("/webhooks/twenty", route(setup)),
            };
            router.with_state(handled)
        })
        .await;
    }

    #[tokio::test]
    async fn a_route_layer_behaves_as_in_the_table() {
        play_with(|setup, handled, layer| {
            let router = Router::new().route("/webhooks/twenty", route(setup));
            let router = match layer {
                Some(layer) => router.route_layer(layer),
                None => router,
            };
            router.with_state(handled)
        })
        .await;
    }

    #[tokio::test]
    async fn a_router_behaves_as_in_the_table() {
        play_with(|setup, handled, layer| {
            let router = Router::new().route("/webhooks/twenty", route(setup));
            let router = match layer {
                Some(layer) => router.layer(layer),
                None => router,
            };
            router.with_state(handled)
        })
        .await;
    }
}

mod on_actix {
    use ::actix_web::{
        App, HttpRequest, HttpServer, Route,
        dev::ServerHandle,
        middleware::{Condition, Logger},
        web,
    };
    use twenty_webhook::actix_web::WebhookMiddleware;

    use super::*;

    async fn on_event<T: FromRecord>(
        handled: web::Data<Handled>,
        request: HttpRequest,
        event: WebhookEvent<T>,
        body: Bytes,
    ) -> Bytes {
        handled.lock().unwrap().insert(request.headers().get("x-case").unwrap().to_str().unwrap().to_owned());
        assert_eq!(event.body(), &body);
        body
    }

    struct Running {
        address: SocketAddr,
        handle: ServerHandle,
        task: tokio::task::JoinHandle<()>,
    }

    impl Server for Running {
        fn address(&self) -> SocketAddr {
            self.address
        }

        async fn stop(self) {
            soon(self.handle.stop(false)).await;
            soon(self.task).await.unwrap();
        }
    }

    fn route(setup: Setup) -> Route {
        if setup == Setup::Persons { web::post().to(on_event::<Person>) } else { web::post().to(on_event::<Record>) }
    }

    /// Starts the given app on one worker.
    macro_rules! serve {
        ($app:expr) => {{
            let server = HttpServer::new($app).workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
            let address = server.addrs()[0];
            let server = server.run();
            let handle = server.handle();
            Running { address, handle, task: tokio::spawn(async move { server.await.unwrap() }) }
        }};
    }

    /// Returns the middleware for a setup, or none for [`Setup::Bare`].
    fn middleware(setup: Setup) -> impl Fn() -> Condition<WebhookMiddleware> + Clone + Send + 'static {
        let receiver = setup.receiver();
        move || {
            let unused = || Setup::Plain.receiver().unwrap();
            Condition::new(receiver.is_some(), WebhookMiddleware::new(receiver.clone().unwrap_or_else(unused)))
        }
    }

    #[tokio::test]
    async fn a_resource_behaves_as_in_the_table() {
        play(async |setup: Setup, handled: Handled| {
            let middleware = middleware(setup);
            serve!(move || {
                let resource = web::resource("/webhooks/twenty").wrap(middleware()).route(route(setup));
                App::new().app_data(web::Data::new(Arc::clone(&handled))).service(resource)
            })
        })
        .await;
    }

    #[tokio::test]
    async fn an_app_and_its_resource_behave_as_in_the_table() {
        play(async |setup: Setup, handled: Handled| {
            let middleware = middleware(setup);
            serve!(move || {
                let resource = web::resource("/webhooks/twenty").wrap(middleware()).route(route(setup));
                App::new().app_data(web::Data::new(Arc::clone(&handled))).wrap(middleware()).service(resource)
            })
        })
        .await;
    }

    #[tokio::test]
    async fn a_scope_behaves_as_in_the_table() {
        play(async |setup: Setup, handled: Handled| {
            let middleware = middleware(setup);
            serve!(move || {
                let scope = web::scope("/webhooks").wrap(middleware());
                let scope = scope.service(web::resource("/twenty").route(route(setup)));
                App::new().app_data(web::Data::new(Arc::clone(&handled))).service(scope)
            })
        })
        .await;
    }

    #[tokio::test]
    async fn an_app_inside_a_logger_behaves_as_in_the_table() {
        play(async |setup: Setup, handled: Handled| {
            let middleware = middleware(setup);
            serve!(move || {
                App::new()
                    .app_data(web::Data::new(Arc::clone(&handled)))
                    .wrap(middleware())
                    .wrap(Logger::default())
                    .service(web::resource("/webhooks/twenty").route(route(setup)))
            })
        })
        .await;
    }
}

/// The cases contain every status in the table of `twenty_webhook::receiver`.
#[test]
fn the_table_has_every_status() {
    let played: BTreeSet<u16> = cases().iter().map(|case| case.status).collect();
    assert!(played.is_superset(&[200, 400, 401, 408, 413, 415, 422, 500, 503].into()), "{played:?}");
    let names: BTreeSet<_> = cases().iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases().len(), "a duplicate name");
}
