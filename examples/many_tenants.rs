//! Receives the webhooks of many tenants, each at an address of its own and with secrets of its
//! own, which can be changed while it runs.
//!
//!     echo 'acme its-secret' >tenants && echo 'globex another-secret' >>tenants
//!     TENANTS_FILE=tenants cargo run --features axum --example many_tenants
//!
//! To rotate a tenant's secret, put the new one in front of the old one, `acme new-secret
//! its-secret`, and send SIGHUP; Twenty signs for a while with the old one what it has already
//! queued. Your tenants may as well be in a database: `keys_of` may wait.

mod common;

use std::{
    collections::HashMap,
    error::Error,
    fs,
    sync::{Arc, RwLock},
    time::Duration,
};

use axum::{
    Router,
    http::StatusCode,
    routing::{get, post},
};
use tokio::net::TcpListener;
use twenty_webhook::{
    Receiver, WebhookEvent,
    deduplicate::MemoryStore,
    receiver::TenantRequest,
    tower::WebhookLayer,
    verify::{Keys, Secret, Verifier},
};

type BoxError = Box<dyn Error + Send + Sync>;

/// The tenants' keys, by the name that is in the path.
#[derive(Clone)]
struct Tenants {
    file: Arc<str>,
    keys: Arc<RwLock<HashMap<String, Keys>>>,
}

impl Tenants {
    fn read(file: String) -> Result<Self, BoxError> {
        let keys = Arc::new(RwLock::new(read_keys(&file)?));
        Ok(Self { file: file.into(), keys })
    }

    async fn keys_of(self, request: TenantRequest) -> Result<Option<Keys>, BoxError> {
        Ok(self.keys.read().map_err(|_| "poisoned")?.get(request.last_segment()).cloned())
    }

    /// All of the file or, when something is wrong with it, nothing.
    fn read_again(&self) -> Result<usize, BoxError> {
        let keys = read_keys(&self.file)?;
        let count = keys.len();
        *self.keys.write().map_err(|_| "poisoned")? = keys;
        Ok(count)
    }
}

/// A line for each tenant: its name, its secret, and older secrets that may still be in use.
fn read_keys(file: &str) -> Result<HashMap<String, Keys>, BoxError> {
    let mut tenants = HashMap::new();
    for (number, line) in (1..).zip(fs::read_to_string(file)?.lines()) {
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { continue };
        // The number, for the text has secrets in it.
        let in_line = |error: &dyn Error| format!("line {number} of {file}: {error}");
        let secrets = words.map(Secret::new).collect::<Result<Vec<_>, _>>().map_err(|error| in_line(&error))?;
        let keys = Keys::new(name, secrets).map_err(|error| in_line(&error))?;
        if tenants.insert(name.to_owned(), keys).is_some() {
            return Err(format!("line {number} of {file}: the second of the same name").into());
        }
    }
    Ok(tenants)
}

/// The tenant is known by its keys, which are what verified the delivery.
async fn on_event(event: WebhookEvent) -> StatusCode {
    let id = event.record.id().map_or("-".to_owned(), |id| id.to_string());
    common::say(event.verified().keys_id(), Some(format!("{} {id}", event.name)));
    StatusCode::OK
}

fn app(receiver: Receiver) -> Router {
    Router::new()
        .route("/webhooks/twenty/{tenant}", post(on_event).layer(WebhookLayer::new(receiver)))
        .route("/health", get(StatusCode::OK))
}

#[cfg(unix)]
fn read_again_on_hangup(tenants: Tenants) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match tenants.read_again() {
                Ok(count) => eprintln!("{count} tenants"),
                Err(error) => eprintln!("all stays as it was: {error}"),
            }
        }
    });
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let file = std::env::var("TENANTS_FILE").map_err(|_| "TENANTS_FILE: a line for each tenant, `name secret`")?;
    let tenants = Tenants::read(file)?;
    // Before anything is served: the signal ends a program that does not listen to it.
    #[cfg(unix)]
    read_again_on_hangup(tenants.clone())?;
    // Copies are told by the tenant's keys and the body, so that what one tenant sends does not
    // count as sent by another.
    let receiver = Receiver::for_tenants(Verifier::builder(), move |request| tenants.clone().keys_of(request))?
        .deduplicate(MemoryStore::new(100_000))
        .acknowledge_within(Duration::from_millis(250));
    let listener = TcpListener::bind(common::listen_addr()).await?;
    eprintln!("listening on http://{}/webhooks/twenty/{{tenant}}", listener.local_addr()?);
    common::serve(listener, app(receiver.clone())).await?;
    common::drain(&receiver).await;
    Ok(())
}
