//! The servers under test. Each server has one route and runs on one core.

mod actix;
mod axum;
mod by_hand;

use std::net::{Ipv4Addr, TcpListener};

use tokio::runtime;
use twenty_webhook::{
    Receiver, Verifier,
    deduplicate::{MemoryStore, RedisStore},
};

use crate::{delivery::SECRET, process};

pub const PATH: &str = "/webhooks/twenty";

/// All routes, by framework.
pub const ROUTES: [&str; 15] = [
    "axum-bytes",
    "axum-value",
    "axum-by-hand",
    "axum-standardwebhooks",
    "axum-layer",
    "axum-person",
    "axum-memory",
    "axum-redis",
    "actix-bytes",
    "actix-value",
    "actix-by-hand",
    "actix-layer",
    "actix-person",
    "actix-memory",
    "actix-redis",
];

/// The capacity of the store. It exceeds the deliveries of a run, so that no delivery is forgotten.
const REMEMBERED: usize = 500_000;

/// Serves one route until the process is killed. Prints the address on standard output.
pub fn run(route: &str, redis_url: &str) {
    process::pin(process::SERVER);
    process::allow_connections();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    println!("{}", listener.local_addr().expect("an address"));
    if route.starts_with("actix") {
        let system = actix_web::rt::System::new();
        system.block_on(async { actix::run(route, listener, receiver(route, redis_url).await).await });
    } else {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { axum::run(route, listener, receiver(route, redis_url).await).await });
    }
}

async fn receiver(route: &str, redis_url: &str) -> Receiver {
    let receiver = Receiver::new(Verifier::new(SECRET).expect("a secret"));
    match route.split_once('-') {
        Some((_, "memory")) => receiver.deduplicate(MemoryStore::new(REMEMBERED)),
        Some((_, "redis")) => {
            let store = RedisStore::builder(redis_url).prefix(format!("{route}:")).connect().await;
            receiver.deduplicate(store.expect("a Redis"))
        }
        _ => receiver,
    }
}
