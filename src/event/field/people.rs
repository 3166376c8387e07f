use serde::{Deserialize, Serialize};

/// A person's name (`FULL_NAME`).
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FullName {
    /// First name; may be empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Last name; may be empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
}

impl FullName {
    /// Returns first and last name with a space between, or `None` if both are empty.
    #[must_use]
    pub fn display_name(&self) -> Option<String> {
        let parts = [&self.first_name, &self.last_name];
        let parts: Vec<_> =
            parts.into_iter().flatten().map(|part| part.trim()).filter(|part| !part.is_empty()).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}

/// E-mail addresses (`EMAILS`).
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Emails {
    /// The first address; may be empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_email: Option<String>,
    /// The others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_emails: Option<Vec<String>>,
}

/// Telephone numbers (`PHONES`).
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Phones {
    /// The first number, without the calling code; may be empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_phone_number: Option<String>,
    /// Its country, two letters (ISO 3166-1); may be empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_phone_country_code: Option<String>,
    /// Its calling code, `+33`; may be empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_phone_calling_code: Option<String>,
    /// The other numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_phones: Option<Vec<PhoneNumber>>,
}

/// One of the additional numbers of [`Phones`].
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PhoneNumber {
    /// The number, without the calling code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Its country, two letters (ISO 3166-1); may be empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country_code: Option<String>,
    /// Its calling code, `+33`; may be empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calling_code: Option<String>,
}

super::no_content_in_debug!(FullName, Emails, Phones, PhoneNumber);
