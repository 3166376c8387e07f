//! The routes of the inspector's page.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Path, State},
    http::{StatusCode, header},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use serde_json::json;
use tokio::sync::Semaphore;
#[cfg(any(feature = "postgres", feature = "redb"))]
use tokio::sync::oneshot;

#[cfg(any(feature = "postgres", feature = "redb"))]
use super::inbox::{Command, Commands};
use super::{
    again::{Request, Resender},
    copy,
    entry::{Entry, MAX_BODY},
    events::Streams,
    guard::{self, Guard},
    store::Store,
};
#[cfg(any(feature = "postgres", feature = "redb"))]
use crate::inbox::Change;

/// The maximum number of deliveries that the page sends at the same time.
const SENDING: usize = 4;

/// The maximum length of a text to search for, in bytes.
const LONGEST_SEARCH: usize = 1_000;

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// The page: path, content type and text of each file.
const FILES: [(&str, &str, &str); 7] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/app.js", JAVASCRIPT, include_str!("page/app.js")),
    ("/dom.js", JAVASCRIPT, include_str!("page/dom.js")),
    ("/json.js", JAVASCRIPT, include_str!("page/json.js")),
    ("/tree.js", JAVASCRIPT, include_str!("page/tree.js")),
    ("/style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
    ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
];

/// The state that the routes share.
pub(super) struct App {
    pub(super) store: Store,
    pub(super) about: About,
    pub(super) resender: Option<Resender>,
    /// `Some` if the page shows an inbox.
    #[cfg(any(feature = "postgres", feature = "redb"))]
    pub(super) commands: Option<Commands>,
    pub(super) bounds: Bounds,
}

/// Bounds on what the page does at the same time.
pub(super) struct Bounds {
    streams: Streams,
    sending: Semaphore,
    searching: Semaphore,
}

impl Default for Bounds {
    fn default() -> Self {
        // Only one search runs at a time, because each one reads every body.
        Self { streams: Streams::new(), sending: Semaphore::new(SENDING), searching: Semaphore::new(1) }
    }
}

/// What the page shows about the listener. It contains no secret.
#[derive(Default)]
pub(super) struct About {
    /// The address to which deliveries are sent, without a path.
    pub(super) origin: String,
    /// The command that sends a sample to this address.
    pub(super) send: String,
    pub(super) forward_to: Option<String>,
    pub(super) saved_in: Option<String>,
}

/// Why a request fails, for the page to show.
struct Rejected {
    status: StatusCode,
    why: String,
}

impl Rejected {
    fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into() }
    }
}

impl IntoResponse for Rejected {
    fn into_response(self) -> Response {
        (self.status, self.why).into_response()
    }
}

impl App {
    pub(super) fn router(self, guard: Guard) -> Router {
        let files = FILES.into_iter().fold(Router::new(), |router, (path, kind, text)| {
            router.route(path, get(move || async move { ([(header::CONTENT_TYPE, kind)], text) }))
        });
        let inside = files
            .route("/api/deliveries", get(list))
            .route("/api/events", get(events))
            .route("/api/search/{text}", get(search))
            .route("/api/deliveries/{id}", get(details))
            .route("/api/deliveries/{id}/body", get(body))
            .route("/api/deliveries/{id}/curl", get(curl))
            .route("/api/deliveries/{id}/test", get(test))
            .route("/api/deliveries/{id}/capture", get(capture))
            // In JSON, one byte of a body may take six bytes.
            .route("/api/deliveries/{id}/send", post(send).layer(DefaultBodyLimit::max(MAX_BODY.saturating_mul(6))));
        #[cfg(any(feature = "postgres", feature = "redb"))]
        let inside = inside
            .route(
                "/api/deliveries/{id}/redrive",
                post(async |state, path| change(state, Some(path), Change::Redrive).await),
            )
            .route(
                "/api/deliveries/{id}/purge",
                post(async |state, path| change(state, Some(path), Change::Purge).await),
            )
            .route("/api/redrive", post(async |state| change(state, None, Change::Redrive).await))
            .route("/api/purge", post(async |state| change(state, None, Change::Purge).await));
        let inside = inside.with_state(Arc::new(self));
        // The guard runs before the routing, so that it can remove the token from the path.
        Router::new().fallback_service(inside).layer(from_fn_with_state(Arc::new(guard), guard::check))
    }

    fn get(&self, id: &str) -> Result<Arc<Entry>, Rejected> {
        self.store.get(id).ok_or_else(|| Rejected::new(StatusCode::NOT_FOUND, "no such delivery"))
    }
}

fn json(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// Returns bytes that anybody may have sent. A browser that opens the address does not show them.
fn bytes(bytes: impl Into<Bytes>) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CONTENT_DISPOSITION, "attachment")];
    (headers, bytes.into()).into_response()
}

fn text(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

fn no_body() -> Rejected {
    Rejected::new(StatusCode::NOT_FOUND, "the body was not kept")
}

async fn list(State(app): State<Arc<App>>) -> Response {
    let App { store, about, .. } = &*app;
    let all = store.all();
    let rows: Vec<&str> = all.iter().map(|entry| entry.summary.as_str()).collect();
    let head = json!({
        "url": format!("{}/webhooks/twenty", about.origin),
        "send": about.send,
        "forwardTo": about.forward_to,
        "savedIn": about.saved_in,
        "dropped": store.dropped(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    // The rows and the status already are JSON.
    let mut body = head.to_string();
    body.pop();
    let status = store.status();
    body += &format!(r#","inbox":{},"deliveries":[{}]}}"#, status.as_deref().unwrap_or("null"), rows.join(","));
    json(body)
}

async fn events(State(app): State<Arc<App>>) -> Response {
    app.bounds.streams.open(&app.store)
}

/// Returns the ids of the deliveries that contain a text. The last segment of the path is `q=` and
/// the text, because browsers resolve segments that consist of dots.
async fn search(State(app): State<Arc<App>>, Path(segment): Path<String>) -> Response {
    let text = segment.strip_prefix("q=").unwrap_or_default().to_lowercase();
    if text.is_empty() || text.len() > LONGEST_SEARCH {
        return (StatusCode::BAD_REQUEST, "the search text is empty or too long\n").into_response();
    }
    let Ok(_turn) = app.bounds.searching.acquire().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let all = app.store.all();
    let search =
        move || all.iter().filter(|entry| entry.contains(&text)).map(|entry| entry.id.clone()).collect::<Vec<_>>();
    match tokio::task::spawn_blocking(search).await {
        Ok(ids) => json(json!({ "ids": ids }).to_string()),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn details(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Rejected> {
    let entry = app.get(&id)?;
    Ok(json(entry.to_json(&app.store, app.resender.is_some()).to_string()))
}

async fn body(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Rejected> {
    app.get(&id)?.body.clone().map(bytes).ok_or_else(no_body)
}

async fn curl(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Rejected> {
    match copy::curl(&*app.get(&id)?, &app.about.origin) {
        Ok(command) => Ok(text(command)),
        Err(error) => Err(Rejected::new(StatusCode::CONFLICT, error.why())),
    }
}

async fn test(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Rejected> {
    copy::test(&*app.get(&id)?).map(text).ok_or_else(no_body)
}

async fn capture(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Rejected> {
    copy::capture(&*app.get(&id)?).map(bytes).ok_or_else(no_body)
}

async fn send(State(app): State<Arc<App>>, Path(id): Path<String>, body: Bytes) -> Result<Response, Rejected> {
    let entry = app.get(&id)?;
    let App { resender, store, .. } = &*app;
    let no_target = || Rejected::new(StatusCode::CONFLICT, "there is no --forward-to target");
    let resender = resender.as_ref().ok_or_else(no_target)?;
    let request: Request = serde_json::from_slice(&body)
        .map_err(|_| Rejected::new(StatusCode::BAD_REQUEST, "the request is malformed"))?;
    let turn = app.bounds.sending.acquire().await;
    let _turn = turn.map_err(|_| Rejected::new(StatusCode::SERVICE_UNAVAILABLE, "the listener is shutting down"))?;
    let sent = resender.send(&entry, request, store).await;
    let sent = sent.map_err(|failure| Rejected::new(StatusCode::CONFLICT, failure.to_string()))?;
    let sent = store.add(sent);
    Ok(json(sent.summary.clone()))
}

/// Redrives or purges a dead letter, or all of them.
#[cfg(any(feature = "postgres", feature = "redb"))]
async fn change(State(app): State<Arc<App>>, id: Option<Path<String>>, change: Change) -> Result<Response, Rejected> {
    let no_inbox = || Rejected::new(StatusCode::NOT_FOUND, "there is no inbox");
    let commands = app.commands.as_ref().ok_or_else(no_inbox)?;
    let no_letter = || Rejected::new(StatusCode::NOT_FOUND, "no such dead letter");
    let id = id.map(|Path(id)| id.parse()).transpose().map_err(|_| no_letter())?;
    let (done, changed) = oneshot::channel();
    let ends = || Rejected::new(StatusCode::SERVICE_UNAVAILABLE, "the program is shutting down");
    commands.send(Command { change, id, done }).await.map_err(|_| ends())?;
    let changed = changed.await.map_err(|_| ends())?;
    let changed = changed.map_err(|failure| Rejected::new(StatusCode::CONFLICT, failure.to_string()))?;
    if id.is_some() && changed == 0 {
        return Err(no_letter());
    }
    Ok(json(json!({ "changed": changed }).to_string()))
}
