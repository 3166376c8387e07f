//! How the worker deals with failures of the store, of handlers and of recorders.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::time::{Duration, sleep, timeout};

use super::{
    super::{
        Accepted, Inbox, InboxBuilder, StartError,
        store::{End, Store},
    },
    faulty::{Fault, Faulty, taken, verified},
};

/// A store that answers immediately is called at most a few times a second, regardless of its
/// answers.
#[tokio::test(start_paused = true)]
async fn the_worker_pauses_between_takes_that_return_nothing() {
    for fault in [Fault::SuspectIsLocked, Fault::TakesFail, Fault::EverythingFails] {
        let store = Arc::new(Faulty::new(fault));
        let inbox = Inbox::new(Arc::clone(&store) as Arc<dyn Store>, InboxBuilder::new());
        let worker = inbox.worker(()).start().unwrap();
        sleep(Duration::from_secs(60)).await;
        let calls = store.calls.load(Ordering::Relaxed);
        assert!((50..=400).contains(&calls), "{fault:?}: {calls} calls in a minute");
        drop(worker);
    }
}

/// The ends of some handlers cannot be written. Other deliveries must still be handled directly,
/// even deliveries about the same record.
#[tokio::test(start_paused = true)]
async fn unwritten_ends_do_not_block_direct_handling() {
    for fault in [Fault::FailsWhileTheyRun, Fault::EverythingFails] {
        let store = Arc::new(Faulty::new(fault));
        let inbox = Inbox::new(Arc::clone(&store) as Arc<dyn Store>, InboxBuilder::new());
        let handler = async |_: crate::WebhookEvent| {};
        let worker = inbox.worker(()).fallback(handler).concurrency(4).start().unwrap();
        sleep(Duration::from_secs(10)).await;
        for record in 0..8 {
            assert_eq!(inbox.accept(verified(record)).await.unwrap(), Accepted::Handled, "{fault:?} {record}");
        }
        drop(worker);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_a_lease_is_renewed_ends_neither_the_handler_nor_the_worker() {
    let store = Arc::new(Faulty::new(Fault::RenewalPanics));
    let inbox = Inbox::new(Arc::clone(&store) as Arc<dyn Store>, InboxBuilder::new());
    let handler = async |_: crate::WebhookEvent| sleep(Duration::from_secs(60)).await;
    let worker = inbox.worker(()).fallback(handler).concurrency(1).start().unwrap();
    sleep(Duration::from_secs(70)).await;
    assert!(store.renewals.load(Ordering::Relaxed) >= 50, "the renewal goes on");
    let ends = std::mem::take(&mut *store.ends.lock().unwrap());
    assert!(matches!(ends[..], [(lease, End::Complete)] if lease == taken(0).lease), "{ends:?}");
    let calls = store.calls.load(Ordering::Relaxed);
    sleep(Duration::from_secs(10)).await;
    assert!(store.calls.load(Ordering::Relaxed) >= calls + 10, "it takes no more events");
    drop(worker);
}

/// A take can time out if, for example, events are large and the database is far away.
#[tokio::test(start_paused = true)]
async fn takes_fewer_events_when_a_take_times_out() {
    let store = Arc::new(Faulty::new(Fault::FewCanBeTaken));
    let inbox = Inbox::new(Arc::clone(&store) as Arc<dyn Store>, InboxBuilder::new());
    let worker = inbox.worker(()).start().unwrap();
    sleep(Duration::from_secs(60)).await;
    let few = store.taken_few.load(Ordering::Relaxed);
    assert!(few > 10, "{few} takes succeeded in a minute");
    drop(worker);
}

/// The end is retried once a second, and meanwhile other events are taken.
#[tokio::test(start_paused = true)]
async fn an_end_that_is_locked_is_written_later() {
    let store = Arc::new(Faulty::new(Fault::EndIsLocked));
    let inbox = Inbox::new(Arc::clone(&store) as Arc<dyn Store>, InboxBuilder::new());
    let worker = inbox.worker(()).fallback(async |_: crate::WebhookEvent| {}).concurrency(1).start().unwrap();
    sleep(Duration::from_secs(120)).await;
    let ends = store.ends.lock().unwrap().len();
    assert!((55..=62).contains(&ends), "{ends} ends in two minutes");
    let calls = store.calls.load(Ordering::Relaxed);
    assert!((120..=300).contains(&calls), "{calls} calls in two minutes");
    drop(worker);
}

/// This also applies to an event without a record, which never waits for a busy record.
#[tokio::test(start_paused = true)]
async fn a_directly_handled_event_is_not_handled_concurrently_by_a_take() {
    let store = Arc::new(Faulty::new(Fault::StoresTooLate));
    let inbox = Inbox::new(Arc::clone(&store) as Arc<dyn Store>, InboxBuilder::new());
    let runs = Arc::new(AtomicUsize::new(0));
    let handler = async |runs: Arc<AtomicUsize>, _: crate::WebhookEvent| {
        runs.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_secs(5)).await;
    };
    let worker = inbox.worker(Arc::clone(&runs)).fallback(handler).start().unwrap();
    assert_eq!(inbox.accept(verified(0)).await.unwrap(), Accepted::Handled);
    sleep(Duration::from_secs(10)).await;
    let ends = std::mem::take(&mut *store.ends.lock().unwrap());
    assert!(matches!(ends[..], [(_, End::Complete)]), "{ends:?}");
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    drop(worker);
}

/// A recorder that always panics ends neither the worker nor its maintenance.
#[cfg(feature = "metrics")]
#[test]
fn a_panicking_recorder_does_not_end_the_worker() {
    use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

    struct Panics;

    impl Recorder for Panics {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            panic!("a counter")
        }
        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            panic!("a gauge")
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            panic!("a histogram")
        }
    }

    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    for fault in [Fault::EverythingFails, Fault::FailsWhileTheyRun, Fault::SuspectIsLocked] {
        let store = Arc::new(Faulty::new(fault));
        let inbox = Inbox::new(Arc::clone(&store) as Arc<dyn Store>, InboxBuilder::new());
        metrics::with_local_recorder(&Panics, || {
            runtime.block_on(async {
                let worker = inbox.worker(()).fallback(async |_: crate::WebhookEvent| {}).start().unwrap();
                sleep(Duration::from_secs(60)).await;
                let calls = store.calls.load(Ordering::Relaxed);
                assert!(calls > 50, "{fault:?}: {calls} calls in a minute");
                let maintained = store.maintained.load(Ordering::Relaxed);
                assert!(maintained > 5, "{fault:?}: {maintained} times in a minute");
                if matches!(fault, Fault::EverythingFails) {
                    assert_eq!(inbox.accept(verified(1)).await.unwrap(), Accepted::Handled);
                }
                drop(worker);
            });
        });
    }
}

/// A handler that blocks its thread cannot be cancelled. The events of other handlers are still
/// released. While the handler runs, no other worker can start, so its event is not handled a
/// second time concurrently.
#[test]
fn a_handler_that_blocks_its_thread_delays_only_its_own_event() {
    let inbox = InboxBuilder::new().in_memory();
    let (unblock, blocked) = std::sync::mpsc::channel::<()>();
    let state = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(blocked)));
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let ended = runtime();
    let start = |state| {
        let handler = async |(runs, blocked): (Arc<AtomicUsize>, Arc<Mutex<_>>), _: crate::WebhookEvent| {
            let _: &Mutex<std::sync::mpsc::Receiver<()>> = &blocked;
            if runs.fetch_add(1, Ordering::SeqCst) == 0 {
                // This blocks until the sender is dropped.
                _ = blocked.lock().unwrap().recv();
            } else {
                std::future::pending::<()>().await;
            }
        };
        inbox.worker(state).fallback(handler).start()
    };
    ended.block_on(async {
        for record in 0..4 {
            inbox.accept(verified(record)).await.unwrap();
        }
        let worker = start(state.clone()).unwrap();
        while state.0.load(Ordering::SeqCst) < 4 {
            sleep(Duration::from_millis(1)).await;
        }
        let shutdown = tokio::spawn(worker.shutdown(Duration::ZERO));
        let given_back = async {
            while inbox.stats().await.unwrap().ready < 3 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(timeout(Duration::from_secs(120), given_back).await.is_ok(), "{:?}", inbox.stats().await);
        assert_eq!(shutdown.await.unwrap().cancelled, 4);
    });
    // This drops all tasks that are not running.
    ended.shutdown_background();
    runtime().block_on(async {
        assert!(matches!(start(state.clone()), Err(StartError::HasWorker)), "its handler runs");
        drop(unblock);
        let worker = loop {
            match start(state.clone()) {
                Ok(worker) => break worker,
                Err(_) => sleep(Duration::from_millis(1)).await,
            }
        };
        drop(worker);
    });
}

/// No more handlers run concurrently than there are slots. This applies to handlers of taken events
/// and of events that could not be stored.
#[tokio::test(start_paused = true)]
async fn the_slots_limit_the_number_of_concurrent_handlers() {
    let store = Arc::new(Faulty::new(Fault::FailsWhileTheyRun));
    let inbox = Inbox::new(Arc::clone(&store) as Arc<dyn Store>, InboxBuilder::new());
    let running = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let handler = async |running: Arc<(AtomicUsize, AtomicUsize)>, _: crate::WebhookEvent| {
        let now = running.0.fetch_add(1, Ordering::Relaxed) + 1;
        running.1.fetch_max(now, Ordering::Relaxed);
        sleep(Duration::from_millis(500)).await;
        running.0.fetch_sub(1, Ordering::Relaxed);
    };
    let worker = inbox.worker(Arc::clone(&running)).fallback(handler).concurrency(4).start().unwrap();
    let accepting: Vec<_> = (10..30)
        .map(|record| {
            let inbox = inbox.clone();
            tokio::spawn(async move { inbox.accept(verified(record)).await.is_ok() })
        })
        .collect();
    let mut handled = 0;
    for accepted in accepting {
        handled += usize::from(accepted.await.unwrap());
    }
    assert!(handled >= 8, "{handled}");
    assert_eq!(running.1.load(Ordering::Relaxed), 4);
    drop(worker);
}

/// Runs a worker for a minute, and returns its log.
#[cfg(feature = "tracing")]
async fn log_with(fault: Fault) -> String {
    let (sender, lines) = std::sync::mpsc::channel();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || Lines(sender.clone())).finish();
    let _log = tracing::subscriber::set_default(log);
    let inbox = Inbox::new(Arc::new(Faulty::new(fault)), InboxBuilder::new());
    let handler = async |_: crate::WebhookEvent| Err::<(), _>(super::super::HandlerError::permanent("wrong"));
    let worker = inbox.worker(()).fallback(handler).start().unwrap();
    sleep(Duration::from_secs(60)).await;
    drop(worker);
    lines.try_iter().collect()
}

#[cfg(feature = "tracing")]
struct Lines(std::sync::mpsc::Sender<String>);

#[cfg(feature = "tracing")]
impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A call that stores an end can fail although it took effect.
#[cfg(feature = "tracing")]
#[tokio::test(start_paused = true)]
async fn an_end_that_was_stored_without_an_answer_is_not_reported_as_lost() {
    let log = log_with(Fault::EndIsNotConfirmed).await;
    assert_eq!(log.matches("an event of the inbox became a dead letter").count(), 1, "{log}");
    assert!(!log.contains("erased or taken by another worker"), "{log}");
}

#[cfg(feature = "tracing")]
#[tokio::test(start_paused = true)]
async fn an_unreadable_event_is_reported() {
    let log = log_with(Fault::EventIsUnreadable).await;
    assert_eq!(log.matches("a stored event cannot be read, and becomes a dead letter position=0").count(), 1, "{log}");
}
