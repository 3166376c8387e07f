//! Counts the instructions of the hot paths with valgrind, and compares them with budgets. The load
//! of the machine does not matter. Valgrind's processor has no SHA extensions, so hashing takes
//! several times as many instructions as elsewhere.
//!
//! ```sh
//! cargo run --release --manifest-path checks/instructions/Cargo.toml             # fails when one has grown by more than 3 %
//! cargo run --release --manifest-path checks/instructions/Cargo.toml -- --bless  # makes the counts the budgets
//! ```
//!
//! Counts depend on the compiler, on valgrind and on the processor's vector instructions, so each
//! combination has its own budgets. A combination without budgets cannot fail.

#[path = "../../../benches/support/mod.rs"]
#[allow(dead_code, reason = "benchmarks use the rest")]
mod support;

use std::{
    env, fs,
    hint::black_box,
    path::Path,
    process::{Command, ExitCode},
};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
    routing::post,
};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use support::{FiveFields, NoFields, SECRET, claims, delivery, headers, long_note, verified, verifier};
use tower_service::Service as _;
use twenty_webhook::{
    Receiver, WebhookEvent,
    deduplicate::MemoryStore,
    event::{
        FromRecord,
        record::{Person, Record},
    },
    tower::WebhookLayer,
};

const PATHS: [&str; 10] = [
    "verify",
    "event: any, a person",
    "event: Person",
    "event: five fields",
    "event: no fields",
    "event: any, a note of 200 kB",
    "claim: new",
    "claim: duplicate",
    "axum: layer and Person",
    "axum: layer, deduplication and Person",
];

/// In per cent.
const TOLERANCE: f64 = 3.0;

fn main() -> ExitCode {
    let args: Vec<_> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare(false),
        ["--bless"] => compare(true),
        [path, times] => {
            run(path, times.parse().unwrap());
            ExitCode::SUCCESS
        }
        _ => panic!("takes --bless or nothing"),
    }
}

fn compare(blesses: bool) -> ExitCode {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("budgets.json");
    let mut budgets: Map<String, Value> = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let environment = environment();
    let of_this = budgets.get(&environment).cloned();
    println!("{environment}");
    let mut counts = Map::new();
    let mut has_grown = false;
    for path in PATHS {
        // The difference excludes what runs only once.
        let count = (count(path, 60) - count(path, 10)) / 50;
        let budget = of_this.as_ref().and_then(|budgets| budgets.get(path)?.as_u64());
        let growth = budget.map(|budget| (count as f64 / budget as f64 - 1.0) * 100.0);
        let growth_shown = growth.map_or("no budget".to_owned(), |growth| format!("{growth:+.2} %"));
        println!("{path:40} {count:>9} instructions, {growth_shown}");
        has_grown |= growth.is_some_and(|growth| growth > TOLERANCE);
        counts.insert(path.to_owned(), json!(count));
    }
    if blesses {
        budgets.insert(environment, counts.into());
        fs::write(&file, serde_json::to_string_pretty(&budgets).unwrap() + "\n").unwrap();
    } else if has_grown {
        println!("a hot path takes over {TOLERANCE} % more instructions: make it cheaper, or say why and run with --bless");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// What counts depend on.
fn environment() -> String {
    let version = |program: &str| {
        let output = Command::new(program).arg("--version").output().unwrap_or_else(|error| panic!("{program}: {error}"));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let vectors = ["avx512f", "avx2"].into_iter().find(|name| {
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        processor.split_whitespace().any(|word| word == *name)
    });
    format!("{}, {}, {} {}", version("rustc"), version("valgrind"), env::consts::ARCH, vectors.unwrap_or("no avx2"))
}

/// Returns the instructions of [`hot_path`] when a path runs `times` times.
fn count(path: &str, times: u64) -> u64 {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*hot_path*"]);
    let output = valgrind.arg(env::current_exe().unwrap()).args([path, &times.to_string()]).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    let counted = words.lines().find_map(|line| line.split_once("Collected : ")).expect("valgrind says what it counted");
    counted.1.trim().parse().unwrap()
}

/// The counted code, and nothing else.
#[inline(never)]
fn hot_path(run: &mut dyn FnMut()) {
    run();
}

fn each<T>(items: Vec<T>, mut run: impl FnMut(T)) {
    for item in items {
        let mut item = Some(item);
        hot_path(&mut || run(item.take().unwrap()));
    }
}

fn run(path: &str, times: usize) {
    match path {
        "verify" => {
            let (body, verifier) = (delivery("person.created"), verifier(&[SECRET]));
            let headers = headers(&body);
            each(vec![body; times], |body| {
                black_box(verifier.verify(headers.iter().map(|(name, value)| (name, value)), body).unwrap());
            });
        }
        "event: any, a person" => read::<Record>(delivery("person.created"), times),
        "event: Person" => read::<Person>(delivery("person.created"), times),
        "event: five fields" => read::<FiveFields>(delivery("person.updated"), times),
        "event: no fields" => read::<NoFields>(delivery("person.updated"), times),
        "event: any, a note of 200 kB" => read::<Record>(long_note(), times),
        "claim: new" => {
            let store = claims::full_store(1_000);
            each((1_000..).take(times).collect(), |number| claims::handle(&store, claims::key(number)));
        }
        "claim: duplicate" => {
            let store = claims::full_store(1_000);
            each((0..).take(times).collect(), |number| claims::claim_duplicate(&store, claims::key(number)));
        }
        "axum: layer and Person" => serve(Receiver::new(verifier(&[SECRET])), times),
        "axum: layer, deduplication and Person" => {
            serve(Receiver::new(verifier(&[SECRET])).deduplicate(MemoryStore::new(1_000)), times);
        }
        _ => panic!("no path: {path}"),
    }
}

fn read<T: FromRecord>(body: Bytes, times: usize) {
    let deliveries = vec![verified(body); times];
    each(deliveries, |verified| drop(black_box(WebhookEvent::<T>::from_verified(verified).unwrap())));
}

async fn on_person(event: WebhookEvent<Person>) -> StatusCode {
    black_box(event);
    StatusCode::OK
}

/// Different deliveries, without a server.
fn serve(receiver: Receiver, times: usize) {
    let mut app = Router::new().route("/", post(on_person).layer(WebhookLayer::new(receiver)));
    let template = String::from_utf8(delivery("person.created").to_vec()).unwrap();
    let requests = (0..times).map(|number| {
        let body = template.replace("2e6f6a2f", &format!("{number:08x}"));
        let mut request = Request::post("/");
        for (name, value) in headers(body.as_bytes()) {
            request = request.header(name, value);
        }
        request.body(Body::from(body)).unwrap()
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    each(requests.collect(), |request| {
        let response = runtime.block_on(app.call(request)).unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    });
}
