//! Counts the instructions of verification, events and claims with valgrind. The load of the
//! machine does not change the counts. Valgrind's processor has no SHA extensions, so hashing takes
//! several times as many instructions as on most machines.
//!
//! Each case prints a line of JSON: `{"case":"event/Person/person.created","instructions":30053}`.
//!
//! ```sh
//! cargo bench --bench instructions
//! ```

mod support;

use std::{env, hint::black_box, process::Command};

use serde_json::Value;
use support::{
    FiveFields, NoFields, SECRET, claims, deliveries::DELIVERIES, delivery, headers, long_note, verified, verifier,
};
use twenty_webhook::{
    WebhookEvent,
    event::record::{Person, Record},
};

/// The types into which a body is read, and `verify`, which only verifies it.
const READINGS: [&str; 6] = ["Value", "verify", "Any", "Person", "FiveFields", "NoFields"];

const REMEMBERED: [usize; 3] = [10, 1_000, 100_000];

fn main() {
    let args: Vec<_> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match &*args {
        [] => count_all(),
        [case, times] => run(case, times.parse().unwrap()),
        _ => panic!("takes no arguments"),
    }
}

fn count_all() {
    let bodies = DELIVERIES.into_iter().chain(["long-note"]);
    let readings = bodies.flat_map(|body| {
        let of_a_person = if body.starts_with("person.") { READINGS.len() } else { 3 };
        READINGS[..of_a_person].iter().map(move |reading| format!("event/{reading}/{body}"))
    });
    let claims = REMEMBERED.iter().flat_map(|n| ["new", "duplicate"].map(|claim| format!("claim/{claim}/{n}")));
    for case in readings.chain(claims) {
        // The difference excludes the instructions that run only once.
        let instructions = (count(&case, 60) - count(&case, 10)) / 50;
        println!("{}", serde_json::json!({ "case": case, "instructions": instructions }));
    }
}

/// Returns how many instructions this program takes to run a case `times` times.
fn count(case: &str, times: u64) -> u64 {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(env::current_exe().unwrap());
    let output = valgrind.args([case, &times.to_string()]).output().expect("valgrind should be installed");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    let counted = words.lines().find_map(|line| line.split_once("Collected : ")).expect("callgrind prints the count");
    counted.1.trim().parse().unwrap()
}

fn run(case: &str, times: usize) {
    let [kind, what, which] = *case.split('/').collect::<Vec<_>>() else { panic!("no case: {case}") };
    if kind == "claim" {
        return run_claims(what, which.parse().unwrap(), times);
    }
    let body = if which == "long-note" { long_note() } else { delivery(which) };
    let (headers, verifier) = (headers(&body), verifier(&[SECRET]));
    let verified = verified(body.clone());
    for _ in 0..times {
        match what {
            "Value" => drop(black_box(serde_json::from_slice::<Value>(&body).unwrap())),
            "verify" => drop(black_box(verifier.verify(headers.iter().map(|(n, v)| (n, v)), body.clone()).unwrap())),
            "Any" => drop(black_box(WebhookEvent::<Record>::from_verified(verified.clone()).unwrap())),
            "Person" => drop(black_box(WebhookEvent::<Person>::from_verified(verified.clone()).unwrap())),
            "FiveFields" => drop(black_box(WebhookEvent::<FiveFields>::from_verified(verified.clone()).unwrap())),
            "NoFields" => drop(black_box(WebhookEvent::<NoFields>::from_verified(verified.clone()).unwrap())),
            _ => panic!("no reading: {what}"),
        }
    }
}

fn run_claims(claim: &str, remembered: usize, times: usize) {
    let store = claims::full_store(remembered);
    for number in 0..times as u64 {
        match claim {
            "new" => claims::handle(&store, claims::key(remembered as u64 + number)),
            _ => claims::claim_duplicate(&store, claims::key(number % remembered as u64)),
        }
    }
}
