//! Tests of wrong input, help and completions: errors are clear, have the right exit code, and
//! never contain a secret.

use std::process::Command;

use super::{Directory, SECRET, TOOL, run, run_with};

#[test]
fn wrong_input_is_reported() {
    let directory = Directory::new();
    let file = directory.file("a.http", "x: y\n\n{}");
    let to = ["--to", "http://127.0.0.1:9/"];
    let blank = directory.file("blank", " ");
    let none = directory.path("none");
    for (arguments, expected) in [
        (&[][..], "Usage"),
        (&["sned"], "send"),
        (&["send", "person.created"], "--to"),
        (&["send", "person", to[0], to[1]], "person.created"),
        (&["send", &none, to[0], to[1]], "none"),
        (&["send", "person.created", "--to", "127.0.0.1:3000/x"], "scheme is missing: write http://127.0.0.1:3000/x"),
        (&["send", "person.created", "--to", "localhost"], "scheme is missing: write http://localhost"),
        (&["send", "person.created", "--to", "/x"], "such as http://127.0.0.1:3000/webhooks/twenty"),
        (&["send", "person.created", "--to", "http://"], "such as http://127.0.0.1:3000/webhooks/twenty"),
        (&["send", "person.created", "--to", "http://a b/"], "such as http://127.0.0.1:3000/webhooks/twenty"),
        (&["send", to[0], to[1]], "EVENT|FILE"),
        (&["send", "person.created", to[0], to[1], "--count", "0"], "it should be a whole number, 1 or more"),
        (&["send", "person.created", to[0], to[1], "--count", "-"], "it should be a whole number, 1 or more"),
        (&["send", "person.created", to[0], to[1], "--concurrency", "0"], "it should be a whole number, 1 or more"),
        (&["send", "person.created", to[0], to[1], "--forge", "all"], "wrong-secret"),
        (&["send", "person.created", to[0], to[1], "--set", "a"], "PATH=VALUE"),
        (&["send", "person.created", to[0], to[1], "--set", "a.b=c"], "`a`"),
        (&["send", "person.created", to[0], to[1], "--secret-file", &none], "--secret-file: No such file"),
        // The secret or the key itself instead of a file.
        (&["send", "person.created", to[0], to[1], "--secret-file", SECRET], "--secret-file: No such file"),
        (&["types", "--url", "http://127.0.0.1:9", "--token-file", SECRET], "--token-file: No such file"),
        (&["send", "person.created", to[0], to[1], "--secret-file", &blank], "blank"),
        (&["send", "person.created", to[0], to[1], "--secret", " "], "blank"),
        (&["send", "person.created", to[0], to[1], "--header-prefix", "x y"], "--header-prefix"),
        (&["listen", "--header-prefix", ""], "--header-prefix"),
        (&["listen", "--addr", "nonsense"], "HOST:PORT"),
        (&["listen", "--addr", ":port"], "HOST:PORT"),
        (&["listen", "--addr", ":0", "--ui", "--ui-addr", "nonsense"], "HOST:PORT"),
        (&["listen", "--addr", ":0", "--ui-addr", ":0"], "--ui"),
        (&["listen", "--addr", "nowhere.invalid:3000"], "HOST:PORT"),
        (&["listen", "--addr", "192.0.2.1:3000"], "does not have that address"),
        (&["send", "person.created", "--to", "http://localhost:65536/"], "port"),
        (&["listen", "--keep", "3"], "--save"),
        (&["listen", "--save", "x", "--keep", "0"], "it should be a whole number, 1 or more"),
        (&["listen", "--format", "xml"], "json"),
        (&["listen", "--forward-to", "ftp://localhost/"], "http://"),
        (&["verify", &none], "none"),
        (&["verify", &file, "--timestamp", "1"], "omit"),
        (&["verify", &file, "--as-of", "1790932471"], "milliseconds"),
        (&["verify", "-", "--secret-file", "-"], "only once"),
        (&["replay", to[0], to[1]], "CAPTURE"),
        (&["sign", &none], "none"),
        (&["sign", &file, "--timestamp", "soon"], "2026-10-02"),
        (&["completions", "tcsh"], "bash"),
    ] {
        let done = run(arguments);
        assert_eq!(done.code, 2, "{arguments:?}: {done:?}");
        assert!(done.log.contains(expected), "{arguments:?}: {expected}: {done:?}");
        assert_eq!(done.output, "", "{arguments:?}");
        assert!(!done.log.contains(SECRET), "{done:?}");
    }
}

#[test]
fn a_blank_or_missing_secret_is_reported_with_advice() {
    let directory = Directory::new();
    let file = directory.file("body.json", "{}");
    for value in ["", " "] {
        for command in [&["sign", &*file][..], &["listen", "--addr", "127.0.0.1:0"]] {
            let done = run_with(command, &[("TWENTY_WEBHOOK_SECRET", value)], b"");
            assert!(done.code == 2 && done.log.contains("TWENTY_WEBHOOK_SECRET"), "{done:?}");
        }
    }
    let done = run_with(&["sign", &file], &[], b"");
    assert!(done.code == 2 && done.log.contains("Settings > APIs & Webhooks"), "{done:?}");
}

#[test]
fn help_shows_examples_and_no_secret() {
    for command in ["", "listen", "send", "verify", "replay", "sign", "types", "doctor", "completions"] {
        let arguments: Vec<&str> = [command, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
        let done = run(&arguments);
        assert_eq!((done.code, &*done.log), (0, ""));
        assert!(done.output.contains("Examples:\n  "), "{command}: {}", done.output);
        assert!(!done.output.contains(SECRET), "{command}");
    }
    assert!(run(&["--help"]).output.contains("Exit codes:"));
    assert_eq!(run(&["--version"]).output, concat!("twenty-webhook ", env!("CARGO_PKG_VERSION"), "\n"));
}

/// The README's first commands build the tool in this way.
#[cfg(not(any(feature = "postgres", feature = "redb")))]
#[test]
fn without_a_store_inbox_names_the_required_features() {
    for arguments in [&["inbox"][..], &["inbox", "--help"], &["inbox", "list", "twenty-inbox.redb", "--format", "json"]]
    {
        let done = run(arguments);
        assert!(done.code == 2 && done.log.starts_with("error: this build does not support inboxes"), "{done:?}");
        for features in ["--features cli,redb", "--features cli,postgres"] {
            assert!(done.log.contains(features), "{done:?}");
        }
    }
    assert!(run(&["--help"]).output.contains("inbox"));
}

#[test]
fn prints_completions_for_each_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let done = run(&["completions", shell]);
        assert_eq!(done.code, 0, "{shell}");
        for word in ["listen", "forward-to", "replay", "concurrency"] {
            assert!(done.output.contains(word), "{shell}: {word}");
        }
    }
    // Bash is always installed, and accepts its script.
    let script = format!("source <({TOOL} completions bash) && complete -p twenty-webhook");
    let bash = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(bash.status.success(), "{bash:?}");
}

#[test]
fn bash_completes_what_follows_a_subcommand() {
    // `complete -p` prints the function's name after `-F`.
    let complete = r#"
        set -- $(complete -p twenty-webhook) -- "$@"
        while [ "$1" != -F ]; do shift; done
        function=$2
        while [ "$1" != -- ]; do shift; done
        COMP_WORDS=("${@:2}") COMP_CWORD=$(($# - 2))
        $function twenty-webhook "${@: -1}" "${@: -2:1}"
        echo "${COMPREPLY[@]}""#;
    let script = format!("source <({TOOL} completions bash); {complete}");
    for (words, expected) in [
        (&["lis"][..], "listen"),
        (&["listen", "--forw"], "--forward-to"),
        (&["send", "person.created", "--forge", "tamp"], "tampered"),
        (&["inbox", "st"], "stats"),
        (&["inbox", "stats", "--form"], "--format"),
        (&["inbox", "stats", "inbox.redb", "--format", "j"], "json"),
        (&["completions", "fi"], "fish"),
    ] {
        if words[0] == "inbox" && !cfg!(any(feature = "postgres", feature = "redb")) {
            continue;
        }
        let bash = Command::new("bash").args(["-c", &script, "bash", "twenty-webhook"]).args(words).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&bash.stdout).trim_end(), expected, "{words:?}: {bash:?}");
    }
}

#[test]
fn a_closed_pipe_is_not_a_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let done = Command::new(TOOL).args(["completions", "bash"]).stdout(writer).output().unwrap();
    assert_eq!((done.status.code(), done.stderr.as_slice()), (Some(0), &b""[..]));
}

#[cfg(target_os = "linux")]
#[test]
fn output_errors_are_reported() {
    let script = format!("{TOOL} completions bash > /dev/full");
    let bash = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(bash.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&bash.stderr).contains("standard output"));
}
