//! Ends and renews leases. Changes that are requested at the same time share a statement.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};
use tokio_postgres::{Row, types::Type};

use super::{
    super::{
        InboxError,
        store::{End, Lease},
    },
    Shared,
    link::{Parameter, unreadable},
    millis, signed, unsigned,
};

/// The time limit for a statement.
const WITHIN: Duration = Duration::from_secs(10);

pub(super) const BATCH: usize = 256;

/// A request to renew a lease.
pub(super) struct Renewal {
    pub(super) lease: Lease,
    pub(super) reply: oneshot::Sender<Result<bool, InboxError>>,
}

/// Ends or renewals of leases, as the parameters of the statement `change`. They are also the first
/// parameters of `take`.
pub(super) struct Changes {
    remember_for: i64,
    ids: Vec<i64>,
    tokens: Vec<i64>,
    kinds: Vec<i16>,
    delays: Vec<i64>,
    reasons: Vec<Option<i16>>,
    messages: Vec<Option<String>>,
}

impl Changes {
    pub(super) fn ends(shared: &Shared, ends: &[(Lease, End)]) -> Self {
        let mut changes = Self::of(shared, ends.iter().map(|(lease, _)| *lease));
        for (_, end) in ends {
            let (kind, delay, dead) = match end {
                End::Complete => (0, Duration::ZERO, None),
                End::Retry { delay } => (1, *delay, None),
                End::Dead { reason, message } => (2, Duration::ZERO, Some((reason, message))),
                End::Release => (3, Duration::ZERO, None),
            };
            changes.kinds.push(kind);
            changes.delays.push(millis(delay));
            changes.reasons.push(dead.map(|(reason, _)| reason.to_byte().into()));
            changes.messages.push(dead.map(|(_, message)| storable(message, shared.stores_any_text)));
        }
        changes
    }

    fn renewals(shared: &Shared, leases: impl Iterator<Item = Lease>) -> Self {
        let mut changes = Self::of(shared, leases);
        let count = changes.ids.len();
        changes.kinds = vec![4; count];
        changes.delays = vec![millis(shared.lease); count];
        changes.reasons = vec![None; count];
        changes.messages = vec![None; count];
        changes
    }

    fn of(shared: &Shared, leases: impl Iterator<Item = Lease>) -> Self {
        let (ids, tokens) = leases.map(|lease| (signed(lease.event), signed(lease.token))).unzip();
        Self {
            remember_for: millis(shared.bounds.remember_for),
            ids,
            tokens,
            kinds: Vec::new(),
            delays: Vec::new(),
            reasons: Vec::new(),
            messages: Vec::new(),
        }
    }

    pub(super) fn parameters(&self) -> [Parameter<'_>; 7] {
        [
            (&self.remember_for, Type::INT8),
            (&self.ids, Type::INT8_ARRAY),
            (&self.tokens, Type::INT8_ARRAY),
            (&self.kinds, Type::INT2_ARRAY),
            (&self.delays, Type::INT8_ARRAY),
            (&self.reasons, Type::INT2_ARRAY),
            (&self.messages, Type::TEXT_ARRAY),
        ]
    }

    /// Changes the events whose leases are held. Skips rows that another transaction has locked.
    async fn make(&self, shared: &Shared) -> Result<Changed, InboxError> {
        let rows = shared.link.query(&shared.sql.change, &self.parameters(), WITHIN).await?;
        let changed = read_leases(&rows)?;
        let leases = self.ids.iter().zip(&self.tokens);
        let leases = leases.map(|(id, token)| Lease { event: unsigned(*id), token: unsigned(*token) });
        Changed::new(shared, leases, changed).await
    }
}

/// Returns a message as a text that the database accepts. A text in PostgreSQL cannot contain a
/// NUL, and not every encoding has every character. If a statement failed because of its message,
/// the worker would repeat it forever.
fn storable(message: &str, stores_any_text: bool) -> String {
    let message = message.replace('\0', "\u{fffd}");
    if stores_any_text {
        return message;
    }
    let escaped = |c: char| if c.is_ascii() { c.to_string() } else { c.escape_unicode().to_string() };
    message.chars().map(escaped).collect()
}

/// The results of ending or renewing leases.
pub(super) struct Changed {
    pub(super) changed: HashSet<Lease>,
    /// Leases that are held, but whose rows another transaction has locked.
    pub(super) locked: HashSet<Lease>,
}

impl Changed {
    /// Creates the result. Queries why the other leases were not changed: their rows are locked, or
    /// the leases were lost.
    pub(super) async fn new(
        shared: &Shared,
        leases: impl Iterator<Item = Lease>,
        changed: HashSet<Lease>,
    ) -> Result<Self, InboxError> {
        let others: HashSet<Lease> = leases.filter(|lease| !changed.contains(lease)).collect();
        if others.is_empty() {
            return Ok(Self { changed, locked: HashSet::new() });
        }
        let ids: Vec<_> = others.iter().map(|lease| signed(lease.event)).collect();
        let rows = shared.link.query(&shared.sql.running, &[(&ids, Type::INT8_ARRAY)], WITHIN).await?;
        let running: HashSet<Lease> = read_leases(&rows)?;
        Ok(Self { changed, locked: running.intersection(&others).copied().collect() })
    }
}

/// Renews leases. Renewals that are requested at the same time share a statement.
pub(super) async fn renew(shared: Arc<Shared>, mut jobs: mpsc::Receiver<Renewal>) {
    let mut batch = Vec::new();
    while jobs.recv_many(&mut batch, BATCH).await > 0 {
        // A lease that occurs twice in a batch is changed once.
        let renewed = Changes::renewals(&shared, batch.iter().map(|job| job.lease)).make(&shared).await;
        for Renewal { lease, reply } in batch.drain(..) {
            // A locked row is renewed by the next renewal, so its lease counts as held.
            let is_held = |renewed: &Changed| renewed.changed.contains(&lease) || renewed.locked.contains(&lease);
            _ = reply.send(renewed.as_ref().map(is_held).map_err(Clone::clone));
        }
    }
}

/// Ends leases.
pub(super) async fn end(shared: &Shared, ends: &[(Lease, End)]) -> Result<Changed, InboxError> {
    let changed = if ends.is_empty() {
        Changed { changed: HashSet::new(), locked: HashSet::new() }
    } else {
        Changes::ends(shared, ends).make(shared).await?
    };
    note(shared, ends, &changed);
    Ok(changed)
}

/// Records which leases have ended.
pub(super) fn note(shared: &Shared, ends: &[(Lease, End)], Changed { changed, locked }: &Changed) {
    let mut held = shared.held();
    for (lease, _) in ends {
        if held.get(&lease.event) == Some(&lease.token) && !locked.contains(lease) {
            held.remove(&lease.event);
        }
    }
    drop(held);
    if ends.iter().any(|(lease, end)| matches!(end, End::Release) && changed.contains(lease)) {
        shared.work.notify_one();
        shared.announce.notify_one();
    }
}

pub(super) fn read_leases<C: FromIterator<Lease>>(rows: &[Row]) -> Result<C, InboxError> {
    rows.iter().map(|row| read_lease(row).map_err(|error| unreadable(&error))).collect()
}

pub(super) fn read_lease(row: &Row) -> Result<Lease, tokio_postgres::Error> {
    Ok(Lease { event: unsigned(row.try_get(0)?), token: unsigned(row.try_get(1)?) })
}

/// Reads this process's leases from the table, including leases of takes that failed after their
/// commit.
pub(super) async fn own_leases(shared: &Shared) -> Result<Vec<Lease>, InboxError> {
    read_leases(&shared.link.query(&shared.sql.own, &[(&shared.owner, Type::INT8)], WITHIN).await?)
}

/// Releases events that this process does not run. Returns whether there were any.
pub(super) async fn release(shared: &Shared, leases: impl IntoIterator<Item = Lease>) -> Result<bool, InboxError> {
    let ends: Vec<_> = leases.into_iter().map(|lease| (lease, End::Release)).collect();
    Ok(!end(shared, &ends).await?.changed.is_empty())
}
