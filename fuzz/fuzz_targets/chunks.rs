//! Verifies a body in any chunks. The verdict equals the verdict on the whole body, and a delivery
//! with one flipped bit is rejected.
#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use twenty_webhook::verify::{Signer, Timestamp, Verified, Verifier, VerifyError, VerifyErrorKind};
use twenty_webhook_fuzz::{NOW, SECRETS, builder};

const BODY_LIMIT: usize = 200;

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| builder().body_limit(BODY_LIMIT).build().expect("two secrets"));
static SIGNERS: LazyLock<[Signer; 2]> = LazyLock::new(|| SECRETS.map(|secret| Signer::new(secret).expect("not blank")));

// The input is the number of the secret, the bit to flip, the lengths of all chunks except the last
// one, and the body.
fuzz_target!(|input: ([u8; 2], Vec<u8>, &[u8])| {
    let ([secret, bit], lengths, body) = input;
    let secret = usize::from(secret) % SECRETS.len();
    let headers = SIGNERS[secret].sign_at(NOW, body).pairs();

    let whole = VERIFIER.verify(headers.clone(), body.to_vec());
    let pieces = in_pieces(&headers, &lengths, body);
    match (&whole, &pieces) {
        (Ok(whole), Ok(pieces)) => {
            assert!(body.len() <= BODY_LIMIT);
            for verified in [whole, pieces] {
                assert_eq!(verified.body(), body);
                assert_eq!((verified.secret_index(), verified.timestamp()), (secret, NOW));
            }
        }
        (Err(whole), Err(pieces)) => {
            assert!(body.len() > BODY_LIMIT);
            assert_eq!((whole.kind(), pieces.kind()), (VerifyErrorKind::BodyTooLong, VerifyErrorKind::BodyTooLong));
        }
        _ => panic!("{whole:?} in one piece, {pieces:?} in {}", lengths.len() + 1),
    }

    // Flips one bit of the body, of the signature, and of the timestamp.
    let bit = usize::from(bit);
    let mut flipped = body.to_vec();
    if let Some(byte) = flipped.len().checked_sub(1).map(|last| &mut flipped[bit * 7 % (last + 1)]) {
        *byte ^= 1 << (bit % 8);
        assert!(in_pieces(&headers, &lengths, &flipped).is_err());
        assert!(VERIFIER.verify(headers.clone(), flipped).is_err());
    }
    let signature = |text: &str| {
        let digit = u8::from_str_radix(&text[bit % 64..=bit % 64], 16).expect("a digit") ^ 1 << (bit / 64);
        format!("{}{digit:x}{}", &text[..bit % 64], &text[bit % 64 + 1..])
    };
    let forged = headers
        .iter()
        .map(|(name, value)| (name, if name.ends_with("signature") { signature(value) } else { value.clone() }));
    assert!(VERIFIER.verify(forged, body.to_vec()).is_err());
    let later = Timestamp::from_millis(NOW.as_millis() ^ 1 << (bit % 18)).to_string();
    let moved = headers.iter().map(|(name, value)| (name, if name.ends_with("timestamp") { &later } else { value }));
    assert!(VERIFIER.verify(moved, body.to_vec()).is_err());
});

fn in_pieces(headers: &[(String, String)], lengths: &[u8], body: &[u8]) -> Result<Verified, VerifyError> {
    let headers = VERIFIER.parse_headers(headers.iter().map(|(name, value)| (name, value)))?;
    let mut verification = VERIFIER.begin(headers)?;
    let mut rest = body;
    for length in lengths {
        let (piece, after) = rest.split_at(rest.len().min((*length).into()));
        rest = after;
        verification.update(Bytes::copy_from_slice(piece))?;
        assert_eq!(verification.received(), body.len() - rest.len());
    }
    verification.update(rest.to_vec())?;
    verification.finalize()
}
