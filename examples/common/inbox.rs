//! What the inbox examples share: settings from the environment, the handler, and shutdown.
#![allow(dead_code, reason = "each example uses a part")]

use std::{error::Error, time::Duration};

use tokio::{net::TcpListener, time::sleep};
use twenty_webhook::{
    WebhookEvent,
    inbox::{Attempt, HandlerError, Inbox, PermanentExt, Worker},
};

/// How the handler behaves, to try out the inbox.
#[derive(Clone)]
struct Behaviour {
    /// `FAIL`: how many attempts of each event fail.
    failures: u32,
    /// `FAIL_ALWAYS`: the name of the events that fail permanently.
    fails_always: Option<String>,
    /// `HANDLER_MS`: how long the handler takes.
    takes: Duration,
}

impl Behaviour {
    fn from_env() -> Result<Self, Box<dyn Error>> {
        let number = |name| std::env::var(name).map_or(Ok(0), |text| text.parse::<u32>());
        Ok(Self {
            failures: number("FAIL")?,
            fails_always: std::env::var("FAIL_ALWAYS").ok(),
            takes: Duration::from_millis(number("HANDLER_MS")?.into()),
        })
    }
}

async fn on_event(behaviour: Behaviour, event: WebhookEvent, attempt: Attempt) -> Result<(), HandlerError> {
    sleep(behaviour.takes).await;
    if behaviour.fails_always.is_some_and(|name| event.name == *name) {
        return Err("FAIL_ALWAYS is set").permanent();
    }
    if attempt.number <= behaviour.failures {
        return Err("FAIL is set".into());
    }
    let id = event.record.id().map_or("-".to_owned(), |id| id.to_string());
    println!("{}", crate::escaped(&format!("handled {} {id} attempt {}", event.name, attempt.number)));
    Ok(())
}

/// Opens the inbox at `INBOX`: a file, or a `postgres://` URL.
pub(crate) async fn open() -> Result<Inbox, Box<dyn Error>> {
    let place = std::env::var("INBOX").unwrap_or_else(|_| "twenty-inbox.redb".to_owned());
    if place.starts_with("postgres://") || place.starts_with("postgresql://") {
        #[cfg(feature = "postgres")]
        return Ok(Inbox::connect(&place).await?);
        #[cfg(not(feature = "postgres"))]
        return Err("INBOX is the URL of a database: build with the feature `postgres`".into());
    }
    Ok(Inbox::open(place)?)
}

/// Starts a worker that handles the events in the inbox.
pub(crate) fn start(inbox: &Inbox) -> Result<Worker, Box<dyn Error>> {
    let report = async |behaviour: Behaviour, event: WebhookEvent, attempt: Attempt| {
        let (name, number) = (event.name.clone(), attempt.number);
        on_event(behaviour, event, attempt).await.inspect_err(|error| {
            eprintln!("{}", crate::escaped(&format!("failed {name} attempt {number}: {error}")));
        })
    };
    Ok(inbox.worker(Behaviour::from_env()?).fallback(report).start()?)
}

/// How long open requests may take after the shutdown signal. Together with
/// [`FIRST_REQUEST`](crate::common::FIRST_REQUEST), this is less than the 5 seconds that Twenty
/// waits for an answer, because new deliveries wait in systemd's socket until the next process
/// accepts them.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// Serves with axum until the shutdown signal.
pub(crate) async fn serve(worker: Worker, app: axum::Router) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::from_std(crate::common::listener()?.0)?;
    eprintln!("listening on http://{}/webhooks/twenty", listener.local_addr()?);
    // The worker is stopped first, because it takes longer. Deliveries are accepted meanwhile.
    let end = async {
        crate::common::shutdown_signal().await;
        stop(worker).await;
    };
    crate::common::serve_until(end, GRACE, listener, app).await?;
    Ok(())
}

/// Stops the worker. Events that are not handled in time stay in the inbox.
pub(crate) async fn stop(worker: Worker) {
    let shutdown = worker.shutdown(Duration::from_secs(10)).await;
    if shutdown.cancelled > 0 {
        eprintln!("{} handlers did not end in time: their events stay in the inbox", shutdown.cancelled);
    }
}
