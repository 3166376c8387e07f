//! Prepares connections, and creates the table.

use std::{sync::Arc, time::Duration};

use tokio_postgres::types::Type;

use super::{
    super::{InboxError, InboxErrorKind, telemetry},
    link::{self, Connector, Link, Session, SetUp},
    no_row,
    sql::{Names, VERSION},
};

/// The time limit for a statement of the setup. A migration waits for the migration of another
/// process.
pub(super) const SET_UP: Duration = Duration::from_secs(10);

/// The settings of a connection, regardless of the database's defaults. A commit is answered when
/// it is on disk. Transactions are `read committed`. Statements are not compiled, because compiling
/// takes longer than running them.
macro_rules! set_up {
    ($timeout:literal) => {
        concat!(
            "SET statement_timeout = '",
            $timeout,
            "'; SET default_transaction_isolation = 'read committed'; SET jit = off; \
             SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
    };
}

pub(super) const SET_UP_PUTS: &str = set_up!("10s");
pub(super) const SET_UP_WORK: &str = set_up!("60s");

/// Planner settings for a worker's statements. Each of these statements has an index with the order
/// that it requires. While the statistics are old, the planner would prefer to read and sort all
/// due rows.
pub(super) const PLANS: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off";

/// Prepares a connection. Rejects a table of another version, because it may have been migrated
/// while there was no connection.
pub(super) fn set_up(statements: String, version: &Arc<str>) -> SetUp {
    let version = Arc::clone(version);
    let statements: Arc<str> = statements.into();
    Box::new(move |session| {
        let (statements, version) = (Arc::clone(&statements), Arc::clone(&version));
        Box::pin(async move {
            session.execute(&statements, SET_UP).await?;
            check_version(session, &version).await
        })
    })
}

async fn check_version(session: &Session, version: &str) -> Result<(), InboxError> {
    let rows = session.query(version, &[], SET_UP).await?;
    let row = rows.first().ok_or_else(no_row)?;
    match row.try_get::<_, Option<i32>>(0).map_err(|error| link::unreadable(&error))? {
        Some(VERSION) => Ok(()),
        Some(newer) if newer > VERSION => Err(InboxError::because(
            InboxErrorKind::NewerVersion,
            "a newer version of this crate created the inbox's table: use that version or a later one",
            format!("the table's version is {newer}, but this crate supports {VERSION}"),
        )),
        _ => Err(InboxError::new(InboxErrorKind::Damaged, "the inbox's table has no version, or an unknown one")),
    }
}

/// Warns if the server's settings can lose committed events in a power cut.
pub(super) async fn warn_of_its_settings(session: &Session) -> Result<(), InboxError> {
    const OFF: &str =
        "SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off' ORDER BY name";

    for row in session.query(OFF, &[], SET_UP).await? {
        telemetry::loses_on_power_cut(row.try_get(0).map_err(|error| link::unreadable(&error))?);
    }
    Ok(())
}

/// Returns whether a text in the database can contain any character. In another encoding, such as
/// `LATIN1`, the server rejects each statement that has a parameter with another character.
pub(super) async fn stores_any_text(session: &Session) -> Result<bool, InboxError> {
    const ENCODING: &str = "SELECT current_setting('server_encoding') IN ('UTF8', 'SQL_ASCII')";

    let rows = session.query(ENCODING, &[], SET_UP).await?;
    rows.first().ok_or_else(no_row)?.try_get(0).map_err(|error| link::unreadable(&error))
}

/// Creates the table if it is missing. An existing table is not changed, so that a user without the
/// permission to create tables can use it.
pub(super) async fn migrate(
    connector: &Connector,
    names: &Names,
    version: &Arc<str>,
    create_if_missing: bool,
) -> Result<(), InboxError> {
    let plain = Link::new(connector.clone(), Arc::new(|_| {}), Box::new(|_| Box::pin(async { Ok(()) })));
    let session = plain.session().await?;
    match check_version(&session, version).await {
        Err(error) if error.kind() == InboxErrorKind::Damaged && create_if_missing => {}
        checked => return checked,
    }
    let (lock, schema) = (names.lock(), &*names.schema);
    session.execute("BEGIN", SET_UP).await?;
    let migrated = async {
        session.query("SELECT pg_advisory_xact_lock($1)", &[(&lock, Type::INT8)], SET_UP).await?;
        let exists = "SELECT 1 FROM pg_namespace WHERE nspname = $1";
        if session.query(exists, &[(&schema, Type::TEXT)], SET_UP).await?.is_empty() {
            session.execute(&names.create_schema(), SET_UP).await?;
        }
        session.execute(&names.migration(), SET_UP).await?;
        session.execute("COMMIT", SET_UP).await
    };
    migrated.await?;
    check_version(&session, version).await
}
