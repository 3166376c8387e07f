//! Tests the store in Redis with real servers that are killed, frozen, filled and restarted.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use twenty_webhook::deduplicate::{Claim, ClaimKey, ClaimOutcome, ClaimStore, RedisStore, StoreErrorKind};

use crate::support::{
    claim_store::{self, fresh, key},
    error::texts,
    process::free_port,
    redis::{Server, cluster, until},
};

const LONG: Duration = Duration::from_secs(300);
const DEADLINE: Duration = Duration::from_millis(500);
/// The additional time that a busy machine may take.
const SLACK: Duration = Duration::from_millis(1_500);

async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let result = future.await;
    let elapsed = start.elapsed();
    assert!(elapsed < limit, "took {elapsed:?}, more than {limit:?}");
    result
}

/// Checks that every operation fails with `kind` within the deadline.
async fn all_fail(store: &dyn ClaimStore, kind: StoreErrorKind) {
    let claim = Claim::new(key());
    let limit = DEADLINE + SLACK;
    let error = within(limit, store.claim(claim.key(), LONG)).await.unwrap_err();
    assert_eq!(error.kind(), kind, "{}", texts(&error));
    assert_eq!(error.into_claim().unwrap().key(), claim.key());
    let others = [
        within(limit, store.renew(&claim, LONG)).await.unwrap_err(),
        within(limit, store.complete(&claim, LONG)).await.unwrap_err(),
        within(limit, store.release(&claim)).await.unwrap_err(),
        within(limit, store.forget(claim.key())).await.unwrap_err(),
    ];
    for error in others {
        assert_eq!(error.kind(), kind, "{}", texts(&error));
        assert!(error.into_claim().is_none());
    }
}

/// Runs the whole life of a claim. Each operation must succeed at the first attempt.
async fn works(store: &dyn ClaimStore) {
    let claim = fresh(store.claim(key(), LONG).await.unwrap());
    assert!(store.renew(&claim, LONG).await.unwrap());
    assert!(store.complete(&claim, LONG).await.unwrap());
    assert_eq!(store.claim(claim.key(), LONG).await.unwrap(), ClaimOutcome::Completed);
    assert!(store.forget(claim.key()).await.unwrap());
    let claim = fresh(store.claim(claim.key(), LONG).await.unwrap());
    assert!(store.release(&claim).await.unwrap());
}

fn name(key: ClaimKey) -> String {
    let digits: String = key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("twenty-webhook:{digits}")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn meets_the_contract_of_claim_stores() {
    let server = Server::start(&[]);
    let patient = RedisStore::builder(&server.url()).deadline(Duration::from_secs(30));
    let one = patient.clone().connect().await.unwrap();
    let other = patient.connect().await.unwrap();
    claim_store::suite(Arc::new(one), Arc::new(other)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn meets_the_contract_of_claim_stores_in_a_cluster() {
    let nodes = cluster();
    let patient = |node: &Server| RedisStore::cluster([node.url()]).deadline(Duration::from_secs(30));
    let one = patient(&nodes[0]).connect().await.unwrap();
    let other = patient(&nodes[2]).connect().await.unwrap();
    claim_store::suite(Arc::new(one), Arc::new(other)).await;
    for node in &nodes {
        assert!(node.command::<u64>(&["DBSIZE"]).unwrap() > 0, "each node holds some of the keys");
    }
}

#[tokio::test]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn entries_have_the_documented_form() {
    let server = Server::start(&[]);
    let store = RedisStore::connect(&server.url()).await.unwrap();
    until("the claim of the connection test is gone", || server.command::<u64>(&["DBSIZE"]).unwrap() == 0);

    let claim = fresh(store.claim(key(), Duration::from_micros(60_000_001)).await.unwrap());
    let name = name(claim.key());
    let stored = |state: u8| {
        let value: Vec<u8> = server.command(&["GET", &name]).unwrap();
        assert_eq!(value, [&[state], &claim.token()[..]].concat());
        server.command::<i64>(&["PTTL", &name]).unwrap()
    };
    assert!((50_000..=60_001).contains(&stored(b'r')));
    assert!(store.renew(&claim, Duration::from_secs(90)).await.unwrap());
    assert!((80_000..=90_000).contains(&stored(b'r')));
    assert!(store.complete(&claim, Duration::from_secs(120)).await.unwrap());
    assert!((110_000..=120_000).contains(&stored(b'c')));

    let staging = RedisStore::builder(&server.url()).prefix("staging:").connect().await.unwrap();
    let claim = fresh(staging.claim(claim.key(), LONG).await.unwrap());
    assert!(server.command::<bool>(&["EXISTS", &name.replace("twenty-webhook:", "staging:")]).unwrap());
    assert!(staging.release(&claim).await.unwrap());
}

#[tokio::test]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn each_call_takes_one_round_trip() {
    let server = Server::start(&[]);
    let store = RedisStore::connect(&server.url()).await.unwrap();
    works(&store).await; // loads the scripts
    let before = Calls::until_now(&server);
    works(&store).await;
    // The commands SET and DEL inside the scripts are counted, too.
    assert_eq!(before.since(&server), Calls { set: 3 + 1, evalsha: 3, eval: 0, del: 1 + 1 });
}

/// Each of actix-web's workers has a runtime. A runtime may be idle or may have ended while another
/// one uses the store.
#[test]
#[ignore = "needs redis-server (Debian package redis-server)"]
fn each_runtime_has_its_own_connection() {
    let server = Server::start(&[]);
    let connections = || {
        let list: String = server.command(&["CLIENT", "LIST"]).unwrap();
        list.lines().count() - 1
    };
    let [first, second] = [(); 2].map(|()| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());
    let store = first.block_on(RedisStore::connect(&server.url())).unwrap();
    for _ in 0..3 {
        second.block_on(works(&store));
        first.block_on(works(&store));
    }
    assert_eq!(connections(), 2);
    drop(first);
    second.block_on(works(&store));
    until("the connection of the ended runtime is closed", || connections() == 1);
}

/// The numbers of commands that a server received, including rejected ones.
#[derive(Debug, PartialEq)]
struct Calls {
    set: u64,
    evalsha: u64,
    eval: u64,
    del: u64,
}

impl Calls {
    fn until_now(server: &Server) -> Self {
        let stats: String = server.command(&["INFO", "commandstats"]).unwrap();
        let calls = |command: &str| {
            let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:")));
            let numbers = line.into_iter().flat_map(|line| line.split(',')).filter_map(|number| number.split_once('='));
            let counted = numbers.filter(|(name, _)| ["calls", "rejected_calls"].contains(name));
            counted.map(|(_, number)| number.parse::<u64>().unwrap()).sum()
        };
        Self { set: calls("set"), evalsha: calls("evalsha"), eval: calls("eval"), del: calls("del") }
    }

    fn since(&self, server: &Server) -> Self {
        let now = Self::until_now(server);
        Self {
            set: now.set - self.set,
            evalsha: now.evalsha - self.evalsha,
            eval: now.eval - self.eval,
            del: now.del - self.del,
        }
    }
}

#[tokio::test]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn the_store_recovers_from_a_killed_and_restarted_server() {
    let mut server = Server::start(&[]);
    let store = RedisStore::connect(&server.url()).await.unwrap();
    works(&store).await;
    for _ in 0..3 {
        server.kill();
        // The operation fails directly, not at the deadline.
        within(DEADLINE, all_fail(&store, StoreErrorKind::Connection)).await;
        server.restart();
        works(&store).await;
    }
    // The server is restarted while no operation runs: the connection is broken and the scripts are
    // lost, and still no operation fails.
    let claim = fresh(store.claim(key(), LONG).await.unwrap());
    server.restart();
    assert!(!store.renew(&claim, LONG).await.unwrap(), "the server forgot it");
    assert!(store.complete(&claim, LONG).await.unwrap());
    assert_eq!(store.claim(claim.key(), LONG).await.unwrap(), ClaimOutcome::Completed);
    server.restart();
    works(&store).await;
}

#[tokio::test]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn flushed_scripts_are_loaded_again() {
    let server = Server::start(&[]);
    let store = RedisStore::connect(&server.url()).await.unwrap();
    works(&store).await;
    let () = server.command(&["SCRIPT", "FLUSH"]).unwrap();
    works(&store).await;
}

#[tokio::test]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn a_frozen_server_times_out_and_its_late_claim_can_be_freed() {
    let server = Server::start(&[]);
    let store = RedisStore::connect(&server.url()).await.unwrap();
    let held = fresh(store.claim(key(), LONG).await.unwrap());
    server.freeze();
    let [renewed, released, completed] = [(); 3].map(|()| key());
    let mut late = Vec::new();
    for key in [renewed, released, completed] {
        let error = within(DEADLINE + SLACK, store.claim(key, LONG)).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Timeout);
        late.push(error.into_claim().unwrap());
    }
    all_fail(&store, StoreErrorKind::Timeout).await;
    server.thaw();

    // The claims arrived after all, and belong to the callers whose calls timed out.
    assert!(store.renew(&held, LONG).await.unwrap());
    for key in [renewed, released, completed] {
        assert_eq!(store.claim(key, LONG).await.unwrap(), ClaimOutcome::Running);
    }
    assert!(store.renew(&late[0], LONG).await.unwrap());
    assert!(store.release(&late[1]).await.unwrap());
    assert!(store.complete(&late[2], LONG).await.unwrap());
    assert_eq!(store.claim(renewed, LONG).await.unwrap(), ClaimOutcome::Running);
    let _ = fresh(store.claim(released, LONG).await.unwrap());
    assert_eq!(store.claim(completed, LONG).await.unwrap(), ClaimOutcome::Completed);
    works(&store).await;
}

#[tokio::test]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn a_late_claim_that_is_not_freed_expires() {
    let server = Server::start(&[]);
    let store = RedisStore::connect(&server.url()).await.unwrap();
    let key = key();
    server.freeze();
    let error = store.claim(key, Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Timeout);
    server.thaw();
    until("the server continues", || server.command::<String>(&["PING"]).is_ok());
    tokio::time::sleep(Duration::from_millis(600)).await;
    let _ = fresh(store.claim(key, LONG).await.unwrap());
}

#[tokio::test]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn a_slow_answer_is_a_timeout_only_past_the_deadline() {
    let server = Server::start(&[]);
    let hasty = RedisStore::builder(&server.url()).deadline(Duration::from_millis(100)).connect().await.unwrap();
    let patient = RedisStore::builder(&server.url()).deadline(Duration::from_secs(10)).connect().await.unwrap();
    let () = server.command(&["CLIENT", "PAUSE", "1000", "ALL"]).unwrap();
    let error = within(Duration::from_millis(900), hasty.claim(key(), LONG)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Timeout);
    let start = Instant::now();
    works(&patient).await;
    assert!(start.elapsed() > Duration::from_millis(300), "it was slow");
    works(&hasty).await;
}

#[tokio::test]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn a_server_without_memory_rejects_claims_and_keeps_its_entries() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]);
    let store = RedisStore::connect(&server.url()).await.unwrap();
    works(&store).await;
    let claims = [fresh(store.claim(key(), LONG).await.unwrap()), fresh(store.claim(key(), LONG).await.unwrap())];
    let () = server.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();

    let before = Calls::until_now(&server);
    let error = store.claim(key(), LONG).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert!(texts(&error).contains("OOM"), "{}", texts(&error));
    let unfiled = error.into_claim().unwrap();
    assert_eq!(
        before.since(&server),
        Calls { set: 1, evalsha: 0, eval: 0, del: 0 },
        "a rejected command is not repeated"
    );
    let before = Calls::until_now(&server);
    assert_eq!(store.complete(&claims[0], LONG).await.unwrap_err().kind(), StoreErrorKind::Refused);
    let Calls { evalsha, eval, .. } = before.since(&server);
    assert_eq!((evalsha, eval), (1, 0), "and the script is not sent");
    // Commands that take no memory still work, and existing entries are kept.
    assert!(store.renew(&claims[0], LONG).await.unwrap());
    assert!(store.release(&claims[1]).await.unwrap());

    let () = server.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    assert_eq!(store.claim(claims[0].key(), LONG).await.unwrap(), ClaimOutcome::Running);
    assert!(store.complete(&claims[0], LONG).await.unwrap());
    assert!(store.complete(&unfiled, LONG).await.unwrap(), "handled in the meantime");
    assert_eq!(store.claim(unfiled.key(), LONG).await.unwrap(), ClaimOutcome::Completed);
    works(&store).await;
}

#[tokio::test]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn a_read_only_replica_is_an_error() {
    let server = Server::start(&[]);
    let store = RedisStore::connect(&server.url()).await.unwrap();
    works(&store).await;
    let () = server.command(&["REPLICAOF", "127.0.0.1", &free_port().to_string()]).unwrap();
    assert_eq!(store.claim(key(), LONG).await.unwrap_err().kind(), StoreErrorKind::Refused);
    assert_eq!(
        RedisStore::connect(&server.url()).await.unwrap_err().kind(),
        StoreErrorKind::Refused,
        "found when connecting"
    );
    let () = server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    works(&store).await;
}

/// After a failover, the address leads to another server, but the old one, now a replica, keeps its
/// connections.
#[tokio::test]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn a_server_that_became_a_replica_is_left() {
    let [old, new] = [Server::start(&[]), Server::start(&[])];
    let address = Cutter::before(&old);
    let store = RedisStore::connect(&address.url()).await.unwrap();
    works(&store).await;
    address.move_to(&new);
    let () = old.command(&["REPLICAOF", "127.0.0.1", &new.port().to_string()]).unwrap();
    let start = Instant::now();
    while let Err(error) = store.claim(key(), LONG).await {
        assert_eq!(error.kind(), StoreErrorKind::Refused);
        assert!(start.elapsed() < 4 * SLACK, "the new server is reached: {}", texts(&error));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    works(&store).await;
}

/// Forwards bytes to a server. On request, drops the next answer and closes the connection.
struct Cutter {
    port: u16,
    upstream: Arc<AtomicU16>,
    cut: Arc<AtomicBool>,
}

impl Cutter {
    fn before(server: &Server) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let upstream = Arc::new(AtomicU16::new(server.port()));
        let cut = Arc::new(AtomicBool::new(false));
        let (to, flag) = (Arc::clone(&upstream), Arc::clone(&cut));
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let server = TcpStream::connect((Ipv4Addr::LOCALHOST, to.load(Ordering::SeqCst))).unwrap();
                let (to_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let never = Arc::new(AtomicBool::new(false));
                thread::spawn(move || Self::pass(client, to_server, &never));
                let flag = Arc::clone(&flag);
                thread::spawn(move || Self::pass(server, to_client, &flag));
            }
        });
        Self { port, upstream, cut }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Forwards new connections to this server. Open connections stay.
    fn move_to(&self, server: &Server) {
        self.upstream.store(server.port(), Ordering::SeqCst);
    }

    fn pass(mut from: TcpStream, mut to: TcpStream, cut: &AtomicBool) {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if cut.swap(false, Ordering::SeqCst) || to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(std::net::Shutdown::Both), to.shutdown(std::net::Shutdown::Both));
    }

    fn cut_next_answer(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn an_answer_lost_with_the_connection_is_requested_again() {
    let server = Server::start(&[]);
    let cutter = Cutter::before(&server);
    let store = RedisStore::connect(&cutter.url()).await.unwrap();
    works(&store).await;

    cutter.cut_next_answer();
    let claim = fresh(store.claim(key(), LONG).await.unwrap());
    assert_eq!(store.claim(claim.key(), LONG).await.unwrap(), ClaimOutcome::Running);
    cutter.cut_next_answer();
    assert_eq!(store.claim(claim.key(), LONG).await.unwrap(), ClaimOutcome::Running);
    cutter.cut_next_answer();
    assert!(store.renew(&claim, LONG).await.unwrap());
    cutter.cut_next_answer();
    assert!(store.complete(&claim, LONG).await.unwrap());
    cutter.cut_next_answer();
    assert_eq!(store.claim(claim.key(), LONG).await.unwrap(), ClaimOutcome::Completed);
}

#[tokio::test]
async fn a_silent_server_is_a_timeout() {
    // The listener accepts connections and never answers.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("redis://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let store = RedisStore::builder(&url).connect_lazy().unwrap();
    all_fail(&store, StoreErrorKind::Timeout).await;
    let store = RedisStore::cluster([url]).connect_lazy().unwrap();
    all_fail(&store, StoreErrorKind::Timeout).await;
}

#[tokio::test]
async fn a_closed_port_is_a_connection_error() {
    let url = format!("redis://127.0.0.1:{}", free_port());
    let error = RedisStore::connect(&url).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Connection, "{}", texts(&error));
    let store = RedisStore::builder(&url).connect_lazy().unwrap();
    within(DEADLINE, all_fail(&store, StoreErrorKind::Connection)).await;
}

#[tokio::test]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn a_server_may_start_after_the_receiver() {
    let mut server = Server::start(&[]);
    server.kill();
    let store = RedisStore::builder(&server.url()).connect_lazy().unwrap();
    all_fail(&store, StoreErrorKind::Connection).await;
    server.restart();
    works(&store).await;
}

#[tokio::test]
async fn invalid_addresses_are_rejected() {
    for url in ["", "redis", "localhost:6379", "http://localhost", "redis://", "rediss://localhost", "redis://h/x"] {
        let error = RedisStore::connect(url).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Settings, "{url}: {}", texts(&error));
        let error = RedisStore::cluster([url]).connect_lazy().unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Settings, "{url}: {}", texts(&error));
    }
    let error = RedisStore::cluster([""; 0]).connect_lazy().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Settings, "{}", texts(&error));
}

/// `connect` fails if one of the required commands is not permitted. With exactly these commands,
/// everything works.
#[tokio::test]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn connect_reports_a_missing_permission() {
    const NEEDED: [&str; 6] = ["set", "get", "del", "pexpire", "eval", "evalsha"];
    // The commands of the connection itself.
    const CONNECTION: [&str; 3] = ["+hello", "+client", "+ping"];
    let server = Server::start(&[]);
    let url = format!("redis://app:pw@127.0.0.1:{}", server.port());
    let allow = |commands: &[&str], keys: &str| {
        let allowed: Vec<String> = commands.iter().map(|command| format!("+{command}")).collect();
        let mut words = vec!["ACL", "SETUSER", "app", "reset", "on", ">pw", keys];
        words.extend(CONNECTION);
        words.extend(allowed.iter().map(String::as_str));
        let () = server.command(&words).unwrap();
    };
    allow(&NEEDED, "~twenty-webhook:*");
    let store = RedisStore::connect(&url).await.unwrap();
    assert_eq!(server.command::<usize>(&["DBSIZE"]).unwrap(), 0, "nothing is left behind");
    let claim = fresh(store.claim(key(), LONG).await.unwrap());
    assert!(store.renew(&claim, LONG).await.unwrap());
    assert!(store.complete(&claim, LONG).await.unwrap());
    assert!(store.forget(claim.key()).await.unwrap());
    for restarted in [false, true] {
        for missing in NEEDED {
            if restarted {
                // The scripts are not loaded.
                let () = server.command(&["SCRIPT", "FLUSH"]).unwrap();
            }
            let others: Vec<&str> = NEEDED.into_iter().filter(|command| *command != missing).collect();
            allow(&others, "~twenty-webhook:*");
            let error = RedisStore::connect(&url).await.expect_err(missing);
            assert_eq!(error.kind(), StoreErrorKind::Refused, "{missing}: {}", texts(&error));
        }
    }
    allow(&NEEDED, "~another:*");
    assert_eq!(RedisStore::connect(&url).await.unwrap_err().kind(), StoreErrorKind::Refused);
}

#[tokio::test]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn a_corrected_password_is_used() {
    let server = Server::start(&["--requirepass", "correct-horse"]);
    let admin = format!("redis://:correct-horse@127.0.0.1:{}", server.port());
    let url = format!("redis://:battery-staple@127.0.0.1:{}", server.port());
    let error = RedisStore::connect(&url).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{}", texts(&error));
    assert!(!texts(&error).contains("battery"), "{}", texts(&error));
    let error = RedisStore::connect(&server.url()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "no password: {}", texts(&error));

    let builder = RedisStore::builder(&url);
    assert!(!format!("{builder:?}").contains("battery"), "{builder:?}");
    let store = builder.connect_lazy().unwrap();
    assert!(!format!("{store:?}").contains("battery"), "{store:?}");
    all_fail(&store, StoreErrorKind::Refused).await;
    let () = server.command_at(&admin, &["CONFIG", "SET", "requirepass", "battery-staple"]).unwrap();
    // The current attempt to connect may still use the old password.
    let _ = store.claim(key(), LONG).await;
    works(&store).await;
}

#[tokio::test]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn foreign_values_are_left_alone() {
    let server = Server::start(&[]);
    let store = RedisStore::connect(&server.url()).await.unwrap();
    for value in ["", "r", "x", "running", "value-of-another-program"] {
        let key = key();
        let () = server.command(&["SET", &name(key), value]).unwrap();
        let outcome = store.claim(key, LONG).await;
        if value.starts_with('r') {
            assert_eq!(outcome.unwrap(), ClaimOutcome::Running);
        } else {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Unexpected);
            assert!(!texts(&error).contains("another-program"));
        }
        assert!(!store.complete(&Claim::new(key), LONG).await.unwrap());
        assert_eq!(server.command::<String>(&["GET", &name(key)]).unwrap(), value, "left alone");
    }
    let key = key();
    let () = server.command(&["RPUSH", &name(key), "list"]).unwrap();
    assert_eq!(store.claim(key, LONG).await.unwrap_err().kind(), StoreErrorKind::Refused);
}

#[tokio::test]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn errors_never_show_keys() {
    // The server's error for an unknown command contains the arguments.
    let server = Server::start(&["SET", "EVALSHA", "DEL"].map(|command| ["--rename-command", command, ""]).concat());
    let store = RedisStore::builder(&server.url()).connect_lazy().unwrap();
    let claim = Claim::new(key());
    let errors = [
        store.claim(claim.key(), LONG).await.unwrap_err(),
        store.complete(&claim, LONG).await.unwrap_err(),
        store.forget(claim.key()).await.unwrap_err(),
    ];
    for error in &errors {
        assert!(!texts(error).contains("twenty-webhook:"), "{}", texts(error));
    }
    assert_eq!(errors[2].kind(), StoreErrorKind::Refused);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn the_store_recovers_from_a_killed_and_restarted_node_of_a_cluster() {
    let mut nodes = cluster();
    for node in &nodes {
        // The remaining nodes continue to serve their slots.
        let () = node.command(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]).unwrap();
    }
    let urls: Vec<_> = nodes.iter().map(Server::url).collect();
    let store = RedisStore::cluster(urls).connect().await.unwrap();
    let on = |nodes: &[Server], wanted: bool| loop {
        let key = key();
        let slot: u64 = nodes[1].command(&["CLUSTER", "KEYSLOT", &name(key)]).unwrap();
        if (slot <= 5460) == wanted {
            return key;
        }
    };
    let _ = fresh(store.claim(on(&nodes, true), LONG).await.unwrap());
    nodes[0].kill();
    for _ in 0..3 {
        let error = within(DEADLINE + SLACK, store.claim(on(&nodes, true), LONG)).await.unwrap_err();
        assert!(matches!(error.kind(), StoreErrorKind::Timeout | StoreErrorKind::Connection | StoreErrorKind::Refused));
        let _ = fresh(store.claim(on(&nodes, false), LONG).await.unwrap());
    }
    nodes[0].restart();
    let key = on(&nodes, true);
    let start = Instant::now();
    while let Err(error) = store.claim(key, LONG).await {
        assert!(start.elapsed() < Duration::from_secs(20), "{}", texts(&error));
        if let Some(claim) = error.into_claim() {
            let _ = store.release(&claim).await;
        }
    }
    works(&store).await;
}

#[tokio::test]
#[ignore = "needs redis-server (Debian package redis-server)"]
async fn an_entry_takes_the_documented_memory() {
    const ENTRIES: usize = 1 << 15;
    let server = Server::start(&[]);
    let store = RedisStore::connect(&server.url()).await.unwrap();
    let used = || {
        let info: String = server.command(&["INFO", "memory"]).unwrap();
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
        line.parse::<usize>().unwrap()
    };
    let before = used();
    for _ in 0..ENTRIES {
        let claim = fresh(store.claim(key(), LONG).await.unwrap());
        assert!(store.complete(&claim, LONG).await.unwrap());
    }
    let bytes = (used() - before) / ENTRIES;
    println!("{bytes} bytes an entry");
    assert!((200..=260).contains(&bytes), "the docs say about 230, measured {bytes}");
}
