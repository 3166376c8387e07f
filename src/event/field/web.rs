use serde::{Deserialize, Serialize};

use super::Id;

/// Links (`LINKS`).
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Links {
    /// The label of the first link; may be empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_link_label: Option<String>,
    /// The URL of the first link; may be empty.
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
    /// Its label; may be empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Its URL.
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
    /// The file's name, for display.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The file's extension, with the dot: `.pdf`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
}

super::no_content_in_debug!(Links, Link, FileRef);
