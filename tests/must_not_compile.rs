//! Checks each file of `tests/must_not_compile` as a separate program. The compiler must reject it
//! on exactly the lines that end in `//~` and the code of an error or the name of a lint.
//!
//! The tests compare codes and not whole messages as trybuild does, because messages change with
//! the compiler.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// The file, the line and the code of a rejection.
type Refused = (String, u64, String);

fn programs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/must_not_compile");
    let mut programs: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    programs.sort();
    programs
}

fn marked(program: &Path) -> Vec<Refused> {
    let name = program.file_name().unwrap().to_str().unwrap();
    let text = fs::read_to_string(program).unwrap();
    let marks = text.lines().zip(1..).filter_map(|(line, number)| {
        let (_, code) = line.split_once("//~ ")?;
        Some((name.to_owned(), number, code.to_owned()))
    });
    marks.collect()
}

/// Creates a package of these programs, next to the programs that cargo builds for the tests, with
/// the same versions of all dependencies.
fn package(programs: &[PathBuf]) -> PathBuf {
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("must_not_compile");
    fs::create_dir_all(&package).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut manifest = format!(
        "[package]\nname = \"must-not-compile\"\nversion = \"0.0.0\"\nedition = \"2024\"\nautobins = false\n\n[workspace]\n\n\
         [dependencies]\ntwenty-webhook = {{ path = {root:?}, features = [\"tower\"] }}\nbytes = \"1\"\nserde_json = \"1\"\n"
    );
    for program in programs {
        let name = program.file_stem().unwrap().to_str().unwrap();
        manifest.push_str(&format!("\n[[bin]]\nname = {name:?}\npath = {program:?}\n"));
    }
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    fs::copy(root.join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
    package
}

fn refused(package: &Path) -> Vec<Refused> {
    let check = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["check", "--offline", "--bins", "--keep-going", "--quiet", "--message-format=json"])
        .current_dir(package)
        .env("CARGO_TARGET_DIR", package.join("target"))
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    let stdout = String::from_utf8(check.stdout).unwrap();
    let messages: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!messages.is_empty(), "{}", String::from_utf8_lossy(&check.stderr));
    let is_error =
        |message: &&Value| message["message"]["level"] == "error" && !message["message"]["spans"][0].is_null();
    let errors = messages.iter().filter(is_error).map(|message| {
        let spans = message["message"]["spans"].as_array().unwrap();
        let span = spans.iter().find(|span| span["is_primary"] == true).unwrap();
        let file = Path::new(span["file_name"].as_str().unwrap()).file_name().unwrap().to_str().unwrap();
        let code = message["message"]["code"]["code"].as_str().unwrap_or("without a code");
        (file.to_owned(), span["line_start"].as_u64().unwrap(), code.to_owned())
    });
    errors.collect()
}

#[test]
fn each_program_is_rejected_at_exactly_the_marked_lines() {
    let programs = programs();
    let marked: Vec<_> = programs.iter().map(|program| marked(program)).collect();
    for (program, marks) in programs.iter().zip(&marked) {
        let is_control = program.ends_with("control.rs");
        assert_eq!(marks.is_empty(), is_control, "{}: all but the control are refused", program.display());
    }
    let marked: BTreeSet<_> = marked.into_iter().flatten().collect();
    let refused: BTreeSet<_> = refused(&package(&programs)).into_iter().collect();
    let missed: Vec<_> = marked.difference(&refused).collect();
    let beside: Vec<_> = refused.difference(&marked).collect();
    assert!(missed.is_empty() && beside.is_empty(), "compiles: {missed:#?}\nrefused, but not marked: {beside:#?}");
}
