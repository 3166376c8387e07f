//! Reads the declarations in the crate's own source, so that a table in a test cannot miss one.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Returns the files below `src` without their tests: the public module and the lines of each.
pub fn files() -> Vec<(String, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let read = |path: PathBuf| {
        let first = path.strip_prefix(&root).unwrap().iter().next().unwrap();
        let module = Path::new(first).file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        (module, code.lines().map(str::to_owned).collect())
    };
    files.into_iter().map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
}

/// Returns the identifier at the beginning of a text.
pub fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// Returns every public struct and enum, such as `verify::Secret`, including those that macros
/// declare and excluding those that the docs hide. The lint `unreachable_pub` ensures that `pub`
/// items are reachable.
pub fn public_types() -> Vec<String> {
    const MACROS: [&str; 2] = ["select! {", "standard_object! {"];
    let mut types = Vec::new();
    for (module, lines) in files() {
        let (mut is_hidden, mut in_macro) = (false, false);
        for line in &lines {
            let code = line.trim();
            is_hidden |= code == "#[doc(hidden)]";
            in_macro |= MACROS.contains(&line.as_str());
            if code.is_empty() || code.starts_with("//") || code.starts_with("#[") || MACROS.contains(&code) {
                continue;
            }
            let declared = code.strip_prefix("pub struct ").or_else(|| code.strip_prefix("pub enum "));
            let name = identifier(declared.unwrap_or(if in_macro { code } else { "" }));
            if !name.is_empty() && !is_hidden {
                types.push(format!("{module}::{name}"));
            }
            (is_hidden, in_macro) = (false, false);
        }
    }
    types.sort();
    types
}

/// Returns the names of an enum's variants.
#[track_caller]
pub fn variants(name: &str) -> Vec<String> {
    let head = format!("pub enum {name} {{");
    let mut files = files().into_iter().map(|(_, lines)| lines);
    let lines = files.find(|lines| lines.contains(&head)).unwrap_or_else(|| panic!("no {head}"));
    let body = lines.into_iter().skip_while(|line| *line != head).skip(1).take_while(|line| line != "}");
    let is_variant =
        |line: &String| line.starts_with("    ") && line[4..].starts_with(|c: char| c.is_ascii_uppercase());
    body.filter(is_variant).map(|line| identifier(&line[4..]).to_owned()).collect()
}

/// Returns the public types that implement `std::error::Error`.
pub fn error_types() -> Vec<String> {
    let files = files();
    let lines = || files.iter().flat_map(|(_, lines)| lines);
    let public: BTreeSet<_> = lines()
        .filter_map(|line| line.strip_prefix("pub struct ").or_else(|| line.strip_prefix("pub enum ")))
        .map(identifier)
        .collect();
    let mut types: Vec<_> = lines()
        .filter_map(|line| line.trim().strip_prefix("impl Error for "))
        .map(identifier)
        .filter(|name| public.contains(name))
        .map(str::to_owned)
        .collect();
    types.sort();
    types
}

/// Fails if a table misses a declaration, or has an entry that is not declared.
#[track_caller]
pub fn assert_covers<'a>(table: impl IntoIterator<Item = &'a str>, declared: &'a [String]) {
    let table: BTreeSet<_> = table.into_iter().collect();
    let declared: BTreeSet<_> = declared.iter().map(String::as_str).collect();
    let (missed, gone): (Vec<_>, Vec<_>) =
        (declared.difference(&table).collect(), table.difference(&declared).collect());
    assert!(missed.is_empty() && gone.is_empty(), "the table misses {missed:?}, the source does not have {gone:?}");
}
