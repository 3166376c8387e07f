//! Sends one request through each framework, without a socket. Returns the response and what the
//! handler received.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_core::Stream;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyDataStream, BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};
use twenty_webhook::{
    Receiver, Verified, WebhookEvent, actix_web::WebhookMiddleware, receiver::WebhookRejection, tower::WebhookLayer,
};

/// The result of a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Played {
    pub framework: &'static str,
    pub status: u16,
    /// The body that the handler received.
    pub seen: Option<Bytes>,
}

/// Sends the request through tower, axum and actix-web, each with a handler for a [`WebhookEvent`]
/// of the default type.
pub async fn everywhere<B>(receiver: &Receiver, request: impl Fn() -> Request<B>) -> [Played; 3]
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    [
        in_tower(receiver.clone(), request()).await,
        in_axum(receiver.clone(), request()).await,
        in_actix_web(receiver.clone(), request()).await,
    ]
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Option<Bytes>>>);

impl Seen {
    fn note(&self, event: &WebhookEvent) {
        assert!(self.0.lock().unwrap().replace(event.body().clone()).is_none(), "the handler was called twice");
    }

    fn played(self, framework: &'static str, status: u16, body: &[u8]) -> Played {
        let seen = self.0.lock().unwrap().take();
        assert!(body.is_empty(), "{framework} answers {body:?}");
        assert_eq!(seen.is_some(), status == 200, "{framework} answers {status}");
        Played { framework, status, seen }
    }
}

pub async fn in_tower<B: Body + Send>(receiver: Receiver, request: Request<B>) -> Played {
    let seen = Seen::default();
    let noted = seen.clone();
    let service = WebhookLayer::new(receiver).layer(service_fn(move |request: Request<_>| {
        let noted = noted.clone();
        async move {
            let mut response = Response::new(Full::<Bytes>::default());
            let verified: Verified = request.extensions().get().cloned().unwrap();
            match WebhookEvent::from_verified(verified) {
                Ok(event) => noted.note(&event),
                Err(error) => {
                    *response.status_mut() = StatusCode::from_u16(WebhookRejection::from(error).status()).unwrap();
                }
            }
            Ok::<_, Infallible>(response)
        }
    }));
    let answer = service.oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    seen.played("tower", status, &answer.into_body().collect().await.unwrap().to_bytes())
}

pub async fn in_axum<B>(receiver: Receiver, request: Request<B>) -> Played
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    use axum::{Router, routing::post};
    let seen = Seen::default();
    let noted = seen.clone();
    let on_event = move |event: WebhookEvent| async move { noted.note(&event) };
    let app = Router::new().route("/webhooks/twenty", post(on_event).layer(WebhookLayer::new(receiver)));
    let answer = app.oneshot(request.map(axum::body::Body::new)).await.unwrap();
    let status = answer.status().as_u16();
    seen.played("axum", status, &answer.into_body().collect().await.unwrap().to_bytes())
}

pub async fn in_actix_web<B>(receiver: Receiver, request: Request<B>) -> Played
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: std::error::Error + 'static,
{
    use actix_web::{
        App, HttpResponse,
        body::to_bytes,
        dev::Payload,
        test::{TestRequest, call_service, init_service},
        web,
    };
    let seen = Seen::default();
    let noted = seen.clone();
    let on_event = move |event: WebhookEvent| {
        noted.note(&event);
        async { HttpResponse::Ok().finish() }
    };
    let resource =
        web::resource("/webhooks/twenty").wrap(WebhookMiddleware::new(receiver)).route(web::post().to(on_event));
    let app = init_service(App::new().service(resource)).await;
    let (head, body) = request.into_parts();
    let mut request = TestRequest::post().uri(&head.uri.to_string());
    for (name, value) in &head.headers {
        request = request.append_header((name.as_str(), value.as_bytes()));
    }
    let body: Pin<Box<dyn Stream<Item = _>>> = Box::pin(PayloadStream(BodyDataStream::new(body)));
    let answer = call_service(&app, request.to_request().replace_payload(Payload::from(body)).0).await;
    let status = answer.status().as_u16();
    seen.played("actix-web", status, &to_bytes(answer.into_body()).await.unwrap())
}

/// A body in the form that actix-web accepts.
struct PayloadStream<B>(BodyDataStream<B>);

impl<B: Body<Data = Bytes, Error: std::error::Error + 'static> + Unpin> Stream for PayloadStream<B> {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let broken = |error: B::Error| PayloadError::Io(std::io::Error::other(error.to_string()));
        Pin::new(&mut self.0).poll_next(cx).map(|chunk| chunk.map(|chunk| chunk.map_err(broken)))
    }
}
