use serde::Deserialize;

use super::Decimal;

/// A postal address (`ADDRESS`).
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Address {
    /// First line.
    pub address_street1: Option<String>,
    /// Second line.
    pub address_street2: Option<String>,
    /// Third line.
    pub address_street3: Option<String>,
    /// City.
    pub address_city: Option<String>,
    /// Postal code.
    pub address_postcode: Option<String>,
    /// State or region.
    pub address_state: Option<String>,
    /// Country.
    pub address_country: Option<String>,
    /// Latitude in degrees.
    pub address_lat: Option<Decimal>,
    /// Longitude in degrees.
    pub address_lng: Option<Decimal>,
}

super::no_content_in_debug!(Address);
