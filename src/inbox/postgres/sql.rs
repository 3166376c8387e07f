//! The table, and the statements that read and change it.
//!
//! One row holds an event's claim and the event itself:
//!
//! | state | number | `due` |
//! |---|---|---|
//! | ready | 0 | 0 |
//! | delayed | 1 | when its next attempt is due |
//! | running | 2 | when its lease ends |
//! | suspect: ready, but must run alone | 3 | 0 |
//! | dead | 4 | when it became a dead letter |
//! | completed: only its key is kept | 5 | when its key expires |
//!
//! Times are milliseconds of the server's clock. Statements are not prepared, but planned each
//! time, for two reasons: a plan that was made while the table was empty would be inefficient for a
//! long time, and prepared statements do not survive a reconnect.

use sha2::{Digest, Sha256};

use super::super::{
    InboxError, InboxErrorKind,
    store::{ALONE_FROM, KEY_MARGIN, PAGE_BYTES},
};
use crate::verify::whole_millis;

/// The version of the table that this crate creates and uses.
pub(super) const VERSION: i32 = 1;

/// The server's clock. It does not change within a statement, so that an index can be used.
pub(super) const SERVER_CLOCK: &str = "(extract(epoch FROM now()) * 1000)::bigint";

/// The number of rows that one step of forgetting, redriving or purging changes.
pub(super) const FORGET: usize = 500;
pub(super) const STEP: usize = 100;

/// The maximum number of expired leases, or of due times too far in the future, that one statement
/// corrects.
const CORRECT: usize = 1_000;

/// The maximum number of remembered keys that are counted exactly.
pub(super) const COUNTED: u64 = 100_000;

/// The names of schema and table that the user chose.
#[derive(Clone, Debug)]
pub(in crate::inbox) struct Names {
    pub(in crate::inbox) schema: Box<str>,
    pub(in crate::inbox) table: Box<str>,
}

impl Names {
    /// PostgreSQL truncates longer names.
    const MAX_LEN: usize = 63;

    /// The longest suffix that is appended to the table's name, for its indexes and its version
    /// table.
    const LONGEST_SUFFIX: &str = "_version";

    pub(super) fn check(&self) -> Result<(), InboxError> {
        let is_name = |name: &str, suffix: &str| {
            !name.is_empty() && name.len().saturating_add(suffix.len()) <= Self::MAX_LEN && !name.contains('\0')
        };
        if is_name(&self.schema, "") && is_name(&self.table, Self::LONGEST_SUFFIX) {
            return Ok(());
        }
        let message = "invalid name: a schema name must have 1 to 63 bytes and a table name 1 to 55, without NUL";
        Err(InboxError::new(InboxErrorKind::Settings, message))
    }

    /// Returns the whole migration, for users who run it themselves.
    pub(in crate::inbox) fn by_hand(&self) -> Result<String, InboxError> {
        self.check()?;
        Ok(self.create_schema() + &self.migration())
    }

    fn qualified(&self, suffix: &str) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&format!("{}{suffix}", self.table)))
    }

    fn digest(&self) -> [u8; 8] {
        let digest: [u8; 32] = Sha256::digest(self.qualified("").as_bytes()).into();
        let (parts, _) = digest.as_chunks::<8>();
        parts.first().copied().unwrap_or_default()
    }

    /// Returns the channel for notifications.
    pub(super) fn channel(&self) -> String {
        format!("twenty_inbox_{:016x}", u64::from_be_bytes(self.digest()))
    }

    /// Returns the advisory lock that a migration holds, so that only one migration runs at a time.
    pub(super) fn lock(&self) -> i64 {
        i64::from_be_bytes(self.digest())
    }

    /// Returns the statements that create the table, for a database without it.
    pub(super) fn migration(&self) -> String {
        let (table, version) = (self.qualified(""), self.qualified("_version"));
        let index = |suffix: &str| quoted(&format!("{}{suffix}", self.table));
        let (pending, dead, ended) = (index("_pending"), index("_dead"), index("_ended"));
        format!(
            "\
CREATE TABLE IF NOT EXISTS {table} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    claim_key bytea NOT NULL UNIQUE,
    record bytea NOT NULL,
    state smallint NOT NULL DEFAULT 0,
    due bigint NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    interruptions integer NOT NULL DEFAULT 0,
    token bigint NOT NULL DEFAULT 0,
    owner bigint NOT NULL DEFAULT 0,
    fresh_until bigint NOT NULL,
    size integer NOT NULL,
    reason smallint,
    message text,
    event bytea
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX IF NOT EXISTS {pending} ON {table} (state, due, id) INCLUDE (size) WHERE state < 4;
CREATE INDEX IF NOT EXISTS {dead} ON {table} (id) WHERE state = 4;
CREATE INDEX IF NOT EXISTS {ended} ON {table} (state, due) WHERE state >= 4;
CREATE TABLE IF NOT EXISTS {version} (version integer NOT NULL);
INSERT INTO {version} (version) SELECT {VERSION} WHERE NOT EXISTS (SELECT FROM {version});
"
        )
    }

    pub(super) fn create_schema(&self) -> String {
        format!("CREATE SCHEMA IF NOT EXISTS {};\n", quoted(&self.schema))
    }
}

/// Quotes an identifier, which can contain any character.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The statements, with the names of schema and table inserted.
pub(super) struct Sql {
    pub(super) version: Box<str>,
    pub(super) put: Box<str>,
    pub(super) known: Box<str>,
    pub(super) held: Box<str>,
    pub(super) candidates: Box<str>,
    pub(super) recover: Box<str>,
    pub(super) correct: Box<str>,
    pub(super) take: Box<str>,
    pub(super) change: Box<str>,
    pub(super) own: Box<str>,
    pub(super) running: Box<str>,
    pub(super) expire: Box<str>,
    pub(super) retire: Box<str>,
    pub(super) stats: Box<str>,
    pub(super) estimate: Box<str>,
    pub(super) dead_letters: Box<str>,
    pub(super) dead_letter: Box<str>,
    pub(super) redrive_one: Box<str>,
    pub(super) redrive_some: Box<str>,
    pub(super) purge_one: Box<str>,
    pub(super) purge_some: Box<str>,
    pub(super) range: Box<str>,
    pub(super) erase: Box<str>,
}

impl Sql {
    /// Creates the statements. `now` is an expression for the present time in milliseconds.
    pub(super) fn new(names: &Names, now: &str) -> Self {
        let (t, version) = (names.qualified(""), names.qualified("_version"));
        let margin = whole_millis(KEY_MARGIN);
        // `$1`: how long keys are remembered
        let expires = format!("greatest({now} + $1, fresh_until + {margin})");
        let forget = format!(
            "UPDATE {t} SET state = 5, due = {expires}, owner = 0, size = 0, \
             reason = NULL, message = NULL, event = NULL"
        );
        let one = "state = 4 AND claim_key BETWEEN $2 AND $3";
        let some = |after: &str| {
            format!(
                "id = ANY(ARRAY(SELECT id FROM {t} WHERE state = 4 AND id > {after} \
                 ORDER BY id LIMIT {STEP} FOR UPDATE))"
            )
        };
        let redrive = format!(
            "UPDATE {t} SET state = 0, due = 0, attempts = 0, interruptions = 0, reason = NULL, message = NULL"
        );
        let ready_again = format!("CASE WHEN interruptions >= {ALONE_FROM} THEN 3 ELSE 0 END");
        // `$1`: how long keys are remembered; the other parameters: the changes. The owner of a
        // delayed event is its delay, which another process with a shorter longest delay must not
        // correct.
        let change = format!(
            "UPDATE {t} AS e SET \
                 state = CASE kind WHEN 0 THEN 5 WHEN 1 THEN 1 WHEN 2 THEN 4 WHEN 3 THEN {ready_again} ELSE 2 END, \
                 due = CASE kind WHEN 0 THEN {expires} WHEN 1 THEN {now} + delay WHEN 2 THEN {now} WHEN 3 THEN 0 \
                 ELSE {now} + delay END, \
                 attempts = attempts + CASE WHEN kind = 1 OR kind = 2 AND c.reason <> {interrupted} THEN 1 ELSE 0 END, \
                 interruptions = CASE kind WHEN 1 THEN 0 ELSE interruptions END, \
                 owner = CASE kind WHEN 1 THEN delay WHEN 4 THEN owner ELSE 0 END, \
                 size = CASE kind WHEN 0 THEN 0 ELSE size END, \
                 reason = CASE kind WHEN 2 THEN c.reason END, \
                 message = CASE kind WHEN 2 THEN c.message END, \
                 event = CASE kind WHEN 0 THEN NULL ELSE event END \
                 FROM unnest($2::bigint[], $3::bigint[], $4::smallint[], $5::bigint[], $6::smallint[], $7::text[]) \
                 AS c (id, token, kind, delay, reason, message) \
                 WHERE e.id = c.id AND e.token = c.token AND e.state = 2 AND e.id = ANY(ARRAY(SELECT id FROM {t} \
                 WHERE id = ANY($2) AND state = 2 FOR UPDATE SKIP LOCKED)) RETURNING e.id, e.token",
            interrupted = super::super::DeadReason::Interrupted.to_byte()
        );
        let letter = "id, event, attempts, interruptions, due, reason, message";
        let sql = |text: String| text.into_boxed_str();
        Self {
            version: sql(format!("SELECT max(version) FROM {version}")),
            put: sql(format!(
                "INSERT INTO {t} (claim_key, record, fresh_until, size, event) \
                 SELECT k, r, f, octet_length(e), e FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bytea[]) \
                 AS put (k, r, f, e) ON CONFLICT (claim_key) DO NOTHING RETURNING claim_key"
            )),
            known: sql(format!("SELECT claim_key FROM {t} WHERE claim_key = ANY($1)")),
            held: sql(format!(
                "SELECT (SELECT count(*) FROM {t} WHERE state < 4), \
                 (SELECT coalesce(sum(size), 0)::bigint FROM {t} WHERE state < 4) \
                 + (SELECT coalesce(sum(size), 0)::bigint FROM {t} WHERE state = 4)"
            )),
            candidates: candidates(&t, now),
            recover: sql(format!(
                "WITH lost AS MATERIALIZED (SELECT id FROM {t} WHERE state = 2 AND due <= {now} \
                 AND NOT (owner = $1 AND id = ANY($2)) ORDER BY due LIMIT {CORRECT} FOR UPDATE SKIP LOCKED) \
                 UPDATE {t} AS e SET interruptions = interruptions + 1, due = 0, owner = 0, \
                 state = CASE WHEN interruptions + 1 >= {ALONE_FROM} THEN 3 ELSE 0 END FROM lost WHERE e.id = lost.id \
                 RETURNING e.id"
            )),
            correct: sql(format!(
                "WITH far AS MATERIALIZED (SELECT id, CASE state WHEN 1 THEN greatest(owner, $1) ELSE $2 END AS most \
                 FROM {t} WHERE state = 1 AND due > {now} + $1 AND due > {now} + owner \
                 OR state = 2 AND due > {now} + $2 ORDER BY due DESC LIMIT {CORRECT} FOR UPDATE SKIP LOCKED) \
                 UPDATE {t} AS e SET due = {now} + most FROM far WHERE e.id = far.id RETURNING e.id"
            )),
            // `$8`: the chosen events; `$9`: the lease's duration; `$10`: this process
            take: sql(format!(
                "WITH ended AS ({change}), free AS MATERIALIZED (SELECT id FROM {t} WHERE id = ANY($8) \
                 AND (state IN (0, 3) OR state = 1 AND due <= {now}) FOR UPDATE SKIP LOCKED), \
                 taken AS (UPDATE {t} AS e SET state = 2, due = {now} + $9, token = token + 1, owner = $10 FROM free \
                 WHERE e.id = free.id RETURNING e.id, token, attempts, interruptions, event) \
                 SELECT id, token, attempts, interruptions, event FROM taken \
                 UNION ALL SELECT id, token, NULL, NULL, NULL FROM ended"
            )),
            change: sql(change),
            own: sql(format!("SELECT id, token FROM {t} WHERE state = 2 AND owner = $1")),
            running: sql(format!("SELECT id, token FROM {t} WHERE id = ANY($1) AND state = 2")),
            expire: sql(format!(
                "DELETE FROM {t} WHERE id = ANY(ARRAY(SELECT id FROM {t} WHERE state = 5 AND due <= {now} \
                 ORDER BY due LIMIT {FORGET} FOR UPDATE SKIP LOCKED)) RETURNING id"
            )),
            retire: sql(format!(
                "{forget} WHERE id = ANY(ARRAY(SELECT id FROM {t} WHERE state = 4 AND due < {now} - $2 \
                 ORDER BY due LIMIT {FORGET} FOR UPDATE SKIP LOCKED)) RETURNING id"
            )),
            stats: sql(format!(
                "WITH counted AS MATERIALIZED \
                 (SELECT state, count(*) AS n, sum(size)::bigint AS bytes, min(id) AS first \
                 FROM {t} WHERE state < 4 GROUP BY state) SELECT state, n, bytes, NULL::bytea FROM counted \
                 UNION ALL SELECT 4::smallint, count(*), coalesce(sum(size), 0)::bigint, NULL FROM {t} WHERE state = 4 \
                 UNION ALL SELECT 5::smallint, count(*), 0, NULL \
                 FROM (SELECT FROM {t} WHERE state = 5 LIMIT {COUNTED} + 1) AS completed \
                 UNION ALL SELECT 6::smallint, 0, 0, substring(event FROM 1 FOR 9) FROM {t} \
                 WHERE id = (SELECT min(first) FROM counted)"
            )),
            estimate: sql("SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass($1)".to_owned()),
            // `before`: the bytes of the page's earlier rows
            dead_letters: sql(format!(
                "SELECT {letter} FROM (SELECT {letter}, sum(size) OVER (ORDER BY id) - size AS before \
                 FROM (SELECT {letter}, size FROM {t} WHERE state = 4 AND id > $1 ORDER BY id LIMIT $2) AS page) AS sums \
                 WHERE before < {PAGE_BYTES} ORDER BY id"
            )),
            dead_letter: sql(format!(
                "SELECT {letter} FROM {t} WHERE state = 4 AND claim_key BETWEEN $1 AND $2 LIMIT 1"
            )),
            redrive_one: sql(format!("{redrive} WHERE state = 4 AND claim_key BETWEEN $1 AND $2 RETURNING id")),
            redrive_some: sql(format!("{redrive} WHERE state = 4 AND {} RETURNING id", some("$1"))),
            purge_one: sql(format!("{forget} WHERE {one} RETURNING id")),
            purge_some: sql(format!("{forget} WHERE state = 4 AND {} RETURNING id", some("$2"))),
            range: sql(format!("SELECT min(id), max(id) FROM {t}")),
            erase: sql(format!("{forget} WHERE id >= $2 AND id < $3 AND record = $4 AND state < 5 RETURNING id")),
        }
    }
}

/// The kinds of rows that [`Sql::candidates`] returns.
pub(super) mod candidate {
    pub(in super::super) const READY: i16 = 0;
    /// A delayed event that is due.
    pub(in super::super) const DUE: i16 = 1;
    /// A running event with a lease of this process, of which the process has no record.
    pub(in super::super) const LEAKED: i16 = 2;
    /// The first suspect.
    pub(in super::super) const SUSPECT: i16 = 3;
    /// The next delayed event that is not due yet.
    pub(in super::super) const NEXT: i16 = 4;
    /// Some leases have expired.
    pub(in super::super) const LOST: i16 = 5;
    /// Some due times are too far in the future.
    pub(in super::super) const FAR: i16 = 6;
}

/// Returns the statement that reads candidates. `$1`: the limit; `$2`: this process; `$3`: the
/// events that it runs; `$4`, `$5`: the longest delay and lease.
fn candidates(t: &str, now: &str) -> Box<str> {
    let none = "0::bigint, 0::bigint, 0::bigint, ''::bytea";
    format!(
        "(SELECT 0::smallint, id, 0::bigint, 0::bigint, record FROM {t} WHERE state = 0 ORDER BY due, id LIMIT $1) \
         UNION ALL (SELECT 1::smallint, id, due, 0, record FROM {t} WHERE state = 1 AND due <= {now} \
         ORDER BY due, id LIMIT $1) \
         UNION ALL (SELECT 2::smallint, id, due, token, record FROM {t} \
         WHERE state = 2 AND owner = $2 AND id <> ALL($3)) \
         UNION ALL (SELECT 3::smallint, id, 0, 0, record FROM {t} WHERE state = 3 ORDER BY interruptions, id LIMIT 1) \
         UNION ALL (SELECT 4::smallint, id, due - {now}, 0, record FROM {t} WHERE state = 1 AND due > {now} \
         ORDER BY due LIMIT 1) \
         UNION ALL (SELECT 5::smallint, {none} WHERE EXISTS (SELECT FROM {t} WHERE state = 2 AND due <= {now} \
         AND NOT (owner = $2 AND id = ANY($3)))) \
         UNION ALL (SELECT 6::smallint, {none} FROM (SELECT due, owner FROM {t} WHERE state = 1 \
         ORDER BY due DESC LIMIT 1) AS farthest WHERE due > {now} + greatest(owner, $4)) \
         UNION ALL (SELECT 6::smallint, {none} WHERE EXISTS (SELECT FROM {t} WHERE state = 2 AND due > {now} + $5))"
    )
    .into_boxed_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_cannot_end_their_quotes() {
        for (name, expected) in [("a", r#""a""#), (r#"a"b"#, r#""a""b""#), (r#"";--"#, r#"""";--""#)] {
            assert_eq!(quoted(name), expected);
        }
    }

    #[test]
    fn impossible_names_are_rejected() {
        let check = |schema: &str, table: &str| Names { schema: schema.into(), table: table.into() }.check().is_ok();
        assert!(check("a", "b") && check(&"a".repeat(63), &"b".repeat(55)) && check("ä \"'", "ö;"));
        for (schema, table) in [("", "b"), ("a", ""), ("a\0", "b"), ("a", "b\0")] {
            assert!(!check(schema, table));
        }
        assert!(!check(&"a".repeat(64), "b") && !check("a", &"b".repeat(56)));
    }
}
