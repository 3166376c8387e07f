use serde::Deserialize;

/// A person's name (`FULL_NAME`).
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FullName {
    /// First name; may be empty.
    pub first_name: Option<String>,
    /// Last name; may be empty.
    pub last_name: Option<String>,
}

impl FullName {
    /// First and last name with a space between; `None` when both are empty.
    #[must_use]
    pub fn display_name(&self) -> Option<String> {
        let parts = [&self.first_name, &self.last_name];
        let parts: Vec<_> =
            parts.into_iter().flatten().map(|part| part.trim()).filter(|part| !part.is_empty()).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}

/// E-mail addresses (`EMAILS`).
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Emails {
    /// The first address; may be empty.
    pub primary_email: Option<String>,
    /// The others.
    pub additional_emails: Option<Vec<String>>,
}

/// Telephone numbers (`PHONES`).
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Phones {
    /// The first number, without the calling code; may be empty.
    pub primary_phone_number: Option<String>,
    /// Its country, two letters (ISO 3166-1); may be empty.
    pub primary_phone_country_code: Option<String>,
    /// Its calling code, `+33`; may be empty.
    pub primary_phone_calling_code: Option<String>,
    /// The other numbers.
    pub additional_phones: Option<Vec<PhoneNumber>>,
}

/// One of the additional numbers of [`Phones`].
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PhoneNumber {
    /// The number, without the calling code.
    pub number: Option<String>,
    /// Its country, two letters (ISO 3166-1); may be empty.
    pub country_code: Option<String>,
    /// Its calling code, `+33`; may be empty.
    pub calling_code: Option<String>,
}

super::no_content_in_debug!(FullName, Emails, Phones, PhoneNumber);
