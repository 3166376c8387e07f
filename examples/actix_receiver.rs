//! Receives Twenty's webhooks with actix-web, and prints a line for each event.
//!
//!     TWENTY_WEBHOOK_SECRET=dev-secret cargo run --features actix-web --example actix_receiver

mod common;

use actix_web::{App, HttpResponse, HttpServer, rt, web};
use twenty_webhook::{Receiver, WebhookEvent, actix_web::WebhookMiddleware};

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
    // Made once, and cloned into each worker.
    let receiver = Receiver::new(common::verifier_from_env());
    let app = move || App::new().configure(|config| routes(config, receiver.clone()));
    // By itself, actix drops what has begun on Ctrl-C; here both signals wait for it.
    let server = HttpServer::new(app).disable_signals().bind(common::listen_addr())?;
    for address in server.addrs() {
        eprintln!("listening on http://{address}/webhooks/twenty");
    }
    let server = server.run();
    let handle = server.handle();
    rt::spawn(async move {
        common::shutdown_signal().await;
        handle.stop(true).await;
    });
    server.await
}
