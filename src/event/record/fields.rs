//! Checks that the table in the documentation matches the types.

use std::{fmt::Write as _, path::Path};

use serde_json::{Value, json};

use super::{from_record::Shape, *};

struct Object {
    rust_name: &'static str,
    name: &'static str,
    /// The declared Rust names and types.
    fields: Vec<(&'static str, &'static str)>,
    /// The names that serde looks for.
    read: &'static [&'static str],
    /// The Rust names of the fields that are present if Twenty sends all of them.
    present: Vec<&'static str>,
    /// A record with all fields, after reading and writing it.
    sent: Value,
    written: Value,
    /// The JSON of a record without any field.
    empty: Value,
}

/// Other names under which fields are read, too.
const ALIASES: [&str; 1] = ["iCalUID"];

macro_rules! objects {
    ($($Name:ident)*) => {
        vec![$({
            let fields = $Name::default().fields();
            let sent: $Name = serde_json::from_str(&text(&fields)).unwrap();
            Object {
                written: serde_json::to_value(&sent).unwrap(),
                empty: serde_json::to_value($Name::default()).unwrap(),
                sent: serde_json::from_str(&text(&fields)).unwrap(),
                rust_name: stringify!($Name),
                name: $Name::OBJECT,
                present: sent.fields().into_iter().filter(|field| field.2).map(|field| field.0).collect(),
                fields: fields.into_iter().map(|(name, r#type, _)| (name, r#type)).collect(),
                read: Shape::of::<$Name>().fields,
            }
        }),*]
    };
}

fn objects() -> Vec<Object> {
    each_standard_object!(objects)
}

/// A record with all its fields, under Twenty's names.
fn text(fields: &[(&str, &str, bool)]) -> String {
    let members: Vec<_> =
        fields.iter().map(|(name, r#type, _)| format!("{:?}:{}", camel_case(name), value(r#type))).collect();
    format!("{{{}}}", members.join(","))
}

fn value(r#type: &str) -> &'static str {
    match r#type {
        "bool" => "true",
        "f64" => "-12.5",
        "jiff::Timestamp" => r#""2026-10-02T09:14:31.510Z""#,
        "Decimal" => r#""40.7322""#,
        "Vec<FileRef>" | "Vec<WorkflowStatus>" => "[]",
        "RawJson" => r#"{"a":[1,"text",null]}"#,
        "Actor" | "Address" | "Currency" | "Emails" | "FullName" | "Links" | "Phones" | "RichText" => "{}",
        // text, ids and selects
        _ => r#""text""#,
    }
}

fn camel_case(name: &str) -> String {
    let mut parts = name.trim_start_matches("r#").split('_');
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |name, part| name + &part[..1].to_uppercase() + &part[1..])
}

#[test]
fn every_field_is_read_under_twentys_name() {
    for object in objects() {
        let declared: Vec<_> = object.fields.iter().map(|field| field.0).collect();
        assert_eq!(object.present, declared, "{}", object.name);

        let read: Vec<_> = declared.into_iter().map(camel_case).collect();
        let names: Vec<_> = object.read.iter().filter(|name| !ALIASES.contains(name)).collect();
        assert_eq!(names, read.iter().collect::<Vec<_>>(), "{}", object.name);
    }
}

#[test]
fn every_field_is_written_as_twenty_writes_it() {
    for object in objects() {
        assert_eq!(object.written, object.sent, "{}", object.name);
        assert_eq!(object.empty, json!({}), "{}", object.name);
    }
}

#[test]
fn the_table_shows_the_fields() {
    let mut table = "| object | field | in Rust | type |\n|---|---|---|---|\n".to_owned();
    let mut row = |object: &str, (name, r#type): (&str, &str)| {
        writeln!(table, "| {object} | `{}` | `{name}` | `{type}` |", camel_case(name)).unwrap();
    };
    let objects = objects();
    let (common, _) = objects[0].fields.split_at(7);
    common.iter().for_each(|&field| row("every object", field));
    for object in &objects {
        let (same, own) = object.fields.split_at(7);
        assert_eq!(same, common);
        own.iter().for_each(|&field| row(&format!("[`{}`]({})", object.name, object.rust_name), field));
    }

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/event/record/FIELDS.md");
    if std::env::var_os("UPDATE_FIELDS").is_some() {
        std::fs::write(&file, &table).unwrap();
    }
    let shown = std::fs::read_to_string(file).unwrap();
    assert_eq!(shown, table, "run the tests with UPDATE_FIELDS=1");
}
