//! The inbox's guarantee has the same words in each document, and each of its clauses has a test.

use std::{fs, path::Path};

/// Returns the words of a file, without the markers of comments.
fn words(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.split_whitespace().filter(|word| *word != "//!").collect::<Vec<_>>().join(" ")
}

fn guarantee() -> String {
    let text = words("src/inbox/mod.rs");
    let (_, text) = text.split_once("# The guarantee ").unwrap();
    text.split_once(" Make your handlers idempotent").unwrap().0.to_owned()
}

#[test]
fn the_guarantee_has_the_same_words_everywhere() {
    let guarantee = guarantee();
    assert!(
        guarantee.starts_with("A 2xx to Twenty means") && guarantee.ends_with("network file systems."),
        "{guarantee}"
    );
    for path in ["README.md", "DESIGN.md", "SECURITY.md"] {
        assert!(words(path).contains(&guarantee), "{path} does not say: {guarantee}");
    }
}

/// The tests in `security_md` check that each named test exists.
#[test]
fn each_clause_has_a_test() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("SECURITY.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, table) = text.split_once("| clause | tests |\n|---|---|\n").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let rows: Vec<_> = table.lines().map(|row| row.trim_matches(['|', ' ']).split_once(" | ").unwrap()).collect();
    assert!(rows.iter().all(|(_, tests)| tests.contains(".rs ")), "{rows:?}");
    let clauses: Vec<_> = rows.into_iter().map(|(clause, _)| clause).collect();
    assert_eq!(clauses.join(" "), guarantee());
}
