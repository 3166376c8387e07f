use serde::{Deserialize, Serialize};

use super::Id;

/// Links (`LINKS`).
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Links {
    /// What the first link is called; may be empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_link_label: Option<String>,
    /// Where it leads; may be empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_link_url: Option<String>,
    /// The other links.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secondary_links: Option<Vec<Link>>,
}

/// One of the secondary links of [`Links`].
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Link {
    /// What it is called; may be empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Where it leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// A file in a `FILES` field.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FileRef {
    /// The file's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_id: Option<Id>,
    /// The name that people see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// With the dot: `.pdf`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
}

super::no_content_in_debug!(Links, Link, FileRef);
