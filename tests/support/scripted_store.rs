//! A claim store that fails when it is told to.

use std::{
    collections::HashMap,
    future::pending,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use twenty_webhook::deduplicate::{
    Claim, ClaimKey, ClaimOutcome, ClaimStore, MemoryStore, StoreError, StoreErrorKind, StoreFuture,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    Claim,
    Renew,
    Complete,
    Release,
}

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Nothing happens, and the answer is an error.
    Refuse,
    /// It happens, but the answer gets lost.
    LoseAnswer,
    /// It never answers.
    Hang,
}

/// Clones are the same store.
#[derive(Clone, Debug)]
pub struct ScriptedStore {
    inner: Arc<MemoryStore>,
    script: Arc<Mutex<Script>>,
}

#[derive(Debug, Default)]
struct Script {
    faults: HashMap<Op, Fault>,
    is_remote: bool,
    delay: Duration,
    /// The time to live of each completion that was asked for.
    ttls: Vec<Duration>,
    asked: HashMap<Op, usize>,
    keys: Vec<ClaimKey>,
}

impl ScriptedStore {
    pub fn new() -> Self {
        Self { inner: Arc::new(MemoryStore::new(1000)), script: Arc::default() }
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As over a network: from now on, others run while it is asked.
    pub fn go_far_away(&self) {
        self.script().is_remote = true;
    }

    /// From now on, each answer takes this long.
    pub fn answer_after(&self, delay: Duration) {
        self.script().delay = delay;
    }

    /// From now on, until [`mend`](Self::mend).
    pub fn fail(&self, op: Op, fault: Fault) {
        self.script().faults.insert(op, fault);
    }

    /// Nothing works.
    pub fn fail_all(&self) {
        for op in [Op::Claim, Op::Renew, Op::Complete, Op::Release] {
            self.fail(op, Fault::Refuse);
        }
    }

    pub fn mend(&self) {
        self.script().faults.clear();
    }

    /// How often it was asked for this.
    pub fn asked(&self, op: Op) -> usize {
        self.script().asked.get(&op).copied().unwrap_or(0)
    }

    pub fn ttls(&self) -> Vec<Duration> {
        self.script().ttls.clone()
    }

    /// The key that was claimed last.
    pub fn last_key(&self) -> ClaimKey {
        *self.script().keys.last().expect("a claim")
    }

    /// What a receiver elsewhere would find.
    pub async fn claim_elsewhere(&self, key: ClaimKey, lease: Duration) -> ClaimOutcome {
        self.inner.claim(key, lease).await.unwrap()
    }

    pub fn inner(&self) -> &MemoryStore {
        &self.inner
    }

    async fn play<T>(
        &self,
        op: Op,
        work: impl Future<Output = Result<T, StoreError>>,
        lose: impl FnOnce(T, StoreError) -> StoreError,
    ) -> Result<T, StoreError> {
        let fault = {
            let mut script = self.script();
            *script.asked.entry(op).or_default() += 1;
            script.faults.get(&op).copied()
        };
        if self.script().is_remote {
            tokio::task::yield_now().await;
        }
        let delay = self.script().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        match fault {
            None => work.await,
            Some(Fault::Refuse) => Err(StoreErrorKind::Refused.into()),
            Some(Fault::LoseAnswer) => Err(lose(work.await?, StoreErrorKind::Timeout.into())),
            Some(Fault::Hang) => pending().await,
        }
    }
}

impl ClaimStore for ScriptedStore {
    fn claim(&self, key: ClaimKey, lease: Duration) -> StoreFuture<'_, ClaimOutcome> {
        Box::pin(async move {
            self.script().keys.push(key);
            let with_claim = |outcome, error: StoreError| match outcome {
                ClaimOutcome::Fresh(claim) => error.with_claim(claim),
                _ => error,
            };
            self.play(Op::Claim, self.inner.claim(key, lease), with_claim).await
        })
    }

    fn renew<'a>(&'a self, claim: &'a Claim, lease: Duration) -> StoreFuture<'a, bool> {
        Box::pin(self.play(Op::Renew, self.inner.renew(claim, lease), |_, error| error))
    }

    fn complete<'a>(&'a self, claim: &'a Claim, ttl: Duration) -> StoreFuture<'a, bool> {
        self.script().ttls.push(ttl);
        Box::pin(self.play(Op::Complete, self.inner.complete(claim, ttl), |_, error| error))
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> StoreFuture<'a, bool> {
        Box::pin(self.play(Op::Release, self.inner.release(claim), |_, error| error))
    }

    fn forget(&self, key: ClaimKey) -> StoreFuture<'_, bool> {
        self.inner.forget(key)
    }
}
