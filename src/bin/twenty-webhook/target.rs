//! Where deliveries are posted to.

use std::{fmt, str::FromStr};

use axum::http::{Uri, uri::Scheme};

/// An `http://` or `https://` address.
#[derive(Clone)]
pub(crate) struct Target(Uri);

impl Target {
    pub(crate) const fn uri(&self) -> &Uri {
        &self.0
    }

    /// Whether it is this machine, at this port.
    pub(crate) fn is_local(&self, port: u16) -> bool {
        let default = if self.0.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
        let host = self.0.host().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        let is_local =
            address.map_or(host.eq_ignore_ascii_case("localhost"), |ip| ip.is_loopback() || ip.is_unspecified());
        is_local && self.0.port_u16().unwrap_or(default) == port
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            _ => return Err("it should begin with http:// or https://".to_owned()),
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("Twenty sends no user name or password, so this does not either".to_owned());
        }
        Ok(Self(uri))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_addresses_will_do() {
        for text in ["localhost:3000", "/webhooks", "ftp://localhost/", "http://", "", "http://ada:secret@localhost/"] {
            assert!(text.parse::<Target>().is_err(), "{text:?}");
        }
        for text in ["http://localhost", "https://example.com/hooks?token=a", "http://[::1]:3000/"] {
            assert!(text.parse::<Target>().is_ok(), "{text:?}");
        }
    }

    #[test]
    fn this_machine_has_many_names() {
        let is_local = |text: &str| text.parse::<Target>().unwrap().is_local(3000);
        for text in ["http://localhost:3000/", "http://127.0.0.1:3000", "http://[::1]:3000/x", "http://0.0.0.0:3000/"] {
            assert!(is_local(text), "{text}");
        }
        for text in
            ["http://localhost:3001/", "http://localhost/", "https://example.com:3000/", "http://10.0.0.1:3000/"]
        {
            assert!(!is_local(text), "{text}");
        }
    }
}
