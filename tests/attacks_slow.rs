//! Senders who take their time: receivers in processes of their own go on answering honest deliveries, their memory stays
//! bounded, and nothing is left of the attack.
//!
//!     cargo test --all-features --test attacks_slow -- --nocapture --test-threads 1
//!
//! prints how honest deliveries fared. They must all be answered; how fast is told and not judged.
#![cfg(all(target_os = "linux", feature = "actix-web", feature = "axum"))]

mod support;

use std::{fs, time::Duration};

use support::{
    SIGNATURE,
    honest::Attacked,
    http1::{Connection, Request},
    target::{self, FRAMEWORKS, Target, delivery, event},
};
use tokio::{
    sync::Mutex,
    task::JoinSet,
    time::{Instant, sleep},
};

const MIB: usize = 1 << 20;

/// Each of these has the machine, and the files that a process may open, to itself.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Not a test of its own: the program that the others start.
#[test]
#[ignore = "run by the tests beside it, in a process of its own"]
fn receiver() {
    target::serve();
}

/// As many attackers, or half as many as the process may have files.
fn attackers(wanted: usize) -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let files: usize = files.split_whitespace().nth(3).unwrap().parse().unwrap();
    wanted.min(files / 2)
}

/// Well-formed and fresh, so it is not refused before its body was read; but whoever sends it cannot sign.
fn forged(len: usize) -> Request {
    delivery("").changed(SIGNATURE, "0".repeat(64)).changed("content-length", len.to_string()).body(vec![b' '; len])
}

/// The statuses that attackers were answered, with `None` for connections that were closed instead.
async fn statuses(attacks: JoinSet<Option<u16>>) -> Vec<Option<u16>> {
    attacks.join_all().await
}

#[track_caller]
fn count(statuses: &[Option<u16>], status: u16) -> usize {
    statuses.iter().filter(|found| **found == Some(status)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_on_a_thousand_connections() {
    let _guard = ONE_AT_A_TIME.lock().await;
    let attackers = attackers(1_000);
    for framework in FRAMEWORKS {
        let target = Target::start(&[("FRAMEWORK", framework), ("BODY_DEADLINE_MS", "2000")]);
        let address = target.address;
        let attack = async {
            let mut attacks = JoinSet::new();
            for _ in 0..attackers {
                attacks.spawn(async move {
                    let request = forged(MIB);
                    let mut connection = Connection::open(address).await;
                    connection.send(request.head_bytes()).await;
                    // A byte now and then: each is something, so only a deadline for the whole helps.
                    for _ in 0..6 {
                        connection.send(b" ").await;
                        sleep(Duration::from_millis(300)).await;
                    }
                    connection.answer().await.map(|answer| answer.status)
                });
            }
            let statuses = statuses(attacks).await;
            assert_eq!(count(&statuses, 408), attackers, "{statuses:?}");
        };
        let title = format!("{framework}: slow bodies on {attackers} connections");
        Attacked::by(&target, &title, 64 << 10, attack).await;
    }
}

/// Without a deadline of the receiver's, `concurrency_limit` outside of it would be used up by whoever sends slowly. Inside of it, it
/// is not.
#[tokio::test(flavor = "multi_thread")]
async fn stalled_bodies_do_not_use_up_an_inner_concurrency_limit() {
    let _guard = ONE_AT_A_TIME.lock().await;
    let target = Target::start(&[("FRAMEWORK", "axum"), ("CONCURRENCY_LIMIT", "1"), ("BODY_DEADLINE_MS", "2000")]);
    let address = target.address;
    let attack = async {
        let mut attacks = JoinSet::new();
        for _ in 0..50 {
            attacks.spawn(async move {
                let request = forged(MIB);
                let mut connection = Connection::open(address).await;
                connection.send(request.head_bytes()).await;
                connection.answer().await.map(|answer| answer.status)
            });
        }
        let statuses = statuses(attacks).await;
        assert_eq!(count(&statuses, 408), 50, "{statuses:?}");
    };
    Attacked::by(&target, "axum: stalled bodies, with room for one handler", 16 << 10, attack).await;
}

/// Forged bodies of 2 MiB, held back at their last byte, until no budget is left.
#[tokio::test(flavor = "multi_thread")]
async fn forged_bodies_until_the_budget_is_full() {
    const BUDGET: usize = 16 * MIB;
    const LEN: usize = 2 * MIB;
    const ATTACKERS: usize = 16;

    let _guard = ONE_AT_A_TIME.lock().await;
    for framework in FRAMEWORKS {
        let budget = BUDGET.to_string();
        let target = Target::start(&[("FRAMEWORK", framework), ("BUDGET", &budget), ("BODY_DEADLINE_MS", "8000")]);
        let before = target.settled_for_good().await;
        let memory_before = target.child.memory();
        let mut attackers = Vec::new();
        for _ in 0..ATTACKERS {
            let mut connection = Connection::open(target.address).await;
            connection.send(&forged(LEN).bytes()[..LEN]).await;
            attackers.push(connection);
        }
        let start = Instant::now();
        // Each was read to where it stopped, or refused.
        while target.state().await.budget == before.budget || start.elapsed() < Duration::from_secs(1) {
            sleep(Duration::from_millis(50)).await;
        }
        let most = target.child.memory();
        println!("{framework}: {ATTACKERS} times 2 MiB, budget 16 MiB: from {memory_before} to {most} KiB");
        // The budget, twice as much for buffers that double, and what each connection takes.
        assert!(most <= memory_before + ((3 * BUDGET as u64) >> 10), "memory grew from {memory_before} to {most} KiB");
        println!("{:?}", target.state().await);
        drop(attackers);
        target.settled(&before).await;
        let mut connection = Connection::open(target.address).await;
        connection.send(delivery(event(1, "well", 100)).bytes()).await;
        assert_eq!(connection.answer().await.unwrap().status, 200);
    }
}
