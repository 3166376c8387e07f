//! An event is created only from a verified delivery.

use twenty_webhook::{WebhookEvent, event::record::Person};

fn main() {
    let _: Result<WebhookEvent, _> = WebhookEvent::from_verified(&b"{}"[..]); //~ E0308
    let _: Result<WebhookEvent, _> = WebhookEvent::from_verified(bytes::Bytes::from("{}")); //~ E0308
    let _: WebhookEvent = serde_json::from_str("{}").unwrap(); //~ E0277
    let _: WebhookEvent = "{}".parse().unwrap(); //~ E0277
}

fn another(event: WebhookEvent<Person>) -> WebhookEvent<Person> {
    WebhookEvent { record: Person::default(), ..event } //~ E0639
}
