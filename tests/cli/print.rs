//! Tests of `send`: what it prints without sending, and its warnings.

use std::time::Duration;

use twenty_webhook::testing::Delivery;

use super::{Directory, run, run_with, upstream::Upstream};

#[test]
fn warns_about_events_that_twenty_never_sends() {
    let all = "created, updated, deleted, restored and destroyed";
    for (event, expected) in [
        ("person.craeted", Some(all)),
        ("subscription.archived", Some(all)),
        ("metadata.fieldMetadata.restored", Some("the actions of metadata are created, updated and deleted")),
        ("metadata.view.created", None),
        ("Person.created", Some("begins with a lower-case letter")),
        ("crm.person.created", Some("is one word")),
        ("person.restored", None),
    ] {
        let done = run(&["send", event, "--print"]);
        assert_eq!(done.code, 0, "{done:?}");
        match expected {
            Some(expected) => assert!(
                done.log.contains(&format!("no version of Twenty sends {event}: ")) && done.log.contains(expected),
                "{done:?}"
            ),
            None => assert_eq!(done.log, "", "{event}"),
        }
    }
}

#[test]
fn warns_about_changes_outside_the_record() {
    for (event, path, expected) in [
        (
            "person.created",
            "jobTitle",
            "--set jobTitle is outside the member record: to set its field, write record.jobTitle\n",
        ),
        (
            "person.created",
            "recordId",
            "--set recordId is outside the member record: to set its field, write record.recordId\n",
        ),
        ("person.created", "record.jobTitle", ""),
        ("metadata.fieldMetadata.created", "event.properties.after.label", ""),
        (
            "metadata.fieldMetadata.created",
            "a",
            "--set a is outside the member event: to set its field, write event.a\n",
        ),
    ] {
        let done = run(&["send", event, "--print", "--set", &format!("{path}=b")]);
        assert_eq!((done.code, &*done.log), (0, expected), "{event} {path}");
    }
}

#[test]
fn the_printed_request_verifies_and_equals_the_sent_request() {
    let upstream = Upstream::start(200, Duration::ZERO);
    let directory = Directory::new();
    // A pipe gets the body unchanged, even with bytes that a terminal would act on.
    let body = "{\"eventName\":\"person.created\",\"record\":{\"id\":\"\u{9b}2J\"}}\r\n";
    let file = directory.file("body.json", body);
    for (number, what) in ["person.updated", &file].into_iter().enumerate() {
        let arguments = ["send", what, "--to", &upstream.url];
        let done = run(&[&arguments[..], &["--print"]].concat());
        assert_eq!((done.code, &*done.log), (0, ""));
        assert_eq!(upstream.requests().len(), number, "nothing was sent");
        let capture = directory.file("printed.http", &done.output);
        let verified = run(&["verify", &capture]);
        assert_eq!(verified.code, 0, "{done:?} {verified:?}");

        run(&arguments);
        let request = &upstream.requests()[number];
        let (head, printed) = done.output.split_once("\r\n\r\n").unwrap();
        let mut lines = head.split("\r\n");
        assert_eq!(lines.next(), Some(&*request.line));
        let mut names: Vec<_> = lines.map(|line| line.split_once(": ").unwrap().0).collect();
        let mut sent: Vec<_> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        sent.sort_unstable();
        assert_eq!(names, sent);
        if what == file {
            assert_eq!((printed.as_bytes(), &request.body[..]), (body.as_bytes(), body.as_bytes()));
        }
    }
    let done = run(&["send", "person.created", "--print", "--forge", "unsigned"]);
    assert!(done.code == 0 && !done.output.contains("signature: "), "{done:?}");
    let done = run(&["send", "person.created", "--print", "--count", "2"]);
    assert!(done.code == 2 && done.log.contains("--count"), "{done:?}");
}

#[test]
fn every_listed_event_has_a_sample() {
    let done = run_with(&["send", "--list"], &[], b"");
    assert_eq!((done.code, &*done.log), (0, ""));
    let listed: Vec<&str> = done.output.lines().collect();
    let samples: Vec<_> = Delivery::samples().map(|sample| sample.name().to_string()).collect();
    assert_eq!(listed, samples);
    assert!(listed.contains(&"person.created") && listed.contains(&"metadata.fieldMetadata.updated"));
}
