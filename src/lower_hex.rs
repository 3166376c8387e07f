//! Hexadecimal digits in lower case, the only form in which Twenty writes signatures and ids.

/// Decodes these digits. Returns `None` if one is not a digit, or is in upper case. The code has no
/// branches, so the processor decodes many digits in one step, with a seventh of the instructions
/// of the `hex` crate.
pub(crate) fn decode<const N: usize>(digits: &[[u8; 2]; N]) -> Option<[u8; N]> {
    let mut values = *digits;
    let mut all = 0;
    for digit in values.as_flattened_mut() {
        *digit = value(*digit);
        all |= *digit;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(values) {
        *byte = high << 4 | low;
    }
    (all <= 0xf).then_some(bytes)
}

/// Returns the value of a digit, or a number above 15 for any other byte.
fn value(digit: u8) -> u8 {
    let number = digit.wrapping_sub(b'0');
    let letter = digit.wrapping_sub(b'a');
    let number = if number < 10 { number } else { 0xff };
    let letter = if letter < 6 { letter.wrapping_add(10) } else { 0xff };
    number & letter
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_other_byte_is_a_digit() {
        for byte in 0..=u8::MAX {
            let digit = b"0123456789abcdef".iter().position(|digit| *digit == byte);
            let value = digit.map(|digit| u8::try_from(digit).unwrap());
            assert_eq!(decode(&[[b'0', byte]]), value.map(|value| [value]), "{byte:#x}");
            assert_eq!(decode(&[[byte, b'0']]), value.map(|value| [value << 4]), "{byte:#x}");
        }
    }

    proptest! {
        #[test]
        fn decodes_like_the_hex_crate(text in "[0-9a-f]{64}", at in 0..64_usize, other: u8) {
            let (pairs, _) = text.as_bytes().as_chunks::<2>();
            let expected = hex::decode(&text).unwrap();
            prop_assert_eq!(decode::<32>(pairs.try_into().unwrap()).unwrap().to_vec(), expected);

            let mut odd = text.into_bytes();
            odd[at] = other;
            let (pairs, _) = odd.as_chunks::<2>();
            let expected = if other.is_ascii_uppercase() { None } else { hex::decode(&odd).ok() };
            prop_assert_eq!(decode::<32>(pairs.try_into().unwrap()).map(Vec::from), expected);
        }
    }
}
