//! The inspector: a page that shows deliveries as they arrive.
//!
//! The page has its own listener, because people open the receiver's address to the internet with a
//! tunnel.

mod again;
mod copy;
mod entry;
mod events;
mod guard;
mod history;
#[cfg(any(feature = "postgres", feature = "redb"))]
mod inbox;
mod routes;
mod store;

use std::{io, net::SocketAddr, thread};

use tokio::net::TcpListener;
use twenty_webhook::{
    Verifier,
    verify::{Secret, Signer},
};

#[cfg(any(feature = "postgres", feature = "redb"))]
pub(crate) use self::inbox::serve as show_inbox;
use self::{
    again::Resender,
    entry::{Entry, Received, Source},
    guard::Guard,
    history::History,
    routes::{About, App, Bounds},
};
pub(super) use self::{history::Saved, store::Store};
use super::{
    cannot_listen,
    forward::Forward,
    full_address,
    observe::{Observed, Verdict},
    report::Report,
};
use crate::{
    output::{Failure, note, style, styled},
    secrets::SecretOptions,
};

/// A page that is not served yet.
pub(super) struct Inspector {
    listener: TcpListener,
    address: SocketAddr,
    guard: Guard,
    pub(super) store: Store,
}

/// What the inspector requires.
pub(super) struct Parts {
    /// The address to which deliveries are sent, without a path.
    pub(super) origin: String,
    /// The command that sends a sample to this address.
    pub(super) send: String,
    pub(super) forward: Option<Forward>,
    pub(super) verifier: Verifier,
    pub(super) signer: Signer,
    pub(super) secret: Secret,
    pub(super) options: SecretOptions,
    pub(super) saved: Option<Saved>,
    pub(super) saved_in: Option<String>,
}

impl Inspector {
    pub(super) async fn bind(asked: &str) -> Result<Self, Failure> {
        let addr = full_address(asked);
        let cannot = |error: io::Error| cannot_listen("--ui-addr", asked, &error);
        let listener = TcpListener::bind(&addr).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let host = addr.rsplit_once(':').map_or("", |(host, _)| host);
        Ok(Self { listener, address, guard: Guard::new(address.ip(), host), store: Store::new() })
    }

    /// Serves a page for as long as the runtime lives, and prints its address.
    fn serve(self, app: App) {
        let Self { listener, address, guard, .. } = self;
        note(&format!(
            "inspector: {}",
            styled(style::STRONG, format_args!("http://{}/{}/", super::from_this_machine(address), guard.token()))
        ));
        if !address.ip().is_loopback() {
            let warning = format!(
                "the inspector listens on {address}, not only on this machine: whoever learns its address reads every \
                 delivery, and the connection is not encrypted"
            );
            note(&styled(style::BAD, warning));
        }
        let app = app.router(guard);
        tokio::spawn(async move { axum::serve(listener, app).await });
    }

    /// Serves the deliveries that are received, and reads the deliveries that were saved.
    pub(super) fn start(self, parts: Parts) {
        let Parts { origin, send, forward, verifier, signer, secret, options, saved, saved_in } = parts;
        let forward_to = forward.as_ref().map(|forward| forward.target().to_string());
        let about = About { origin, send, forward_to, saved_in };
        let resender = forward.map(|forward| Resender { forward, signer, verifier });
        let store = self.store.clone();
        self.serve(App {
            store: store.clone(),
            about,
            resender,
            #[cfg(any(feature = "postgres", feature = "redb"))]
            commands: None,
            bounds: Bounds::default(),
        });
        if let Some(saved) = saved {
            // Reading may take a while. Nothing waits for it.
            thread::spawn(move || History { saved, options, secret }.read(&store));
        }
    }
}

impl Store {
    /// Adds a request that was received.
    pub(super) fn observed(&self, report: &Report, observed: &Observed, verifier: &Verifier) {
        let headers = observed.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
        let received = Received {
            at: observed.at,
            method: observed.method.to_string(),
            target: observed.target.clone(),
            headers: headers.collect(),
            body: observed.body.clone(),
            signed_at: verifier.claimed_timestamp(&observed.headers),
            source: Source::Live,
            is_event: matches!(observed.verdict, Verdict::Accepted(_)),
        };
        self.add(Entry::new(report, received, self));
    }
}
