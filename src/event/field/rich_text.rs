use serde::Deserialize;

/// Formatted text (`RICH_TEXT`), in two forms.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct RichText {
    /// The editor's blocks, as a JSON text.
    pub blocknote: Option<String>,
    /// The same as Markdown.
    pub markdown: Option<String>,
}

super::no_content_in_debug!(RichText);
