//! Sends requests over HTTP/2, which has neither chunks nor a connection header.

use std::{convert::Infallible, iter, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, client::conn::http2::SendRequest};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tower::{Layer, service_fn};
use twenty_webhook::{
    Receiver, Verified, WebhookEvent,
    actix_web::WebhookMiddleware,
    tower::{VerifiedBody, WebhookLayer},
};

use crate::support::{
    bodies::{Step, chunk, delivery, scripted, unsigned},
    builder, data,
    http1::soon,
};

type ClientBody = UnsyncBoxBody<Bytes, &'static str>;

fn receiver() -> Receiver {
    Receiver::new(builder().body_limit(16 << 10).build().unwrap()).body_deadline(Duration::from_secs(1))
}

async fn connect(address: SocketAddr) -> SendRequest<ClientBody> {
    let stream = TokioIo::new(soon(TcpStream::connect(address)).await.unwrap());
    let (client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    client
}

fn to<B>(address: SocketAddr, request: Request<B>) -> Request<ClientBody>
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug> + Send + 'static,
{
    let (mut parts, body) = request.into_parts();
    parts.uri = format!("http://{address}/webhooks/twenty").parse().unwrap();
    Request::from_parts(parts, UnsyncBoxBody::new(body.map_err(|_| "aborted")))
}

/// Sends all requests at the same time over one connection.
async fn plays(address: SocketAddr) {
    let client = connect(address).await;
    let event = data("person.created.json");
    let mut running = JoinSet::new();
    for i in 0..60 {
        let (request, status) = match i % 6 {
            0 => (to(address, delivery(&event, Full::new(event.clone()))), 200),
            1 => {
                let parts: Vec<_> = event.chunks(100).map(|part| chunk(part.to_vec())).collect();
                (to(address, delivery(&event, scripted(parts))), 200)
            }
            2 => (to(address, unsigned(Full::new(event.clone()))), 401),
            3 => (to(address, delivery("another", scripted([chunk(event.clone())]))), 401),
            4 => (to(address, delivery(&event, scripted([chunk("{"), Step::Stall]))), 408),
            _ => (to(address, delivery(&event, scripted(iter::repeat_n(chunk(vec![b' '; 1 << 10]), 20)))), 413),
        };
        let mut client = client.clone();
        running.spawn(async move { judge(soon(client.send_request(request)).await.unwrap(), status).await });
    }
    running.join_all().await;
    let mut client = client;
    let honest = to(address, delivery(&event, Full::new(event.clone())));
    judge(soon(client.send_request(honest)).await.unwrap(), 200).await;
}

async fn judge(answer: Response<Incoming>, status: u16) {
    assert_eq!(answer.status().as_u16(), status, "{answer:?}");
    assert!(!answer.headers().contains_key(header::CONNECTION));
    assert_eq!(answer.headers().contains_key(header::WWW_AUTHENTICATE), status == 401);
    let body = soon(answer.into_body().collect()).await.unwrap().to_bytes();
    assert_eq!(body, if status == 200 { "person.created" } else { "" });
}

#[tokio::test]
async fn axum_answers_alike_over_http2() {
    use axum::{Router, routing::post};

    let app = Router::new()
        .route("/webhooks/twenty", post(|event: WebhookEvent| async move { event.name.to_string() }))
        .layer(WebhookLayer::new(receiver()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    plays(address).await;
}

#[tokio::test]
async fn hyper_answers_alike_over_http2() {
    async fn on_event(request: Request<VerifiedBody>) -> Result<Response<Full<Bytes>>, Infallible> {
        let verified = request.extensions().get::<Verified>().unwrap().clone();
        let event: WebhookEvent = WebhookEvent::from_verified(verified).unwrap();
        Ok(Response::new(event.name.to_string().into()))
    }
    let service = WebhookLayer::new(receiver()).layer(service_fn(on_event));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    plays(address).await;
}

#[tokio::test]
async fn actix_web_answers_alike_over_http2() {
    use actix_web::{App, HttpServer, web};

    let receiver = receiver();
    let server = HttpServer::new(move || {
        App::new().service(
            web::resource("/webhooks/twenty")
                .wrap(WebhookMiddleware::new(receiver.clone()))
                .route(web::post().to(|event: WebhookEvent| async move { event.name.to_string() })),
        )
    });
    let server = server.workers(1).disable_signals().bind_auto_h2c("127.0.0.1:0").unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    let running = tokio::spawn(server);
    plays(address).await;
    soon(handle.stop(false)).await;
    soon(running).await.unwrap().unwrap();
}
