//! The addresses to which deliveries are posted.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use axum::http::{Uri, uri::Scheme};

/// An `http://` or `https://` address.
#[derive(Clone)]
pub(crate) struct Target(Uri);

impl Target {
    pub(crate) const fn uri(&self) -> &Uri {
        &self.0
    }

    /// Returns whether the host obviously is this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        match self.host_ip() {
            Some(ip) => ip.is_loopback(),
            None => self.host().eq_ignore_ascii_case("localhost"),
        }
    }

    /// Returns the host: a name, or an IP address without brackets.
    pub(crate) fn host(&self) -> &str {
        self.0.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// Returns the host's IP address, unless the host is a name.
    pub(crate) fn host_ip(&self) -> Option<IpAddr> {
        self.host().parse().ok()
    }

    /// Returns the port in the address, or else the scheme's default port.
    pub(crate) fn port(&self) -> u16 {
        let default = if self.0.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
        self.0.port_u16().unwrap_or(default)
    }

    /// Returns whether this obviously is the address on which this program listens. Other
    /// spellings, host names and detours are recognised when a forwarded request comes back.
    pub(crate) fn is_address(&self, listening: SocketAddr) -> bool {
        if self.port() != listening.port() {
            return false;
        }
        let here = listening.ip();
        let is_any = here.is_unspecified();
        match self.host_ip() {
            // A connection to the unspecified address reaches this machine.
            Some(ip) if ip.is_unspecified() => is_any || here.is_loopback(),
            Some(ip) if ip.is_loopback() => is_any || here == ip,
            Some(ip) => here == ip,
            None => self.host().eq_ignore_ascii_case("localhost") && (is_any || here.is_loopback()),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXAMPLE: &str = "it should be a whole address, such as http://127.0.0.1:3000/webhooks/twenty";
        if text.is_empty() || text.starts_with('/') {
            return Err(EXAMPLE.to_owned());
        }
        if !text.contains("://") {
            return Err(format!("the scheme is missing: write http://{text}"));
        }
        let uri: Uri = text.parse().map_err(|error| format!("{EXAMPLE} ({error})"))?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            _ => return Err("it should begin with http:// or https://".to_owned()),
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("a user name or a password is not supported, because Twenty sends none".to_owned());
        }
        // A port that is not a number would be ignored, and the default port would be used.
        let behind_host = uri.authority().and_then(|authority| authority.as_str().strip_prefix(authority.host()));
        if uri.port_u16().is_none() && behind_host.is_some_and(|rest| rest.len() > 1) {
            return Err("its port should be a number up to 65535".to_owned());
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
    fn accepts_only_whole_addresses() {
        for text in [
            "localhost:3000",
            "/webhooks",
            "ftp://localhost/",
            "http://",
            "",
            "http://ada:secret@localhost/",
            "http://localhost:65536/",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text:?}");
        }
        for text in [
            "http://localhost",
            "https://example.com/hooks?token=a",
            "http://[::1]:3000/",
            "http://[::1]/",
            "http://a:",
        ] {
            assert!(text.parse::<Target>().is_ok(), "{text:?}");
        }
    }

    #[test]
    fn an_address_is_recognised_in_its_plain_forms() {
        let is_address =
            |text: &str, listening: &str| text.parse::<Target>().unwrap().is_address(listening.parse().unwrap());
        for (text, listening) in [
            ("http://localhost:3000/", "127.0.0.1:3000"),
            ("http://127.0.0.1:3000", "127.0.0.1:3000"),
            ("http://0.0.0.0:3000/", "127.0.0.1:3000"),
            ("http://[::1]:3000/x", "[::1]:3000"),
            ("http://LOCALHOST:3000/x", "[::1]:3000"),
            ("http://127.0.0.2:3000", "0.0.0.0:3000"),
            ("http://0.0.0.0:3000", "0.0.0.0:3000"),
            ("http://[::1]:3000", "[::]:3000"),
            ("http://10.0.0.1:3000/", "10.0.0.1:3000"),
            ("http://localhost/", "127.0.0.1:80"),
            ("https://localhost/", "127.0.0.1:443"),
        ] {
            assert!(is_address(text, listening), "{text} {listening}");
        }
        for (text, listening) in [
            ("http://localhost:3001/", "127.0.0.1:3000"),
            ("http://localhost/", "127.0.0.1:3000"),
            ("https://example.com:3000/", "127.0.0.1:3000"),
            ("http://10.0.0.1:3000/", "127.0.0.1:3000"),
            ("http://10.0.0.1:3000/", "10.0.0.2:3000"),
            ("http://127.0.0.2:3000/", "127.0.0.1:3000"),
            ("http://localhost:3000/", "10.0.0.1:3000"),
        ] {
            assert!(!is_address(text, listening), "{text} {listening}");
        }
    }
}
