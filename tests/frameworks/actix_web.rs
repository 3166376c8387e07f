//! Tests of actix-web's own features: extractors, its limits and configuration, outer
//! middleware and workers.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use actix_web::{
    App, Error, HttpRequest, HttpResponse, HttpServer,
    body::{self, MessageBody},
    dev::{Server, ServerHandle, ServiceRequest, ServiceResponse},
    error::{ErrorImATeapot, InternalError},
    http::{Method, StatusCode, Uri},
    middleware::{Next, from_fn},
    test::{TestRequest, call_service, init_service},
    web::{self, Bytes, Data, Json, JsonConfig, PayloadConfig, ServiceConfig},
};
use twenty_webhook::{
    Receiver, Verified, WebhookEvent,
    actix_web::WebhookMiddleware,
    event::{EventErrorKind, record::Person},
    receiver::{Refusal, RefusalKind, RefusalResponse, WebhookRejection},
    verify::VerifyErrorKind,
};

use crate::support::{
    builder, data, event_of,
    http1::{self, Connection, accepted_at_last, begun, begun_without_room_for, soon, status},
    signed, verifier,
};

fn middleware() -> WebhookMiddleware {
    WebhookMiddleware::new(verifier())
}

fn delivery(body: impl Into<Bytes>) -> TestRequest {
    let body = body.into();
    signed(&body)
        .into_iter()
        .fold(TestRequest::post().uri("/webhooks/twenty"), TestRequest::insert_header)
        .insert_header(("content-type", "application/json"))
        .set_payload(body)
}

async fn text(answer: ServiceResponse<impl MessageBody>) -> String {
    let bytes = body::to_bytes(answer.into_body()).await.map_err(|_| "a body").unwrap();
    String::from_utf8(bytes.into()).unwrap()
}

/// Returns the response of an app with these routes inside the middleware.
async fn ask(
    middleware: WebhookMiddleware,
    routes: fn(&mut ServiceConfig),
    request: TestRequest,
) -> ServiceResponse<impl MessageBody> {
    let app = init_service(App::new().service(web::scope("").wrap(middleware).configure(routes))).await;
    call_service(&app, request.to_request()).await
}

mod extractors {
    use super::*;

    #[actix_web::test]
    async fn extractors_combine_with_others_in_any_order() {
        async fn first(event: WebhookEvent, _: HttpRequest, verified: Verified, body: Bytes) -> String {
            assert_eq!((event.body(), verified.body()), (&body, &body));
            event.name.to_string()
        }
        async fn last(body: Bytes, _: Method, _: Uri, event: WebhookEvent<Person>) -> String {
            assert_eq!(*event.body(), body);
            event.record.display_name().unwrap_or_default()
        }
        async fn twice(
            json: Json<serde_json::Value>,
            one: WebhookEvent,
            other: WebhookEvent<serde_json::Value>,
        ) -> String {
            assert_eq!(one.name, other.name);
            json["eventName"].to_string()
        }
        fn routes(app: &mut ServiceConfig) {
            app.route("/first", web::post().to(first))
                .route("/last", web::post().to(last))
                .route("/twice", web::post().to(twice));
        }
        for (uri, answer) in
            [("/first", "person.created"), ("/last", "Ada Lovelace"), ("/twice", r#""person.created""#)]
        {
            let request = delivery(data("person.created.json")).uri(uri);
            assert_eq!(text(ask(middleware(), routes, request).await).await, answer);
        }
    }

    /// As documented, `Option` is `None` for every failure, and `Result` contains the reason.
    #[actix_web::test]
    async fn extractors_can_be_optional_or_a_result() {
        async fn option(event: Option<WebhookEvent<Person>>) -> String {
            event.map_or_else(|| "none".into(), |event| event.name.to_string())
        }
        async fn result(event: Result<WebhookEvent<Person>, WebhookRejection>) -> String {
            match event {
                Ok(event) => event.name.to_string(),
                Err(WebhookRejection::Event(error)) => format!("{:?}", error.kind()),
                Err(other) => format!("{other:?}"),
            }
        }
        fn routes(app: &mut ServiceConfig) {
            app.route("/option", web::post().to(option)).route("/result", web::post().to(result));
        }
        let ask = async |uri, name| text(ask(middleware(), routes, delivery(data(name)).uri(uri)).await).await;
        assert_eq!(ask("/option", "person.created.json").await, "person.created");
        assert_eq!(ask("/option", "company.deleted.json").await, "none");
        assert_eq!(ask("/result", "person.created.json").await, "person.created");
        assert_eq!(ask("/result", "company.deleted.json").await, "WrongObject");

        let bare = init_service(App::new().configure(routes)).await;
        let request = delivery(data("person.created.json")).uri("/result").to_request();
        assert_eq!(text(call_service(&bare, request).await).await, "MissingMiddleware");
    }

    #[actix_web::test]
    async fn rejections_have_their_reason_in_the_extensions() {
        async fn on_event(_: WebhookEvent<Person>) -> HttpResponse {
            HttpResponse::Ok().finish()
        }
        fn routes(app: &mut ServiceConfig) {
            app.route("/webhooks/twenty", web::post().to(on_event));
        }
        for (body, status, kind) in [
            ("not JSON", StatusCode::BAD_REQUEST, EventErrorKind::NotJson),
            (r#"{"eventName":"company.created"}"#, StatusCode::UNPROCESSABLE_ENTITY, EventErrorKind::WrongObject),
        ] {
            let answer = ask(middleware(), routes, delivery(body)).await;
            assert_eq!(answer.status(), status);
            match answer.response().extensions().get() {
                Some(WebhookRejection::Event(error)) => assert_eq!(error.kind(), kind),
                other => panic!("{other:?}"),
            }
            assert_eq!(text(answer).await, "");
        }
        let bare = init_service(App::new().configure(routes)).await;
        let answer = call_service(&bare, delivery("{}").to_request()).await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.response().extensions().get(), Some(&WebhookRejection::MissingMiddleware));
        assert_eq!(text(answer).await, "");
    }
}

mod limits {
    use super::*;

    const LONG: usize = 3 << 20;

    fn raised() -> WebhookMiddleware {
        WebhookMiddleware::new(builder().body_limit(LONG).build().unwrap())
    }

    async fn bytes(body: Bytes) -> String {
        body.len().to_string()
    }

    async fn string(body: String) -> String {
        body.len().to_string()
    }

    async fn json(body: Json<serde_json::Value>) -> String {
        body["eventName"].to_string()
    }

    fn routes(app: &mut ServiceConfig) {
        app.route("/bytes", web::post().to(bytes))
            .route("/string", web::post().to(string))
            .route("/json", web::post().to(json));
    }

    #[actix_web::test]
    async fn the_verifiers_limit_applies() {
        for len in [(256 << 10) - 1, 256 << 10, (256 << 10) + 1, (2 << 20) + 1, LONG] {
            for (uri, answer) in
                [("/bytes", len.to_string()), ("/string", len.to_string()), ("/json", r#""note.created""#.into())]
            {
                let answered = ask(raised(), routes, delivery(event_of(len)).uri(uri)).await;
                assert_eq!(text(answered).await, answer, "{uri} {len}");
            }
        }
    }

    #[actix_web::test]
    async fn limits_set_outside_do_not_apply() {
        let (payload, json) = (PayloadConfig::new(10), JsonConfig::default().limit(10));
        for len in [100, 300 << 10] {
            for uri in ["/bytes", "/string", "/json"] {
                let bare = App::new().app_data(payload.clone()).app_data(json.clone());
                let shared = App::new().app_data(Data::new(payload.clone())).app_data(Data::new(json.clone()));
                for app in [bare, shared] {
                    let app = init_service(app.wrap(raised()).configure(routes)).await;
                    let answer = call_service(&app, delivery(event_of(len)).uri(uri).to_request()).await;
                    assert_eq!(answer.status(), StatusCode::OK, "{uri} {len}");
                }
            }
        }
    }

    #[actix_web::test]
    async fn limits_set_inside_apply() {
        let app = App::new()
            .wrap(raised())
            .service(web::resource("/bytes").app_data(PayloadConfig::new(200)).route(web::post().to(bytes)));
        let app = init_service(app).await;
        for (len, status) in [(200, StatusCode::OK), (201, StatusCode::PAYLOAD_TOO_LARGE)] {
            let answer = call_service(&app, delivery(event_of(len)).uri("/bytes").to_request()).await;
            assert_eq!(answer.status(), status);
        }
    }

    /// A longer body changes only the limit.
    #[actix_web::test]
    async fn the_users_configuration_stays_in_force() {
        let config = || {
            JsonConfig::default()
                .content_type(|mime| mime == "application/vnd.twenty+json")
                .content_type_required(true)
                .error_handler(|error, _| InternalError::new(error, StatusCode::IM_A_TEAPOT).into())
        };
        for len in [100, 300 << 10, LONG] {
            let app = App::new().service(
                web::scope("").app_data(config()).wrap(raised()).route("/webhooks/twenty", web::post().to(json)),
            );
            let app = init_service(app).await;
            let ask = async |content_type| {
                let request = delivery(event_of(len)).insert_header(("content-type", content_type));
                call_service(&app, request.to_request()).await.status()
            };
            assert_eq!(ask("application/vnd.twenty+json").await, StatusCode::OK, "{len}");
            assert_eq!(ask("text/plain").await, StatusCode::IM_A_TEAPOT, "{len}");
        }
    }
}

mod middleware_outside {
    use super::*;

    type Seen = Arc<Mutex<Vec<String>>>;

    /// Records what the middleware returns: a response, or an error instead of one.
    async fn note<B: MessageBody>(
        seen: Data<Seen>,
        request: ServiceRequest,
        next: Next<B>,
    ) -> Result<ServiceResponse<B>, Error> {
        let answer = next.call(request).await;
        seen.lock().unwrap().push(match &answer {
            Ok(answer) => {
                let refusal = answer.response().extensions().get::<Refusal>().map(Refusal::kind);
                format!("{} {refusal:?} {}", answer.status(), answer.response().error().is_some())
            }
            Err(error) => format!("error: {error}"),
        });
        answer
    }

    async fn seen_of(request: TestRequest, receiver: Receiver) -> Vec<String> {
        async fn fails(_: WebhookEvent) -> Result<HttpResponse, Error> {
            Err(ErrorImATeapot("no coffee"))
        }
        let seen = Seen::default();
        let app = App::new()
            .app_data(Data::new(Arc::clone(&seen)))
            .wrap(WebhookMiddleware::new(receiver))
            .wrap(from_fn(note))
            .route("/webhooks/twenty", web::post().to(fails));
        call_service(&init_service(app).await, request.to_request()).await;
        seen.lock().unwrap().clone()
    }

    #[actix_web::test]
    async fn outer_middleware_sees_a_rejection_as_an_ordinary_response() {
        let unsigned = TestRequest::post().uri("/webhooks/twenty").set_payload("{}");
        let receiver = Receiver::new(verifier());
        assert_eq!(seen_of(unsigned, receiver).await, ["401 Unauthorized Some(Verify(Unsigned)) false"]);
        let receiver = Receiver::new(verifier()).respond_with(|_| RefusalResponse::new(404));
        let forged = delivery("{}").set_payload("[]");
        assert_eq!(seen_of(forged, receiver).await, ["404 Not Found Some(Verify(SignatureMismatch)) false"]);
    }

    #[actix_web::test]
    async fn outer_middleware_sees_the_handlers_error() {
        assert_eq!(seen_of(delivery("{}"), Receiver::new(verifier())).await, ["418 I'm a teapot None true"]);
    }
}

mod servers {
    use super::*;

    struct Running {
        address: SocketAddr,
        handle: ServerHandle,
        task: tokio::task::JoinHandle<std::io::Result<()>>,
    }

    impl Running {
        fn start(address: SocketAddr, server: Server) -> Self {
            Self { address, handle: server.handle(), task: tokio::spawn(server) }
        }

        async fn stop(self) {
            soon(self.handle.stop(true)).await;
            soon(self.task).await.unwrap().unwrap();
        }
    }

    fn serve(receiver: Receiver, workers: usize) -> Running {
        async fn on_event(_: WebhookEvent) -> HttpResponse {
            HttpResponse::Ok().finish()
        }
        let server = HttpServer::new(move || {
            App::new().service(
                web::resource("/webhooks/twenty")
                    .wrap(WebhookMiddleware::new(receiver.clone()))
                    .route(web::post().to(on_event)),
            )
        });
        let server = server.workers(workers).disable_signals().bind("127.0.0.1:0").unwrap();
        Running::start(server.addrs()[0], server.run())
    }

    /// Connections are distributed to the workers in turn, so each worker gets some.
    #[tokio::test]
    async fn workers_share_the_budget() {
        let server = serve(Receiver::new(verifier()).unverified_budget(1000), 2);
        let (long, short) = (event_of(1000), data("company.deleted.2025-partial.json"));
        let mut under_way = begun_without_room_for(server.address, &long, &short).await;
        for _ in 0..4 {
            assert_eq!(status(server.address, &short).await, 503);
        }
        under_way.send(&long[long.len() - 1..]).await;
        assert_eq!(under_way.answer().await.unwrap().status, 200);
        for _ in 0..4 {
            assert_eq!(status(server.address, &short).await, 200);
        }
        server.stop().await;
    }

    #[tokio::test]
    async fn a_disconnecting_client_frees_its_part_of_the_budget() {
        let server = serve(Receiver::new(verifier()).unverified_budget(1000), 1);
        let short = data("company.deleted.2025-partial.json");
        drop(begun_without_room_for(server.address, &event_of(1000), &short).await);
        accepted_at_last(server.address, &short).await;
        server.stop().await;
    }

    /// The connection closes although actix-web writes the header itself, and although the body was
    /// read to its end.
    #[tokio::test]
    async fn the_connection_closes_after_every_408() {
        let server = serve(Receiver::new(verifier()).respond_with(|_| RefusalResponse::new(408)), 1);
        let mut connection = Connection::open(server.address).await;
        connection.send(http1::unsigned("{}").bytes()).await;
        let answer = connection.answer().await.unwrap();
        assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
        assert!(connection.is_closed().await);
        server.stop().await;
    }

    /// No part of the receiver outlives the server.
    #[tokio::test]
    async fn a_stopped_server_drops_the_receiver() {
        let marker = Arc::new(());
        let held = Arc::clone(&marker);
        let receiver = Receiver::new(verifier()).respond_with(move |refusal| {
            let _held = &held;
            RefusalResponse::new(refusal.status())
        });
        let server = serve(receiver, 2);
        for body in ["{}", "not JSON"] {
            let mut connection = Connection::open(server.address).await;
            connection.send(http1::unsigned(body).bytes()).await;
            assert_eq!(connection.answer().await.unwrap().status, 401);
        }
        let leaver = begun(server.address, b"{}").await;
        drop(leaver);
        server.stop().await;
        soon(async {
            while Arc::strong_count(&marker) > 1 {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

#[actix_web::test]
async fn a_rejection_is_typed_and_empty() {
    let answer = ask(middleware(), |_| {}, TestRequest::post().set_payload("{}")).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let refusal = answer.response().extensions().get::<Refusal>().map(Refusal::kind);
    assert_eq!(refusal, Some(RefusalKind::Verify(VerifyErrorKind::Unsigned)));
    assert_eq!(answer.headers().get("www-authenticate").unwrap(), "Twenty-Webhook");
    assert_eq!(text(answer).await, "");
}
