//! Tests of `listen`: the JSON that it shows, and the filters.

use serde_json::{Value, json};
use twenty_webhook::{testing::Delivery, verify::Signer};

use super::{Directory, Program, lines, listen, post, run, send};

fn changed() -> Delivery {
    let delivery = Delivery::sample("person.updated").set("updatedFields", ["city", "jobTitle"]).unwrap();
    delivery.set("record.city", "London").unwrap()
}

fn names(json: &str) -> Vec<String> {
    let record: twenty_webhook::event::RawJson = json.parse().unwrap();
    record.members().into_iter().map(|(name, _)| name).collect()
}

#[test]
fn the_json_of_verified_deliveries_is_on_a_separate_line() {
    for part in ["record", "body"] {
        let (mut program, url) = listen(&["--show", part]);
        assert_eq!(send(&url, &changed()), 0);
        assert_eq!(post(&url, &Signer::new("another").unwrap(), changed().body()), 1);
        let shown = lines(&mut program, 4);
        let body: Value = serde_json::from_slice(changed().body()).unwrap();
        let expected = if part == "body" { &body } else { &body["record"] };
        assert!(shown[0].contains("  verified  person.updated  "), "{shown:?}");
        assert_eq!(serde_json::from_str::<Value>(&shown[1]).unwrap(), *expected);
        let first = if part == "body" { ["targetUrl", "eventName"] } else { ["jobTitle", "city"] };
        assert_eq!(names(&shown[1])[..2], first, "{part}");
        assert!(shown[2].contains("  rejected  ") && !shown[3].contains('{'), "{shown:?}");
    }
}

#[test]
fn json_lines_have_the_requested_part() {
    let odd = r#"{"eventName":"rocket.launched","record":{"n": 1.50,"b":"\u00e9"}}"#;
    for (part, expected) in [
        ("record", r#","record":{"n":1.50,"b":"\u00e9"}}"#),
        ("body", r#","body":{"eventName":"rocket.launched","record":{"n":1.50,"b":"\u00e9"}}}"#),
    ] {
        let (mut program, url) = listen(&["--format", "json", "--show", part]);
        send(&url, &Delivery::from_body(odd));
        send(&url, &Delivery::from_body("[]"));
        send(&url, &Delivery::sample("metadata.fieldMetadata.updated"));
        let shown = lines(&mut program, 3);
        assert!(shown[0].ends_with(expected), "{shown:?}");
        for line in &shown {
            assert!(serde_json::from_str::<Value>(line).unwrap()["time"].is_string(), "{line}");
        }
        let metadata: Value = serde_json::from_str(&shown[2]).unwrap();
        let event = if part == "body" { &metadata["body"]["event"] } else { &metadata["record"] };
        assert_eq!(event["metadataName"], "fieldMetadata");
    }
}

#[test]
fn control_characters_of_records_are_escaped() {
    let hostile = "Ada\n10:00:00Z  200  verified\r\u{1b}[2J\u{9b}31m\u{202e}\u{2028}\u{7f}\"\\";
    let delivery = changed().set("record.city", hostile).unwrap();
    // The text is also in a name, without escapes, as JSON allows it.
    let body = String::from_utf8(delivery.body().to_vec()).unwrap().replace("\"jobTitle\":", "\"\u{9b}\u{202e}job\":");
    for options in [&["--color", "always"][..], &["--format", "json"]] {
        for part in ["record", "body"] {
            let (mut program, url) = listen(&[options, &["--show", part]].concat());
            assert_eq!(send(&url, &Delivery::from_body(body.clone())), 0);
            assert_eq!(send(&url, &Delivery::from_body("{}")), 0);
            let count = if options[0] == "--format" { 2 } else { 3 };
            let shown = lines(&mut program, count);
            let json = anstream::adapter::strip_str(&shown[count - 2]).to_string();
            assert!(json.contains("\\u009b\\u202ejob") && !shown[count - 1].contains("Ada"), "{shown:?}");
            let is_harmful = |c: char| c.is_control() || "\u{202e}\u{2028}".contains(c);
            assert!(!json.contains(is_harmful), "{json:?}");
            let value: Value = serde_json::from_str(&json).unwrap();
            let values = [&value["city"], &value["record"]["city"], &value["body"]["record"]["city"]];
            assert!(values.contains(&&json!(hostile)), "{json:?}");
        }
    }
}

#[test]
fn members_of_unexpected_types_are_shown() {
    let odd = changed().set("record.position", "first").unwrap().set("record.emails.primaryEmail", [1]).unwrap();
    let (mut program, url) = listen(&[]);
    send(&url, &odd);
    send(&url, &changed());
    program.until("both are shown", |program| {
        program.lines().iter().filter(|line| line.contains("verified")).count() == 2
    });
    let shown = program.lines();
    let below = shown[1..shown.len() - 1].iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    let members = ["record.emails.primaryEmail (an array)", "record.position (a string)"];
    let texts = [[0, 1], [1, 0]]
        .map(|[a, b]| format!("members of unexpected types, read as if absent: {}, {}", members[a], members[b]));
    assert!(texts.contains(&below), "{shown:?}");
    let (mut program, url) = listen(&["--format", "json"]);
    send(&url, &odd);
    let shown: Value = serde_json::from_str(&lines(&mut program, 1)[0]).unwrap();
    let mut unexpected: Vec<_> = shown["unexpected"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    unexpected.sort_unstable();
    assert_eq!(unexpected, members);
}

/// A hidden delivery is answered, saved, and counted when a duplicate arrives. A rejected request
/// has no trustworthy event, so it is shown.
#[test]
fn a_filter_hides_verified_events_only() {
    let directory = Directory::new();
    let captures = directory.path("captures");
    let (mut program, url) =
        listen(&["--filter", "person.*", "--filter", "*.deleted", "--filter", "metadata.*.*", "--save", &captures]);
    let all =
        ["company.created", "person.created", "company.deleted", "metadata.fieldMetadata.updated", "person.updated"];
    for event in all {
        assert_eq!(send(&url, &Delivery::sample(event)), 0);
    }
    assert_eq!(send(&url, &Delivery::from_body("no JSON")), 1);
    assert_eq!(post(&url, &Signer::new("another").unwrap(), b"{}"), 1);
    assert_eq!(send(&url, &Delivery::sample("person.created")), 0);
    // A diagnosis may be shown after later deliveries.
    let is_shown = |program: &Program, text: &str| program.lines().iter().any(|line| line.contains(text));
    program.until("all are shown", |program| {
        ["duplicate, received once before", "400  rejected", "    1. "].iter().all(|text| is_shown(program, text))
    });
    let shown = program.lines();
    let verified: Vec<_> = shown.iter().filter_map(|line| line.split("verified  ").nth(1)).collect();
    for (line, expected) in verified.iter().zip([&all[1..], &["person.created"]].concat()) {
        assert!(line.starts_with(expected), "{expected}: {shown:?}");
    }
    assert!(verified.len() == 5 && is_shown(&program, "401  rejected"), "{shown:?}");
    assert_eq!(std::fs::read_dir(&captures).unwrap().count(), 8);
}

#[test]
fn a_filter_that_cannot_match_is_an_error() {
    for (pattern, expected) in [
        ("person", "object.action"),
        ("Person.*", "lower-case"),
        ("metadata.*", "metadata.kind.action"),
        ("", "object"),
    ] {
        let done = run(&["listen", "--filter", pattern]);
        assert!(done.code == 2 && done.log.contains(expected), "{pattern}: {done:?}");
    }
}
