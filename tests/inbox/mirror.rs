//! Tests the example `mirror_people`: its table equals Twenty's data, in any order of the events.

#[path = "../../examples/common/people.rs"]
#[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "no database to write to"))]
mod people;

use people::{Change, Data};
use serde_json::{Value, json};
use twenty_webhook::{WebhookEvent, event::record::Person, testing::Delivery};

/// A change of a person in Twenty, and the part of the record that the delivery contains.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Created,
    Updated,
    Deleted,
    /// The record is `{id, deletedAt}`, as in `tests/real`.
    DeletedThin,
    /// The record is `{id}`, as after a bulk deletion.
    DeletedIdOnly,
    Restored,
    /// An event `deleted` with `{id, deletedAt: null}`.
    RestoredThin,
    Destroyed,
}

use Step::*;

/// The state of the person in Twenty.
#[derive(Clone, Debug, PartialEq)]
struct Truth {
    /// `None` if the person is destroyed.
    job_title: Option<String>,
    updated_at: String,
    deleted_at: Option<String>,
}

impl Truth {
    fn new() -> Self {
        Self { job_title: None, updated_at: minute(0), deleted_at: None }
    }

    /// Applies a change at this minute.
    fn step(&mut self, step: Step, at: usize) {
        self.updated_at = minute(at);
        match step {
            Created | Updated => self.job_title = Some(format!("title {at}")),
            Deleted | DeletedThin | DeletedIdOnly => self.deleted_at = Some(minute(at)),
            Restored | RestoredThin => self.deleted_at = None,
            Destroyed => self.job_title = None,
        }
    }

    fn is_live(&self) -> bool {
        self.job_title.is_some() && self.deleted_at.is_none()
    }
}

fn minute(number: usize) -> String {
    format!("2026-11-01T10:{number:02}:00.000Z")
}

/// Returns all possible histories of this many steps.
fn histories(steps: usize) -> Vec<Vec<Step>> {
    let mut all = vec![vec![Created]];
    for _ in 1..steps {
        let longer = |history: Vec<Step>| {
            let next: &[Step] = match history.last().unwrap() {
                Created | Updated | Restored | RestoredThin => {
                    &[Updated, Deleted, DeletedThin, DeletedIdOnly, Destroyed]
                }
                Deleted | DeletedThin | DeletedIdOnly => &[Restored, RestoredThin, Destroyed],
                Destroyed => return vec![history],
            };
            next.iter().map(|&step| [&history[..], &[step]].concat()).collect()
        };
        all = all.into_iter().flat_map(longer).collect();
    }
    all
}

/// Returns the deliveries of a history, and the final state.
fn deliveries(id: &str, history: &[Step]) -> (Vec<Delivery>, Truth) {
    // The rule compares `eventDate` only for these. The other histories have it in reverse order.
    let needs_event_date = history.iter().any(|step| matches!(step, DeletedIdOnly | RestoredThin));
    let mut truth = Truth::new();
    let deliveries = history.iter().enumerate().map(|(at, &step)| {
        let before = truth.clone();
        truth.step(step, at);
        let action = match step {
            Created => "created",
            Updated => "updated",
            Deleted | DeletedThin | DeletedIdOnly | RestoredThin => "deleted",
            Restored => "restored",
            Destroyed => "destroyed",
        };
        let whole = |truth: &Truth| {
            json!({
                "id": id, "name": {"firstName": "Ada", "lastName": "Lovelace"}, "emails": null,
                "jobTitle": truth.job_title, "updatedAt": truth.updated_at, "deletedAt": truth.deleted_at,
            })
        };
        let record = match step {
            DeletedThin | RestoredThin => json!({"id": id, "deletedAt": truth.deleted_at}),
            DeletedIdOnly => json!({"id": id}),
            Destroyed => whole(&before),
            _ => whole(&truth),
        };
        let sent = if needs_event_date { at } else { 30 - at };
        delivery(action, record).set("eventDate", minute(sent).replace(":00.000Z", ":00.100Z")).unwrap()
    });
    (deliveries.collect(), truth)
}

fn delivery(action: &str, record: Value) -> Delivery {
    Delivery::sample(format!("person.{action}")).set("record", record).unwrap()
}

fn event(delivery: &Delivery) -> WebhookEvent<Person> {
    delivery.clone().into_event().unwrap()
}

fn change(delivery: &Delivery) -> Result<Change, &'static str> {
    Change::of(&event(delivery))
}

fn orders(len: usize) -> Vec<Vec<usize>> {
    let Some(last) = len.checked_sub(1) else { return vec![vec![]] };
    let insert = |order: Vec<usize>| {
        (0..len).map(move |at| {
            let mut order = order.clone();
            order.insert(at, last);
            order
        })
    };
    orders(last).into_iter().flat_map(insert).collect()
}

/// A row as the rule computes it: the newest version of the data, and the newest version of the
/// deletion.
#[derive(Default)]
struct Row {
    data: (Vec<i64>, Data),
    trash: (Vec<i64>, bool),
}

impl Row {
    fn after<'a>(changes: impl Iterator<Item = &'a Change>) -> Self {
        let mut row = Self::default();
        for Change { version, data, deleted_at, .. } in changes {
            if let Some(data) = data.as_ref().filter(|_| *version > row.data.0) {
                row.data = (version.clone(), data.clone());
            }
            if *version > row.trash.0 {
                row.trash = (version.clone(), deleted_at.is_some());
            }
        }
        row
    }

    fn is_live(&self) -> bool {
        !self.data.0.is_empty() && !self.trash.1
    }
}

#[test]
fn each_order_of_a_persons_events_ends_in_twentys_state() {
    let histories = histories(5);
    assert!(histories.len() > 100);
    for history in histories {
        let (deliveries, truth) = deliveries("ada", &history);
        let changes: Vec<_> = deliveries.iter().map(|delivery| change(delivery).unwrap()).collect();
        for order in orders(changes.len()) {
            let row = Row::after(order.iter().chain(&order).map(|&number| &changes[number]));
            assert_eq!(row.is_live(), truth.is_live(), "{history:?} {order:?}");
            assert_eq!(row.data.1.job_title, truth.job_title, "{history:?} {order:?}");
        }
    }
}

/// The samples for `updated` and later actions have equal `updatedAt` and `eventDate`.
#[test]
fn each_order_of_the_samples_ends_in_the_right_state() {
    let actions = ["created", "updated", "deleted", "restored", "destroyed"];
    let samples = actions.map(|action| change(&Delivery::sample(format!("person.{action}"))).unwrap());
    for (len, is_live) in [(1, true), (2, true), (3, false), (4, true), (5, false)] {
        for order in orders(len) {
            let row = Row::after(order.iter().map(|&number| &samples[number]));
            assert_eq!(row.is_live(), is_live, "{order:?}");
        }
    }
}

/// Checks the assumptions of the rule with the deliveries of a real server: a deletion and a
/// restoration change `updatedAt`, and a destruction does not.
#[test]
fn real_deliveries_have_the_times_that_the_rule_compares() {
    let event = |name: &str| -> (Value, String) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real").join(name);
        let event: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        (event["record"].clone(), event["eventDate"].as_str().unwrap().to_owned())
    };
    let time = |record: &Value, name: &str| record[name].as_str().unwrap().to_owned();

    let (merged, _) = event("person.deleted.by-a-merge.json");
    assert_eq!(merged["updatedAt"], merged["deletedAt"]);
    let (destroyed, sent_at) = event("person.destroyed.json");
    assert_eq!(destroyed["updatedAt"], destroyed["deletedAt"]);
    assert!(time(&destroyed, "updatedAt") < sent_at);

    // This company was deleted, restored and destroyed.
    let (deleted, _) = event("company.deleted.soft-delete.json");
    let (destroyed, sent_at) = event("company.destroyed.json");
    assert_eq!((&deleted["id"], &destroyed["deletedAt"]), (&destroyed["id"], &Value::Null));
    assert!(time(&deleted, "deletedAt") < time(&destroyed, "updatedAt"));
    assert!(time(&destroyed, "updatedAt") < sent_at);
}

#[test]
fn a_member_that_cannot_be_mirrored_is_an_error_and_null_is_not() {
    let person = Delivery::sample("person.updated");
    let set = |path: &str, value: Value| change(&person.clone().set(path, value).unwrap());
    assert_eq!(set("record.jobTitle", Value::Null).unwrap().data.unwrap().job_title, None);
    assert!(set("record.position", json!("first")).unwrap().data.is_some());
    for (path, value) in [
        ("record.jobTitle", json!(7)),
        ("record.emails.primaryEmail", json!(7)),
        ("record.deletedAt", json!(true)),
        ("record", json!({"id": "ada", "updatedAt": minute(0), "deletedAt": null, "name": null, "emails": null})),
        ("record", json!({"jobTitle": "Countess"})),
    ] {
        assert!(set(path, value).is_err(), "{path}");
    }
}

#[test]
fn the_guide_shows_the_sql_of_the_example() {
    let page = include_str!("../../docs/guide/mirroring.md");
    for sql in [people::TABLE, people::UPSERT] {
        assert!(page.contains(sql), "docs/guide/mirroring.md does not have{sql}");
    }
}

#[cfg(feature = "postgres")]
mod in_postgres {
    use super::*;
    use crate::support::postgres::Server;
    use people::{People, sync};
    use tokio::task::JoinSet;

    async fn send(people: &People, deliveries: &[Delivery], order: impl Iterator<Item = &usize>) {
        for &number in order {
            sync(people.clone(), event(&deliveries[number])).await.unwrap();
        }
    }

    /// Each event arrives twice at the same time, over two connections.
    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts a private postgres"]
    async fn the_table_equals_twenty_after_each_order_of_the_events() {
        let server = Server::start(&[]);
        let (first, second) = (People::new(&server.url()).unwrap(), People::new(&server.url()).unwrap());
        // If two connections create the table at the same time, one of them can fail. The inbox
        // would retry.
        send(&first, &deliveries("warm-up", &[Created]).0, [0].iter()).await;
        let mut expected = Vec::new();
        let mut tasks = JoinSet::new();
        for (number, history) in histories(4).iter().enumerate() {
            for order in orders(history.len()) {
                let id = format!("{number:02} {order:?}");
                let (deliveries, truth) = deliveries(&id, history);
                expected.push(format!("{id}|{}|{}", truth.job_title.as_deref().unwrap_or("-"), truth.is_live()));
                let (first, second) = (first.clone(), second.clone());
                tasks.spawn(async move {
                    let one_way = send(&first, &deliveries, order.iter());
                    tokio::join!(one_way, send(&second, &deliveries, order.iter().rev()))
                });
            }
        }
        tasks.join_all().await;
        let rows = "SELECT id, coalesce(job_title, '-'),
            CASE WHEN deleted_at IS NULL AND data_version <> '{}' THEN 'true' ELSE 'false' END
            FROM people WHERE id <> 'warm-up' ORDER BY id";
        let rows = server.sql(rows);
        assert!(rows.len() > 500);
        expected.sort();
        assert_eq!(rows, expected);
    }

    #[tokio::test]
    #[ignore = "starts a private postgres"]
    async fn a_value_that_the_database_cannot_store_is_a_permanent_error_and_an_outage_is_not() {
        let mut server = Server::start(&[]);
        let people = People::new(&server.url()).unwrap();
        let titled = |title: &str| event(&Delivery::sample("person.created").set("record.jobTitle", title).unwrap());
        let error = sync(people.clone(), titled("a\0b")).await.unwrap_err();
        assert!(error.is_permanent(), "{error}");
        server.kill();
        let error = sync(people.clone(), titled("Countess")).await.unwrap_err();
        assert!(!error.is_permanent(), "{error}");
        server.restart();
        sync(people.clone(), titled("Countess")).await.unwrap();
        let times = "SELECT job_title, updated_at = '2026-10-02T09:14:31.512Z' FROM people";
        assert_eq!(server.sql(times), ["Countess|t"]);
    }
}
