//! Parses a delivery from text. The text has lines of headers, `name:value`, an empty line, and the
//! body.
//!
//! A fuzzer cannot guess a signature. So four characters in a header's value are replaced by
//! genuine signatures: `@` by one in lower-case hexadecimal, `^` in upper case, `~` in base64, and
//! `&` by the previous secret's signature in lower case.

use crate::{NOW, SECRETS, hex, mac};

pub const SIGNATURE: &[u8] = b"x-twenty-webhook-signature";
pub const TIMESTAMP: &[u8] = b"x-twenty-webhook-timestamp";
pub const NONCE: &[u8] = b"x-twenty-webhook-nonce";

pub type Header = (Vec<u8>, Vec<u8>);

pub struct Delivery {
    pub headers: Vec<Header>,
    pub body: Vec<u8>,
}

impl Delivery {
    pub fn parse(text: &[u8]) -> Self {
        let mut headers = Vec::new();
        let mut rest = text;
        loop {
            let (line, after) = split_once(rest, b'\n').unwrap_or((rest, b""));
            rest = after;
            if line.is_empty() {
                break;
            }
            let (name, value) = split_once(line, b':').unwrap_or((line, b""));
            headers.push((name.to_vec(), value.to_vec()));
        }
        Self { headers, body: rest.to_vec() }
    }

    /// Returns the values of the headers with this name, in any case.
    pub fn values<'a>(&'a self, wanted: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| &value[..])
    }

    /// Returns the value of the first timestamp header, or [`NOW`] if there is none.
    pub fn timestamp(&self) -> Vec<u8> {
        self.values(TIMESTAMP).next().map_or_else(|| NOW.to_string().into_bytes(), <[u8]>::to_vec)
    }

    /// Signs as Twenty does.
    pub fn sign(&mut self) {
        let timestamp = self.timestamp();
        let [current, previous] = SECRETS.map(|secret| mac(secret.as_bytes(), &[&timestamp, b":", &self.body]));
        self.fill_in(&current, &previous);
    }

    /// Replaces the characters that stand for signatures.
    pub fn fill_in(&mut self, current: &[u8; 32], previous: &[u8; 32]) {
        for (_, value) in &mut self.headers {
            if value.iter().any(|byte| b"@^~&".contains(byte)) {
                *value = value
                    .iter()
                    .flat_map(|byte| match byte {
                        b'@' => hex(current).into_bytes(),
                        b'^' => hex(current).to_uppercase().into_bytes(),
                        b'~' => base64(current).into_bytes(),
                        b'&' => hex(previous).into_bytes(),
                        other => vec![*other],
                    })
                    .collect();
            }
        }
    }
}

fn split_once(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == at)?;
    Some((&text[..at], &text[at + 1..]))
}

fn base64(bytes: &[u8; 32]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|at| u32::from(chunk.get(at).copied().unwrap_or_default()));
        let bits = a << 16 | b << 8 | c;
        for digit in 0..=chunk.len() {
            text.push(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize].into());
        }
    }
    text + "="
}
