use serde::Deserialize;

use super::Id;

/// Links (`LINKS`).
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Links {
    /// What the first link is called; may be empty.
    pub primary_link_label: Option<String>,
    /// Where it leads; may be empty.
    pub primary_link_url: Option<String>,
    /// The other links.
    pub secondary_links: Option<Vec<Link>>,
}

/// One of the secondary links of [`Links`].
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Link {
    /// What it is called; may be empty.
    pub label: Option<String>,
    /// Where it leads.
    pub url: Option<String>,
}

/// A file in a `FILES` field.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FileRef {
    /// The file's id.
    pub file_id: Option<Id>,
    /// The name that people see.
    pub label: Option<String>,
    /// With the dot: `.pdf`.
    pub extension: Option<String>,
}

super::no_content_in_debug!(Links, Link, FileRef);
