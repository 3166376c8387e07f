//! A receiver in a separate process that tests load and attack. It uses axum or actix-web, and
//! variables configure it.
//!
//! | variable | meaning |
//! |---|---|
//! | `FRAMEWORK` | `axum` or `actix-web` |
//! | `DEDUPLICATE` | capacity of its `MemoryStore` |
//! | `REDIS_URL` | the Redis server that it uses for deduplication instead |
//! | `ACKNOWLEDGE_MS`, `BODY_DEADLINE_MS`, `BUDGET` | the receiver's settings with these names |
//! | `CONCURRENCY_LIMIT` | the limit of tower's middleware inside the receiver, in axum only |
//! | `CLIENT_REQUEST_TIMEOUT_MS` | actix-web's timeout, instead of 5 seconds |
//! | `HTTP2` | if set, actix-web accepts HTTP/2, too, as axum always does |

use std::{
    collections::HashSet,
    env,
    future::Future,
    net::SocketAddr,
    panic::resume_unwind,
    process::ExitStatus,
    str::FromStr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde::Deserialize;
use tokio::{
    net::TcpSocket,
    runtime::Handle,
    signal::unix::{SignalKind, signal},
    time::sleep,
};
use twenty_webhook::{Receiver, Verifier, WebhookEvent, deduplicate::MemoryStore, verify::Signer};

use super::{
    SECRET,
    child::{Child, is_child, print_line},
    http1::{Connection, Request, unsigned},
};

/// The values of `FRAMEWORK`.
pub const FRAMEWORKS: [&str; 2] = ["axum", "actix-web"];

/// The duration of a slow handler.
pub const SLOW: Duration = Duration::from_millis(600);

/// Returns the body of event `number`. `does` is what its handler does: `well` or `slow`, or, the
/// first time, `fail` or `panic`.
pub fn event(number: usize, does: &str, filler: usize) -> String {
    let filler = "x".repeat(filler);
    format!(
        r#"{{"eventName":"note.created","record":{{"number":{number},"does":"{does}","title":"{filler}"}},"eventDate":"2026-10-02T09:14:31.733Z"}}"#
    )
}

/// Returns a delivery that is signed now.
pub fn delivery(body: impl AsRef<[u8]>) -> Request {
    let headers = Signer::new(SECRET).unwrap().sign(&body).pairs();
    unsigned(body).with_all(headers)
}

/// The running receiver and its address.
pub struct Target {
    pub child: Child,
    pub address: SocketAddr,
}

/// The resources that the receiver holds.
#[derive(Debug, PartialEq, Eq)]
pub struct State {
    /// The number of tasks of the runtime. In actix-web, this is the main runtime without the
    /// workers.
    pub tasks: usize,
    /// The number of running handlers.
    pub handlers: usize,
    /// The budget as the receiver's `Debug` shows it.
    pub budget: String,
    /// The number of open files and sockets.
    pub files: usize,
}

impl Target {
    /// Starts the program's test `receiver`, which calls [`serve`].
    pub fn start(variables: &[(&str, &str)]) -> Self {
        let child = Child::start("receiver", variables);
        let address = child.next().parse().unwrap();
        Self { child, address }
    }

    /// Requests the state over a new connection.
    pub async fn state(&self) -> State {
        let mut connection = Connection::open(self.address).await;
        connection.send("GET /state HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
        let answer = connection.answer().await.expect("the state");
        let text = String::from_utf8(answer.body).unwrap();
        let mut parts = text.splitn(3, ' ');
        let mut number = || parts.next().unwrap().parse().unwrap();
        let (tasks, handlers) = (number(), number());
        State { tasks, handlers, budget: parts.next().unwrap().to_owned(), files: self.child.files() }
    }

    /// Returns the state after it has stopped changing.
    pub async fn settled_for_good(&self) -> State {
        let mut state = self.state().await;
        loop {
            sleep(Duration::from_millis(100)).await;
            let next = self.state().await;
            if next == state {
                return state;
            }
            state = next;
        }
    }

    /// Waits until the receiver holds no more than before.
    pub async fn settled(&self, before: &State) -> State {
        let start = tokio::time::Instant::now();
        loop {
            let now = self.state().await;
            if now.tasks <= before.tasks
                && now.files <= before.files
                && now.handlers == 0
                && now.budget == before.budget
            {
                return now;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "before: {before:?}, still: {now:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Sends SIGTERM. The last line of the output is the number of abandoned handlers.
    pub fn terminate(&mut self) -> ExitStatus {
        self.child.signal("-TERM");
        self.child.end()
    }
}

/// Runs the receiver in the child process.
pub fn serve() {
    if !is_child() {
        return;
    }
    match env::var("FRAMEWORK").unwrap().as_str() {
        "axum" => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
            .block_on(serve_axum()),
        _ => ::actix_web::rt::System::new().block_on(serve_actix()),
    }
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    env::var(name).ok().and_then(|text| text.parse().ok())
}

fn receiver() -> Receiver {
    let mut receiver = Receiver::new(Verifier::new(SECRET).unwrap());
    if let Some(milliseconds) = variable("ACKNOWLEDGE_MS") {
        receiver = receiver.acknowledge_within(Duration::from_millis(milliseconds));
    }
    if let Some(milliseconds) = variable("BODY_DEADLINE_MS") {
        receiver = receiver.body_deadline(Duration::from_millis(milliseconds));
    }
    if let Some(bytes) = variable("BUDGET") {
        receiver = receiver.unverified_budget(bytes);
    }
    if let Some(capacity) = variable("DEDUPLICATE") {
        receiver = receiver.deduplicate(MemoryStore::new(capacity));
    }
    #[cfg(feature = "redis")]
    if let Ok(url) = env::var("REDIS_URL") {
        receiver = receiver.deduplicate(twenty_webhook::deduplicate::RedisStore::builder(&url).connect_lazy().unwrap());
    }
    receiver
}

#[derive(Deserialize)]
#[serde(rename = "note")]
struct Note {
    number: usize,
    does: String,
}

static HANDLERS: AtomicUsize = AtomicUsize::new(0);

/// Counts a handler while it exists.
struct Counted;

impl Counted {
    fn new() -> Self {
        HANDLERS.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        HANDLERS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Prints the number of each event that it handles. Returns the status.
async fn handle(event: WebhookEvent<Note>) -> u16 {
    static FAILED: Mutex<Option<HashSet<usize>>> = Mutex::new(None);

    let _counted = Counted::new();
    let Note { number, does } = &event.record;
    let is_first_time = || {
        let mut failed = FAILED.lock().unwrap();
        let failed = failed.get_or_insert_default();
        // The number is removed the second time.
        !failed.remove(number) && failed.insert(*number)
    };
    match does.as_str() {
        "fail" if is_first_time() => return 500,
        // Does not run the panic hook, which would print the panic.
        "panic" if is_first_time() => resume_unwind(Box::new("the handler panics")),
        "slow" => sleep(SLOW).await,
        _ => {}
    }
    print_line(&format!("handled {number}"));
    200
}

fn state(receiver: &Receiver, tasks: usize) -> String {
    let shown = format!("{receiver:?}");
    let (_, budget) = shown.split_once("budget: ").unwrap();
    let (budget, _) = budget.split_once('}').unwrap();
    format!("{tasks} {} {budget}", HANDLERS.load(Ordering::SeqCst))
}

/// Waits for SIGTERM, which no longer ends the program.
fn terminated() -> impl Future<Output = ()> + Send + 'static {
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    async move {
        terminate.recv().await;
    }
}

async fn drain(receiver: &Receiver) {
    print_line(&format!("abandoned {}", receiver.drain(Duration::from_secs(30)).await.abandoned));
}

async fn serve_axum() {
    use ::axum::{
        Router,
        http::StatusCode,
        routing::{get, post},
    };
    use tower::limit::ConcurrencyLimitLayer;
    use twenty_webhook::tower::WebhookLayer;

    let receiver = receiver();
    let for_state = receiver.clone();
    let on_event = post(async |event| StatusCode::from_u16(handle(event).await).unwrap());
    let on_event = match variable("CONCURRENCY_LIMIT") {
        Some(limit) => on_event.layer(ConcurrencyLimitLayer::new(limit)),
        None => on_event,
    };
    let app = Router::new()
        .route("/webhooks/twenty", on_event.layer(WebhookLayer::new(receiver.clone())))
        .route("/state", get(async move || state(&for_state, Handle::current().metrics().num_alive_tasks())));
    // With tokio's backlog of 1,024, the kernel drops the last packets of handshakes when 1,200
    // connections are opened. It can then leave connections that no client has, and axum waits
    // forever for their requests.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(4_096).unwrap();
    let terminated = terminated();
    print_line(&listener.local_addr().unwrap().to_string());
    ::axum::serve(listener, app).with_graceful_shutdown(terminated).await.unwrap();
    drain(&receiver).await;
}

async fn serve_actix() {
    use ::actix_web::{App, HttpResponse, HttpServer, http::StatusCode, rt, web};
    use twenty_webhook::actix_web::WebhookMiddleware;

    let receiver = receiver();
    let tasks = Handle::current();
    let for_app = receiver.clone();
    let app = move || {
        let (receiver, tasks) = (for_app.clone(), tasks.clone());
        let on_event = async |event| HttpResponse::new(StatusCode::from_u16(handle(event).await).unwrap());
        let resource = web::resource("/webhooks/twenty")
            .wrap(WebhookMiddleware::new(receiver.clone()))
            .route(web::post().to(on_event));
        let state = move || {
            let state = state(&receiver, tasks.metrics().num_alive_tasks());
            async { state }
        };
        App::new().service(resource).route("/state", web::get().to(state))
    };
    let head_within = Duration::from_millis(variable("CLIENT_REQUEST_TIMEOUT_MS").unwrap_or(5_000));
    let server = HttpServer::new(app).workers(2).client_request_timeout(head_within).disable_signals();
    let address = "127.0.0.1:0";
    let server =
        if env::var_os("HTTP2").is_some() { server.bind_auto_h2c(address) } else { server.bind(address) }.unwrap();
    let terminated = terminated();
    print_line(&server.addrs()[0].to_string());
    let server = server.run();
    let handle = server.handle();
    rt::spawn(async move {
        terminated.await;
        handle.pause().await;
        drain(&receiver).await;
        handle.stop(true).await;
    });
    server.await.unwrap();
}
