//! The same page for a durable inbox: it shows the dead letters, and can redrive and purge them.
//!
//! One task reads and changes the inbox. Like the other commands, it opens the inbox each time, so
//! that it and a receiver of the same file block each other only for a moment.

use std::{collections::HashSet, process::ExitCode, sync::Arc, time::Duration};

use serde_json::json;
use tokio::{
    sync::{mpsc, oneshot},
    time::interval,
};
use twenty_webhook::{
    WebhookEvent,
    inbox::{DeadLetter, EventId, Stats},
};

use super::{
    Inspector,
    entry::{Dead, Entry, Received, Source},
    routes::{About, App, Bounds},
    store::{Store, VERIFIED},
};
use crate::{
    inbox::{Change, TARGET, headers_of, received_at},
    listen::{asked_to_end, report::Report},
    output::Failure,
    place::{Access, Place},
    time,
};

/// How often the numbers of events are read.
const EVERY: Duration = Duration::from_secs(2);

/// How many of these reads pass before the dead letters are read as well, even if their number is
/// the same.
const ALL_EVERY: u32 = 15;

/// The maximum number of waiting changes.
const WAITING: usize = 8;

/// A change that the page requests.
pub(super) struct Command {
    pub(super) change: Change,
    /// `None` for all dead letters.
    pub(super) id: Option<EventId>,
    /// Receives the number of changed dead letters, or the failure.
    pub(super) done: oneshot::Sender<Result<u64, Failure>>,
}

pub(super) type Commands = mpsc::Sender<Command>;

/// Serves the page until Ctrl-C or SIGTERM.
pub(crate) async fn serve(place: Place, ui_addr: &str) -> Result<ExitCode, Failure> {
    let inspector = Inspector::bind(ui_addr).await?;
    let store = inspector.store.clone();
    let mut watch = Watch { place: place.resolved()?, store: store.clone(), dead: None, count: 0 };
    // An error of the inbox is reported immediately.
    watch.look(true).await?;
    let (commands, mut asked) = mpsc::channel(WAITING);
    // The receiver's address is unknown, so this is the address of the examples.
    let about = About { origin: "http://127.0.0.1:3000".to_owned(), ..About::default() };
    let bounds = Bounds::default();
    inspector.serve(App { store, about, resender: None, commands: Some(commands), bounds });
    let mut ticks = interval(EVERY);
    let mut end = std::pin::pin!(asked_to_end());
    loop {
        tokio::select! {
            () = &mut end => return Ok(ExitCode::SUCCESS),
            _ = ticks.tick() => watch.look_again(false).await,
            Some(Command { change, id, done }) = asked.recv() => {
                let changed = watch.change(change, id).await;
                // Reads the inbox before it answers, so that the page does not show removed dead
                // letters.
                watch.look_again(true).await;
                let _ = done.send(changed);
            }
        }
    }
}

/// What is known about the inbox.
struct Watch {
    place: Place,
    store: Store,
    /// The last number of dead letters.
    dead: Option<u64>,
    count: u32,
}

impl Watch {
    /// Reads the inbox. A failure is shown on the page, because the next attempt may succeed.
    async fn look_again(&mut self, has_changed: bool) {
        if let Err(failure) = self.look(has_changed).await {
            self.store.set_status(&json!({ "problem": failure.to_string() }));
        }
    }

    async fn look(&mut self, has_changed: bool) -> Result<(), Failure> {
        let inbox = self.place.open(Access::Read).await?;
        let failed = |error| Failure::about("the inbox", &error);
        let stats = inbox.stats().await.map_err(failed)?;
        self.count = self.count.wrapping_add(1);
        if has_changed || self.dead != Some(stats.dead) || self.count.is_multiple_of(ALL_EVERY) {
            let mut letters = inbox.dead_letters();
            let mut found = HashSet::new();
            let mut bytes = 0_usize;
            while let Some(letter) = letters.next().await.map_err(failed)? {
                let id = letter.id().to_string();
                // A dead letter that was redriven and died again counts as a new one.
                let known = self.store.get(&id).filter(|entry| entry.died_at == Some(letter.died_at()));
                let is_new = known.is_none();
                let entry = known.unwrap_or_else(|| Arc::new(entry(&letter, &self.store)));
                bytes = bytes.saturating_add(entry.size());
                // The store would drop the oldest ones, and they would be added again each time.
                if found.len() >= VERIFIED.count || bytes > VERIFIED.bytes {
                    break;
                }
                if is_new {
                    self.store.remove(std::slice::from_ref(&id));
                    self.store.add(entry);
                }
                found.insert(id);
            }
            let gone = self.store.all().into_iter().map(|entry| entry.id.clone()).filter(|id| !found.contains(id));
            self.store.remove(&gone.collect::<Vec<_>>());
            self.dead = Some(stats.dead);
        }
        self.store.set_status(&status(&stats));
        Ok(())
    }

    async fn change(&self, change: Change, id: Option<EventId>) -> Result<u64, Failure> {
        let inbox = self.place.open(Access::Write).await?;
        change.apply(&inbox, id).await
    }
}

fn status(stats: &Stats) -> serde_json::Value {
    json!({
        "ready": stats.ready,
        "delayed": stats.delayed,
        "running": stats.running,
        "dead": stats.dead,
        "oldestPending": stats.oldest_pending.map(time::format),
    })
}

fn entry(letter: &DeadLetter, store: &Store) -> Entry {
    let at = received_at(letter);
    let mut report = Report::new(at, "POST", 0);
    match WebhookEvent::from_verified(letter.verified().clone()) {
        Ok(event) => report.accepted(&event),
        Err(error) => report.verified_but_rejected(error.to_string()),
    }
    let received = Received {
        at,
        method: "POST".to_owned(),
        target: TARGET.to_owned(),
        headers: headers_of(letter).map(|(name, value)| (name, value.into_bytes())).collect(),
        body: Some(letter.body().clone()),
        signed_at: Some(letter.signature_headers().timestamp()),
        source: Source::Dead(Dead {
            id: letter.id().to_string(),
            died_at: letter.died_at(),
            reason: letter.reason().as_str(),
            attempts: letter.attempts(),
            interruptions: letter.interruptions(),
            message: letter.message().to_owned(),
        }),
        is_event: false,
    };
    Entry::new(&report, received, store)
}
