//! Checks that each test that `SECURITY.md` or `docs/operations.md` names exists.

use std::{fs, path::Path};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns whether the file has a test of that name in these modules.
fn has_test(file: &str, name: &str) -> bool {
    let text = read(file);
    let mut rest = text.as_str();
    let (modules, name) = name.rsplit_once("::").unwrap_or(("", name));
    for module in modules.split("::").filter(|module| !module.is_empty()) {
        let Some((_, inside)) = rest.split_once(&format!("mod {module} {{\n")) else { return false };
        rest = inside;
    }
    let declared = ["(", "<"].iter().find_map(|open| rest.split_once(&format!("fn {name}{open}")));
    // The lines before the function are attributes and comments. One of the attributes makes it a
    // test.
    declared.and_then(|(before, _)| before.rsplit_once('\n')).is_some_and(|(before, _)| {
        let mut attributes = before.lines().rev().map(str::trim).take_while(|line| line.starts_with(['#', '/']));
        attributes.any(|line| line.starts_with("#[") && (line.ends_with("test]") || line.contains("test(")))
    })
}

#[test]
fn each_test_that_security_md_names_exists() {
    let text = read("SECURITY.md");
    let last_cells = text.lines().filter_map(|row| row.strip_prefix("| ")?.strip_suffix(" |")?.rsplit(" | ").next());
    let named: Vec<_> = last_cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter_map(|code| code.split_once(' '))
        .filter(|(file, _)| file.ends_with(".rs"))
        .collect();
    assert!(named.len() > 40, "{}", named.len());
    let missing: Vec<_> = named.iter().filter(|(file, name)| !has_test(file, name)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The operations manual names tests without their files. Its names of tests are the code spans
/// that contain at least three underscores and only letters, digits and underscores.
#[test]
fn each_test_that_the_operations_manual_names_exists() {
    const FILES: [&str; 4] = [
        "tests/process/restarts.rs",
        "tests/process/stops_under_load.rs",
        "tests/inbox/database.rs",
        "src/inbox/redb/tests/cuts.rs",
    ];

    let text = read("docs/operations.md");
    let is_name = |code: &&str| {
        code.matches('_').count() >= 3
            && !code.starts_with("twenty_webhook_")
            && code.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
    };
    let named: Vec<_> = text.split('`').skip(1).step_by(2).filter(is_name).collect();
    assert!(named.len() >= 6, "{named:?}");
    for name in named {
        assert!(FILES.iter().any(|file| has_test(file, name)), "{name}");
    }
}
