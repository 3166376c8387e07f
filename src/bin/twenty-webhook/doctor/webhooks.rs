//! The workspace's webhooks, as the API returns them.

use axum::http::Uri;
use serde::Deserialize;
use serde_json::Value as Json;
use twenty_webhook::verify::Secret;

use crate::target::Target;

pub(super) const PATH: &str = "/rest/metadata/webhooks";

/// The GraphQL query for `/metadata` that returns the same webhooks.
pub(super) const QUERY: &str = "query { webhooks { id targetUrl operations secret } }";

/// A webhook. It does not implement `Debug`, because the address may contain a token.
pub(super) struct Webhook {
    pub(super) id: String,
    pub(super) target_url: String,
    pub(super) operations: Vec<String>,
    /// `None` if deliveries are not signed.
    pub(super) secret: Option<Secret>,
    pub(super) workspace_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    id: String,
    target_url: String,
    operations: Option<Vec<String>>,
    secret: Option<String>,
    workspace_id: Option<String>,
    deleted_at: Option<Json>,
}

/// Reads the webhooks from an array, or from `data.webhooks`. Returns `None` for anything else.
pub(super) fn read(mut json: Json) -> Option<Vec<Webhook>> {
    let list = if json.is_array() { json } else { json.pointer_mut("/data/webhooks")?.take() };
    // The error would quote the value, which may be the secret.
    let raw: Vec<Raw> = serde_json::from_value(list).ok()?;
    let kept = raw.into_iter().filter(|webhook| webhook.deleted_at.is_none());
    Some(kept.map(Webhook::from).collect())
}

impl From<Raw> for Webhook {
    fn from(raw: Raw) -> Self {
        let secret = raw.secret.and_then(|secret| Secret::new(secret).ok());
        let operations = raw.operations.unwrap_or_default();
        Self { id: raw.id, target_url: raw.target_url, operations, secret, workspace_id: raw.workspace_id }
    }
}

impl Webhook {
    /// Returns the address, completed as Twenty does if it has no scheme.
    pub(super) fn target(&self) -> Option<Target> {
        if self.target_url.contains("://") {
            self.target_url.parse().ok()
        } else {
            format!("https://{}", self.target_url).parse().ok()
        }
    }

    pub(super) fn points_at(&self, target: &Target) -> bool {
        self.target().is_some_and(|own| differences(&own, target).is_empty())
    }

    /// Returns how its address differs from another one on the same host. `None` for another host.
    pub(super) fn differs_in(&self, target: &Target) -> Option<String> {
        let own = self.target()?;
        let differences = differences(&own, target);
        (!differences.contains(&"the host")).then(|| differences.join(" and "))
    }
}

fn differences(a: &Target, b: &Target) -> Vec<&'static str> {
    let without_slash = |uri: &Uri| uri.path().trim_end_matches('/').to_owned();
    let (one, other) = (a.uri(), b.uri());
    let paths = match (one.path() == other.path(), without_slash(one) == without_slash(other)) {
        (true, _) => None,
        (false, true) => Some("the slash at the end"),
        (false, false) => Some("the path"),
    };
    let others = [
        (one.scheme() != other.scheme(), "the scheme"),
        (!a.host().eq_ignore_ascii_case(b.host()), "the host"),
        (one.scheme() == other.scheme() && a.port() != b.port(), "the port"),
        (one.query() != other.query(), "the part after `?`"),
    ];
    others.into_iter().filter(|(differs, _)| *differs).map(|(_, what)| what).chain(paths).collect()
}

/// Returns whether a webhook with these operations gets this event, or all events of this pattern.
pub(super) fn covers(operations: &[String], event: &str) -> bool {
    let has = |pattern: &str| operations.iter().any(|operation| operation == pattern);
    if event == "workflowRun.updated" {
        return has(event);
    }
    let parts: Vec<_> = event.split('.').collect();
    match parts[..] {
        ["metadata", name, action] => {
            let patterns = [format!("metadata.{name}.*"), format!("metadata.*.{action}")];
            has(event) || patterns.iter().any(|pattern| has(pattern)) || has("metadata.*.*") || has("*.*")
        }
        [object, action] => has(event) || has(&format!("{object}.*")) || has(&format!("*.{action}")) || has("*.*"),
        _ => has(event),
    }
}

/// Returns whether Twenty never sends the event to webhooks.
pub(super) fn never_sent(event: &str) -> bool {
    event.starts_with("timelineActivity.") || event.ends_with(".upserted")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_cover_what_twenty_matches() {
        for (operations, event, expected) in [
            ("person.created", "person.created", true),
            ("person.created", "person.updated", false),
            ("person.*", "person.updated", true),
            ("person.*", "person.*", true),
            ("person.created", "person.*", false),
            ("*.created", "person.created", true),
            ("*.created", "*.created", true),
            ("*.*", "person.created", true),
            ("*.*", "*.*", true),
            ("*.*", "metadata.view.created", true),
            ("metadata.*.created", "metadata.view.created", true),
            ("metadata.view.*", "metadata.view.created", true),
            ("person.*", "metadata.view.created", false),
            ("*.created", "metadata.view.created", false),
            ("*.*", "workflowRun.updated", false),
            ("workflowRun.*", "workflowRun.updated", false),
            ("workflowRun.updated", "workflowRun.updated", true),
            ("*.*", "workflowRun.created", true),
            ("*.*", "person", false),
        ] {
            assert_eq!(covers(&[operations.to_owned()], event), expected, "{operations} {event}");
        }
    }

    #[test]
    fn differences_between_addresses_are_named() {
        let webhook = |target_url: &str| {
            let raw = serde_json::json!([{ "id": "1", "targetUrl": target_url }]);
            read(raw).unwrap().remove(0)
        };
        let target = "https://hooks.example.com/twenty?a=b".parse::<Target>().unwrap();
        for (text, expected) in [
            ("https://hooks.example.com/twenty?a=b", Some("")),
            ("https://HOOKS.example.com:443/twenty?a=b", Some("")),
            ("hooks.example.com/twenty?a=b", Some("")),
            ("https://hooks.example.com/twenty/?a=b", Some("the slash at the end")),
            ("http://hooks.example.com/twenty?a=b", Some("the scheme")),
            ("https://hooks.example.com:8443/twenty", Some("the port and the part after `?`")),
            ("https://hooks.example.com/?a=b", Some("the path")),
            ("https://example.com/twenty?a=b", None),
            ("nonsense of any kind", None),
        ] {
            assert_eq!(webhook(text).differs_in(&target).as_deref(), expected, "{text}");
            assert_eq!(webhook(text).points_at(&target), expected == Some(""), "{text}");
        }
    }
}
