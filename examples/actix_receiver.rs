//! Receives Twenty's webhooks with actix-web: each event once, acknowledged in time, a line for
//! each.
//!
//!     TWENTY_WEBHOOK_SECRET=dev-secret cargo run --features actix-web --example actix_receiver

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
    // Made once and cloned into each worker, so that all of them know what was handled.
    let receiver = Receiver::new(common::verifier_from_env())
        .deduplicate(MemoryStore::new(100_000))
        .acknowledge_within(Duration::from_millis(250));
    let for_workers = receiver.clone();
    let app = move || App::new().configure(|config| routes(config, for_workers.clone()));
    // No connection is kept alive: a request on an idle one, at the moment when the program's end
    // closes it, would be lost.
    let server = HttpServer::new(app).keep_alive(KeepAlive::Disabled);
    let (listener, own) = common::listener()?;
    // By itself actix stops on signals, and with its workers the handlers that run on them.
    let server = server.disable_signals().shutdown_timeout(5).listen(listener)?;
    for address in server.addrs() {
        eprintln!("listening on http://{address}/webhooks/twenty");
    }
    let server = server.run();
    let handle = server.handle();
    rt::spawn(async move {
        common::shutdown_signal().await;
        // In this order: no new requests, then the handlers in the background, then the workers.
        common::stop_accepting(&handle, own).await;
        common::drain(&receiver).await;
        handle.stop(true).await;
    });
    server.await
}
