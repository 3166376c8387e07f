//! The encoding of an event, which is the same in each store.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version of this format: 1 |
//! | 8 | when it was accepted, in milliseconds |
//! | 8 | until when a duplicate verifies, in milliseconds |
//! | 4 | the index of the secret that signed it |
//! | 32 | claim key |
//! | 16 | record key; zero for none |
//! | 32 | signature |
//! | 1, 16 | whether there is a nonce, and the nonce |
//! | 1, n | the timestamp header's text, after its length |
//! | 4, n | the id of the keys, after its length |
//! | the rest | the body |
//!
//! Numbers are big-endian.

use bytes::{Buf, BufMut, Bytes};

use super::RecordKey;
use crate::{
    deduplicate::ClaimKey,
    verify::{SignatureValues, Timestamp, Verified},
};

/// An event that was accepted.
#[derive(Clone, Debug)]
pub(crate) struct StoredEvent {
    pub(crate) key: ClaimKey,
    pub(crate) record: RecordKey,
    pub(crate) accepted_at: Timestamp,
    pub(crate) verified: Verified,
}

impl StoredEvent {
    const VERSION: u8 = 1;

    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { key, record, accepted_at, verified } = self;
        let (timestamp, signature, nonce) = verified.values().parts();
        let keys_id = verified.keys_id().as_bytes();
        let len = [Self::HEAD, timestamp.len(), keys_id.len(), verified.body().len()];
        let mut bytes = Vec::with_capacity(len.into_iter().fold(0, usize::saturating_add));
        bytes.put_u8(Self::VERSION);
        bytes.put_u64(accepted_at.as_millis());
        bytes.put_u64(verified.fresh_until().as_millis());
        bytes.put_u32(u32::try_from(verified.secret_index()).unwrap_or(u32::MAX));
        bytes.put_slice(key.as_bytes());
        bytes.put_slice(record.as_bytes());
        bytes.put_slice(signature);
        bytes.put_u8(nonce.is_some().into());
        bytes.put_slice(&nonce.unwrap_or_default());
        // The timestamp has at most 20 digits.
        bytes.put_u8(u8::try_from(timestamp.len()).unwrap_or_default());
        bytes.put_slice(timestamp);
        bytes.put_u32(u32::try_from(keys_id.len()).unwrap_or_default());
        bytes.put_slice(keys_id);
        bytes.put_slice(verified.body());
        bytes
    }

    /// The length of everything before the body, without the two texts.
    const HEAD: usize = 1 + 8 + 8 + 4 + 32 + 16 + 32 + 1 + 16 + 1 + 4;

    /// Reads only when the event was accepted.
    pub(crate) fn accepted_at(mut bytes: &[u8]) -> Option<Timestamp> {
        (bytes.try_get_u8().ok()? == Self::VERSION).then_some(())?;
        bytes.try_get_u64().ok().map(Timestamp::from_millis)
    }

    /// Reads only the event's key, and until when a duplicate verifies.
    #[cfg(feature = "redb")]
    pub(crate) fn key_and_fresh_until(mut bytes: &[u8]) -> Option<(ClaimKey, Timestamp)> {
        Self::accepted_at(bytes)?;
        bytes.advance(1 + 8);
        let fresh_until = Timestamp::from_millis(bytes.try_get_u64().ok()?);
        bytes.try_get_u32().ok()?;
        let mut key = [0; 32];
        bytes.try_copy_to_slice(&mut key).ok()?;
        Some((ClaimKey::from_bytes(key), fresh_until))
    }

    /// Decodes an event. Returns `None` for bytes that [`encode`](Self::encode) did not write.
    pub(crate) fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.try_get_u8().ok()? != Self::VERSION {
            return None;
        }
        let accepted_at = Timestamp::from_millis(bytes.try_get_u64().ok()?);
        let fresh_until = Timestamp::from_millis(bytes.try_get_u64().ok()?);
        let secret_index = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
        let key = ClaimKey::from_bytes(array(&mut bytes)?);
        let record = RecordKey::from_bytes(array(&mut bytes)?);
        let signature = array(&mut bytes)?;
        let has_nonce = bytes.try_get_u8().ok()? != 0;
        let nonce = array(&mut bytes)?;
        let timestamp_len = bytes.try_get_u8().ok()?.into();
        let timestamp = text(&mut bytes, timestamp_len)?;
        let values = SignatureValues::from_parts(&timestamp, signature, has_nonce.then_some(nonce))?;
        let keys_id_len = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
        let keys_id = text(&mut bytes, keys_id_len)?;
        let keys_id = std::str::from_utf8(&keys_id).ok()?.into();
        let verified = Verified::restore(bytes, values, fresh_until, keys_id, secret_index);
        Some(Self { key, record, accepted_at, verified })
    }
}

fn array<const N: usize>(bytes: &mut Bytes) -> Option<[u8; N]> {
    let mut array = [0; N];
    bytes.try_copy_to_slice(&mut array).ok()?;
    Some(array)
}

fn text(bytes: &mut Bytes, len: usize) -> Option<Bytes> {
    (len <= bytes.len()).then(|| bytes.split_to(len))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::verify::{Keys, Secret, Signer, SystemClock, Verifier};

    fn event(body: Vec<u8>, keys_id: &str) -> StoredEvent {
        let keys = Keys::new(keys_id, ["new", "old"].map(|secret| Secret::new(secret).unwrap())).unwrap();
        let verifier = Verifier::builder().keys(keys).clock(SystemClock).build().unwrap();
        let headers = Signer::new("old").unwrap().sign(&body).pairs();
        let verified = verifier.verify(headers, body).unwrap();
        let key = ClaimKey::new("", keys_id, verified.body());
        let record = RecordKey::of_body(verified.body());
        StoredEvent { key, record, accepted_at: Timestamp::from_millis(7), verified }
    }

    proptest! {
        #[test]
        fn decodes_what_was_encoded(body in any::<Vec<u8>>(), keys_id in "\\PC{0,300}") {
            let event = event(body, &keys_id);
            let read = StoredEvent::decode(event.encode().into()).unwrap();
            prop_assert_eq!((read.key, read.record, read.accepted_at), (event.key, event.record, event.accepted_at));
            let [read, written] = [read.verified, event.verified];
            prop_assert_eq!(read.body(), written.body());
            prop_assert_eq!(format!("{read:?}"), format!("{written:?}"));
            prop_assert_eq!(read.signature_headers().pairs(), written.signature_headers().pairs());
        }

        #[cfg(feature = "redb")]
        #[test]
        fn reads_the_key_without_decoding_the_event(body in any::<Vec<u8>>(), cut in 0_usize..200) {
            let event = event(body, "default");
            let bytes = event.encode();
            let read = StoredEvent::key_and_fresh_until(&bytes);
            prop_assert_eq!(read, Some((event.key, event.verified.fresh_until())));
            let read = StoredEvent::key_and_fresh_until(&bytes[..cut.min(bytes.len())]);
            prop_assert_eq!(read.is_some(), cut >= 1 + 8 + 8 + 4 + 32);
        }

        #[test]
        fn decoding_any_bytes_succeeds_or_is_rejected(bytes in any::<Vec<u8>>(), at in 0_usize..200, byte in any::<u8>()) {
            StoredEvent::decode(bytes.into());
            let mut bytes = event(b"{}".to_vec(), "default").encode();
            bytes.truncate(at.max(1));
            StoredEvent::decode(bytes.clone().into());
            *bytes.last_mut().unwrap() = byte;
            StoredEvent::decode(bytes.into());
        }
    }

    #[test]
    fn another_version_is_rejected() {
        let mut bytes = event(b"{}".to_vec(), "default").encode();
        bytes[0] = 2;
        assert!(StoredEvent::decode(bytes.into()).is_none());
    }

    #[test]
    fn the_head_has_the_declared_length() {
        let event = event(b"{}".to_vec(), "k");
        assert_eq!(event.encode().len(), StoredEvent::HEAD + 13 + 1 + 2);
        assert_eq!(event.encode().capacity(), event.encode().len());
    }

    #[test]
    fn records_are_found() {
        let key = |body: &'static str| RecordKey::of_body(&Bytes::from_static(body.as_bytes()));
        let of = RecordKey::of_id("7d");
        assert_eq!(key(r#"{"eventName":"person.created","record":{"name":"x","id":"7d"}}"#), of);
        assert_eq!(key(r#"{"event":"person.created","data":{"id":"7d"}}"#), of);
        assert_eq!(key(r#"{"eventName":"metadata.view.created","event":{"recordId":"7d"}}"#), of);
        for body in ["", "[]", "{}", r#"{"record":5}"#, r#"{"record":{"id":5}}"#, "\u{7f}"] {
            assert_eq!(key(body), RecordKey::NONE, "{body}");
        }
    }
}
