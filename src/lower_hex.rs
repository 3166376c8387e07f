//! Hexadecimal digits in lower case, the only form in which Twenty writes signatures and ids.

/// The bytes that these digits stand for; `None` when one is none, or in upper case. No branches, so that the processor looks at many at
/// once: a fifth of what the `hex` crate takes.
pub(crate) fn decode<const N: usize>(digits: &[[u8; 2]; N]) -> Option<[u8; N]> {
    let is_digit = |digit: &u8| digit.is_ascii_digit() | matches!(digit, b'a'..=b'f');
    if !digits.as_flattened().iter().fold(true, |all, digit| all & is_digit(digit)) {
        return None;
    }
    // The low four bits of `a` are 1.
    let value = |digit: u8| (digit & 0xf).wrapping_add(if digit < b'a' { 0 } else { 9 });
    Some(digits.map(|[high, low]| value(high) << 4 | value(low)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_same_as_the_hex_crate(text in "[0-9a-f]{64}", at in 0..64_usize, other: u8) {
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
