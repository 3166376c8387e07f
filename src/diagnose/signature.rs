use super::{
    Cause,
    encoding::{base64_decode, hex_decode},
};

/// The maximum number of copies of a header, and of parts of a value. No proxy adds as many.
pub(super) const MAX_VALUES: usize = 4;

/// A signature and its form.
#[derive(Clone, Copy)]
pub(super) struct Signature {
    pub(super) mac: [u8; 32],
    prefix: Option<&'static str>,
    digits: Digits,
}

#[derive(Clone, Copy)]
enum Digits {
    LowerHex,
    UpperHex,
    Base64,
}

impl Signature {
    /// The prefixes of other services' signatures.
    const PREFIXES: [&str; 6] = ["sha256=", "sha256:", "hmac-sha256=", "v1=", "v1,", "v1:"];

    /// Returns the whole value, and the parts that may have been joined with commas.
    pub(super) fn candidates(value: &[u8]) -> impl Iterator<Item = Self> {
        let whole = Self::parse(value.trim_ascii());
        let parts = parts(value).filter(move |_| whole.is_none()).filter_map(Self::parse);
        whole.into_iter().chain(parts)
    }

    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let starts_with = |prefix: &&str| {
            text.split_at_checked(prefix.len()).is_some_and(|(start, _)| start.eq_ignore_ascii_case(prefix.as_bytes()))
        };
        let prefix = Self::PREFIXES.into_iter().find(starts_with);
        let text = text.get(prefix.map_or(0, str::len)..)?.trim_ascii();
        let (mac, digits) = match hex_decode(text).and_then(|mac| mac.try_into().ok()) {
            Some(mac) if text.iter().any(u8::is_ascii_uppercase) => (mac, Digits::UpperHex),
            Some(mac) => (mac, Digits::LowerHex),
            // The length is checked first, so that a long value is not decoded unnecessarily.
            None if text.len() <= 44 => (base64_decode(text)?.try_into().ok()?, Digits::Base64),
            None => return None,
        };
        Some(Self { mac, prefix, digits })
    }

    pub(super) fn causes(self) -> Vec<Cause> {
        let prefix = self.prefix.map(|prefix| Cause::SignaturePrefixed { prefix });
        let digits = match self.digits {
            Digits::LowerHex => None,
            Digits::UpperHex => Some(Cause::SignatureUpperCase),
            Digits::Base64 => Some(Cause::SignatureBase64),
        };
        prefix.into_iter().chain(digits).collect()
    }
}

pub(super) fn parts(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).take(MAX_VALUES)
}
