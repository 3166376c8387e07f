//! Receives the webhooks of many tenants. Each tenant has its own path and secrets, which you can
//! change while the program runs.
//!
//!     echo 'acme its-secret' >tenants && echo 'globex another-secret' >>tenants
//!     TENANTS_FILE=tenants cargo run --features axum --example many_tenants
//!
//! To rotate a tenant's secret, insert the new secret before the old one (`acme new-secret
//! its-secret`), and send SIGHUP. Deliveries that Twenty has already queued are still signed with
//! the old secret. You can also keep your tenants in a database, because `keys_of` is asynchronous.

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

/// The tenants' keys by the tenant's name, which is part of the path.
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

    /// Reads the whole file, or fails and changes nothing.
    fn read_again(&self) -> Result<usize, BoxError> {
        let keys = read_keys(&self.file)?;
        let count = keys.len();
        *self.keys.write().map_err(|_| "poisoned")? = keys;
        Ok(count)
    }
}

/// Reads a line for each tenant: its name, its secret, and older secrets that may still be in use.
fn read_keys(file: &str) -> Result<HashMap<String, Keys>, BoxError> {
    let mut tenants = HashMap::new();
    for (number, line) in (1..).zip(fs::read_to_string(file)?.lines()) {
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { continue };
        // The error shows only the line's number, because the line's text contains secrets.
        let in_line = |error: &dyn Error| format!("line {number} of {file}: {error}");
        let secrets = words.map(Secret::new).collect::<Result<Vec<_>, _>>().map_err(|error| in_line(&error))?;
        let keys = Keys::new(name, secrets).map_err(|error| in_line(&error))?;
        if tenants.insert(name.to_owned(), keys).is_some() {
            return Err(format!("line {number} of {file}: this name already has a line").into());
        }
    }
    Ok(tenants)
}

/// The keys that verified the delivery identify the tenant.
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
    // This comes before serving, because SIGHUP ends a program that has no handler for it.
    #[cfg(unix)]
    read_again_on_hangup(tenants.clone())?;
    // Duplicates are recognised by the tenant's keys and the body, so one tenant's delivery is
    // never a duplicate of another tenant's.
    let receiver = Receiver::for_tenants(Verifier::builder(), move |request| tenants.clone().keys_of(request))?
        .deduplicate(MemoryStore::new(100_000))
        .acknowledge_within(Duration::from_millis(250));
    let listener = TcpListener::bind(common::listen_addr()).await?;
    eprintln!("listening on http://{}/webhooks/twenty/{{tenant}}", listener.local_addr()?);
    common::serve(listener, app(receiver.clone())).await?;
    common::drain(&receiver).await;
    Ok(())
}
