//! Decides who can send requests to the inspector: clients that know its address, and in a browser
//! only the page that the inspector served.
//!
//! Every web page in a browser can send requests to loopback. The random token in the path stops
//! pages that guess the address. The check of `Host` stops pages whose own host name resolves to
//! this machine (DNS rebinding). The checks of `Origin` and `Sec-Fetch-Site` stop pages that have
//! learned the token.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
        header::{self, AsHeaderName},
        uri::{Authority, PathAndQuery},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use subtle::ConstantTimeEq;
use uuid::Uuid;

pub(super) struct Guard {
    token: String,
    /// Whether the inspector listens on a loopback address.
    is_loopback: bool,
    /// The host in `--ui-addr`, if it is a name.
    name: Option<String>,
}

/// Allows only the page's own scripts and files: nothing inline, no frames, no forms, no other
/// servers.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // The address contains the token.
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Why a request is rejected.
#[derive(Debug, PartialEq, Eq)]
enum Rejection {
    Host,
    Token,
    Origin,
    ContentType,
}

impl Guard {
    /// `host` is the host as given in `--ui-addr`.
    pub(super) fn new(address: IpAddr, host: &str) -> Self {
        let is_name = !host.is_empty() && host.trim_matches(['[', ']']).parse::<IpAddr>().is_err();
        // 244 bits of randomness from the system.
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        Self { token, is_loopback: address.is_loopback(), name: is_name.then(|| host.to_owned()) }
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Checks a request. Returns its address without the token.
    fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Uri, Rejection> {
        let host = self.host(uri, headers).ok_or(Rejection::Host)?;
        let inside = self.without_token(uri).ok_or(Rejection::Token)?;
        // Browsers send `Origin` with every request that has a body, and with every cross-origin
        // request.
        let origin = one(headers, header::ORIGIN);
        let is_own =
            |origin: &[u8]| origin.strip_prefix(b"http://").is_some_and(|rest| rest == host.as_str().as_bytes());
        let is_reading = matches!(*method, Method::GET | Method::HEAD);
        let is_same_origin = match origin {
            Ok(Some(origin)) => is_own(origin),
            Ok(None) => is_reading,
            Err(Repeated) => false,
        };
        // `none` means that the user typed the address, or opened it outside of the browser. A link
        // on another site may lead to the page.
        let is_page = is_reading && inside.path() == "/";
        let is_same_site = match one(headers, "sec-fetch-site") {
            Ok(None) => true,
            Ok(Some(site)) => site == b"same-origin" || (site == b"none" && is_reading) || is_page,
            Err(Repeated) => false,
        };
        if !is_same_origin || !is_same_site {
            return Err(Rejection::Origin);
        }
        // A form on another site cannot send this content type.
        if !is_reading && !matches!(one(headers, header::CONTENT_TYPE), Ok(Some(b"application/json"))) {
            return Err(Rejection::ContentType);
        }
        Ok(inside)
    }

    /// Returns the `Host` header if it names this machine. Other names are rejected, because
    /// somebody else may control where they resolve to.
    fn host(&self, uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
        // This is the form of a request to a proxy.
        if uri.authority().is_some() {
            return None;
        }
        let host = one(headers, header::HOST).ok()??;
        let authority = Authority::try_from(host).ok().filter(|authority| !authority.as_str().contains('@'))?;
        let name = authority.host();
        let is_ours = match name.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) => !self.is_loopback || ip.is_loopback(),
            Err(_) => {
                let given = self.name.as_deref().is_some_and(|given| given.eq_ignore_ascii_case(name));
                given || name.eq_ignore_ascii_case("localhost")
            }
        };
        is_ours.then_some(authority)
    }

    fn without_token(&self, uri: &Uri) -> Option<Uri> {
        let (token, rest) = uri.path().strip_prefix('/')?.split_once('/')?;
        if !bool::from(token.as_bytes().ct_eq(self.token.as_bytes())) {
            return None;
        }
        let rest = PathAndQuery::try_from(format!("/{rest}")).ok()?;
        Some(Uri::from(rest))
    }
}

impl Rejection {
    /// Returns a response that shows nothing of the request.
    fn answer(&self) -> Response {
        match self {
            Self::Host => (StatusCode::FORBIDDEN, "the Host header does not name this machine\n"),
            Self::Token => (StatusCode::NOT_FOUND, "not found: open the whole address that listen --ui prints\n"),
            Self::Origin => (StatusCode::FORBIDDEN, "only the inspector's own page may send this request\n"),
            Self::ContentType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "the content type is not application/json\n"),
        }
        .into_response()
    }
}

/// Passes on the requests that pass every check, and removes the token from their paths.
pub(super) async fn check(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let mut response = match guard.check(request.method(), request.uri(), request.headers()) {
        Ok(inside) => {
            *request.uri_mut() = inside;
            next.run(request).await
        }
        Err(rejection) => rejection.answer(),
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

struct Repeated;

fn one(headers: &HeaderMap, name: impl AsHeaderName) -> Result<Option<&[u8]>, Repeated> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(HeaderValue::as_bytes)),
        _ => Err(Repeated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(address: &str, host: &str) -> Guard {
        Guard::new(address.parse().unwrap(), host)
    }

    fn check(guard: &Guard, method: &Method, path: &str, headers: &[(&str, &str)]) -> Result<String, Rejection> {
        let uri: Uri = path.replace("TOKEN", &guard.token).parse().unwrap();
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        // `collect` would replace repeated headers.
        let headers = headers.fold(HeaderMap::new(), |mut map, (name, value): (HeaderName, HeaderValue)| {
            map.append(name, value);
            map
        });
        guard.check(method, &uri, &headers).map(|uri| uri.to_string())
    }

    #[test]
    fn tokens_are_long_and_new_each_time() {
        let [first, second] = [(); 2].map(|()| guard("127.0.0.1", "").token);
        assert!(first.len() == 64 && first.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(first, second);
    }

    #[test]
    fn only_names_of_this_machine_are_hosts() {
        let everywhere = guard("0.0.0.0", "devbox");
        let loopback = guard("127.0.0.1", "localhost");
        for (host, here, there) in [
            ("127.0.0.1:4040", true, true),
            ("127.0.0.1", true, true),
            ("[::1]:4040", true, true),
            ("localhost:1", true, true),
            ("LOCALHOST", true, true),
            ("192.0.2.7:4040", false, true),
            ("devbox:4040", false, true),
            ("attacker.example", false, false),
            ("attacker.example:4040", false, false),
            ("127.0.0.1.attacker.example", false, false),
            ("localhost.attacker.example", false, false),
            ("localhost.", false, false),
            ("127.0.0.1@attacker.example", false, false),
            ("attacker.example@127.0.0.1", false, false),
            ("", false, false),
        ] {
            for (guard, expected) in [(&loopback, here), (&everywhere, there)] {
                let checked = check(guard, &Method::GET, "/TOKEN/", &[("host", host)]);
                assert_eq!(checked, if expected { Ok("/".to_owned()) } else { Err(Rejection::Host) }, "{host}");
            }
        }
        let no_host: [&[(&str, &str)]; 2] = [&[], &[("host", "localhost"), ("host", "localhost")]];
        for headers in no_host {
            assert_eq!(check(&loopback, &Method::GET, "/TOKEN/", headers), Err(Rejection::Host), "{headers:?}");
        }
        let absolute = check(&loopback, &Method::GET, "http://localhost/TOKEN/", &[("host", "localhost")]);
        assert_eq!(absolute, Err(Rejection::Host));
    }

    #[test]
    fn the_token_is_the_whole_first_segment() {
        let guard = guard("127.0.0.1", "");
        let host = [("host", "localhost:4040")];
        for (path, inside) in [("/TOKEN/", "/"), ("/TOKEN/api/a%2Fb", "/api/a%2Fb"), ("/TOKEN//x", "//x")] {
            assert_eq!(check(&guard, &Method::GET, path, &host), Ok(inside.to_owned()), "{path}");
        }
        let short = format!("/{}/", &guard.token[..63]);
        for path in ["/", "/TOKEN", "//TOKEN/", "/TOKENa/", "/xTOKEN/", &short, "/x/TOKEN/", "/?TOKEN/"] {
            assert_eq!(check(&guard, &Method::GET, path, &host), Err(Rejection::Token), "{path}");
        }
    }

    #[test]
    fn only_the_inspectors_page_can_change_anything() {
        let guard = guard("127.0.0.1", "");
        let (host, json) = (("host", "localhost:4040"), ("content-type", "application/json"));
        let (own, site) = (("origin", "http://localhost:4040"), ("sec-fetch-site", "same-origin"));
        let post = |headers: &[(&str, &str)]| check(&guard, &Method::POST, "/TOKEN/api", headers).err();
        assert_eq!(post(&[host, own, site, json]), None);
        assert_eq!(post(&[host, own, json]), None, "a browser without Sec-Fetch-Site");
        assert_eq!(post(&[host, json]), Some(Rejection::Origin));
        for origin in
            ["null", "http://localhost:3000", "https://localhost:4040", "http://attacker.example", "http://localhost"]
        {
            assert_eq!(post(&[host, ("origin", origin), site, json]), Some(Rejection::Origin), "{origin}");
        }
        assert_eq!(post(&[host, own, own, json]), Some(Rejection::Origin));
        for site in ["cross-site", "same-site", "none", ""] {
            assert_eq!(post(&[host, own, ("sec-fetch-site", site), json]), Some(Rejection::Origin), "{site}");
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp"] {
            assert_eq!(post(&[host, own, site, ("content-type", kind)]), Some(Rejection::ContentType), "{kind}");
        }
        assert_eq!(post(&[host, own, site]), Some(Rejection::ContentType));
    }

    #[test]
    fn another_site_reads_nothing_but_may_link_to_the_page() {
        let guard = guard("127.0.0.1", "");
        let host = ("host", "localhost:4040");
        for site in ["cross-site", "same-site"] {
            let get = |path| check(&guard, &Method::GET, path, &[host, ("sec-fetch-site", site)]);
            assert_eq!(get("/TOKEN/api/deliveries"), Err(Rejection::Origin));
            assert_eq!(get("/TOKEN/"), Ok("/".to_owned()));
        }
        for site in ["same-origin", "none"] {
            assert!(check(&guard, &Method::GET, "/TOKEN/api", &[host, ("sec-fetch-site", site)]).is_ok());
        }
        let other = ("origin", "http://attacker.example");
        assert_eq!(check(&guard, &Method::GET, "/TOKEN/api", &[host, other]), Err(Rejection::Origin));
    }
}
