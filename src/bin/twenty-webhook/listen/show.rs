//! Decides which deliveries are shown, and shows their JSON exactly as it was sent.

use std::{
    collections::HashSet,
    io::{self, IsTerminal},
};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use twenty_webhook::{
    WebhookEvent,
    event::{EventName, EventPattern, RawJson, Record},
};

use crate::output::{Format, harmless_json, style, styled};

/// How deliveries are shown.
pub(super) struct View {
    pub(super) format: Format,
    pub(super) show: Option<Part>,
    /// Empty for all events.
    pub(super) filter: Vec<EventPattern>,
}

/// A part of a delivery's JSON.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Part {
    /// The record, changed fields first; for a metadata event, its member `event`
    Record,
    /// The whole body, in the order of its members
    Body,
}

/// The JSON of a delivery that is shown.
pub(super) struct Shown {
    /// The name of its member in a JSON line.
    pub(super) name: &'static str,
    json: String,
    /// The number of changed members, which come first.
    changed: usize,
}

impl View {
    pub(super) fn includes(&self, name: &EventName) -> bool {
        self.filter.is_empty() || self.filter.iter().any(|pattern| pattern.matches(name))
    }
}

impl Part {
    /// Returns this part of an event, or `None` if the event has no record.
    pub(super) fn of(self, event: &WebhookEvent) -> Option<Shown> {
        let as_sent = |name, json| Shown { name, json, changed: 0 };
        match (self, &event.record) {
            // The body was read as JSON, so it is UTF-8.
            (Self::Body, _) => Some(as_sent("body", String::from_utf8_lossy(event.body()).into_owned())),
            (Self::Record, Record::Metadata(metadata)) => Some(as_sent("record", metadata.raw().as_str().to_owned())),
            (Self::Record, _) => event.raw_record().map(|record| changed_first(&record, event)),
        }
    }
}

fn changed_first(record: &RawJson, event: &WebhookEvent) -> Shown {
    let members = record.members();
    let names: HashSet<String> = members.iter().map(|(name, _)| name.clone()).collect();
    let listed: HashSet<&str> = event.updated_fields.iter().flatten().map(String::as_str).collect();
    // The same as `WebhookEvent::changed`, but in linear time for all fields.
    let is_changed = |name: &str| {
        let relation = name.strip_suffix("Id").filter(|relation| !names.contains(*relation));
        listed.contains(name) || relation.is_some_and(|relation| listed.contains(relation))
    };
    let (changed, others): (Vec<_>, Vec<_>) = members.into_iter().partition(|(name, _)| is_changed(name));
    // This includes a record that is not an object.
    if changed.is_empty() {
        return Shown { name: "record", json: record.as_str().to_owned(), changed: 0 };
    }
    let count = changed.len();
    let members = changed.iter().chain(&others);
    let members = members.map(|(name, value)| format!("{}:{}", serde_json::Value::from(name.as_str()), value.as_str()));
    let json = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
    Shown { name: "record", json, changed: count }
}

impl Shown {
    /// Returns the JSON on one line, without colours.
    pub(super) fn compact(&self) -> String {
        Tokens(&self.json).map(harmless_json).collect()
    }

    /// Returns one member per line on a terminal, and one line otherwise, with a newline at the
    /// end.
    pub(super) fn pretty(&self) -> String {
        self.lines(io::stdout().is_terminal())
    }

    fn lines(&self, is_spread: bool) -> String {
        /// Deeper members are not indented further.
        const DEEPEST: usize = 32;
        let mut text = String::new();
        let mut depth = 0_usize;
        let mut members = 0_usize;
        let new_line = |text: &mut String, depth: usize| {
            if is_spread {
                text.push('\n');
                text.push_str(&"  ".repeat(depth.min(DEEPEST).saturating_add(2)));
            }
        };
        let mut tokens = Tokens(&self.json).peekable();
        if is_spread {
            text.push_str("    ");
        }
        while let Some(token) = tokens.next() {
            match token {
                "{" | "[" => {
                    text.push_str(token);
                    if let Some(end) = tokens.next_if(|next| matches!(*next, "}" | "]")) {
                        text.push_str(end);
                    } else {
                        depth = depth.saturating_add(1);
                        new_line(&mut text, depth);
                    }
                }
                "}" | "]" => {
                    depth = depth.saturating_sub(1);
                    new_line(&mut text, depth);
                    text.push_str(token);
                }
                "," => {
                    text.push(',');
                    new_line(&mut text, depth);
                }
                ":" => text.push_str(if is_spread { ": " } else { ":" }),
                _ => {
                    let is_name = tokens.peek() == Some(&":");
                    members = members.saturating_add(usize::from(is_name && depth == 1));
                    let is_changed = is_name && depth == 1 && members <= self.changed;
                    text.push_str(&styled(token_style(token, is_name, is_changed), harmless_json(token)));
                }
            }
        }
        text.push('\n');
        text
    }
}

fn token_style(token: &str, is_name: bool, is_changed: bool) -> Style {
    match token {
        _ if is_changed => style::ODD,
        _ if is_name => AnsiColor::Cyan.on_default(),
        "null" => style::FAINT,
        _ if token.starts_with('"') => AnsiColor::Green.on_default(),
        _ => Style::new(),
    }
}

/// The tokens of a JSON text.
#[derive(Clone, Copy)]
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.0.trim_ascii_start();
        let is_punctuation = |c: char| matches!(c, '{' | '}' | '[' | ']' | ':' | ',');
        let end = match rest.chars().next()? {
            '"' => string_end(rest),
            first if is_punctuation(first) => 1,
            _ => rest.find(|c| is_punctuation(c) || c == '"' || c.is_ascii_whitespace()).unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at_checked(end)?;
        self.0 = after;
        Some(token)
    }
}

/// Returns the end of the string with which `text` begins.
fn string_end(text: &str) -> usize {
    let mut is_escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return index.saturating_add(1),
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use serde_json::Value;
    use twenty_webhook::testing::Delivery;

    use super::*;

    fn shown(json: &str) -> Shown {
        Shown { name: "body", json: json.to_owned(), changed: 0 }
    }

    fn plain(styled: &str) -> String {
        anstream::adapter::strip_str(styled).to_string()
    }

    #[test]
    fn changed_fields_come_first_and_the_rest_stays_as_it_was_sent() {
        let body = r#"{"eventName":"person.updated", "record": {"a": 1.50, "b" : {}, "c\u00e9":[ ],
            "d": [1e400, {"e": "\ud800"}], "companyId": null}, "updatedFields": ["cé", "company"]}"#;
        let event: WebhookEvent = Delivery::from_body(body).into_event().unwrap();
        let record = Part::Record.of(&event).unwrap();
        let expected = r#"{"cé":[],"companyId":null,"a":1.50,"b":{},"d":[1e400,{"e":"\ud800"}]}"#;
        assert_eq!(record.compact(), expected);
        assert_eq!(plain(&record.lines(false)), format!("{expected}\n"));
        let lines = [
            "    {",
            "      \"cé\": [],",
            "      \"companyId\": null,",
            "      \"a\": 1.50,",
            "      \"b\": {},",
            "      \"d\": [",
            "        1e400,",
            "        {",
            "          \"e\": \"\\ud800\"",
            "        }",
            "      ]",
            "    }\n",
        ];
        assert_eq!(plain(&record.lines(true)), lines.join("\n"));
        for (name, is_changed) in [("\"cé\"", true), ("\"companyId\"", true), ("\"a\"", false)] {
            assert_eq!(record.lines(true).contains(&styled(style::ODD, name)), is_changed, "{name}");
        }
        let whole = Part::Body.of(&event).unwrap().compact();
        assert!(
            whole.starts_with(r#"{"eventName":"person.updated","record":{"a":1.50,"b":{},"c\u00e9":[],"#),
            "{whole}"
        );
    }

    #[test]
    fn every_sample_is_shown() {
        for sample in Delivery::samples() {
            let event: WebhookEvent = sample.clone().into_event().unwrap();
            let is_the_same = |part: Part, value: &Value| {
                let shown = part.of(&event).unwrap();
                [shown.compact(), plain(&shown.lines(true)), plain(&shown.lines(false))]
                    .iter()
                    .all(|text| serde_json::from_str::<Value>(text).unwrap() == *value)
            };
            let body: Value = serde_json::from_slice(sample.body()).unwrap();
            let record = body.get("record").or_else(|| body.get("event")).unwrap();
            assert!(is_the_same(Part::Body, &body) && is_the_same(Part::Record, record), "{:?}", sample.name());
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<Option<bool>>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[\\\\\"\u{1b}\u{9b}\u{202e}\u{2028}{}:, ]*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(Value::from),
                vec((any::<String>(), inner), 0..4).prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// The shown JSON has the same value, is on one line if it should be, and contains nothing
        /// that a terminal interprets.
        #[test]
        fn any_value_stays_the_same_and_is_harmless(value in json(), is_indented: bool) {
            let text = if is_indented { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let shown = shown(&text.unwrap());
            prop_assert_eq!(plain(&shown.lines(false)), format!("{}\n", shown.compact()));
            for text in [shown.compact(), plain(&shown.lines(true))] {
                prop_assert_eq!(&serde_json::from_str::<Value>(&text).unwrap(), &value);
                let is_harmful = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2028}".contains(c);
                prop_assert!(!text.contains(is_harmful), "{:?}", text);
            }
            prop_assert!(!shown.compact().contains('\n'));
        }

        /// This function gets only JSON, but other text does no harm either.
        #[test]
        fn showing_any_text_ends(text: String) {
            prop_assert!(shown(&text).lines(true).ends_with('\n'));
        }
    }

    /// The output is linear in the text, even if the text is deeply nested.
    #[test]
    fn deep_nesting_does_not_multiply_the_text() {
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(shown(&deep).lines(true).len() < 80 * deep.len());
    }
}
