//! A table of people that follows Twenty, for any order and number of the events. The guide's page
//! `docs/guide/mirroring.md` explains it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::sync::Mutex;
use tokio_postgres::{Client, Config, NoTls};
use twenty_webhook::{
    WebhookEvent,
    event::{Action, field::DateTime, record::Person},
    inbox::{HandlerError, PermanentExt},
};

pub(crate) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS people (
  id text PRIMARY KEY,
  name text, email text, job_title text, updated_at timestamptz,
  data_version bigint[] NOT NULL,  -- '{}' until a whole record arrives
  deleted_at timestamptz,          -- NULL if the person is not in the trash
  trash_version bigint[] NOT NULL
)
";

/// PostgreSQL compares arrays from left to right, as Rust compares a `Vec`.
pub(crate) const UPSERT: &str = "
INSERT INTO people AS p
  (id, name, email, job_title, updated_at, data_version, deleted_at, trash_version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (id) DO UPDATE SET
  (name, email, job_title, updated_at, data_version) = (
    SELECT * FROM (VALUES
      (excluded.name, excluded.email, excluded.job_title,
        excluded.updated_at, excluded.data_version),
      (p.name, p.email, p.job_title, p.updated_at, p.data_version)
    ) AS data (name, email, job_title, updated_at, version) ORDER BY version DESC LIMIT 1
  ),
  (deleted_at, trash_version) = (
    SELECT * FROM (VALUES
      (excluded.deleted_at, excluded.trash_version),
      (p.deleted_at, p.trash_version)
    ) AS trash (deleted_at, version) ORDER BY version DESC LIMIT 1
  )
";

/// The members of Twenty's record that the table needs.
const MEMBERS: [&str; 6] = ["id", "name", "emails", "jobTitle", "updatedAt", "deletedAt"];

/// The change that an event describes.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) id: String,
    /// A newer change has a greater version.
    pub(crate) version: Vec<i64>,
    /// `None` if the event has only a part of the record.
    pub(crate) data: Option<Data>,
    /// `None` if the person is not in the trash.
    pub(crate) deleted_at: Option<DateTime>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Data {
    pub(crate) name: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) job_title: Option<String>,
    pub(crate) updated_at: Option<DateTime>,
}

impl Change {
    pub(crate) fn of(event: &WebhookEvent<Person>) -> Result<Self, &'static str> {
        let person = &event.record;
        let id = person.id.as_ref().ok_or("a person without an id")?.to_string();
        let changed_at =
            person.updated_at.max(person.deleted_at).or(event.event_date).ok_or("an event without a time")?;
        let rank = match event.name.action() {
            Action::Created => 0,
            Action::Updated => 1,
            Action::Deleted if !event.is_restoration() => 2,
            Action::Deleted | Action::Restored => 3,
            // Destroyed for good: no version is greater, and the personal data is erased.
            Action::Destroyed => {
                let deleted_at = Some(event.event_date.unwrap_or(changed_at));
                return Ok(Self { id, version: vec![i64::MAX], data: Some(Data::default()), deleted_at });
            }
            _ => return Err("an unknown action"),
        };
        let sent_at = event.event_date.unwrap_or(changed_at);
        let version = vec![changed_at.as_millisecond(), sent_at.as_millisecond(), rank];

        // An unexpected member reads as `None`, which would overwrite the stored value with NULL.
        let is_mirrored = |path: &str| path.split('.').nth(1).is_some_and(|member| MEMBERS.contains(&member));
        if event.unexpected().iter().any(|member| is_mirrored(&member.path)) {
            return Err("a mirrored member has an unexpected type");
        }
        let is_whole = event.raw_record().is_some_and(|record| MEMBERS.iter().all(|name| record.get(name).is_some()));
        if !is_whole && rank < 2 {
            return Err("a created or updated person without a mirrored member");
        }
        let data = is_whole.then(|| Data::of(person));
        let deleted_at = match rank {
            2 => Some(person.deleted_at.unwrap_or(changed_at)),
            3 => None,
            _ => person.deleted_at,
        };
        Ok(Self { id, version, data, deleted_at })
    }
}

impl Data {
    fn of(person: &Person) -> Self {
        let text = |text: Option<&String>| text.filter(|text| !text.is_empty()).cloned();
        Self {
            name: person.display_name(),
            email: text(person.emails.as_ref().and_then(|emails| emails.primary_email.as_ref())),
            job_title: text(person.job_title.as_ref()),
            updated_at: person.updated_at,
        }
    }
}

/// The table. It connects on first use, and reconnects after a connection has failed.
#[derive(Clone)]
pub(crate) struct People {
    config: Arc<Config>,
    client: Arc<Mutex<Option<Arc<Client>>>>,
}

impl People {
    pub(crate) fn new(url: &str) -> Result<Self, tokio_postgres::Error> {
        let mut config: Config = url.parse()?;
        config.connect_timeout(Duration::from_secs(5)).tcp_user_timeout(Duration::from_secs(10));
        Ok(Self { config: Arc::new(config), client: Arc::default() })
    }

    async fn client(&self) -> Result<Arc<Client>, tokio_postgres::Error> {
        let mut client = self.client.lock().await;
        if let Some(client) = client.as_ref().filter(|client| !client.is_closed()) {
            return Ok(Arc::clone(client));
        }
        let (new, connection) = self.config.connect(NoTls).await?;
        tokio::spawn(connection);
        new.batch_execute(TABLE).await?;
        Ok(Arc::clone(client.insert(Arc::new(new))))
    }

    async fn apply(&self, change: Change) -> Result<(), tokio_postgres::Error> {
        let Change { id, version, data, deleted_at } = change;
        let data_version = if data.is_some() { version.clone() } else { Vec::new() };
        let Data { name, email, job_title, updated_at } = data.unwrap_or_default();
        let (updated_at, deleted_at) = (updated_at.map(system_time), deleted_at.map(system_time));
        let client = self.client().await?;
        client
            .execute(UPSERT, &[&id, &name, &email, &job_title, &updated_at, &data_version, &deleted_at, &version])
            .await?;
        Ok(())
    }
}

/// Converts a time to the type that tokio-postgres accepts for a `timestamptz`.
fn system_time(time: DateTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(time.as_millisecond().try_into().unwrap_or(0))
}

/// The inbox's handler for `person.*`.
pub(crate) async fn sync(people: People, event: WebhookEvent<Person>) -> Result<(), HandlerError> {
    let change = Change::of(&event).permanent()?;
    people.apply(change).await.map_err(|error| match error.code() {
        // SQLSTATE class 22: the database can never store this value.
        Some(code) if code.code().starts_with("22") => HandlerError::permanent(error),
        _ => error.into(),
    })
}
