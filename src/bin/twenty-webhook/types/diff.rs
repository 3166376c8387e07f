//! Compares a generated module with the module that would be generated now.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::output::harmless_line;

/// A struct of a module: the lines before it, and its fields.
#[derive(Default)]
struct Struct<'a> {
    /// The doc comment and the attributes.
    head: Vec<&'a str>,
    /// The fields' doc comments, attributes and declarations, by the fields' names.
    fields: BTreeMap<&'a str, Vec<&'a str>>,
}

/// Returns the differences in lines like those of `diff`, each below its struct. Returns `None` if
/// both modules are the same. Line ends may be CRLF.
pub(super) fn difference(old: &str, new: &str) -> Option<String> {
    if old.lines().eq(new.lines()) {
        return None;
    }
    let (before, after) = (structs(old), structs(new));
    let mut shown = String::new();
    let mut names: Vec<_> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let nothing = Struct::default();
    for name in names {
        match (before.get(name), after.get(name)) {
            (None, Some(object)) => line(&mut shown, '+', &format!("pub struct {name} {{ {} }}", count(object))),
            (Some(object), None) => line(&mut shown, '-', &format!("pub struct {name} {{ {} }}", count(object))),
            (before, after) => changes(&mut shown, name, before.unwrap_or(&nothing), after.unwrap_or(&nothing)),
        }
    }
    if shown.is_empty() {
        // The difference is not in a struct, but in the header, or in code that somebody added.
        let number = old.lines().zip(new.lines()).take_while(|(old, new)| old == new).count();
        if let Some(old) = old.lines().nth(number) {
            line(&mut shown, '-', old);
        }
        if let Some(new) = new.lines().nth(number) {
            line(&mut shown, '+', new);
        }
    }
    Some(shown)
}

fn count(object: &Struct<'_>) -> String {
    match object.fields.len() {
        1 => "1 field".to_owned(),
        count => format!("{count} fields"),
    }
}

fn changes(shown: &mut String, name: &str, before: &Struct<'_>, after: &Struct<'_>) {
    let mut lines = String::new();
    compare(&mut lines, Some(&before.head), Some(&after.head));
    let mut fields: Vec<_> = before.fields.keys().chain(after.fields.keys()).collect();
    fields.sort_unstable();
    fields.dedup();
    for field in fields {
        compare(&mut lines, before.fields.get(field), after.fields.get(field));
    }
    if !lines.is_empty() {
        line(shown, ' ', &format!("pub struct {name} {{"));
        *shown += &lines;
        line(shown, ' ', "}");
    }
}

/// Writes the lines that only one of them has, between the lines that both have.
fn compare(shown: &mut String, before: Option<&Vec<&str>>, after: Option<&Vec<&str>>) {
    let (before, after) = (before.map_or(&[][..], Vec::as_slice), after.map_or(&[][..], Vec::as_slice));
    if before == after {
        return;
    }
    let (mut old, mut new) = (before.to_vec(), after.to_vec());
    let mut behind = Vec::new();
    while let (Some(a), Some(b)) = (old.last(), new.last())
        && a == b
    {
        behind.push(*a);
        old.pop();
        new.pop();
    }
    let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    old.iter().take(same).for_each(|text| line(shown, ' ', text));
    old.iter().skip(same).for_each(|text| line(shown, '-', text));
    new.iter().skip(same).for_each(|text| line(shown, '+', text));
    behind.iter().rev().for_each(|text| line(shown, ' ', text));
}

fn line(shown: &mut String, sign: char, text: &str) {
    // Writing to a `String` does not fail.
    let _ = writeln!(shown, "{sign} {}", harmless_line(text));
}

/// Returns the structs of a module that this tool has written, by their names.
fn structs(module: &str) -> BTreeMap<&str, Struct<'_>> {
    let mut structs = BTreeMap::new();
    let mut waiting = Vec::new();
    let mut open: Option<(&str, Struct<'_>)> = None;
    for line in module.lines() {
        let begun = line.strip_prefix("pub struct ").and_then(|rest| rest.split_once(" {"));
        if let Some((name, rest)) = begun {
            let object = Struct { head: std::mem::take(&mut waiting), ..Struct::default() };
            if rest == "}" {
                structs.insert(name, object);
            } else {
                open = Some((name, object));
            }
        } else if line == "}" {
            structs.extend(open.take());
            waiting.clear();
        } else if line.is_empty() {
            waiting.clear();
        } else {
            waiting.push(line);
            let declared = line.strip_prefix("    pub ").and_then(|rest| rest.split_once(':'));
            if let (Some((_, object)), Some((field, _))) = (&mut open, declared) {
                object.fields.insert(field, std::mem::take(&mut waiting));
            }
        }
    }
    structs
}
