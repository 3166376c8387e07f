//! Ends and renewals of leases: what arrives at once shares a statement.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};
use tokio_postgres::types::Type;

use super::{
    super::{
        DeadReason, InboxError,
        store::{End, Lease},
    },
    Shared,
    link::{Parameter, unreadable},
    millis, signed, unsigned,
};

/// How long a statement may take.
const WITHIN: Duration = Duration::from_secs(10);

pub(super) const BATCH: usize = 256;

pub(super) struct ChangeJob {
    pub(super) lease: Lease,
    pub(super) change: Change,
    pub(super) reply: oneshot::Sender<Result<bool, InboxError>>,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    End(End),
    Renew(Duration),
}

impl Change {
    const fn kind(&self) -> i16 {
        match self {
            Self::End(End::Complete) => 0,
            Self::End(End::Retry { .. }) => 1,
            Self::End(End::Dead { .. }) => 2,
            Self::End(End::Release) => 3,
            Self::Renew(_) => 4,
        }
    }

    fn delay(&self) -> i64 {
        match self {
            Self::End(End::Retry { delay }) | Self::Renew(delay) => millis(*delay),
            Self::End(_) => 0,
        }
    }

    fn dead(&self) -> Option<(DeadReason, &str)> {
        match self {
            Self::End(End::Dead { reason, message }) => Some((*reason, message)),
            _ => None,
        }
    }
}

pub(super) async fn run(shared: Arc<Shared>, mut jobs: mpsc::Receiver<ChangeJob>) {
    let mut waiting = Vec::new();
    loop {
        if waiting.is_empty() && jobs.recv_many(&mut waiting, BATCH).await == 0 {
            return;
        }
        // A statement changes a row once.
        let mut events = HashSet::new();
        let (batch, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut waiting).into_iter().partition(|job: &ChangeJob| events.insert(job.lease.event));
        waiting = rest;
        let changes: Vec<_> = batch.iter().map(|job| (job.lease, &job.change)).collect();
        let changed = change(&shared, &changes).await;
        for job in batch {
            _ = job
                .reply
                .send(changed.as_ref().map(|changed| changed.contains(&job.lease.event)).map_err(Clone::clone));
        }
    }
}

/// Changes the events whose leases are held, and returns which these are.
pub(super) async fn change(shared: &Shared, changes: &[(Lease, &Change)]) -> Result<HashSet<u64>, InboxError> {
    let ids: Vec<_> = changes.iter().map(|(lease, _)| signed(lease.event)).collect();
    let tokens: Vec<_> = changes.iter().map(|(lease, _)| signed(lease.token)).collect();
    let kinds: Vec<_> = changes.iter().map(|(_, change)| change.kind()).collect();
    let delays: Vec<_> = changes.iter().map(|(_, change)| change.delay()).collect();
    let reasons: Vec<_> =
        changes.iter().map(|(_, change)| change.dead().map(|(reason, _)| i16::from(reason.to_byte()))).collect();
    // PostgreSQL has no zero in a text.
    let messages: Vec<_> =
        changes.iter().map(|(_, change)| change.dead().map(|(_, message)| message.replace('\0', "\u{fffd}"))).collect();
    let remember_for = millis(shared.bounds.remember_for);
    let parameters: [Parameter<'_>; 7] = [
        (&remember_for, Type::INT8),
        (&ids, Type::INT8_ARRAY),
        (&tokens, Type::INT8_ARRAY),
        (&kinds, Type::INT2_ARRAY),
        (&delays, Type::INT8_ARRAY),
        (&reasons, Type::INT2_ARRAY),
        (&messages, Type::TEXT_ARRAY),
    ];
    let rows = shared.link.query(&shared.sql.change, &parameters, WITHIN).await?;
    let changed = rows.iter().map(|row| row.try_get(0).map(unsigned).map_err(|error| unreadable(&error)));
    let changed = changed.collect::<Result<HashSet<u64>, _>>()?;
    let mut held = shared.held();
    for (lease, change) in changes {
        if !matches!(change, Change::Renew(_)) && held.get(&lease.event) == Some(&lease.token) {
            held.remove(&lease.event);
        }
    }
    drop(held);
    if changes
        .iter()
        .any(|(lease, change)| matches!(change, Change::End(End::Release)) && changed.contains(&lease.event))
    {
        shared.work.notify_one();
        shared.announce.notify_one();
    }
    Ok(changed)
}

/// The leases of this process that are in the table: those it took, and perhaps never learnt of.
pub(super) async fn own_leases(shared: &Shared) -> Result<HashMap<u64, u64>, InboxError> {
    let rows = shared.link.query(&shared.sql.own, &[(&shared.owner, Type::INT8)], WITHIN).await?;
    rows.iter()
        .map(|row| {
            let number = |index| row.try_get(index).map(unsigned).map_err(|error| unreadable(&error));
            Ok((number(0)?, number(1)?))
        })
        .collect()
}

/// Gives events back that this process does not run.
pub(super) async fn release(shared: &Shared, leases: impl IntoIterator<Item = (u64, u64)>) -> Result<(), InboxError> {
    let release = Change::End(End::Release);
    let changes: Vec<_> = leases.into_iter().map(|(event, token)| (Lease { event, token }, &release)).collect();
    if !changes.is_empty() {
        change(shared, &changes).await?;
    }
    Ok(())
}
