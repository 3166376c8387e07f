//! Checks that require only a request's head.

use super::{Receiver, Refusal, RefusalKind};
use crate::verify::{SignatureValues, VerifyErrorKind};

impl Receiver {
    /// Checks the head, cheap checks first: presence and shape of the headers, age, content
    /// encoding, declared length.
    ///
    /// `at_least` is the minimum length of the body, if the framework knows more than the headers.
    pub(super) fn check_head<N, V, H>(&self, headers: H, at_least: u64) -> Result<SignatureValues, Refusal>
    where
        N: AsRef<[u8]>,
        V: AsRef<[u8]>,
        H: IntoIterator<Item = (N, V)> + Clone,
    {
        let verifier = self.verifier();
        let signature = verifier.values(headers.clone())?;
        verifier.check_age(&signature)?;
        let mut declared = at_least;
        for (name, value) in headers {
            let (name, value) = (name.as_ref(), value.as_ref());
            if name.eq_ignore_ascii_case(b"content-encoding") && !is_plain(value) {
                return Err(RefusalKind::ContentEncoding.into());
            }
            if name.eq_ignore_ascii_case(b"content-length") {
                declared = declared.max(parse_length(value));
            }
        }
        if usize::try_from(declared).map_or(true, |declared| declared > verifier.body_limit()) {
            return Err(VerifyErrorKind::BodyTooLong.into());
        }
        Ok(signature)
    }
}

/// Returns whether the body is not encoded. A list of codings may have empty members (RFC 9110,
/// 5.6.1), which are ignored.
fn is_plain(codings: &[u8]) -> bool {
    let mut codings = codings.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    codings.all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity"))
}

/// Returns the declared length. A malformed length counts as 0, because the body itself is checked,
/// too.
fn parse_length(value: &[u8]) -> u64 {
    std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}
