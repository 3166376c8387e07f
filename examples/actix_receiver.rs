//! Receives Twenty's webhooks with actix-web. Handles each event once, acknowledges it in time, and
//! prints a line for it.
//!
//!     TWENTY_WEBHOOK_SECRET=dev-secret cargo run --features actix-web --example actix_receiver

#[path = "common/actix.rs"]
mod actix;
mod common;

use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, http::KeepAlive, rt, web};
use twenty_webhook::{Receiver, WebhookEvent, actix_web::WebhookMiddleware, deduplicate::MemoryStore};

async fn on_event(event: WebhookEvent) -> HttpResponse {
    common::print(&event);
    HttpResponse::Ok().finish()
}

fn routes(config: &mut web::ServiceConfig, receiver: Receiver) {
    config
        .service(
            web::resource("/webhooks/twenty").wrap(WebhookMiddleware::new(receiver)).route(web::post().to(on_event)),
        )
        .route("/health", web::get().to(HttpResponse::Ok));
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    // The receiver is created once and cloned into each worker, so that all workers know which
    // events were handled.
    let receiver = Receiver::new(common::verifier_from_env())
        .deduplicate(MemoryStore::new(100_000))
        .acknowledge_within(Duration::from_millis(250));
    let for_workers = receiver.clone();
    let app = move || App::new().configure(|config| routes(config, for_workers.clone()));
    // A request would be lost if it arrived on an idle connection while the program closes it, so
    // no connection is kept alive.
    let server = HttpServer::new(app).keep_alive(KeepAlive::Disabled);
    let (listener, own) = common::listener()?;
    // actix-web's own handling of signals would stop its workers, and the handlers on them.
    let server = server.disable_signals().shutdown_timeout(5).listen(listener)?;
    for address in server.addrs() {
        eprintln!("listening on http://{address}/webhooks/twenty");
    }
    let server = server.run();
    let handle = server.handle();
    rt::spawn(async move {
        common::shutdown_signal().await;
        // The order matters: stop new requests, wait for background handlers, stop the workers.
        actix::stop_accepting(&handle, own).await;
        common::drain(&receiver).await;
        handle.stop(true).await;
    });
    server.await
}
