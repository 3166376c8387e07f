//! The routes of axum.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use axum_standardwebhooks::{SharedWebhook, StandardWebhook, Webhook};
use serde_json::Value;
use tokio::net::TcpListener;
use twenty_webhook::{Receiver, Verified, WebhookEvent, event::record::Person, tower::WebhookLayer};

use super::{PATH, by_hand::is_genuine};
use crate::delivery::SECRET;

pub async fn run(route: &str, listener: std::net::TcpListener, receiver: Receiver) {
    let layer = WebhookLayer::new(receiver);
    let app = match route {
        "axum-bytes" => Router::new().route(PATH, post(bytes)),
        "axum-value" => Router::new().route(PATH, post(value)),
        "axum-by-hand" => Router::new().route(PATH, post(by_hand)).with_state(Arc::from(SECRET)),
        "axum-standardwebhooks" => {
            let webhook = Webhook::from_bytes(SECRET.into()).expect("a secret");
            Router::new().route(PATH, post(standardwebhooks)).with_state(SharedWebhook::new(webhook))
        }
        "axum-layer" => Router::new().route(PATH, post(verified).layer(layer)),
        _ => Router::new().route(PATH, post(person).layer(layer)),
    };
    let listener = TcpListener::from_std(listener).expect("a socket");
    axum::serve(listener, app).await.expect("served");
}

async fn bytes(body: Bytes) -> StatusCode {
    ok_if(!body.is_empty())
}

async fn value(Json(event): Json<Value>) -> StatusCode {
    ok_if(event["eventName"].is_string())
}

async fn by_hand(State(secret): State<Arc<str>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(timestamp), Some(signature)) =
        (header("x-twenty-webhook-timestamp"), header("x-twenty-webhook-signature"))
    else {
        return StatusCode::UNAUTHORIZED;
    };
    if !is_genuine(&secret, timestamp, signature, &body) {
        return StatusCode::UNAUTHORIZED;
    }
    match serde_json::from_slice::<Value>(&body) {
        Ok(event) => ok_if(event["eventName"].is_string()),
        Err(_) => StatusCode::BAD_REQUEST,
    }
}

async fn standardwebhooks(StandardWebhook(Json(event)): StandardWebhook<Json<Value>>) -> StatusCode {
    ok_if(event["eventName"].is_string())
}

async fn verified(verified: Verified) -> StatusCode {
    ok_if(!verified.body().is_empty())
}

async fn person(event: WebhookEvent<Person>) -> StatusCode {
    ok_if(event.record.name.is_some())
}

fn ok_if(fits: bool) -> StatusCode {
    if fits { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY }
}
