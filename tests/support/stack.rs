//! Runs one handler in every framework. A channel returns each of its calls, and the test decides
//! how the call ends.

use std::{future::pending, net::SocketAddr, panic::resume_unwind, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use twenty_webhook::{Receiver, receiver::Outcome, verify::Timestamp};

use crate::support::{
    NOW,
    http1::{Answer, Connection, Request, soon, unsigned},
    signed_at,
};

pub use crate::support::http1::{Leave, Leaving};

/// The way in which a call of the handler ends.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    Answer(u16),
    Panic,
}

/// A call of the handler, which waits for the test's decision.
pub struct Call {
    pub body: Bytes,
    act: oneshot::Sender<Act>,
}

impl Call {
    pub fn answer(self, status: u16) {
        self.act.send(Act::Answer(status)).expect("the handler is still there");
    }

    pub fn panic(self) {
        self.act.send(Act::Panic).expect("the handler is still there");
    }

    /// Waits until the handler has been dropped before its end.
    pub async fn aborted(mut self) {
        soon(self.act.closed()).await;
    }

    pub fn is_running(&self) -> bool {
        !self.act.is_closed()
    }
}

#[derive(Clone)]
struct Handler(mpsc::UnboundedSender<Call>);

impl Handler {
    async fn handle(&self, body: Bytes) -> u16 {
        let (act, decided) = oneshot::channel();
        let _ = self.0.send(Call { body, act });
        match decided.await {
            Ok(Act::Answer(status)) => status,
            // Does not run the panic hook, which would print the panic.
            Ok(Act::Panic) => resume_unwind(Box::new("the handler panics")),
            Err(_) => pending().await,
        }
    }
}

/// The place of the middleware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    Axum,
    ActixApp,
    ActixScope,
    ActixResource,
}

/// A running server, and the calls of its handler.
pub struct Server {
    pub address: SocketAddr,
    pub calls: Calls,
    pub running: Running,
}

pub enum Running {
    Axum { shutdown: oneshot::Sender<()>, task: JoinHandle<()> },
    Actix { handle: ::actix_web::dev::ServerHandle, task: JoinHandle<()> },
}

pub struct Calls(mpsc::UnboundedReceiver<Call>);

impl Calls {
    /// Returns the next call of the handler.
    pub async fn next(&mut self) -> Call {
        soon(self.0.recv()).await.expect("a handler")
    }

    /// Returns the next call of the handler, or `None` when its server has stopped.
    pub async fn next_if_any(&mut self) -> Option<Call> {
        soon(self.0.recv()).await
    }

    /// Checks that there are no more calls.
    #[track_caller]
    pub fn assert_none(&mut self) {
        if let Ok(call) = self.0.try_recv() {
            panic!("the handler was called with {:?}", call.body);
        }
    }

    /// Checks that there is no call for this time.
    pub async fn stay_away(&mut self, time: Duration) {
        assert!(timeout(time, self.0.recv()).await.is_err(), "the handler was called");
    }
}

impl Stack {
    pub const ALL: [Self; 4] = [Self::Axum, Self::ActixApp, Self::ActixScope, Self::ActixResource];

    /// Runs a scenario on all stacks at the same time.
    pub async fn each(play: impl AsyncFn(Self)) {
        let [axum, app, scope, resource] = Self::ALL;
        tokio::join!(play(axum), play(app), play(scope), play(resource));
    }

    pub fn is_actix(self) -> bool {
        self != Self::Axum
    }

    pub async fn serve(self, receiver: Receiver) -> Server {
        self.serve_with(receiver, 1).await
    }

    /// Starts a server. `workers` is the number of actix-web's workers.
    pub async fn serve_with(self, receiver: Receiver, workers: usize) -> Server {
        let (sender, calls) = mpsc::unbounded_channel();
        let handler = Handler(sender);
        let (address, running) = match self {
            Self::Axum => axum(receiver, handler).await,
            Self::ActixApp => actix::at_app(receiver, handler, workers),
            Self::ActixScope => actix::at_scope(receiver, handler, workers),
            Self::ActixResource => actix::at_resource(receiver, handler, workers),
        };
        Server { address, calls: Calls(calls), running }
    }
}

impl Stack {
    /// Starts a server whose handler accepts a person. The middleware is missing at `/bare`.
    pub async fn serve_persons(self, receiver: Receiver) -> Server {
        type Event = twenty_webhook::WebhookEvent<twenty_webhook::event::record::Person>;
        let (_, calls) = mpsc::unbounded_channel();
        let (address, running) = if self.is_actix() {
            use ::actix_web::{App, HttpResponse, web};
            let app = move || {
                let on_event = |_: Event| async { HttpResponse::Ok().finish() };
                let wrapped = web::resource("/webhooks/twenty")
                    .wrap(twenty_webhook::actix_web::WebhookMiddleware::new(receiver.clone()))
                    .route(web::post().to(on_event));
                App::new().service(wrapped).route("/bare", web::post().to(on_event))
            };
            actix::run!(app, 1)
        } else {
            use ::axum::{Router, routing::post};
            let on_event = |_: Event| async {};
            let wrapped = post(on_event).layer(twenty_webhook::tower::WebhookLayer::new(receiver));
            run_axum(Router::new().route("/webhooks/twenty", wrapped).route("/bare", post(on_event))).await
        };
        Server { address, calls: Calls(calls), running }
    }
}

impl Stack {
    /// Starts a server with an event router that handles `person.created` and has no fallback.
    pub async fn serve_routed(self, receiver: Receiver) -> Server {
        let (_, calls) = mpsc::unbounded_channel();
        let (address, running) = if self.is_actix() {
            use ::actix_web::{App, HttpResponse, web};
            let on_person = || async { HttpResponse::Ok().finish() };
            let router = twenty_webhook::actix_web::EventRouter::new().on("person.created", on_person).build().unwrap();
            let middleware = twenty_webhook::actix_web::WebhookMiddleware::new(receiver);
            let app = move || {
                let resource = web::resource("/webhooks/twenty").wrap(middleware.clone());
                App::new().service(resource.route(web::post().to(router.clone())))
            };
            actix::run!(app, 2)
        } else {
            use ::axum::{Router, routing::post};
            let router = twenty_webhook::axum::EventRouter::new().on("person.created", async || ()).build().unwrap();
            let route = post(router).layer(twenty_webhook::tower::WebhookLayer::new(receiver));
            run_axum(Router::new().route("/webhooks/twenty", route)).await
        };
        Server { address, calls: Calls(calls), running }
    }
}

impl Server {
    /// Sends a request and returns the response.
    pub async fn post(&self, request: Request) -> Answer {
        soon(post(self.address, request)).await.unwrap().expect("an answer")
    }

    /// Sends a delivery whose handler responds with this status. Returns the status of the
    /// response.
    pub async fn post_handled(&mut self, request: Request, status: u16) -> u16 {
        let answer = post(self.address, request);
        self.calls.next().await.answer(status);
        soon(answer).await.unwrap().expect("an answer").status
    }

    /// Stops the server without waiting for handlers.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

impl Running {
    /// Stops the server without waiting for handlers.
    pub async fn stop(self) {
        match self {
            Self::Axum { task, .. } => {
                task.abort();
                let _ = task.await;
            }
            Self::Actix { handle, task } => {
                soon(handle.stop(false)).await;
                soon(task).await.unwrap();
            }
        }
    }
}

/// Sends a request on a new connection. Returns the response, or `None` if the connection was
/// closed without one.
pub fn post(address: SocketAddr, request: Request) -> JoinHandle<Option<Answer>> {
    tokio::spawn(async move {
        let mut connection = Connection::open(address).await;
        connection.send(request.bytes()).await;
        connection.answer().await
    })
}

/// Returns the body of an event with this title.
pub fn event(title: &str) -> String {
    format!(r#"{{"eventName":"note.created","record":{{"title":"{title}"}}}}"#)
}

/// Returns a delivery that is signed at another time than [`NOW`].
pub fn delivery_at(timestamp: Timestamp, body: impl AsRef<[u8]>) -> Request {
    signed_at(timestamp, &body).into_iter().fold(unsigned(body), |request, (name, value)| request.with(&name, value))
}

/// Returns a later duplicate of a delivery. Twenty signs each delivery anew.
pub fn signed_anew(body: impl AsRef<[u8]>) -> Request {
    delivery_at(NOW.saturating_add(Duration::from_secs(1)), body)
}

/// The outcomes that the receiver reports.
pub struct Outcomes(mpsc::UnboundedReceiver<Outcome>);

impl Outcomes {
    pub fn of(receiver: Receiver) -> (Receiver, Self) {
        let (sender, outcomes) = mpsc::unbounded_channel();
        let receiver = receiver.on_outcome(move |outcome| {
            let _ = sender.send(outcome.clone());
        });
        (receiver, Self(outcomes))
    }

    pub async fn next(&mut self) -> Outcome {
        soon(self.0.recv()).await.expect("a receiver")
    }

    #[track_caller]
    pub fn assert_none(&mut self) {
        if let Ok(outcome) = self.0.try_recv() {
            panic!("reported {outcome:?}");
        }
    }
}

async fn axum(receiver: Receiver, handler: Handler) -> (SocketAddr, Running) {
    use ::axum::{Router, extract::State, http::StatusCode, routing::post};
    use twenty_webhook::{Verified, tower::WebhookLayer};

    async fn on_event(State(handler): State<Handler>, verified: Verified, body: Bytes) -> StatusCode {
        assert_eq!(verified.body(), &body);
        StatusCode::from_u16(handler.handle(body).await).unwrap()
    }

    let app = Router::new()
        .route("/webhooks/twenty", post(on_event))
        .route("/webhooks/twenty/{tenant}", post(on_event))
        .layer(WebhookLayer::new(receiver))
        .with_state(handler);
    run_axum(app).await
}

async fn run_axum(app: ::axum::Router) -> (SocketAddr, Running) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, is_asked) = oneshot::channel();
    let task = tokio::spawn(async move {
        let is_asked = async {
            if is_asked.await.is_err() {
                pending::<()>().await;
            }
        };
        ::axum::serve(listener, app).with_graceful_shutdown(is_asked).await.unwrap();
    });
    (address, Running::Axum { shutdown, task })
}

mod actix {
    use ::actix_web::{App, HttpResponse, http::StatusCode, middleware::Logger, web};
    use twenty_webhook::{Verified, actix_web::WebhookMiddleware};

    use super::*;

    async fn on_event(handler: web::Data<Handler>, verified: Verified, body: Bytes) -> HttpResponse {
        assert_eq!(verified.body(), &body);
        HttpResponse::new(StatusCode::from_u16(handler.handle(body).await).unwrap())
    }

    macro_rules! run {
        ($app:expr, $workers:expr) => {{
            let server =
                ::actix_web::HttpServer::new($app).workers($workers).disable_signals().bind("127.0.0.1:0").unwrap();
            let address = server.addrs()[0];
            let server = server.run();
            let handle = server.handle();
            (address, Running::Actix { handle, task: tokio::spawn(async move { server.await.unwrap() }) })
        }};
    }

    pub(super) use run;

    pub(super) fn at_app(receiver: Receiver, handler: Handler, workers: usize) -> (SocketAddr, Running) {
        let handler = web::Data::from(Arc::new(handler));
        let app = move || {
            App::new()
                .app_data(handler.clone())
                .route("/webhooks/twenty", web::post().to(on_event))
                .route("/webhooks/twenty/{tenant}", web::post().to(on_event))
                .wrap(WebhookMiddleware::new(receiver.clone()))
                .wrap(Logger::default())
        };
        run!(app, workers)
    }

    pub(super) fn at_scope(receiver: Receiver, handler: Handler, workers: usize) -> (SocketAddr, Running) {
        let handler = web::Data::from(Arc::new(handler));
        let app = move || {
            let scope = web::scope("/webhooks")
                .wrap(WebhookMiddleware::new(receiver.clone()))
                .route("/twenty", web::post().to(on_event))
                .route("/twenty/{tenant}", web::post().to(on_event));
            App::new().app_data(handler.clone()).service(scope)
        };
        run!(app, workers)
    }

    pub(super) fn at_resource(receiver: Receiver, handler: Handler, workers: usize) -> (SocketAddr, Running) {
        let handler = web::Data::from(Arc::new(handler));
        let app = move || {
            let resource = web::resource(["/webhooks/twenty", "/webhooks/twenty/{tenant}"])
                .wrap(WebhookMiddleware::new(receiver.clone()))
                .route(web::post().to(on_event));
            App::new().app_data(handler.clone()).service(resource)
        };
        run!(app, workers)
    }
}
