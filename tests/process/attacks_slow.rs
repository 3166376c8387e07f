//! Tests of slow senders: receivers in separate processes continue to answer genuine deliveries,
//! their memory stays bounded, and nothing of the attack is left.
//!
//!     cargo build --all-features --example header_deadline
//!     cargo test --all-features --test process -- attacks_slow:: --include-ignored --nocapture --test-threads 1
//!
//! This prints how fast genuine deliveries are answered. They must all be answered. Their latency
//! is not checked.

use std::{net::SocketAddr, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use crate::support::{
    SECRET, SIGNATURE,
    honest::{Attacked, ONE_AT_A_TIME, attackers},
    http1::{Connection, Request},
    program::Program,
    target::{FRAMEWORKS, Target, delivery, event},
};

const MIB: usize = 1 << 20;

/// Returns a delivery that is well-formed and fresh, so that it is not rejected before its body is
/// read, with a forged signature.
fn forged(len: usize) -> Request {
    delivery("").changed(SIGNATURE, "0".repeat(64)).changed("content-length", len.to_string()).body(vec![b' '; len])
}

/// Returns the statuses of the responses to attackers. `None` is a connection that was closed
/// without one.
async fn statuses(attacks: JoinSet<Option<u16>>) -> Vec<Option<u16>> {
    attacks.join_all().await
}

#[track_caller]
fn count(statuses: &[Option<u16>], status: u16) -> usize {
    statuses.iter().filter(|found| **found == Some(status)).count()
}

/// Enough attackers that a leak by each of them would be visible.
const A_FEW: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_do_not_prevent_genuine_deliveries() {
    slow_bodies_on(A_FEW).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn actix_web_closes_connections_with_slow_heads() {
    slow_heads_in_actix_web_on(A_FEW).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn axum_closes_connections_with_slow_heads() {
    slow_heads_in_axum_on(A_FEW).await;
}

mod at_length {
    use super::*;

    const MANY: usize = 1_000;

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "long: the gate runs it"]
    async fn slow_bodies_on_a_thousand_connections_do_not_prevent_genuine_deliveries() {
        slow_bodies_on(MANY).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "long: the gate runs it"]
    async fn actix_web_closes_connections_with_slow_heads() {
        slow_heads_in_actix_web_on(MANY).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "long: the gate runs it"]
    async fn axum_closes_connections_with_slow_heads() {
        slow_heads_in_axum_on(MANY).await;
    }
}

async fn slow_bodies_on(connections: usize) {
    let _guard = ONE_AT_A_TIME.lock().await;
    let attackers = attackers(connections);
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
                    // A byte arrives now and then, so only a deadline for the whole body stops it.
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

/// A `concurrency_limit` outside the receiver can be used up by slow senders. Inside the receiver,
/// it cannot.
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

/// Opens connections that send nothing, a part of a head, or a head without its last byte. The
/// server must close them, and these tests show how to configure it.
async fn slow_heads(address: SocketAddr, count: usize) -> Vec<Connection> {
    let head = delivery("{}").head_bytes();
    let parts = [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\n", &head[..100], &head[..head.len() - 1]];
    let mut connections = Vec::new();
    for part in parts.into_iter().cycle().take(count) {
        let mut connection = Connection::open(address).await;
        connection.send(part).await;
        connections.push(connection);
    }
    connections
}

/// Returns whether each connection is answered with 400, 408 or nothing, and is closed.
async fn are_closed(connections: Vec<Connection>) -> bool {
    let mut closing = JoinSet::new();
    for mut connection in connections {
        closing.spawn(async move {
            let answer = connection.answer().await.map(|answer| answer.status);
            matches!(answer, None | Some(400 | 408)) && connection.is_closed().await
        });
    }
    closing.join_all().await.into_iter().all(|is_closed| is_closed)
}

async fn slow_heads_in_actix_web_on(connections: usize) {
    let _guard = ONE_AT_A_TIME.lock().await;
    let target = Target::start(&[("FRAMEWORK", "actix-web"), ("CLIENT_REQUEST_TIMEOUT_MS", "1000")]);
    let attack = async {
        assert!(are_closed(slow_heads(target.address, attackers(connections)).await).await);
    };
    Attacked::by(&target, &format!("actix-web: slow heads on {connections} connections"), 64 << 10, attack).await;
}

/// `axum::serve` has no deadline for heads, so this tests the example that has one.
async fn slow_heads_in_axum_on(connections: usize) {
    let _guard = ONE_AT_A_TIME.lock().await;
    let variables = [("TWENTY_WEBHOOK_SECRET", SECRET), ("HEAD_WITHIN_MS", "1000")];
    let mut program = Program::start("header_deadline", &[], &variables);
    let address = program.address();
    let before = program.files();
    let honest = async || {
        let mut connection = Connection::open(address).await;
        connection.send(delivery(event(0, "well", 1_000)).bytes()).await;
        connection.answer().await.unwrap().status
    };
    assert_eq!(honest().await, 200);
    // There are twice as many connections as the server accepts at the same time. The others wait.
    let slow = slow_heads(address, attackers(connections)).await;
    let closed = tokio::spawn(are_closed(slow));
    assert_eq!(honest().await, 200);
    assert!(closed.await.unwrap());
    program.until("no connection is left", |program| program.files() <= before);
    assert!(program.terminate().success());
}

/// Opens connections that send a forged body without its last byte, and wait.
async fn all_but_the_last_byte(address: SocketAddr, count: usize, len: usize) -> Vec<Connection> {
    let request = forged(len);
    let mut connections = Vec::new();
    for _ in 0..count {
        let mut connection = Connection::open(address).await;
        connection.send(&request.bytes()[..request.head_bytes().len() + len - 1]).await;
        connections.push(connection);
    }
    connections
}

/// The attackers send sixteen times the longest body, to a receiver with a budget for eight. Half
/// of the budget is reserved for short bodies, so genuine deliveries are still accepted.
#[tokio::test(flavor = "multi_thread")]
async fn long_forged_bodies_leave_budget_for_genuine_deliveries() {
    const ATTACKERS: usize = 16;
    const FIT_IN: usize = 4;

    let _guard = ONE_AT_A_TIME.lock().await;
    for framework in FRAMEWORKS {
        let budget = (16 * MIB).to_string();
        // No body times out before the last one is sent.
        let target = Target::start(&[("FRAMEWORK", framework), ("BUDGET", &budget), ("BODY_DEADLINE_MS", "60000")]);
        let attack = async {
            let mut attacks = JoinSet::new();
            for mut connection in all_but_the_last_byte(target.address, ATTACKERS, 2 * MIB).await {
                attacks.spawn(async move { connection.answer().await.map(|answer| answer.status) });
            }
            // The other attackers are rejected while these wait for their last byte.
            for _ in FIT_IN..ATTACKERS {
                assert_eq!(attacks.join_next().await.unwrap().unwrap(), Some(503));
            }
        };
        // The memory is limited to twice the budget, because buffers double, and to what
        // connections take.
        let title = format!("{framework}: {ATTACKERS} times 2 MiB against a budget of 16 MiB");
        Attacked::by(&target, &title, 48 << 10, attack).await;
    }
}

/// Short bodies can use up the whole budget, because it is a limit. This takes many connections,
/// and ends with them.
#[tokio::test(flavor = "multi_thread")]
async fn short_forged_bodies_can_use_up_the_budget() {
    let _guard = ONE_AT_A_TIME.lock().await;
    for framework in FRAMEWORKS {
        let budget = MIB.to_string();
        let target = Target::start(&[("FRAMEWORK", framework), ("BUDGET", &budget), ("BODY_DEADLINE_MS", "20000")]);
        let before = target.settled_for_good().await;
        let post = async |request: Request| {
            let mut connection = Connection::open(target.address).await;
            connection.send(request.bytes()).await;
            connection.answer().await.unwrap().status
        };
        let attackers = all_but_the_last_byte(target.address, 80, 16 << 10).await;
        let full = target.settled_for_good().await;
        assert_ne!(full.budget, before.budget);
        assert_eq!(post(delivery(event(1, "well", 3_000))).await, 503, "{framework}: {full:?}");
        drop(attackers);
        target.settled(&before).await;
        assert_eq!(post(delivery(event(1, "well", 3_000))).await, 200);
    }
}
