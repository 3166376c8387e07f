//! Receives Twenty's webhooks with actix-web: each event once, acknowledged in time, a line for each.
//!
//!     TWENTY_WEBHOOK_SECRET=dev-secret cargo run --features actix-web --example actix_receiver

mod common;

use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, rt, web};
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
    // By itself actix stops on signals, and with its workers the handlers that run on them.
    let server = HttpServer::new(app).disable_signals().shutdown_timeout(5).bind(common::listen_addr())?;
    for address in server.addrs() {
        eprintln!("listening on http://{address}/webhooks/twenty");
    }
    let server = server.run();
    let handle = server.handle();
    rt::spawn(async move {
        common::shutdown_signal().await;
        // In this order: no new requests, then the handlers in the background, then the workers.
        handle.pause().await;
        rt::time::sleep(common::FIRST_REQUEST).await;
        common::drain(&receiver).await;
        handle.stop(true).await;
    });
    server.await
}
