//! Shows requests, one after the other, on a separate thread, because a terminal may be slow.
//!
//! Unverified requests are diagnosed before that on another thread, because a diagnosis may take
//! long. No response waits for a diagnosis.

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
    OwnedSemaphorePermit, Semaphore,
    mpsc::{self, Receiver, Sender},
    oneshot,
};
use twenty_webhook::{Verifier, receiver::RefusalKind};

use super::{
    duplicates::Duplicates,
    observe::{Observed, Verdict},
    report::Report,
    save::Captures,
    show::View,
    ui::Store,
};
use crate::{
    capture::Capture,
    finding::{self, Finding},
    output,
};

/// How many requests may wait to be shown before responses to verified requests are delayed.
const QUEUE: usize = 64;

/// How many unverified requests may wait to be diagnosed and shown. The printer's queue is longer,
/// so it always has places for verified requests.
const UNVERIFIED: usize = QUEUE / 2;

/// The maximum number of bytes of all these requests' bodies, and of an unverified body that is
/// diagnosed: twice a receiver's default limit of 2 MiB.
const UNVERIFIED_BYTES: u32 = 4 << 20;

/// The maximum number of requests that are handled at the same time: more than a process has
/// connections.
const AT_ONCE: u32 = 1 << 20;

/// The reason for rejecting a request that this process has already forwarded.
const LOOP: &str = "this listener has already forwarded the delivery: --forward-to leads back here, by a name of this \
                    machine or through another listener";

/// The queue of requests to be shown. Clones share it.
#[derive(Clone)]
pub(super) struct Queue {
    /// `None` ends the printer.
    printer: Sender<Option<Waiting>>,
    /// Requests in this queue reach the printer after their diagnosis, and so does `None`.
    diagnoser: Sender<Option<Waiting>>,
    places: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    /// A place for each request that is being handled.
    handled: Arc<Semaphore>,
    /// The number of unverified requests that were omitted since the last note.
    omitted: Arc<AtomicU64>,
}

/// A request that waits to be shown.
struct Waiting {
    observed: Observed,
    findings: Vec<Finding>,
    /// An unverified request's share of the bounds.
    room: Option<Room>,
}

/// An unverified request's share of the bounds, until it is shown.
struct Room {
    _place: OwnedSemaphorePermit,
    /// `None` if the body exceeded the bound, and was dropped.
    bytes: Option<OwnedSemaphorePermit>,
}

impl Queue {
    fn new() -> (Self, Receiver<Option<Waiting>>, Receiver<Option<Waiting>>) {
        let (printer, shown) = mpsc::channel(QUEUE);
        // The additional place is for the `None` that ends the queue.
        let (diagnoser, diagnosed) = mpsc::channel(UNVERIFIED.saturating_add(1));
        let places = Arc::new(Semaphore::new(UNVERIFIED));
        let [bytes, handled] = [UNVERIFIED_BYTES, AT_ONCE].map(|count| Arc::new(Semaphore::new(count as usize)));
        (Self { printer, diagnoser, places, bytes, handled, omitted: Arc::default() }, diagnosed, shown)
    }

    /// Begins to handle a request, until the result is dropped.
    pub(super) async fn begin(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.handled).acquire_owned().await.ok()
    }

    /// Waits until no request is being handled, not even one whose sender has disconnected.
    pub(super) async fn idle(&self) {
        let _ = self.handled.acquire_many(AT_ONCE).await;
    }

    /// Queues a request to be shown.
    ///
    /// A verified request waits for a place in the queue. An unverified request never waits,
    /// because anybody can send it. If there is no place for it, it is omitted. If its body exceeds
    /// the bound, the request is shown without a diagnosis.
    pub(super) async fn show(&self, observed: Observed) {
        if observed.verdict.is_verified() {
            // If the printer has ended, the program ends, too.
            let _ = self.printer.send(Some(Waiting { observed, findings: Vec::new(), room: None })).await;
        } else if !self.show_unverified(observed) {
            self.omitted.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn show_unverified(&self, mut observed: Observed) -> bool {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return false };
        // A body that is longer than the whole bound takes all of it.
        let length = observed.body.as_ref().map_or(0, |body| u32::try_from(body.len()).unwrap_or(u32::MAX));
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(length.min(UNVERIFIED_BYTES)).ok();
        if bytes.is_none() {
            observed.body = None;
        }
        let room = Some(Room { _place: place, bytes });
        self.diagnoser.try_send(Some(Waiting { observed, findings: Vec::new(), room })).is_ok()
    }

    /// Ends the printer after it has shown the queued requests.
    pub(super) async fn end(&self) {
        if self.diagnoser.send(None).await.is_err() {
            // The diagnosing thread may have ended already.
            let _ = self.printer.send(None).await;
        }
    }
}

pub(super) struct Printer {
    /// Ends with the thread, or earlier if nobody reads the output.
    pub(super) closed: oneshot::Receiver<()>,
    pub(super) thread: thread::JoinHandle<io::Result<()>>,
}

impl Printer {
    /// Starts the threads. Each request is also added to `inspector`, if there is one.
    pub(super) fn start(
        verifier: Verifier,
        mut captures: Option<Captures>,
        view: View,
        inspector: Option<Store>,
    ) -> (Queue, Self) {
        let (queue, unverified, mut deliveries) = Queue::new();
        let (closing, closed) = oneshot::channel();
        let omitted = Arc::clone(&queue.omitted);
        let (printer, diagnosing) = (queue.printer.clone(), verifier.clone());
        thread::spawn(move || diagnose_all(&diagnosing, unverified, &printer));
        let thread = thread::spawn(move || {
            // Dropped if the output fails, or when the thread ends, even with a panic.
            let mut closing: Option<oneshot::Sender<()>> = Some(closing);
            let mut printed = Ok(());
            let mut duplicates = Duplicates::default();
            while let Some(Some(waiting)) = deliveries.blocking_recv() {
                let Waiting { observed, findings, room } = waiting;
                let mut report = report(&observed, &verifier, &mut duplicates, captures.as_mut());
                report.findings = findings;
                if room.as_ref().is_some_and(|room| room.bytes.is_none()) {
                    report.add_to_rejection("too many long requests at a time: not diagnosed, not saved");
                }
                if let Some(inspector) = &inspector {
                    inspector.observed(&report, &observed, &verifier);
                }
                if printed.is_err() {
                    // Requests that were answered are still saved.
                    continue;
                }
                if let Verdict::Accepted(accepted) = &observed.verdict {
                    report.shown = view.show.and_then(|part| part.of(&accepted.event));
                    if !view.includes(&accepted.event.name) && !report.is_alarming() {
                        continue;
                    }
                }
                printed = output::write_out(&match view.format {
                    output::Format::Pretty => report.pretty(),
                    output::Format::Json => report.json(),
                });
                if printed.is_err() {
                    closing = None;
                    continue;
                }
                // The queue was full when these requests were omitted, so the note follows the
                // requests in the queue.
                let omitted = omitted.swap(0, Ordering::Relaxed);
                if omitted > 0 {
                    output::note(&format!("{omitted} unverified requests came too fast: not shown, not saved"));
                }
            }
            drop(closing);
            printed
        });
        (queue, Self { closed, thread })
    }
}

/// Diagnoses requests one at a time and passes them to the printer, until the end or until the
/// printer ends.
fn diagnose_all(verifier: &Verifier, mut waiting: Receiver<Option<Waiting>>, printer: &Sender<Option<Waiting>>) {
    while let Some(next) = waiting.blocking_recv() {
        let is_end = next.is_none();
        let diagnosed = next.map(|mut waiting| {
            waiting.findings = findings(&waiting.observed, verifier);
            waiting
        });
        if printer.blocking_send(diagnosed).is_err() || is_end {
            return;
        }
    }
}

fn findings(observed: &Observed, verifier: &Verifier) -> Vec<Finding> {
    match (&observed.verdict, &observed.body) {
        (Verdict::Refused(refusal), Some(body))
            if matches!(refusal.kind(), RefusalKind::Verify(_)) && !is_too_long(body) =>
        {
            finding::all(observed.method.as_str(), &verifier.diagnose(&observed.headers, body))
        }
        _ => Vec::new(),
    }
}

/// Returns whether an unverified body is too long to be diagnosed here. `verify` can take the time.
pub(super) fn is_too_long(body: &[u8]) -> bool {
    u32::try_from(body.len()).map_or(true, |length| length > UNVERIFIED_BYTES)
}

fn report(
    observed: &Observed,
    verifier: &Verifier,
    duplicates: &mut Duplicates,
    captures: Option<&mut Captures>,
) -> Report {
    let method = observed.method.as_str();
    let mut report = Report::new(observed.at, method, observed.status);
    match &observed.verdict {
        Verdict::Accepted(accepted) => {
            report.accepted(&accepted.event);
            accepted.forwarded.iter().for_each(|forwarded| report.forwarded(forwarded));
        }
        Verdict::Rejected(rejection) => report.verified_but_rejected(rejection.to_string()),
        Verdict::WrongMethod => report.verified_but_rejected("verified, but its method is not POST".to_owned()),
        Verdict::Loop => {
            report.verified_but_rejected(LOOP.to_owned());
            // The delivery itself is shown and saved when its answer arrives.
            return report;
        }
        Verdict::Refused(refusal) => {
            report.rejected(refusal.to_string());
            if observed.body.as_deref().is_some_and(is_too_long) && matches!(refusal.kind(), RefusalKind::Verify(_)) {
                report.add_to_rejection("too long to diagnose here: use --save, then verify");
            }
        }
    }
    if let Some(body) = &observed.body {
        let digest = Sha256::digest(body).into();
        // Only verified deliveries count: an attacker can send a body any number of times.
        if let Verdict::Accepted(_) = observed.verdict {
            report.repetition = duplicates.count(digest);
        }
        if let Some(captures) = captures {
            let headers = observed.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
            let capture = Capture::write(method, &observed.target, headers, body, observed.at);
            let signed_at =
                if observed.verdict.is_verified() { verifier.claimed_timestamp(&observed.headers) } else { None };
            report.saved(&match signed_at {
                Some(signed_at) => captures.save_verified(signed_at, digest, &capture),
                None => captures.save_unverified(observed.at, &capture),
            });
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use axum::{
        body::Body,
        http::{HeaderMap, Method, Request, StatusCode},
    };
    use bytes::Bytes;
    use proptest::{collection::vec, prelude::*};
    use tower::ServiceExt;
    use twenty_webhook::{
        receiver::Refusal,
        testing::Delivery,
        verify::{Signer, VerifyErrorKind},
    };

    use super::{super::observe::app, *};

    fn forged(length: usize) -> Observed {
        Observed {
            at: jiff::Timestamp::UNIX_EPOCH,
            method: Method::POST,
            target: "/".to_owned(),
            headers: HeaderMap::new(),
            body: Some(Bytes::from(vec![0; length])),
            status: 401,
            verdict: Verdict::Refused(Refusal::from(VerifyErrorKind::SignatureMismatch)),
        }
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    fn length(waiting: &Waiting) -> usize {
        waiting.observed.body.as_ref().map_or(0, Bytes::len)
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Arrives(usize),
        IsShown,
    }

    fn step() -> impl Strategy<Value = Step> {
        let length = prop_oneof![0..1000_usize, 0..(5_usize << 20), Just((1_usize << 20) - 1), Just(1_usize << 22)];
        prop_oneof![3 => length.prop_map(Step::Arrives), 1 => Just(Step::IsShown)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// For any requests, the waiting bodies stay within the bound, or one longer body waits
        /// alone. A body that fits is never dropped, and every omitted request is counted.
        #[test]
        fn bodies_that_wait_for_a_diagnosis_stay_within_the_bound(steps in vec(step(), 0..120)) {
            let bound = UNVERIFIED_BYTES as usize;
            let (queue, mut diagnoser, _printer) = Queue::new();
            let (mut waiting, mut omitted) = (std::collections::VecDeque::new(), 0);
            for step in steps {
                match step {
                    Step::Arrives(body) => {
                        let before: usize = waiting.iter().map(length).sum();
                        runtime().block_on(queue.show(forged(body)));
                        match diagnoser.try_recv() {
                            Ok(Some(new)) => {
                                prop_assert_eq!(length(&new), if before + body.min(bound) > bound { 0 } else { body });
                                waiting.push_back(new);
                            }
                            _ => omitted += 1,
                        }
                    }
                    Step::IsShown => drop(waiting.pop_front()),
                }
                let bodies: Vec<usize> = waiting.iter().map(length).filter(|length| *length > 0).collect();
                prop_assert!(bodies.iter().sum::<usize>() <= bound || bodies.len() == 1, "{:?}", bodies);
                prop_assert!(waiting.len() <= UNVERIFIED);
                prop_assert_eq!(queue.omitted.load(Ordering::Relaxed), omitted);
            }
        }
    }

    /// No diagnosis ends in this test. Any number of verified deliveries is answered and shown.
    #[test]
    fn verified_deliveries_are_answered_while_a_diagnosis_is_blocked() {
        let signer = Signer::new("secret").unwrap();
        let (queue, mut diagnoser, mut printer) = Queue::new();
        let app = app(Verifier::new("secret").unwrap(), None, queue);
        let post = |signer: &Signer| {
            let delivery = Delivery::sample("person.created").sign(signer);
            let mut request = Request::post("/");
            for (name, value) in delivery.headers() {
                request = request.header(name, value);
            }
            app.clone().oneshot(request.body(Body::from(delivery.body().clone())).unwrap())
        };
        runtime().block_on(async {
            let forger = Signer::new("another").unwrap();
            for _ in 0..2 * QUEUE {
                assert_eq!(post(&forger).await.unwrap().status(), StatusCode::UNAUTHORIZED);
            }
            for _ in 0..2 * QUEUE {
                assert_eq!(post(&signer).await.unwrap().status(), StatusCode::OK);
                let shown = printer.try_recv().unwrap().unwrap();
                assert!(shown.observed.verdict.is_verified());
            }
        });
        let waiting = std::iter::from_fn(|| diagnoser.try_recv().ok()).count();
        assert_eq!(waiting, UNVERIFIED, "the others are omitted");
    }
}
