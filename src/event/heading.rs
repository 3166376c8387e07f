use super::{EventName, envelope::Key, field::Id, json::Members, wire::event_name};

/// Facts about a delivery that do not require reading its record.
#[derive(Debug, Default)]
pub(crate) struct Heading {
    pub(crate) name: Option<EventName>,
    pub(crate) workspace_id: Option<Id>,
    pub(crate) webhook_id: Option<Id>,
}

impl Heading {
    /// Reads only as far as necessary. If the body is not a JSON object, the result contains what
    /// was found before the error.
    #[cfg(feature = "receiver")]
    pub(crate) fn read(body: &[u8]) -> Self {
        let mut heading = Self::default();
        heading.find(body, |heading| {
            heading.name.is_some() && heading.workspace_id.is_some() && heading.webhook_id.is_some()
        });
        heading
    }

    /// Reads only the name, which is among the first three members of a body.
    pub(crate) fn read_name(body: &[u8]) -> Option<EventName> {
        let mut heading = Self::default();
        heading.find(body, |heading| heading.name.is_some());
        heading.name
    }

    fn find(&mut self, body: &[u8], is_enough: impl Fn(&Self) -> bool) {
        let text = match std::str::from_utf8(body) {
            Ok(text) => text,
            Err(error) => body.get(..error.valid_up_to()).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or(""),
        };
        let mut seen = 0_u32;
        for member in Members::of(text) {
            let Some(key) = std::str::from_utf8(&member.name()).ok().and_then(Key::of) else { continue };
            if seen & 1 << key as u8 != 0 {
                continue;
            }
            seen |= 1 << key as u8;
            match key {
                Key::EventName | Key::Event if self.name.is_none() => self.name = event_name(&member),
                Key::WorkspaceId => self.workspace_id = serde_json::from_str(member.value).ok(),
                Key::WebhookId => self.webhook_id = serde_json::from_str(member.value).ok(),
                _ => {}
            }
            if is_enough(self) {
                break;
            }
        }
    }
}
