//! Finds the end of strings, values and numbers. Each function takes the remaining text and returns
//! the rest after the item, or `None` if the text is malformed.

#[inline]
pub(super) fn behind_space(bytes: &[u8]) -> &[u8] {
    match bytes.first() {
        Some(&byte) if byte > b' ' => bytes,
        _ => behind_all_space(bytes),
    }
}

/// Returns the rest after white space. Twenty writes none, so this is rarely called.
#[cold]
fn behind_all_space(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\n' | b'\r' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// Returns the rest after `byte`, which comes next.
#[inline]
pub(super) fn after(byte: u8, bytes: &[u8]) -> Option<&[u8]> {
    match behind_space(bytes) {
        [first, rest @ ..] if *first == byte => Some(rest),
        _ => None,
    }
}

/// Returns the rest from the first quote, backslash or control character on.
#[inline]
pub(super) fn behind_plain(mut bytes: &[u8]) -> &[u8] {
    // Most strings are short. For long strings, `behind_long_plain` checks more bytes in one step.
    for _ in 0..8 {
        let Some((word, rest)) = bytes.split_first_chunk() else { break };
        let ends = ends(*word);
        if ends != 0 {
            return bytes.get((ends.trailing_zeros() >> 3) as usize..).unwrap_or_default();
        }
        bytes = rest;
    }
    behind_long_plain(bytes)
}

/// Sets the highest bit of each byte that is a quote, a backslash or a control character. The
/// lowest bit that is set is exact. Bytes above it may be marked by mistake.
#[inline]
const fn ends(word: [u8; 8]) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    let word = u64::from_le_bytes(word);
    // Flipping this bit turns the quote into 0x20, the number after the control characters.
    let quote_or_control = (word ^ ONES.wrapping_mul(0x02)).wrapping_sub(ONES.wrapping_mul(0x21));
    let backslash = (word ^ ONES.wrapping_mul(b'\\' as u64)).wrapping_sub(ONES);
    (quote_or_control | backslash) & !word & ONES.wrapping_mul(0x80)
}

fn behind_long_plain(mut bytes: &[u8]) -> &[u8] {
    const fn is_plain(byte: u8) -> bool {
        (byte >= 0x20) & (byte != b'"') & (byte != b'\\')
    }

    while let Some((block, rest)) = bytes.split_first_chunk::<32>() {
        if !block.iter().fold(true, |all, &byte| all & is_plain(byte)) {
            break;
        }
        bytes = rest;
    }
    let plain = bytes.iter().take_while(|&&byte| is_plain(byte)).count();
    bytes.get(plain..).unwrap_or_default()
}

/// Returns the rest after a string, which may be invalid Unicode. Starts after its opening quote.
#[inline]
pub(super) fn behind_string(bytes: &[u8]) -> Option<&[u8]> {
    match behind_plain(bytes) {
        [b'"', rest @ ..] => Some(rest),
        rest => behind_escapes(rest),
    }
}

#[cold]
fn behind_escapes(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        bytes = match bytes {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', rest @ ..] => rest,
            [b'\\', b'u', rest @ ..] => match rest.split_first_chunk::<4>() {
                Some((digits, rest)) if digits.iter().all(u8::is_ascii_hexdigit) => rest,
                _ => return None,
            },
            _ => return None,
        };
        bytes = behind_plain(bytes);
    }
}

/// Returns the rest after a member's name and its colon.
#[inline]
fn behind_name(bytes: &[u8]) -> Option<&[u8]> {
    after(b':', behind_string(after(b'"', bytes)?)?)
}

/// Returns the rest after a value of any depth.
pub(super) fn behind_value(bytes: &[u8]) -> Option<&[u8]> {
    // One bit for each enclosing object (1) or array (0). The lowest bit is the innermost.
    let mut around = 0_u128;
    let mut depth = 0_u32;
    // The bits of further enclosing objects and arrays, 128 in each number.
    let mut further_out = Vec::new();
    let mut rest = bytes;
    loop {
        rest = match behind_space(rest) {
            [b'"', rest @ ..] => behind_string(rest)?,
            [open @ (b'{' | b'['), rest_inside @ ..] => {
                let is_object = *open == b'{';
                if depth == u128::BITS {
                    further_out.push(std::mem::take(&mut around));
                    depth = 0;
                }
                around = around << 1 | u128::from(is_object);
                depth = depth.wrapping_add(1);
                rest = rest_inside;
                match (behind_space(rest).first(), is_object) {
                    (Some(b'}'), true) | (Some(b']'), false) => rest,
                    (_, true) => {
                        rest = behind_name(rest)?;
                        continue;
                    }
                    (_, false) => continue,
                }
            }
            scalar => behind_scalar(scalar)?,
        };
        // Here a value has ended, or an empty object or array is about to end.
        loop {
            if depth == 0 {
                let Some(outer) = further_out.pop() else { return Some(rest) };
                around = outer;
                depth = u128::BITS;
            }
            let in_object = around & 1 == 1;
            match (behind_space(rest), in_object) {
                ([b',', next @ ..], true) => {
                    rest = behind_name(next)?;
                    break;
                }
                ([b',', next @ ..], false) => {
                    rest = next;
                    break;
                }
                ([b'}', next @ ..], true) | ([b']', next @ ..], false) => {
                    rest = next;
                    around >>= 1;
                    depth = depth.wrapping_sub(1);
                }
                _ => return None,
            }
        }
    }
}

/// Returns the rest after `null`, `true`, `false` or a number.
fn behind_scalar(bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [b'n', b'u', b'l', b'l', rest @ ..]
        | [b't', b'r', b'u', b'e', rest @ ..]
        | [b'f', b'a', b'l', b's', b'e', rest @ ..] => Some(rest),
        _ => behind_number(bytes),
    }
}

fn behind_number(bytes: &[u8]) -> Option<&[u8]> {
    fn behind_digits(bytes: &[u8]) -> Option<&[u8]> {
        let [b'0'..=b'9', rest @ ..] = bytes else { return None };
        let mut rest = rest;
        while let [b'0'..=b'9', behind @ ..] = rest {
            rest = behind;
        }
        Some(rest)
    }

    let mut rest = match bytes.strip_prefix(b"-").unwrap_or(bytes) {
        [b'0', rest @ ..] => rest,
        digits => behind_digits(digits)?,
    };
    if let [b'.', fraction @ ..] = rest {
        rest = behind_digits(fraction)?;
    }
    if let [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] = rest {
        rest = behind_digits(exponent)?;
    }
    Some(rest)
}
