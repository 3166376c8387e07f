//! Tests of `inbox ui`: the page of an inbox, and who can change dead letters.

use std::path::Path;

use serde_json::json;

use super::{
    Directory, Program, TOOL,
    inbox::Receiver,
    run,
    ui::{Page, id},
};
use crate::support::postgres;

fn start(file: &str) -> (Program, Page) {
    let mut program = Program::start_executable(Path::new(TOOL), &["inbox", "ui", file], &[]);
    let page = Page::of(&mut program);
    (program, page)
}

fn ids(page: &Page) -> Vec<String> {
    page.deliveries().iter().map(|letter| id(letter).to_owned()).collect()
}

#[test]
fn shows_dead_letters_and_changes_them() {
    let directory = Directory::new();
    let file = directory.path("inbox.redb");
    shows_and_changes(&file, Receiver::in_file(&file), &directory);
}

#[test]
#[ignore = "needs postgres (Debian package postgresql)"]
fn shows_dead_letters_in_postgresql_and_changes_them() {
    let server = postgres::Server::start(&[]);
    shows_and_changes(&server.url(), Receiver::in_postgres(&server.url()), &Directory::new());
}

fn shows_and_changes(place: &str, receiver: Receiver, directory: &Directory) {
    let all = receiver.dead_letters(5);
    drop(receiver);
    let (mut program, page) = start(place);
    assert_eq!(ids(&page), all);
    let letter = &page.deliveries()[1];
    assert_eq!((&letter["event"], &letter["source"]), (&json!("note.created"), &json!("dead")));
    let dead = &letter["dead"];
    assert_eq!(
        (&dead["reason"], &dead["attempts"], &dead["interruptions"]),
        (&json!("permanent"), &json!(1), &json!(0))
    );
    assert!(dead["message"].as_str().unwrap().starts_with("no such "), "{dead}");
    let about = page.get("api/deliveries").json();
    assert_eq!((&about["inbox"]["dead"], &about["inbox"]["ready"]), (&json!(5), &json!(0)));
    // A dead letter has the same parts as any delivery. The page cannot send it.
    let details = page.details(&all[1]);
    assert_eq!((&details["previous"], &details["sendable"]), (&json!(all[0]), &json!(false)));
    let capture = directory.file("capture.http", page.get(&format!("api/deliveries/{}/capture", all[1])).text());
    assert_eq!(run(&["verify", &capture]).code, 0);
    assert_eq!(page.get("api/search/q=no%20such").json()["ids"].as_array().unwrap().len(), 5);

    let change = |path: &str| page.post(path, &json!({}));
    let one = |id: &str, what: &str| format!("api/deliveries/{id}/{what}");
    assert_eq!(change(&one(&all[0], "redrive")).json()["changed"], 1);
    assert_eq!(ids(&page), all[1..], "as soon as it is answered");
    assert_eq!(change(&one(&all[1], "purge")).json()["changed"], 1);
    for gone in [&*all[0], &all[1], "00000000000000000000000000000000", "x"] {
        assert_eq!(change(&one(gone, "redrive")).status, 404, "{gone}");
    }
    let inbox = page.get("api/deliveries").json()["inbox"].clone();
    assert_eq!((&inbox["dead"], &inbox["ready"]), (&json!(3), &json!(1)));
    // Another process changes the inbox.
    assert_eq!(run(&["inbox", "purge", place, &all[4]]).code, 0);
    program.until("it notices", |_| ids(&page) == all[2..4]);
    assert_eq!(change("api/redrive").json()["changed"], 2);
    assert_eq!(change("api/purge").json()["changed"], 0);
    assert!(ids(&page).is_empty());
    assert!(program.terminate().success());
}

#[test]
fn shows_the_inbox_of_a_running_receiver_without_disturbing_it() {
    let directory = Directory::new();
    let file = directory.path("inbox.redb");
    let receiver = Receiver::in_file(&file);
    let all = receiver.dead_letters(2);
    let (mut program, page) = start(&file);
    assert_eq!(ids(&page), all);
    for path in ["api/redrive".to_owned(), "api/purge".to_owned(), format!("api/deliveries/{}/purge", all[0])] {
        let response = page.post(&path, &json!({}));
        assert!(response.status == 409 && response.text().contains("Stop the receiver first"), "{}", response.text());
    }
    assert_eq!(ids(&page), all);
    drop(receiver);
    assert_eq!(page.post("api/purge", &json!({})).json()["changed"], 2);
    // The page reports that the file was deleted.
    std::fs::remove_file(&file).unwrap();
    program.until("it notices", |_| page.get("api/deliveries").json()["inbox"]["problem"].is_string());
}

/// These are requests that another site's page could make a browser send if it knew the token.
#[test]
fn another_site_changes_no_dead_letter() {
    let directory = Directory::new();
    let file = directory.path("inbox.redb");
    let receiver = Receiver::in_file(&file);
    let all = receiver.dead_letters(1);
    drop(receiver);
    let (_program, page) = start(&file);
    let (host, origin) = (page.host(), page.origin());
    let (host, own, json) = (("host", &*host), ("origin", &*origin), ("content-type", "application/json"));
    for path in ["api/redrive".to_owned(), "api/purge".to_owned(), format!("api/deliveries/{}/purge", all[0])] {
        let inside = page.path(&path);
        for (headers, expected) in [
            (vec![host, json], 403),
            (vec![host, ("origin", "http://attacker.example"), json], 403),
            (vec![host, own, ("sec-fetch-site", "cross-site"), json], 403),
            (vec![("host", "attacker.example"), ("origin", "http://attacker.example"), json], 403),
            (vec![host, own, ("content-type", "text/plain")], 415),
        ] {
            assert_eq!(page.raw("POST", &inside, &headers, b"{}").status, expected, "{path} {headers:?}");
        }
        assert_eq!(page.raw("POST", &format!("/{path}"), &[host, own, json], b"{}").status, 404);
        assert_eq!(page.raw("GET", &inside, &[host, own, json], b"{}").status, 405);
    }
    assert_eq!(ids(&page), all);
}

/// Dead letters that are no events were verified, too, so they have the bound of verified
/// deliveries.
#[test]
fn keeps_dead_letters_that_are_no_events() {
    keeps_what_fits(9, 9);
}

/// What fits stays, however often the inbox is read.
fn keeps_what_fits(count: u8, fitting: usize) {
    // Without their headers, 33 of these bodies would fit into the page's 64 MiB.
    const LONG: usize = (64 << 20) / 33;
    let directory = Directory::new();
    let file = directory.path("inbox.redb");
    let receiver = Receiver::in_file(&file);
    let body = |number| format!("{number}{}", "x".repeat(LONG - 2));
    let all = receiver.dead_letters_of(&(10..10 + count).map(body).collect::<Vec<_>>());
    drop(receiver);
    let (_program, page) = start(&file);
    for _ in 0..2 {
        let shown = page.deliveries();
        assert!(shown.iter().all(|letter| letter["verified"] == true), "{shown:?}");
        assert_eq!(ids(&page), all[..fitting]);
        let about = page.get("api/deliveries").json();
        assert_eq!((&about["dropped"], &about["inbox"]["dead"]), (&json!(0), &json!(count)));
        // The inbox is read again before this is answered.
        let unknown = page.post("api/deliveries/00000000000000000000000000000000/redrive", &json!({}));
        assert_eq!(unknown.status, 404);
    }
}

#[test]
fn serves_no_page_for_a_file_that_is_not_an_inbox() {
    let directory = Directory::new();
    let none = directory.path("none.redb");
    let done = run(&["inbox", "ui", &none]);
    assert!(done.code == 2 && done.log.contains("does not exist"), "{done:?}");
    assert!(!Path::new(&none).exists() && !done.log.contains("inspector:"));
}

mod at_length {
    use super::*;

    #[test]
    #[ignore = "long: the gate runs it"]
    fn keeps_the_dead_letters_that_fit() {
        keeps_what_fits(34, 32);
    }
}
