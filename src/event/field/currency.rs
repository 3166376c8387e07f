use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, Unexpected, Visitor},
};

/// An amount of money (`CURRENCY`), exact.
///
/// ```
/// use twenty_webhook::event::field::Currency;
///
/// # let amount: Currency = serde_json::from_str(r#"{"amountMicros":1234560000,"currencyCode":"EUR"}"#).unwrap();
/// // 1234.56 EUR
/// assert_eq!(amount.amount_micros, Some(1_234_560_000));
/// assert_eq!(amount.in_units(2), Some(123_456)); // cents
/// assert_eq!(amount.in_units(0), None); // not a whole number of euros, so you must decide how to round
/// assert_eq!(amount.to_decimal_string().as_deref(), Some("1234.56"));
/// ```
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Currency {
    /// Millionths of the currency's main unit. Twenty sends a number, or a text in versions of 2025.
    /// Serialized as a number.
    #[serde(default, deserialize_with = "micros", skip_serializing_if = "Option::is_none")]
    pub amount_micros: Option<i64>,
    /// Three letters (ISO 4217); may be empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency_code: Option<String>,
}

impl Currency {
    const MICROS: i64 = 1_000_000;

    /// Returns the amount as a whole number of units with `digits` decimal digits: 2 for cents, 0
    /// for euros or yen.
    ///
    /// Returns `None` if there is no amount, or if it is not a whole number of such units or does
    /// not fit.
    #[must_use]
    pub fn in_units(&self, digits: u32) -> Option<i64> {
        let amount = self.amount_micros?;
        match 6_u32.checked_sub(digits) {
            Some(fewer) => {
                let micros_per_unit = 10_i64.checked_pow(fewer)?;
                (amount.checked_rem(micros_per_unit)? == 0).then(|| amount.checked_div(micros_per_unit))?
            }
            None => amount.checked_mul(10_i64.checked_pow(digits.checked_sub(6)?)?),
        }
    }

    /// Returns the amount in the main unit, in decimal digits without trailing zeros: `-0.5`.
    #[must_use]
    pub fn to_decimal_string(&self) -> Option<String> {
        let amount = self.amount_micros?;
        let sign = if amount < 0 { "-" } else { "" };
        let micros = Self::MICROS.unsigned_abs();
        let whole = amount.unsigned_abs().checked_div(micros)?;
        let fraction = amount.unsigned_abs().checked_rem(micros)?;
        let text = format!("{sign}{whole}.{fraction:06}");
        Some(text.trim_end_matches('0').trim_end_matches('.').to_owned())
    }
}

super::no_content_in_debug!(Currency);

fn micros<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    struct Micros;

    impl<'de> Visitor<'de> for Micros {
        type Value = Option<i64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number of millionths, or one as text")
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<Option<i64>, E> {
            Ok(Some(number))
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<Option<i64>, E> {
            i64::try_from(number)
                .map(Some)
                .map_err(|_| E::invalid_value(Unexpected::Other("a number too large"), &self))
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Option<i64>, E> {
            if text.is_empty() {
                return Ok(None);
            }
            // PostgreSQL may write a scale: `5000000000.00`.
            let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
            match whole.parse() {
                Ok(number) if fraction.bytes().all(|b| b == b'0') => Ok(Some(number)),
                _ => Err(E::invalid_value(Unexpected::Other("text"), &self)),
            }
        }

        fn visit_unit<E: Error>(self) -> Result<Option<i64>, E> {
            Ok(None)
        }
    }

    deserializer.deserialize_any(Micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(micros: &str) -> Result<Option<i64>, serde_json::Error> {
        serde_json::from_str::<Currency>(&format!(r#"{{"amountMicros":{micros}}}"#)).map(|c| c.amount_micros)
    }

    #[test]
    fn amounts_are_read_from_numbers_and_text() {
        assert_eq!(amount("5000000000").unwrap(), Some(5_000_000_000));
        assert_eq!(amount("-15").unwrap(), Some(-15));
        assert_eq!(amount(r#""5000000000""#).unwrap(), Some(5_000_000_000));
        assert_eq!(amount(r#""5000000000.000""#).unwrap(), Some(5_000_000_000));
        assert_eq!(amount(r#""""#).unwrap(), None);
        assert_eq!(amount("null").unwrap(), None);
        assert_eq!(serde_json::from_str::<Currency>("{}").unwrap(), Currency::default());
        for odd in ["1e+21", "1.5", r#""1.5""#, r#""x""#, "9223372036854775808", "true", "{}"] {
            assert!(amount(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn units_are_exact_or_none() {
        let of = |micros| Currency { amount_micros: micros, currency_code: None };
        assert_eq!(of(Some(1_500_000)).in_units(0), None);
        assert_eq!(of(Some(1_500_000)).in_units(1), Some(15));
        assert_eq!(of(Some(-1_500_000)).in_units(2), Some(-150));
        assert_eq!(of(Some(3)).in_units(6), Some(3));
        assert_eq!(of(Some(3)).in_units(8), Some(300));
        assert_eq!(of(Some(i64::MAX)).in_units(7), None);
        assert_eq!(of(Some(3)).in_units(u32::MAX), None);
        assert_eq!(of(None).in_units(2), None);
        assert_eq!(of(Some(-500_000)).to_decimal_string().unwrap(), "-0.5");
        assert_eq!(of(Some(i64::MIN)).to_decimal_string().unwrap(), "-9223372036854.775808");
        assert_eq!(of(Some(100_000_000)).to_decimal_string().unwrap(), "100");
        assert_eq!(of(Some(0)).to_decimal_string().unwrap(), "0");
    }
}
