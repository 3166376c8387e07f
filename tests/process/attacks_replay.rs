//! Replays a captured genuine delivery many times over many connections. It is handled once, and
//! other genuine deliveries are answered.
//!
//!     cargo test --all-features --test process -- attacks_replay:: --include-ignored --nocapture --test-threads 1

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use tokio::{task::JoinSet, time::Instant};

use crate::support::{
    honest::{Attacked, ONE_AT_A_TIME, Size, attackers},
    http1::Connection,
    redis,
    target::{FRAMEWORKS, Target, delivery, event},
};

const SHORT: Size = Size { connections: 100, duration: Duration::from_millis(300) };
/// More connections than handlers may run in the background.
const LONG: Size = Size { connections: 1_200, duration: Duration::from_secs(2) };

/// The number of the first captured event.
const CAPTURED: usize = 1 << 40;

/// Sends the same bytes until the time is over. Returns the number of each response.
async fn replay(address: SocketAddr, bytes: Vec<u8>, duration: Duration) -> BTreeMap<Option<u16>, usize> {
    let start = Instant::now();
    let mut answers = BTreeMap::new();
    let mut connection = Connection::open(address).await;
    while start.elapsed() < duration {
        connection.send(&bytes).await;
        let answer = connection.answer().await.map(|answer| answer.status);
        if answer.is_none() {
            connection = Connection::open(address).await;
        }
        *answers.entry(answer).or_default() += 1;
    }
    answers
}

async fn replayed(framework: &str, store: (&str, &str), size: Size) {
    let _guard = ONE_AT_A_TIME.lock().await;
    for (place, does) in ["well", "slow", "fail"].into_iter().enumerate() {
        let target = Target::start(&[("FRAMEWORK", framework), ("ACKNOWLEDGE_MS", "4000"), store]);
        let captured = delivery(event(CAPTURED + place, does, 1_500)).bytes();
        let attack = async {
            let mut attacks = JoinSet::new();
            for _ in 0..attackers(size.connections) {
                attacks.spawn(replay(target.address, captured.clone(), size.duration));
            }
            let mut answers: BTreeMap<Option<u16>, usize> = BTreeMap::new();
            for (answer, count) in attacks.join_all().await.into_iter().flatten() {
                *answers.entry(answer).or_default() += count;
            }
            println!("{framework}, {}, {does}: {answers:?}", store.0);
            assert!(answers.keys().all(|answer| matches!(answer, Some(200 | 409 | 500))), "{answers:?}");
        };
        let title = format!("{framework}, {}: a delivery is replayed whose handler does {does}", store.0);
        Attacked::by(&target, &title, 128 << 10, attack).await;
        let line = format!("handled {}", CAPTURED + place);
        let mut target = target;
        assert!(target.terminate().success());
        assert_eq!(target.child.remaining_lines().filter(|said| *said == line).count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_delivery_is_handled_once_with_a_store_in_memory() {
    for framework in FRAMEWORKS {
        replayed(framework, ("DEDUPLICATE", "10000"), SHORT).await;
    }
}

mod at_length {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "long: the gate runs it"]
    async fn a_replayed_delivery_is_handled_once_with_a_store_in_memory() {
        for framework in FRAMEWORKS {
            replayed(framework, ("DEDUPLICATE", "10000"), LONG).await;
        }
    }
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn a_replayed_delivery_is_handled_once_with_a_store_in_redis() {
    let redis = redis::Server::start(&[]);
    for framework in FRAMEWORKS {
        replayed(framework, ("REDIS_URL", &redis.url()), LONG).await;
        let _: String = redis.command(&["FLUSHALL"]).unwrap();
    }
}
