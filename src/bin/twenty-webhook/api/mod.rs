//! Queries Twenty's API.

mod error;
mod redaction;

use std::{path::Path, str::FromStr, time::Duration};

use axum::http::{HeaderMap, HeaderValue, Method, header};
use bytes::Bytes;
use serde_json::Value as Json;

pub(crate) use self::{
    error::{ApiError, error_message},
    redaction::Redaction,
};
use crate::{
    client::{Client, Response},
    input,
    output::{Failure, note},
    target::Target,
};

/// How long a response may take. The response with all objects is hundreds of kilobytes long.
const PATIENCE: Duration = Duration::from_secs(30);

/// The maximum length of a response in bytes: a hundred times that of a workspace with 40 objects.
const LIMIT: usize = 32 << 20;

/// The address of a Twenty server: scheme, host, and perhaps a port and a path, without a slash at
/// its end.
#[derive(Clone)]
pub(crate) struct ApiUrl {
    base: String,
    is_readable_by_others: bool,
}

impl FromStr for ApiUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let target: Target = text.parse()?;
        if target.uri().query().is_some() || text.contains('#') {
            return Err("it should be the address of the server, without `?` and `#`".to_owned());
        }
        let is_readable_by_others = target.uri().scheme_str() == Some("http") && !target.is_loopback();
        Ok(Self { base: text.trim_end_matches('/').to_owned(), is_readable_by_others })
    }
}

/// A server and its API key. It implements neither `Debug` nor `Display`, because of the key.
pub(crate) struct Api {
    url: ApiUrl,
    token: HeaderValue,
    redaction: Redaction,
}

impl Api {
    /// Reads the key from a file.
    pub(crate) fn new(url: ApiUrl, token_file: &Path) -> Result<Self, Failure> {
        let name = format!("the API key in {}", input::name(token_file));
        // Somebody may have given the key itself instead of a file.
        let bytes = input::read_as(token_file, "--token-file")?;
        let text = bytes.trim_ascii();
        let text = text.strip_prefix(b"Bearer ").unwrap_or(text).trim_ascii();
        if text.is_empty() {
            return Err(Failure::new(format!(
                "{name} is empty: create a key in Twenty, under Settings > APIs & Webhooks"
            )));
        }
        if !text.iter().all(u8::is_ascii_graphic) {
            return Err(Failure::new(format!("{name} is invalid: it should be one line of letters, digits and dots")));
        }
        let token = HeaderValue::from_bytes(&[b"Bearer ", text].concat());
        let mut token = token.map_err(|_| Failure::new(format!("{name} cannot be sent in a header")))?;
        token.set_sensitive(true);
        if url.is_readable_by_others {
            note("the API key is sent without encryption: use https:// if the server supports it");
        }
        let redaction = Redaction::of_token(&String::from_utf8_lossy(text));
        Ok(Self { url, token, redaction })
    }

    pub(crate) fn base(&self) -> &str {
        &self.url.base
    }

    /// Sends a GET request.
    pub(crate) async fn get(&self, path: &str) -> Result<Json, ApiError> {
        self.get_with(path, |_| {}).await
    }

    /// Sends a GET request, and passes the response to `look` before it is parsed.
    pub(crate) async fn get_with(&self, path: &str, look: impl FnOnce(&Response)) -> Result<Json, ApiError> {
        let response = self.exchange(Method::GET, path, Bytes::new()).await?;
        look(&response);
        error::json(&response, &self.redaction)
    }

    /// Sends a GraphQL query to `/metadata`.
    pub(crate) async fn graphql(&self, query: &str) -> Result<Json, ApiError> {
        let body = serde_json::json!({ "query": query }).to_string();
        let response = self.exchange(Method::POST, "/metadata", body.into()).await?;
        error::json(&response, &self.redaction)
    }

    /// Sends a request, and returns the response with any status.
    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<Response, ApiError> {
        let target: Target = format!("{}{path}", self.url.base).parse().map_err(ApiError::Url)?;
        let client = Client::new(target).map_err(|failure| ApiError::Url(failure.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, self.token.clone());
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if method == Method::POST {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Ok(client.fetch(method, &headers, body, PATIENCE, LIMIT).await?)
    }

    /// Returns the redaction, which knows the key and the secrets in all responses so far.
    pub(crate) fn redaction(&self) -> Redaction {
        self.redaction.clone()
    }

    /// Returns whether a text or a name in this response contains the key.
    pub(crate) fn has_token_in(&self, answer: &Json) -> bool {
        let token = self.token.to_str().unwrap_or_default();
        let token = token.strip_prefix("Bearer ").unwrap_or(token);
        any_text(answer, &|text| text.contains(token))
    }
}

fn any_text(json: &Json, is_it: &impl Fn(&str) -> bool) -> bool {
    match json {
        Json::String(text) => is_it(text),
        Json::Array(list) => list.iter().any(|item| any_text(item, is_it)),
        Json::Object(members) => members.iter().any(|(name, value)| is_it(name) || any_text(value, is_it)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_only_the_address_of_a_server() {
        for (text, base) in [
            ("https://crm.example.com", "https://crm.example.com"),
            ("https://crm.example.com/", "https://crm.example.com"),
            ("http://localhost:3000/twenty//", "http://localhost:3000/twenty"),
        ] {
            assert_eq!(text.parse::<ApiUrl>().map(|url| url.base), Ok(base.to_owned()));
        }
        for text in ["crm.example.com", "https://crm.example.com/?a=b", "https://a/#b", "ftp://a", "https://u:p@a/"] {
            assert!(text.parse::<ApiUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn http_to_another_machine_is_readable_by_others() {
        for (text, expected) in [
            ("https://crm.example.com", false),
            ("http://crm.example.com", true),
            ("http://127.0.0.1:3000", false),
            ("http://[::1]:3000", false),
            ("http://localhost:3000", false),
        ] {
            assert_eq!(text.parse::<ApiUrl>().unwrap().is_readable_by_others, expected, "{text}");
        }
    }
}
