//! Tests of receivers in separate processes: under attack, under load, when they are stopped and
//! when they are killed. Tests of the larger examples.

#[path = "../support/mod.rs"]
mod support;

#[cfg(all(target_os = "linux", feature = "actix-web"))]
mod attacks_framing;
#[cfg(all(target_os = "linux", feature = "actix-web"))]
mod attacks_http2;
#[cfg(all(target_os = "linux", feature = "actix-web"))]
mod attacks_replay;
#[cfg(all(target_os = "linux", feature = "actix-web"))]
mod attacks_slow;
#[cfg(all(target_os = "linux", feature = "actix-web"))]
mod behind_nginx;
#[cfg(all(feature = "metrics", feature = "redis"))]
mod example_programs;
#[cfg(all(target_os = "linux", feature = "actix-web", feature = "redis"))]
mod faults;
#[cfg(all(unix, feature = "actix-web", feature = "redb"))]
mod restarts;
#[cfg(all(unix, feature = "actix-web"))]
mod shutdown;
#[cfg(all(target_os = "linux", feature = "actix-web"))]
mod soak;
#[cfg(all(target_os = "linux", feature = "actix-web", feature = "redb"))]
mod stops_under_load;
#[cfg(all(unix, feature = "actix-web", feature = "postgres", feature = "redb"))]
mod storms;

/// Not a test: the program that `support::target::Target` starts.
#[cfg(all(target_os = "linux", feature = "actix-web"))]
#[test]
#[ignore = "run by other tests, in a separate process"]
fn receiver() {
    support::target::serve();
}
