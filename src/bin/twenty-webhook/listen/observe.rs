//! Observes the crate's own middleware, which decides and responds, and reports the results to the
//! printer.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use twenty_webhook::{
    Verifier, WebhookEvent,
    receiver::{Refusal, WebhookRejection},
    tower::WebhookLayer,
};

use super::{forward::Forward, printer::Queue, tee::Tee};
use crate::{
    client::{Answer, PostError},
    time,
};

/// A delivery that was answered.
pub(super) struct Observed {
    pub(super) at: jiff::Timestamp,
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    /// `None` if it was not read to its end.
    pub(super) body: Option<Bytes>,
    pub(super) status: u16,
    pub(super) verdict: Verdict,
}

pub(super) enum Verdict {
    Accepted(Arc<Accepted>),
    /// Verified, but not an event.
    Rejected(WebhookRejection),
    Refused(Refusal),
    /// Verified, but the method is not POST.
    WrongMethod,
    /// Verified, but already forwarded by this process.
    Loop,
}

impl Verdict {
    /// Returns whether the delivery was verified. The middleware rejects a delivery before or
    /// during verification.
    pub(super) const fn is_verified(&self) -> bool {
        !matches!(self, Self::Refused(_))
    }
}

/// Marks the response to a request that this process has already forwarded.
#[derive(Clone, Copy)]
struct CameBack;

/// A verified event, and the result of forwarding it.
pub(super) struct Accepted {
    pub(super) event: WebhookEvent,
    pub(super) forwarded: Option<Result<Answer, PostError>>,
}

/// Returns the application, which receives deliveries at any path.
pub(super) fn app(verifier: Verifier, forward: Option<Forward>, queue: Queue) -> Router {
    let receive = post(accept).layer(WebhookLayer::new(verifier)).with_state(forward);
    Router::new().fallback_service(receive).layer(from_fn_with_state(queue, observe))
}

async fn accept(State(forward): State<Option<Forward>>, headers: HeaderMap, event: WebhookEvent) -> Response {
    let forwarded = match forward {
        Some(forward) if forward.has_forwarded(&headers) => {
            let mut response = StatusCode::LOOP_DETECTED.into_response();
            response.extensions_mut().insert(CameBack);
            return response;
        }
        Some(forward) => Some(forward.post(headers, event.body().clone()).await),
        None => None,
    };
    let status = match &forwarded {
        None => StatusCode::OK,
        // A status such as 101 would announce another protocol.
        Some(Ok(answer)) => StatusCode::from_u16(answer.status)
            .ok()
            .filter(|status| !status.is_informational())
            .unwrap_or(StatusCode::BAD_GATEWAY),
        Some(Err(PostError::TooLate)) => StatusCode::GATEWAY_TIMEOUT,
        Some(Err(PostError::Failed(_))) => StatusCode::BAD_GATEWAY,
    };
    let mut response = status.into_response();
    response.extensions_mut().insert(Arc::new(Accepted { event, forwarded }));
    response
}

/// Observes a request on a separate task, so that it is shown even if its sender disconnects early.
async fn observe(State(queue): State<Queue>, request: Request, next: Next) -> Response {
    let at = time::now();
    let handled = queue.begin().await;
    let observed = tokio::spawn(async move {
        let _handled = handled;
        let method = request.method().clone();
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let headers = request.headers().clone();
        let (head, body) = request.into_parts();
        let (body, kept) = Tee::new(body);
        let mut response = next.run(Request::from_parts(head, axum::body::Body::new(body))).await;
        let extensions = response.extensions_mut();
        let verdict = if let Some(refusal) = extensions.remove::<Refusal>() {
            Verdict::Refused(refusal)
        } else if let Some(rejection) = extensions.remove::<WebhookRejection>() {
            Verdict::Rejected(rejection)
        } else if let Some(accepted) = extensions.remove::<Arc<Accepted>>() {
            Verdict::Accepted(accepted)
        } else if extensions.remove::<CameBack>().is_some() {
            Verdict::Loop
        } else {
            Verdict::WrongMethod
        };
        let (body, status) = (kept.take_whole(), response.status().as_u16());
        queue.show(Observed { at, method, target, headers, body, status, verdict }).await;
        response
    });
    observed.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}
