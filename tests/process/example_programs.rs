//! Runs the larger examples as users do: as separate processes, over sockets, ended by signals.
//!
//! `cargo test --all-features` builds them. To run this file alone, first run `cargo build
//! --all-features --examples`. The tests are not scripts, because they read Redis and stop a worker
//! at a certain moment.

use std::{collections::BTreeSet, io::Write as _, net::SocketAddr, ops::Range};

use twenty_webhook::verify::{Signer, Timestamp};

use crate::support::{
    data_text,
    http1::{Connection, soon},
    program::Program,
    redis::{Server, until},
};

const SECRET: &str = "dev-secret";

/// Returns a body with its own id.
fn body(number: usize) -> String {
    let template = data_text("person.created.json");
    template.replace("2e6f6a2f-2f7e-4b0d-9a3b-5b6d1d2c9f01", &id(number))
}

fn id(number: usize) -> String {
    format!("{number:08x}-0000-4000-8000-000000000000")
}

/// Returns the path of a new inbox.
fn inbox_path(name: &str) -> String {
    format!("{}/{name}-{}.redb", env!("CARGO_TARGET_TMPDIR"), std::process::id())
}

async fn post(address: SocketAddr, path: &str, secret: &str, body: &str) -> u16 {
    let headers = Signer::new(secret).unwrap().sign(body).pairs();
    Connection::open(address).await.post(path, headers, body.to_owned()).await.unwrap()
}

/// On a busy machine, an example may acknowledge a delivery before its handler has completed.
fn is_accepted(status: u16) -> bool {
    matches!(status, 200 | 202)
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

#[tokio::test]
async fn many_tenants_are_served_and_their_secrets_rotated() {
    let file = std::env::temp_dir().join(format!("twenty-webhook-tenants-{}", std::process::id()));
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("acme acme-secret\n\nglobex globex-secret\n");
    let mut program = Program::start("many_tenants", &[], &[("TENANTS_FILE", file.to_str().unwrap())]);
    let address = program.address();
    let (acme, globex) = ("/webhooks/twenty/acme", "/webhooks/twenty/globex");

    // The tenants get separate events with the same body, and neither is a duplicate of the other.
    assert!(is_accepted(post(address, acme, "acme-secret", &body(1)).await));
    assert!(is_accepted(post(address, globex, "globex-secret", &body(1)).await));
    assert!(is_accepted(post(address, acme, "acme-secret", &body(1)).await));
    let handled = |tenant: &str, number| format!("{tenant} person.created {}", id(number));
    program.until("it prints both", |program| program.lines().len() == 2);
    assert_eq!(sorted(program.lines()), [handled("acme", 1), handled("globex", 1)]);

    // No tenant can sign for another one.
    assert_eq!(post(address, acme, "globex-secret", &body(2)).await, 401);
    assert_eq!(post(address, "/webhooks/twenty/initech", "acme-secret", &body(2)).await, 401);

    // In a rotation, the old secret is accepted as long as it is listed.
    let reload = |program: &mut Program, text: &str, says: &str| {
        write(text);
        let before = program.log().matches(says).count();
        program.signal("-HUP");
        program.until(says, |program| program.log().matches(says).count() > before);
    };
    reload(&mut program, "acme new-secret acme-secret\nglobex globex-secret\n", "2 tenants");
    assert!(is_accepted(post(address, acme, "new-secret", &body(3)).await));
    assert!(is_accepted(post(address, acme, "acme-secret", &body(4)).await));
    reload(&mut program, "acme new-secret\nglobex globex-secret\n", "2 tenants");
    assert_eq!(post(address, acme, "acme-secret", &body(5)).await, 401);
    // The id of the keys does not depend on the secret, so this is a duplicate.
    assert!(is_accepted(post(address, acme, "new-secret", &body(4)).await));

    // A file that contains an error changes nothing.
    reload(&mut program, "acme another-secret\nglobex\n", "all stays as it was: line 2 of");
    assert!(is_accepted(post(address, acme, "new-secret", &body(6)).await));
    assert!(is_accepted(post(address, globex, "globex-secret", &body(6)).await));

    assert!(program.terminate().success());
    let expected = [("acme", 1), ("acme", 3), ("acme", 4), ("acme", 6), ("globex", 1), ("globex", 6)];
    assert_eq!(sorted(program.lines()), expected.map(|(tenant, number)| handled(tenant, number)));
    assert!(!program.log().contains("-secret"), "{}", program.log());
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn metrics_are_served() {
    let inbox = inbox_path("metrics");
    let mut program = Program::start(
        "metrics",
        &[],
        &[
            ("TWENTY_WEBHOOK_SECRET", SECRET),
            ("TWENTY_WEBHOOK_PREVIOUS_SECRET", "previous-secret"),
            ("INBOX", &inbox),
            ("RUST_LOG", "info,twenty_webhook=debug"),
        ],
    );
    let address = program.address();
    let path = "/webhooks/twenty";
    for number in 0..3 {
        assert!(is_accepted(post(address, path, SECRET, &body(number)).await));
    }
    assert!(is_accepted(post(address, path, SECRET, &body(0)).await));
    assert!(is_accepted(post(address, path, "previous-secret", &body(3)).await));
    assert_eq!(post(address, path, "another-secret", &body(4)).await, 401);
    let stale = Signer::new(SECRET).unwrap().sign_at(Timestamp::from_millis(1_790_932_471_733), body(5)).pairs();
    assert_eq!(Connection::open(address).await.post(path, stale, body(5)).await.unwrap(), 401);

    // The worker handles the events after the responses.
    let page = soon(async {
        loop {
            let page = Connection::open(address).await.get("/metrics").await.unwrap();
            if page.contains(r#"twenty_webhook_inbox_attempts_total{outcome="handled"} 4"#) {
                break page;
            }
        }
    })
    .await;
    let has = |line: &str| assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    has(r#"twenty_webhook_deliveries_total{outcome="stored"} 4"#);
    has(r#"twenty_webhook_deliveries_total{outcome="duplicate"} 1"#);
    has(r#"twenty_webhook_refusals_total{kind="signature_mismatch"} 1"#);
    has(r#"twenty_webhook_inbox_accepted_total{outcome="stored"} 4"#);
    has(r#"twenty_webhook_inbox_accepted_total{outcome="duplicate"} 1"#);
    has("twenty_webhook_previous_secret_total 1");
    // These count all verified deliveries.
    for histogram in ["body_bytes", "age_seconds", "verification_seconds"] {
        has(&format!(r#"twenty_webhook_{histogram}_bucket{{le="+Inf"}} 5"#));
        has(&format!("twenty_webhook_{histogram}_count 5"));
    }
    assert!(page.contains("twenty_webhook_inbox_handler_seconds_bucket{"), "{page}");
    for level in ["WARN", "DEBUG"] {
        assert!(program.log().contains(&format!("{level} twenty_webhook::")), "{}", program.log());
    }
    assert!(!page.contains(SECRET) && !program.log().contains(SECRET));
    assert!(program.terminate().success());
    std::fs::remove_file(inbox).unwrap();
}

#[test]
fn a_blank_previous_secret_is_an_error_and_an_empty_one_is_ignored() {
    let variables = |previous| [("TWENTY_WEBHOOK_SECRET", SECRET), ("TWENTY_WEBHOOK_PREVIOUS_SECRET", previous)];
    let mut program = Program::start("axum_receiver", &[], &variables(" "));
    assert_eq!(program.wait().code(), Some(2));
    assert!(program.log().starts_with("TWENTY_WEBHOOK_PREVIOUS_SECRET: "), "{}", program.log());

    let mut program = Program::start("axum_receiver", &[], &variables(""));
    program.address();
    assert!(program.terminate().success());
}

/// A client that has sent half of a head keeps its connection open for any time. The programs end
/// nevertheless.
#[tokio::test]
async fn an_incomplete_request_head_does_not_prevent_shutdown() {
    let file = std::env::temp_dir().join(format!("twenty-webhook-half-head-{}", std::process::id()));
    std::fs::write(&file, "acme acme-secret\n").unwrap();
    let redis = "redis://127.0.0.1:1";
    let inbox = inbox_path("half-head");
    let variables =
        [("TWENTY_WEBHOOK_SECRET", SECRET), ("TENANTS_FILE", file.to_str().unwrap()), ("INBOX", inbox.as_str())];
    let names = [
        "axum_receiver",
        "actix_receiver",
        "event_router",
        "actix_event_router",
        "many_tenants",
        "metrics",
        "header_deadline",
    ];
    let mut programs: Vec<_> = names.iter().map(|name| Program::start(name, &[], &variables)).collect();
    let variables = [("TWENTY_WEBHOOK_SECRET", SECRET), ("REDIS_URL", redis)];
    programs.push(Program::start("redis_receiver", &[], &variables));
    let mut clients = Vec::new();
    for program in &mut programs {
        for part in
            ["POST / HTTP/1.1\r\n", "P", "POST /webhooks/twenty HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n"]
        {
            let mut client = std::net::TcpStream::connect(program.address()).unwrap();
            client.write_all(part.as_bytes()).unwrap();
            clients.push(client);
        }
    }
    // All programs get the signal at the same time. `Program::wait` limits how long they may take.
    for program in &programs {
        program.signal("-TERM");
    }
    for program in &mut programs {
        assert!(program.wait().success());
    }
    std::fs::remove_file(file).unwrap();
    std::fs::remove_file(inbox).unwrap();
}

async fn enqueue(address: SocketAddr, numbers: Range<usize>) {
    for number in numbers.flat_map(|number| [number, number]) {
        assert_eq!(post(address, "/webhooks/twenty", SECRET, &body(number)).await, 200);
    }
}

/// Returns the ids of the handled events.
fn worked_on(workers: &[&Program]) -> Vec<String> {
    let lines = workers.iter().flat_map(|worker| worker.lines());
    lines.map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn a_killed_queue_worker_loses_no_event() {
    const EVENTS: usize = 2_000;
    let redis = Server::durable();
    let url = redis.url();
    let variables = [("TWENTY_WEBHOOK_SECRET", SECRET), ("REDIS_URL", &url), ("RECLAIM_AFTER_MS", "1000")];
    let start = |arguments: &[&str]| Program::start("redis_stream", arguments, &variables);
    let mut receiver = start(&["receive"]);
    let address = receiver.address();
    // Each delivery is sent twice, the second time as a duplicate. The workers start when half of
    // the events are in the queue.
    enqueue(address, 0..EVENTS / 2).await;
    let mut killed = start(&["work", "killed"]);
    let mut survivor = start(&["work", "survivor"]);
    let enqueuing = tokio::spawn(enqueue(address, EVENTS / 2..EVENTS));

    // The worker is stopped half-way, while it holds unhandled events. It usually handles them at
    // once, so it is frozen repeatedly until it holds some.
    let holds = || {
        let held: Vec<(String, String, u64, u64)> =
            redis.command(&["XPENDING", "twenty:events", "workers", "-", "+", "100", "killed"]).unwrap();
        held.len()
    };
    killed.until("it has done some", |killed| killed.lines().len() > EVENTS / 10);
    killed.until("it holds some", |killed| {
        killed.signal("-STOP");
        let holds_some = holds() > 0;
        if !holds_some {
            killed.signal("-CONT");
        }
        holds_some
    });
    let abandoned = holds();
    killed.kill();
    enqueuing.await.unwrap();

    let stream_is_empty = || redis.command::<usize>(&["XLEN", "twenty:events"]).unwrap() == 0;
    until("all events are handled", stream_is_empty);
    assert!(receiver.terminate().success());
    assert!(survivor.terminate().success());
    let by_killed = killed.lines().len();
    let all = worked_on(&[&killed, &survivor]);
    let distinct: BTreeSet<_> = all.iter().collect();
    let doubled = all.len() - distinct.len();
    println!(
        "{EVENTS} events, each delivered twice: {by_killed} done by the worker that was killed, which left {abandoned} behind;"
    );
    println!("lost {}, done twice {doubled}", EVENTS - distinct.len());
    assert_eq!(distinct.len(), EVENTS, "lost");
    assert!(doubled <= abandoned, "only events that were handled and not acknowledged are handled again");
    assert!(by_killed < EVENTS);
    assert_eq!(redis.command::<usize>(&["XLEN", "twenty:dead-letters"]).unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn the_queue_worker_gives_up_on_an_entry_that_does_not_verify() {
    let redis = Server::durable();
    let url = redis.url();
    let variables = [("TWENTY_WEBHOOK_SECRET", SECRET), ("REDIS_URL", &url), ("RECLAIM_AFTER_MS", "200")];
    // A process without the secret writes this entry into the stream.
    let forged = ["XADD", "twenty:events", "*", "event", "person.created", "body", "{}"];
    let _: String = redis.command(&forged).unwrap();
    let mut receiver = Program::start("redis_stream", &["receive"], &variables);
    let address = receiver.address();
    let mut worker = Program::start("redis_stream", &["work", "worker"], &variables);
    for number in 0..3 {
        assert_eq!(post(address, "/webhooks/twenty", SECRET, &body(number)).await, 200);
    }
    worker.until("it has done the others", |worker| worker.lines().len() == 3);
    worker.until("the forged one is a dead letter", |worker| worker.log().contains("dead letter after 3 attempts"));
    assert_eq!(redis.command::<usize>(&["XLEN", "twenty:events"]).unwrap(), 0);
    assert_eq!(redis.command::<usize>(&["XLEN", "twenty:dead-letters"]).unwrap(), 1);

    assert!(worker.terminate().success());
    assert_eq!(worked_on(&[&worker]), [id(0), id(1), id(2)]);
    assert!(receiver.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn a_queue_outage_is_answered_503_and_loses_nothing() {
    let mut redis = Server::durable();
    let variables = [("TWENTY_WEBHOOK_SECRET", SECRET), ("REDIS_URL", &redis.url())];
    let mut receiver = Program::start("redis_stream", &["receive"], &variables);
    let address = receiver.address();
    let mut worker = Program::start("redis_stream", &["work", "worker"], &variables);
    assert_eq!(post(address, "/webhooks/twenty", SECRET, &body(0)).await, 200);
    worker.until("it has done the first", |worker| worker.lines().len() == 1);

    redis.kill();
    assert_eq!(post(address, "/webhooks/twenty", SECRET, &body(1)).await, 503);
    redis.restart();
    // All connections to Redis are broken.
    assert_eq!(post(address, "/webhooks/twenty", SECRET, &body(1)).await, 200);
    worker.until("it has done the second", |worker| worker.lines().len() == 2);
    assert!(worker.terminate().success());

    // The next worker finds all accepted events.
    assert_eq!(post(address, "/webhooks/twenty", SECRET, &body(2)).await, 200);
    redis.kill();
    redis.restart();
    let mut next = Program::start("redis_stream", &["work", "next"], &variables);
    next.until("it has done the third", |next| next.lines().len() == 1);

    assert!(next.terminate().success());
    assert!(receiver.terminate().success());
    assert_eq!(worked_on(&[&worker, &next]), [id(0), id(1), id(2)]);
    assert!(!format!("{}{}{}", receiver.log(), worker.log(), next.log()).contains(SECRET));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn the_receiver_does_not_start_with_a_queue_that_can_lose_events() {
    for (options, missing) in [
        (["--appendonly", "no", "--appendfsync", "always"], "appendonly yes"),
        (["--appendonly", "yes", "--appendfsync", "everysec"], "appendfsync always"),
        (["--appendonly", "yes", "--appendfsync", "no"], "appendfsync always"),
    ] {
        let redis = Server::start(&options);
        let variables = [("TWENTY_WEBHOOK_SECRET", SECRET), ("REDIS_URL", &redis.url())];
        let mut receiver = Program::start("redis_stream", &["receive"], &variables);
        assert!(!receiver.wait().success());
        assert!(receiver.log().contains(&format!("set `{missing}`")), "{}", receiver.log());
        assert!(!receiver.log().contains("listening"), "{}", receiver.log());
    }
}
