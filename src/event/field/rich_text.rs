use serde::{Deserialize, Serialize};

/// Formatted text (`RICH_TEXT`), in two forms.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct RichText {
    /// The editor's blocks, as a JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocknote: Option<String>,
    /// The same as Markdown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub markdown: Option<String>,
}

super::no_content_in_debug!(RichText);
