//! Receives Twenty's webhooks with actix-web and stores each in an inbox before it answers. A worker
//! handles them, again and again until it succeeds.
//!
//!     TWENTY_WEBHOOK_SECRET=dev-secret cargo run --features actix-web,redb --example actix_inbox
//!
//! `INBOX` names the file (`twenty-inbox.redb`), or with the feature `postgres` a `postgres://` URL.
//! To see what the inbox does, let the handler fail: `FAIL=2` fails the first two attempts of each
//! event, `FAIL_ALWAYS=person.created` fails these events for good, `HANDLER_MS=500` takes longer.

mod common;
#[path = "common/inbox.rs"]
mod inbox;

use std::error::Error;

use actix_web::{App, HttpResponse, HttpServer, rt, web};
use common::escaped;
use twenty_webhook::{Receiver, actix_web::WebhookMiddleware, inbox::Inbox};

fn routes(config: &mut web::ServiceConfig, receiver: Receiver, inbox: Inbox) {
    config
        .service(web::resource("/webhooks/twenty").wrap(WebhookMiddleware::new(receiver)).route(web::post().to(inbox)))
        .route("/health", web::get().to(HttpResponse::Ok));
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let receiver = Receiver::new(common::verifier_from_env());
    let inbox = inbox::open().await?;
    let worker = inbox::start(&inbox)?;
    let app = move || App::new().configure(|config| routes(config, receiver.clone(), inbox.clone()));
    let server = HttpServer::new(app).disable_signals().shutdown_timeout(5).bind(common::listen_addr())?;
    for address in server.addrs() {
        eprintln!("listening on http://{address}/webhooks/twenty");
    }
    let server = server.run();
    let handle = server.handle();
    rt::spawn(async move {
        common::shutdown_signal().await;
        handle.stop(true).await;
    });
    server.await?;
    // First the requests, then the worker: what cannot be stored is handled at once.
    inbox::stop(worker).await;
    Ok(())
}
