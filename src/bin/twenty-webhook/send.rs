//! `send`: posts deliveries as Twenty does.

use std::{
    borrow::Cow,
    io::{self, IsTerminal},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
};

use axum::http::{Method, Uri, uri::PathAndQuery};
use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use serde_json::Value;
use twenty_webhook::{
    event::EventName,
    testing::{Delivery, Forgery, SignedDelivery},
};
use uuid::Uuid;

use crate::{
    batch::{self, Ready},
    capture::Capture,
    client::header_map,
    input,
    output::{self, Failure, harmless, harmless_line, note},
    secrets::SecretOptions,
    target::Target,
    time,
};

const EXAMPLES: &str = "\
Events: created, updated, deleted, restored and destroyed of every standard object, such as person.created, and of a custom \
object, such as subscription.updated; and changes of the data model, such as metadata.fieldMetadata.updated.

Examples:
  twenty-webhook send person.created --to http://localhost:3000/
  twenty-webhook send person.updated --set record.jobTitle=CTO --to http://localhost:3000/
  twenty-webhook send company.created --count 1000 --to http://localhost:3000/
  twenty-webhook send --list
  twenty-webhook send person.created --print > person.http
  twenty-webhook send person.created --forge tampered --to http://localhost:3000/";

/// Post sample deliveries, signed as Twenty signs them.
///
/// Exits with 0 if every delivery was answered with a 2xx status within 5 seconds, the time after
/// which Twenty times out. Otherwise, it exits with 1. A correct receiver rejects a forged
/// delivery, so exit code 1 is expected with --forge. Ctrl-C prints a summary of the answers so far
/// and exits with 1.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Send {
    /// Send a sample of this event, or the body in this file. A file is a path with a slash, a name
    /// that ends with .json or .http, or `-` for standard input
    #[arg(value_name = "EVENT|FILE", required_unless_present = "list")]
    what: Option<Source>,

    /// The receiver's address
    #[arg(long, value_name = "URL", required_unless_present_any = ["list", "print"])]
    to: Option<Target>,

    /// List the events that have samples, and send nothing. `subscription` is an example of a
    /// custom object
    #[arg(long)]
    list: bool,

    /// Print the request with its headers, signature and body, and send nothing
    #[arg(long, conflicts_with = "count")]
    print: bool,

    /// Set the value at a path of the body: record.jobTitle=CTO. A value that is JSON is inserted
    /// as JSON. Repeatable
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<Change>,

    /// Number of deliveries. Each one is a different event, with its own date and its own record
    #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = input::positive)]
    count: NonZeroUsize,

    /// Maximum number of deliveries that wait for an answer at the same time; Twenty sends up to 20
    #[arg(long, value_name = "NUMBER", default_value = "20", value_parser = input::positive)]
    concurrency: NonZeroUsize,

    /// Send a forged delivery, which a receiver must reject
    #[arg(long, value_name = "HOW", value_parser = forgery())]
    forge: Option<Forgery>,

    #[command(flatten)]
    secret: SecretOptions,
}

impl Send {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        if self.list {
            let names = Delivery::samples().map(|sample| format!("{}\n", sample.name()));
            output::print(&names.collect::<String>())?;
            return Ok(ExitCode::SUCCESS);
        }
        // clap requires it without `--list`.
        let what = self.what.as_ref().ok_or_else(|| Failure::new("no event and no file"))?;
        let file = if let Source::File(file) = what { Some(&**file) } else { None };
        self.secret.check_standard_input(file)?;
        let signer = self.secret.signer()?;
        let template = what.delivery()?;
        let has_own_date = file.is_none() || self.count > NonZeroUsize::MIN;
        let count = self.count.get() as u64;
        // Wrong options are reported before anything is sent.
        let first = self.nth(&template, 0, has_own_date)?;
        self.warn_about_changes(&first);
        let sign = |delivery: &Delivery| match self.forge {
            Some(forgery) => delivery.forge(forgery, &signer),
            None => delivery.sign(&signer),
        };
        if self.print {
            print_request(&sign(&first), self.to.as_ref())?;
            return Ok(ExitCode::SUCCESS);
        }
        let to = self.to.as_ref().ok_or_else(|| Failure::new("no --to"))?;
        let deliveries = (0..count).map(|number| {
            let delivery = if number == 0 { first.clone() } else { self.nth(&template, number, has_own_date)? };
            let signed = sign(&delivery);
            let headers = header_map(signed.headers())?;
            Ok(Ready { method: Method::POST, headers, body: signed.body().clone() })
        });
        let hint = "compare the secrets, or send it to `twenty-webhook listen`, which explains why";
        batch::post(to, self.concurrency, count, deliveries, self.forge.is_none().then_some(hint))
    }

    /// Returns one of the deliveries. A single delivery from a file is not changed.
    fn nth(&self, template: &Delivery, number: u64, has_own_date: bool) -> Result<Delivery, Failure> {
        let mut delivery = template.clone();
        if has_own_date {
            let later = jiff::SignedDuration::from_millis(i64::try_from(number).unwrap_or_default());
            let date = time::now().checked_add(later).unwrap_or(jiff::Timestamp::MAX);
            let text = format!("{date:.3}");
            let set = delivery.set("eventDate", text);
            delivery = set.map_err(|error| Failure::about("--count cannot set the event's date", &error))?;
        }
        if self.count > NonZeroUsize::MIN {
            // Metadata events have no record.
            delivery = delivery.clone().set("record.id", Uuid::new_v4().to_string()).unwrap_or(delivery);
        }
        for Change { path, value } in &self.set {
            let set = delivery.set(path, value);
            delivery = set.map_err(|error| Failure::about(format!("--set {path}"), &error))?;
        }
        Ok(delivery)
    }

    /// Warns about a field of the record that was set outside of the record, because nothing else
    /// shows this mistake.
    fn warn_about_changes(&self, delivery: &Delivery) {
        let record = if delivery.name().metadata_name().is_some() { "event" } else { "record" };
        for Change { path, .. } in &self.set {
            if path.split('.').next() != Some(record) {
                let path = harmless_line(path);
                note(&format!("--set {path} is outside the member {record}: to set its field, write {record}.{path}"));
            }
        }
    }
}

/// Prints the request as it is sent. On a terminal, control characters are escaped. `verify` and
/// `replay` can read the output.
fn print_request(signed: &SignedDelivery, to: Option<&Target>) -> Result<(), Failure> {
    let uri = to.map(Target::uri);
    let path = uri.and_then(Uri::path_and_query).map_or("/", PathAndQuery::as_str);
    let mut head = format!("POST {path} HTTP/1.1\r\n");
    if let Some(authority) = uri.and_then(Uri::authority) {
        head += &format!("host: {authority}\r\n");
    }
    for (name, value) in signed.headers() {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n", signed.body().len());
    let request = [head.as_bytes(), signed.body()].concat();
    if !io::stdout().is_terminal() {
        return output::print_bytes(&request);
    }
    let shown = String::from_utf8_lossy(&request).replace("\r\n", "\n");
    let shown = harmless(&shown);
    if matches!(shown, Cow::Owned(_)) {
        note("control characters are escaped on a terminal; in a file or a pipe, the body is printed as it is sent");
    }
    output::print(&format!("{shown}\n"))
}

/// What to send.
#[derive(Clone)]
enum Source {
    Event(EventName),
    File(PathBuf),
}

impl Source {
    fn delivery(&self) -> Result<Delivery, Failure> {
        match self {
            Self::Event(name) => {
                let is_of_twenty = name.metadata_name().is_some()
                    || Delivery::samples().any(|sample| sample.name().object() == name.object());
                if !is_of_twenty {
                    note(&format!("{} is not a standard object: sending a made-up record", name.object()));
                }
                if let Some(problem) = never_sent(name) {
                    note(&format!("no version of Twenty sends {name}: {problem}"));
                }
                Ok(Delivery::sample(name.clone()))
            }
            Self::File(file) => {
                let content = input::read(file)?;
                if !Capture::is_one(&content) {
                    return Ok(Delivery::from_body(content));
                }
                let capture = Capture::parse(&content).map_err(|error| Failure::about(input::name(file), &error))?;
                Ok(Delivery::from_body(capture.body))
            }
        }
    }
}

impl FromStr for Source {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let path = Path::new(text);
        let has_extension = path.extension().is_some_and(|extension| extension == "json" || extension == "http");
        if has_extension || input::is_standard_input(path) || text.contains(['/', '\\']) {
            return Ok(Self::File(path.to_owned()));
        }
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if text.contains('.') && text.split('.').all(is_word) {
            return Ok(Self::Event(EventName::new(text)));
        }
        Err("it should be an event such as person.created, or a file such as ./body.json")
    }
}

/// A value for a path in the body.
#[derive(Clone)]
struct Change {
    path: String,
    value: Value,
}

impl FromStr for Change {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (path, value) = text.split_once('=').ok_or("it should be PATH=VALUE, such as record.jobTitle=CTO")?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        Ok(Self { path: path.to_owned(), value })
    }
}

/// Returns why no version of Twenty sends such an event, or `None` if some version does.
fn never_sent(name: &EventName) -> Option<&'static str> {
    let kind = name.metadata_name();
    let has_action = |sample: &Delivery| {
        sample.name().metadata_name().is_some() == kind.is_some() && sample.name().action() == name.action()
    };
    let object = kind.unwrap_or_else(|| name.object());
    if !object.starts_with(|c: char| c.is_ascii_lowercase()) || object.contains('.') {
        Some("an object's name is one word that begins with a lower-case letter, such as person")
    } else if Delivery::samples().any(|sample| has_action(&sample)) {
        None
    } else if kind.is_some() {
        Some("the actions of metadata are created, updated and deleted")
    } else {
        Some("the actions of records are created, updated, deleted, restored and destroyed")
    }
}

fn forgery() -> impl TypedValueParser<Value = Forgery> {
    let names = Forgery::ALL.iter().map(|forgery| forgery.as_str());
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Forgery>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_files_are_distinguished() {
        for event in ["person.created", "metadata.fieldMetadata.updated", "rocket9.launched"] {
            assert!(matches!(event.parse(), Ok(Source::Event(_))), "{event}");
        }
        for file in ["-", "a.json", "./person.created", "captures/1790932471733-9c56cc51b374.http", "C:\\body"] {
            assert!(matches!(file.parse(), Ok(Source::File(_))), "{file}");
        }
        for neither in ["", ".", "person", "person.", "person created", "person..created", "*.created"] {
            assert!(neither.parse::<Source>().is_err(), "{neither}");
        }
    }

    #[test]
    fn values_are_json_or_text() {
        let value = |text: &str| text.parse::<Change>().unwrap().value.to_string();
        assert_eq!(value("record.jobTitle=CTO"), "\"CTO\"");
        assert_eq!(value("record.position=1.50"), "1.5", "as JavaScript writes it");
        assert_eq!(value("record.name={\"firstName\":null}"), "{\"firstName\":null}");
        assert_eq!(value("record.position=\"1\""), "\"1\"");
        assert_eq!(value("record.equation=a=b"), "\"a=b\"");
        assert_eq!(value("record.city="), "\"\"");
        assert!("record.city".parse::<Change>().is_err());
    }
}
