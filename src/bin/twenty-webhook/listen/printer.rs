//! Shows deliveries, one after the other, on a thread of its own: a diagnosis may take long, and so may a terminal.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use sha2::{Digest, Sha256};
use tokio::sync::{
    mpsc::{self, Sender},
    oneshot,
};
use twenty_webhook::{Verifier, receiver::RefusalKind};

use super::{
    Format,
    observe::{Observed, Verdict},
    repetition::Repetitions,
    report::Report,
    save::Captures,
};
use crate::{capture::Capture, finding, output};

/// How many requests may wait to be shown before answers to verified ones are held back.
const QUEUE: usize = 64;

/// From which length on, in bytes, an unverified body takes no place behind another request.
const LONG: usize = 1 << 20;

/// The longest unverified body that is diagnosed, in bytes: far more than the 2 MiB that a receiver takes unless told otherwise.
const LONGEST_DIAGNOSED: usize = 4 << 20;

/// What is reported of a request that this process forwarded before.
const LOOP: &str = "it came back to the listener that had forwarded it: --forward-to leads here again, by this or another \
                    name of this machine or through another listener";

/// Takes requests to be shown. A clone is the same.
#[derive(Clone)]
pub(super) struct Queue {
    sender: Sender<Option<Observed>>,
    /// How many unverified requests were left out since the last note about it.
    omitted: Arc<AtomicU64>,
}

impl Queue {
    /// Has a request shown.
    ///
    /// A verified one waits for its place. An unverified one never waits, takes no place in the
    /// second half of the queue, and is left out instead: anybody can send them, a diagnosis may
    /// take long, and Twenty waits 5 seconds.
    pub(super) async fn show(&self, observed: Observed) {
        if observed.verdict.is_verified() {
            // When the printer has ended, so will the program.
            let _ = self.sender.send(Some(observed)).await;
            return;
        }
        let is_long = observed.body.as_ref().is_some_and(|body| body.len() > LONG);
        let least_room = if is_long { QUEUE } else { QUEUE / 2 + 1 };
        if self.sender.capacity() < least_room || self.sender.try_send(Some(observed)).is_err() {
            self.omitted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ends the printer, once it has shown what waits.
    pub(super) async fn end(&self) {
        // It may have ended by itself.
        let _ = self.sender.send(None).await;
    }
}

pub(super) struct Printer {
    /// Ends when the thread does: once it gets a `None`, or nobody reads.
    pub(super) closed: oneshot::Receiver<()>,
    pub(super) thread: thread::JoinHandle<io::Result<()>>,
}

impl Printer {
    pub(super) fn start(verifier: Verifier, mut captures: Option<Captures>, format: Format) -> (Queue, Self) {
        let (sender, mut deliveries) = mpsc::channel(QUEUE);
        let (closing, closed) = oneshot::channel();
        let omitted = Arc::new(AtomicU64::new(0));
        let queue = Queue { sender, omitted: Arc::clone(&omitted) };
        let thread = thread::spawn(move || {
            // Dropped with the thread, however it ends.
            let _closing: oneshot::Sender<()> = closing;
            let mut repetitions = Repetitions::default();
            while let Some(Some(observed)) = deliveries.blocking_recv() {
                let report = report(&observed, &verifier, &mut repetitions, captures.as_mut());
                output::write_out(&match format {
                    Format::Pretty => report.pretty(),
                    Format::Json => report.json(),
                })?;
                // Something waited when they were left out, so this comes after them.
                let omitted = omitted.swap(0, Ordering::Relaxed);
                if omitted > 0 {
                    output::note(&format!(
                        "{omitted} requests that did not verify came too fast: not shown, not saved"
                    ));
                }
            }
            Ok(())
        });
        (queue, Self { closed, thread })
    }
}

fn report(
    observed: &Observed,
    verifier: &Verifier,
    repetitions: &mut Repetitions,
    captures: Option<&mut Captures>,
) -> Report {
    let method = observed.method.as_str();
    let mut report = Report::new(observed.at, method, observed.status);
    match &observed.verdict {
        Verdict::Accepted(accepted) => report.accepted(accepted),
        Verdict::Rejected(rejection) => report.rejected(rejection.to_string()),
        Verdict::WrongMethod => report.rejected("verified, but it is no POST".to_owned()),
        Verdict::Loop => {
            report.rejected(LOOP.to_owned());
            // A copy of a delivery that is shown and saved when its answer is there.
            return report;
        }
        Verdict::Refused(refusal) => {
            report.refused(refusal.to_string());
            if let (RefusalKind::Verify(_), Some(body)) = (refusal.kind(), &observed.body) {
                // It would hold those behind it back for longer than Twenty waits. `verify` has all the time it needs.
                if body.len() > LONGEST_DIAGNOSED {
                    report.refused(format!("{refusal} (too long to look for the cause here: use --save, then verify)"));
                } else {
                    report.findings = finding::all(method, &verifier.diagnose(&observed.headers, body));
                }
            }
        }
    }
    if let Some(body) = &observed.body {
        let digest = Sha256::digest(body).into();
        // A forger may send a body again and again; a repetition is what Twenty signed twice.
        if let Verdict::Accepted(_) = observed.verdict {
            report.repetition = repetitions.count(digest);
        }
        if let Some(captures) = captures {
            let headers = observed.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
            let capture = Capture::write(method, &observed.target, headers, body, observed.at);
            let timestamp =
                if observed.verdict.is_verified() { verifier.claimed_timestamp(&observed.headers) } else { None };
            report.saved(&captures.save(timestamp.map(|timestamp| (digest, timestamp)), digest, &capture));
        }
    }
    report
}
