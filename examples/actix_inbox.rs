//! Receives Twenty's webhooks with actix-web, and stores each event in an inbox before it responds.
//! A worker handles the events, and retries until it succeeds.
//!
//!     TWENTY_WEBHOOK_SECRET=dev-secret cargo run --features actix-web,redb --example actix_inbox
//!
//! `INBOX` is the path of the file (default `twenty-inbox.redb`) or, with the feature `postgres`, a
//! `postgres://` URL. To see what the inbox does, let the handler fail. With `FAIL=2`, the first
//! two attempts of each event fail. With `FAIL_ALWAYS=person.created`, these events fail
//! permanently. With `HANDLER_MS=500`, each attempt takes half a second.

#[path = "common/actix.rs"]
mod actix;
mod common;
#[path = "common/inbox.rs"]
mod inbox;

use std::error::Error;

use actix_web::{App, HttpResponse, HttpServer, http::KeepAlive, rt, web};
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
    // A request would be lost if it arrived on an idle connection while a restart closes it, so no
    // connection is kept alive.
    let server = HttpServer::new(app).keep_alive(KeepAlive::Disabled);
    let (listener, own) = common::listener()?;
    let server = server.disable_signals().shutdown_timeout(inbox::GRACE.as_secs()).listen(listener)?;
    for address in server.addrs() {
        eprintln!("listening on http://{address}/webhooks/twenty");
    }
    let server = server.run();
    let handle = server.handle();
    rt::spawn(async move {
        common::shutdown_signal().await;
        // The worker is stopped first, because it takes longer. Deliveries are accepted meanwhile.
        inbox::stop(worker).await;
        actix::stop_accepting(&handle, own).await;
        handle.stop(true).await;
    });
    server.await?;
    Ok(())
}
