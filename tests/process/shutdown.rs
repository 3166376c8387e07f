//! Stops a program while a slow handler runs whose sender has disconnected. The handler completes,
//! then the program exits.
//!
//! `HANDLER_SECONDS=30 cargo test --all-features --test process shutdown::` sets the duration of
//! the handler.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use tokio::signal::unix::{Signal, SignalKind, signal};
use twenty_webhook::{Verifier, WebhookEvent, verify::Signer};

use crate::support::child::{Child, is_child, print_line};

fn receiver() -> twenty_webhook::Receiver {
    twenty_webhook::Receiver::new(Verifier::new("secret").unwrap()).acknowledge_within(Duration::from_millis(100))
}

fn terminate() -> Signal {
    signal(SignalKind::terminate()).unwrap()
}

async fn slow(_: WebhookEvent) -> &'static str {
    print_line("begun");
    let seconds = std::env::var("HANDLER_SECONDS").map_or(2, |seconds| seconds.parse().unwrap());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    print_line("done");
    "all right"
}

/// Not a test: the program that the tests start.
#[test]
#[ignore = "run by other tests, in a separate process"]
fn axum_program() {
    use axum::{Router, routing::post};
    use twenty_webhook::tower::WebhookLayer;

    if !is_child() {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let receiver = receiver();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut terminate = terminate();
        print_line(&listener.local_addr().unwrap().to_string());
        let app = Router::new().route("/", post(slow).layer(WebhookLayer::new(receiver.clone())));
        axum::serve(listener, app)
            .with_graceful_shutdown(async move { terminate.recv().await.unwrap() })
            .await
            .unwrap();
        print_line(&format!("abandoned {}", receiver.drain(Duration::from_secs(60)).await.abandoned));
    });
}

/// Not a test: the program that the tests start.
#[test]
#[ignore = "run by other tests, in a separate process"]
fn actix_program() {
    use actix_web::{App, HttpServer, rt, web};
    use twenty_webhook::actix_web::WebhookMiddleware;

    if !is_child() {
        return;
    }
    rt::System::new().block_on(async {
        let receiver = receiver();
        let middleware = WebhookMiddleware::new(receiver.clone());
        let app = move || App::new().service(web::resource("/").wrap(middleware.clone()).route(web::post().to(slow)));
        let server = HttpServer::new(app).workers(2).disable_signals().bind("127.0.0.1:0").unwrap();
        let mut terminate = terminate();
        print_line(&server.addrs()[0].to_string());
        let server = server.run();
        let handle = server.handle();
        rt::spawn(async move {
            terminate.recv().await.unwrap();
            handle.pause().await;
            print_line(&format!("abandoned {}", receiver.drain(Duration::from_secs(60)).await.abandoned));
            handle.stop(true).await;
        });
        server.await.unwrap();
    });
}

fn send(address: SocketAddr) -> TcpStream {
    let body = r#"{"eventName":"person.created","record":{}}"#;
    let mut request = format!("POST / HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in Signer::new("secret").unwrap().sign(body).pairs() {
        request += &format!("{name}: {value}\r\n");
    }
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "{request}\r\n{body}").unwrap();
    stream
}

fn a_slow_handler_finishes(test: &str) {
    let mut program = Child::start(test, &[]);
    let stream = send(program.next().parse().unwrap());
    assert_eq!(program.next(), "begun");
    drop(stream);
    program.signal("-TERM");
    assert_eq!(program.next(), "done");
    assert_eq!(program.next(), "abandoned 0");
    assert!(program.end().success());
}

#[test]
fn axum_exits_after_its_handlers() {
    a_slow_handler_finishes("shutdown::axum_program");
}

#[test]
fn actix_exits_after_its_handlers() {
    a_slow_handler_finishes("shutdown::actix_program");
}
