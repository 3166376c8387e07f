//! `examples/README.md` lists every example with a command that runs it.

use std::{collections::BTreeSet, fs, path::Path};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the features that an example requires, as written after `--features`.
fn features(manifest: &str, example: &str) -> Option<String> {
    let mut sections = manifest.split("\n[").filter(|section| section.starts_with("[example]]"));
    let section = sections.find(|section| section.contains(&format!("name = \"{example}\"")))?;
    let (_, features) = section.split_once("required-features = [")?;
    Some(features.split_once(']')?.0.replace(['"', ' '], ""))
}

#[test]
fn the_readme_lists_every_example_with_its_command() {
    let (readme, manifest) = (read("examples/README.md"), read("Cargo.toml"));
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")).unwrap();
    let names: BTreeSet<_> =
        files.filter_map(|file| Some(file.unwrap().file_name().to_str()?.strip_suffix(".rs")?.to_owned())).collect();
    assert!(names.len() >= 10, "{names:?}");
    for name in &names {
        let features = features(&manifest, name).map_or(String::new(), |features| format!("--features {features} "));
        let (link, command) = (format!("[`{name}`]({name}.rs)"), format!("`cargo run {features}--example {name}"));
        let is_row = |line: &str| line.contains(&link) && line.contains(&command);
        assert!(readme.lines().any(is_row), "examples/README.md has no row with {link} and {command}");
    }
    let rows = readme.lines().filter(|line| line.contains("--example") && line.starts_with('|')).count();
    assert_eq!(rows, names.len(), "a row for a missing example, or two rows for one example");
}
