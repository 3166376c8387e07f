use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

/// Formatted text (`RICH_TEXT`), in two forms.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RichText {
    /// The editor's blocks, as a JSON text.
    pub blocknote: Option<String>,
    /// The same as Markdown.
    pub markdown: Option<String>,
}

super::no_content_in_debug!(RichText);

/// An object; or plain text, as the notes of 2024 had it, which becomes the Markdown.
impl<'de> Deserialize<'de> for RichText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Members {
            blocknote: Option<String>,
            markdown: Option<String>,
        }

        struct RichTextVisitor;

        impl<'de> Visitor<'de> for RichTextVisitor {
            type Value = RichText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("formatted text")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RichText, A::Error> {
                let Members { blocknote, markdown } = Members::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RichText { blocknote, markdown })
            }

            fn visit_str<E>(self, text: &str) -> Result<RichText, E> {
                Ok(RichText { markdown: Some(text.to_owned()), ..RichText::default() })
            }
        }

        deserializer.deserialize_any(RichTextVisitor)
    }
}
