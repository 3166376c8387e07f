//! Receives events with actix-web on one route, and handles each kind of event with its own
//! handler.
//!
//!     TWENTY_WEBHOOK_SECRET=dev-secret cargo run --features actix-web --example actix_event_router

#[path = "common/actix.rs"]
mod actix;
mod common;

use std::error::Error;

use actix_web::{App, HttpResponse, HttpServer, http::KeepAlive, rt, web};
use twenty_webhook::{
    Receiver, WebhookEvent,
    actix_web::{EventHandler, EventRouter, WebhookMiddleware},
    event::{
        PatternError,
        record::{Company, MetadataEvent, Person},
    },
};

async fn person_created(event: WebhookEvent<Person>) -> HttpResponse {
    common::say("person_created", event.record.display_name());
    HttpResponse::Ok().finish()
}

async fn company_changed(event: WebhookEvent<Company>) -> HttpResponse {
    common::say("company_changed", event.record.display_name());
    HttpResponse::Ok().finish()
}

async fn gone(event: WebhookEvent) -> HttpResponse {
    common::say("gone", event.record.display_name());
    HttpResponse::Ok().finish()
}

async fn schema_changed(event: WebhookEvent<MetadataEvent>) -> HttpResponse {
    common::say("schema_changed", event.record.display_name());
    HttpResponse::Ok().finish()
}

async fn anything_else(event: WebhookEvent) -> HttpResponse {
    common::say("anything_else", Some(event.name.to_string()));
    HttpResponse::Ok().finish()
}

fn on_event() -> Result<EventHandler, PatternError> {
    EventRouter::new()
        .on("person.created", person_created)
        .on("company.*", company_changed)
        .on("*.deleted", gone)
        .on("*.destroyed", gone)
        .on("metadata.*.*", schema_changed)
        .fallback(anything_else)
        .build()
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let middleware = WebhookMiddleware::new(Receiver::new(common::verifier_from_env()));
    let on_event = on_event()?;
    let app = move || {
        let webhooks = web::resource("/webhooks/twenty").wrap(middleware.clone());
        App::new()
            .service(webhooks.route(web::post().to(on_event.clone())))
            .route("/health", web::get().to(HttpResponse::Ok))
    };
    let (listener, own) = common::listener()?;
    let server = HttpServer::new(app).keep_alive(KeepAlive::Disabled).disable_signals().shutdown_timeout(5);
    let server = server.listen(listener)?;
    for address in server.addrs() {
        eprintln!("listening on http://{address}/webhooks/twenty");
    }
    let server = server.run();
    let handle = server.handle();
    rt::spawn(async move {
        common::shutdown_signal().await;
        actix::stop_accepting(&handle, own).await;
        handle.stop(true).await;
    });
    server.await?;
    Ok(())
}
