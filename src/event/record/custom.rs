use crate::event::{RawJson, field::Id};

/// A record of an object for which this crate has no type: the object's name, and the fields as
/// they were sent.
///
/// ```
/// # use twenty_webhook::{event::{Record, WebhookEvent, field::Currency}, verify::{Signer, Verifier}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let body = r#"{"eventName":"subscription.created","record":{"plan":"PRO","mrr":{"amountMicros":9000000}}}"#;
/// # let headers = Signer::new("s")?.sign(body).pairs();
/// # let event: WebhookEvent = WebhookEvent::from_verified(Verifier::new("s")?.verify(headers, body)?)?;
/// if let Record::Custom(record) = &event.record {
///     assert_eq!(record.object(), "subscription");
///     assert_eq!(record.get("plan").and_then(|plan| plan.to_text()).as_deref(), Some("PRO"));
///     let mrr: Option<Currency> = record.get("mrr").map(|mrr| mrr.parse()).transpose()?;
/// #   assert_eq!(mrr.unwrap().amount_micros, Some(9_000_000));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomRecord {
    object: Box<str>,
    raw: RawJson,
}

impl CustomRecord {
    pub(super) fn new(object: &str, raw: RawJson) -> Self {
        Self { object: object.into(), raw }
    }

    /// Returns the object's name in the singular. Empty if the event had no name.
    #[must_use]
    pub fn object(&self) -> &str {
        &self.object
    }

    /// Returns a field, by Twenty's name for it.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<RawJson> {
        self.raw.get(field)
    }

    /// Returns the whole record, for example to parse it or to iterate over its members.
    #[must_use]
    pub const fn raw(&self) -> &RawJson {
        &self.raw
    }

    /// Returns the record's id.
    #[must_use]
    pub fn id(&self) -> Option<Id> {
        self.get("id")?.parse().ok()
    }

    /// Returns a name for display: its `name` (also first and last name) or `title`.
    #[must_use]
    pub fn display_name(&self) -> Option<String> {
        display_name(&self.raw)
    }
}

pub(super) fn display_name(record: &RawJson) -> Option<String> {
    let name = record.get("name");
    let full_name = || name.as_ref()?.parse::<crate::event::field::FullName>().ok()?.display_name();
    let text = |raw: RawJson| raw.to_text().filter(|text| !text.is_empty());
    name.clone().and_then(text).or_else(full_name).or_else(|| record.get("title").and_then(text))
}
