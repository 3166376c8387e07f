//! The routes of actix-web.

use std::time::Duration;

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::HttpServiceFactory,
    web::{self, Bytes, Json, PayloadConfig},
};
use serde_json::Value;
use twenty_webhook::{Receiver, Verified, Verifier, WebhookEvent, actix_web::WebhookMiddleware, event::record::Person};

use super::{PATH, by_hand::is_genuine};
use crate::delivery::SECRET;

pub async fn run(route: &str, listener: std::net::TcpListener, receiver: Receiver) {
    match route {
        "actix-bytes" => {
            // This is the limit of the middleware, too.
            let limit = PayloadConfig::new(Verifier::DEFAULT_BODY_LIMIT);
            serve(listener, move || web::resource(PATH).app_data(limit.clone()).route(web::post().to(bytes))).await;
        }
        "actix-value" => serve(listener, || web::resource(PATH).route(web::post().to(value))).await,
        "actix-by-hand" => serve(listener, || web::resource(PATH).route(web::post().to(by_hand))).await,
        "actix-layer" => {
            let wrap = move || WebhookMiddleware::new(receiver.clone());
            serve(listener, move || web::resource(PATH).wrap(wrap()).route(web::post().to(verified))).await;
        }
        _ => {
            let wrap = move || WebhookMiddleware::new(receiver.clone());
            serve(listener, move || web::resource(PATH).wrap(wrap()).route(web::post().to(person))).await;
        }
    }
}

async fn serve<F>(listener: std::net::TcpListener, service: impl Fn() -> F + Clone + Send + 'static)
where
    F: HttpServiceFactory + 'static,
{
    let server = HttpServer::new(move || App::new().service(service())).workers(1);
    // A thousand connections are opened before the first one sends a request.
    let server = server.client_request_timeout(Duration::from_secs(60));
    server.listen(listener).expect("a socket").run().await.expect("served");
}

async fn bytes(body: Bytes) -> HttpResponse {
    ok_if(!body.is_empty())
}

async fn value(Json(event): Json<Value>) -> HttpResponse {
    ok_if(event["eventName"].is_string())
}

async fn by_hand(request: HttpRequest, body: Bytes) -> HttpResponse {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let (Some(timestamp), Some(signature)) =
        (header("x-twenty-webhook-timestamp"), header("x-twenty-webhook-signature"))
    else {
        return HttpResponse::Unauthorized().finish();
    };
    if !is_genuine(SECRET, timestamp, signature, &body) {
        return HttpResponse::Unauthorized().finish();
    }
    match serde_json::from_slice::<Value>(&body) {
        Ok(event) => ok_if(event["eventName"].is_string()),
        Err(_) => HttpResponse::BadRequest().finish(),
    }
}

async fn verified(verified: Verified) -> HttpResponse {
    ok_if(!verified.body().is_empty())
}

async fn person(event: WebhookEvent<Person>) -> HttpResponse {
    ok_if(event.record.name.is_some())
}

fn ok_if(fits: bool) -> HttpResponse {
    if fits { HttpResponse::Ok().finish() } else { HttpResponse::UnprocessableEntity().finish() }
}
