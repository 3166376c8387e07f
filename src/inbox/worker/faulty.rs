//! A store that fails in chosen ways.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::{
    sync::Notify,
    time::{Duration, Instant},
};

use super::super::{
    DeadLetter, EventId, InboxError, InboxErrorKind, RecordKey, Stats, StoredEvent,
    store::{End, Lease, Put, Step, Store, StoreFuture, Take, Taken, TakenEvent, Which},
};
use crate::{
    deduplicate::ClaimKey,
    verify::{Signer, Timestamp, Verified, Verifier},
};

/// Which of the worker's calls fail, and how.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// There is a suspect, but it cannot be taken, because another transaction has locked its row.
    SuspectIsLocked,
    /// There was a suspect. Since then, the store fails.
    TakesFail,
    /// All calls of the worker fail.
    EverythingFails,
    /// Events can be taken, but afterwards nothing can be written.
    FailsWhileTheyRun,
    /// There is one event, and the renewal of its lease panics.
    RenewalPanics,
    /// There is one event, whose row another transaction has locked for a minute.
    EndIsLocked,
    /// There is one event. Its end is stored, but the answer is lost.
    EndIsNotConfirmed,
    /// There is one event, which cannot be read.
    EventIsUnreadable,
    /// A take of more than three events times out.
    FewCanBeTaken,
    /// Events are stored after their callers have stopped waiting.
    StoresTooLate,
}

#[derive(Debug)]
pub(super) struct Faulty {
    fault: Fault,
    pub(super) calls: AtomicUsize,
    has_taken: AtomicBool,
    has_taken_late: AtomicBool,
    pub(super) maintained: AtomicUsize,
    pub(super) renewals: AtomicUsize,
    pub(super) taken_few: AtomicUsize,
    work: Notify,
    pub(super) ends: Mutex<Vec<(Lease, End)>>,
    begun: Instant,
}

impl Faulty {
    pub(super) fn new(fault: Fault) -> Self {
        Self {
            fault,
            calls: AtomicUsize::new(0),
            has_taken: AtomicBool::new(false),
            has_taken_late: AtomicBool::new(false),
            maintained: AtomicUsize::new(0),
            renewals: AtomicUsize::new(0),
            taken_few: AtomicUsize::new(0),
            work: Notify::new(),
            ends: Mutex::default(),
            begun: Instant::now(),
        }
    }

    fn answer<T: Send + 'static>(&self, value: T) -> StoreFuture<'_, T> {
        let is_failure = matches!(self.fault, Fault::EverythingFails | Fault::FailsWhileTheyRun);
        Box::pin(async move { if is_failure { Err(unavailable()) } else { Ok(value) } })
    }
}

pub(super) fn verified(record: usize) -> Verified {
    let body = format!(r#"{{"eventName":"note.created","record":{{"id":"{record}"}}}}"#);
    let headers = Signer::new("secret").unwrap().sign(&body).pairs();
    Verifier::new("secret").unwrap().verify(headers, body).unwrap()
}

pub(super) fn taken(number: usize) -> TakenEvent {
    let verified = verified(number);
    let key = ClaimKey::new("", verified.keys_id(), verified.body());
    let record = RecordKey::of_body(verified.body());
    let event = StoredEvent { key, record, accepted_at: Timestamp::from_millis(0), verified };
    let lease = Lease { event: u64::try_from(number).unwrap(), token: 1 };
    TakenEvent { lease, event, attempts: 0, interruptions: 0 }
}

fn unavailable() -> InboxError {
    InboxError::new(InboxErrorKind::Unavailable, "out of order")
}

impl Store for Faulty {
    fn put(&self, _: StoredEvent) -> StoreFuture<'_, Put> {
        if matches!(self.fault, Fault::StoresTooLate) {
            return Box::pin(std::future::pending());
        }
        self.answer(Put::Stored)
    }

    fn begin(&self) -> StoreFuture<'_, ()> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let is_failure = matches!(self.fault, Fault::EverythingFails);
        Box::pin(async move { if is_failure { Err(unavailable()) } else { Ok(()) } })
    }

    fn take(&self, take: Take) -> StoreFuture<'_, Taken> {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        self.taken_few.fetch_add(usize::from((1..=3).contains(&take.limit)), Ordering::Relaxed);
        let had_taken = self.has_taken.swap(true, Ordering::Relaxed);
        let suspects = !take.alone;
        let is_late = self.begun.elapsed() > Duration::from_secs(4);
        let had_late = is_late && take.limit > 0 && self.has_taken_late.swap(true, Ordering::Relaxed);
        let is_locked = matches!(self.fault, Fault::EndIsLocked) && self.begun.elapsed() < Duration::from_secs(60);
        let is_stored = matches!(self.fault, Fault::EndIsNotConfirmed) && !self.ends.lock().unwrap().is_empty();
        let is_confirmed = take.ends.is_empty() || is_stored;
        let ended = vec![!is_locked && !is_stored; take.ends.len()];
        let locked = take.ends.iter().map(|(lease, _)| *lease).filter(|_| is_locked).collect();
        self.ends.lock().unwrap().extend(take.ends);
        Box::pin(async move {
            if calls > 10_000 {
                // Lets time advance, so that a loop without a pause ends the test.
                std::future::pending::<()>().await;
            }
            match self.fault {
                Fault::SuspectIsLocked => Ok(Taken { suspects, ..Taken::default() }),
                Fault::TakesFail if !had_taken => Ok(Taken { suspects, ..Taken::default() }),
                Fault::FailsWhileTheyRun if !had_taken => {
                    Ok(Taken { events: (0..take.limit).map(taken).collect(), ..Taken::default() })
                }
                Fault::RenewalPanics if !had_taken => Ok(Taken { events: vec![taken(0)], ..Taken::default() }),
                Fault::EventIsUnreadable if !had_taken => {
                    Ok(Taken { unreadable: vec![taken(0).lease], ..Taken::default() })
                }
                Fault::EndIsLocked | Fault::EndIsNotConfirmed if !had_taken => {
                    Ok(Taken { events: vec![taken(0)], ..Taken::default() })
                }
                Fault::StoresTooLate if take.limit > 0 && is_late && !had_late => {
                    let TakenEvent { event, .. } = taken(0);
                    let event = TakenEvent { event: StoredEvent { record: RecordKey::NONE, ..event }, ..taken(0) };
                    Ok(Taken { events: vec![event], ended, ..Taken::default() })
                }
                Fault::FewCanBeTaken if take.limit > 3 => Err(unavailable()),
                Fault::EndIsNotConfirmed if !is_confirmed => Err(unavailable()),
                Fault::RenewalPanics
                | Fault::EndIsLocked
                | Fault::EndIsNotConfirmed
                | Fault::EventIsUnreadable
                | Fault::StoresTooLate
                | Fault::FewCanBeTaken => Ok(Taken { ended, locked, ..Taken::default() }),
                Fault::TakesFail | Fault::EverythingFails | Fault::FailsWhileTheyRun => Err(unavailable()),
            }
        })
    }

    fn lease(&self) -> Option<Duration> {
        matches!(self.fault, Fault::RenewalPanics).then_some(Duration::from_secs(3))
    }

    fn renew(&self, _: Lease) -> StoreFuture<'_, bool> {
        self.renewals.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { panic!("as a user's recorder could") })
    }

    fn work(&self) -> &Notify {
        &self.work
    }

    fn maintain(&self) -> StoreFuture<'_, bool> {
        self.maintained.fetch_add(1, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.answer(false)
    }

    fn stats(&self) -> StoreFuture<'_, Stats> {
        self.answer(Stats::default())
    }

    fn dead_letters(&self, _: u64, _: usize) -> StoreFuture<'_, Vec<(u64, DeadLetter)>> {
        self.answer(Vec::new())
    }

    fn dead_letter(&self, _: EventId) -> StoreFuture<'_, Option<DeadLetter>> {
        self.answer(None)
    }

    fn redrive(&self, _: Which) -> StoreFuture<'_, Step> {
        self.answer(Step { count: 0, last: None })
    }

    fn purge(&self, _: Which) -> StoreFuture<'_, Step> {
        self.answer(Step { count: 0, last: None })
    }

    fn erase(&self, _: RecordKey) -> StoreFuture<'_, u64> {
        self.answer(0)
    }

    fn compact(&self) -> StoreFuture<'_, bool> {
        self.answer(false)
    }
}
