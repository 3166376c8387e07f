//! Errors of Twenty's API.

use std::fmt;

use axum::http::header;
use serde_json::Value as Json;

use super::{Api, LIMIT, PATIENCE, Redaction};
use crate::client::{FetchError, PostError, Response};

/// Why a query of the API failed.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The address is invalid.
    Url(String),
    NoConnection(PostError),
    Truncated,
    TooLong,
    Redirect {
        status: u16,
        location: String,
    },
    /// The key is missing, invalid, expired or revoked.
    Token(String),
    Permission(String),
    RateLimit,
    /// The response is not from Twenty.
    NotTwenty(String),
    /// This version of Twenty does not support the query.
    NotAsked(String),
    /// Another error of the server.
    Server {
        status: u16,
        said: String,
    },
}

impl From<FetchError> for ApiError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Post(error) => Self::NoConnection(error),
            FetchError::TooLong => Self::TooLong,
            FetchError::Truncated => Self::Truncated,
        }
    }
}

impl ApiError {
    /// Returns the error with advice, and without the API key.
    pub(crate) fn message(&self, api: &Api) -> String {
        let text = api.redaction.hide_in_sentence(&format!("{}: {self}", api.base()));
        match self.advice() {
            Some(advice) => format!("{}. {advice}", text.trim_end_matches('.')),
            None => text,
        }
    }

    /// Returns what to do.
    pub(crate) const fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Url(_) | Self::NotAsked(_) => None,
            Self::Server { .. } => Some("Try again later, or look at the server's log"),
            Self::NoConnection(_) | Self::Truncated => Some("Check the address, and whether the server is running"),
            Self::TooLong | Self::NotTwenty(_) => Some(
                "Use the address at which people open Twenty, such as https://crm.example.com; for Twenty's cloud, use \
                 https://api.twenty.com",
            ),
            Self::Redirect { .. } => {
                Some("Use the address that the redirect leads to; the API key is not sent there automatically")
            }
            Self::Token(_) => {
                Some("Create a new API key under Settings > APIs & Webhooks, and store only the key in the file")
            }
            Self::Permission(_) => {
                Some("Give the API key a role that may see the data model and the webhooks, under Settings > Roles")
            }
            Self::RateLimit => Some("Wait a minute, and try again"),
        }
    }

    /// Returns whether a Twenty server answered.
    pub(crate) const fn is_of_twenty(&self) -> bool {
        matches!(self, Self::Token(_) | Self::Permission(_) | Self::RateLimit | Self::NotAsked(_))
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => f.write_str(error),
            Self::NoConnection(PostError::TooLate) => write!(f, "no answer within {} s", PATIENCE.as_secs()),
            Self::NoConnection(error) => error.fmt(f),
            Self::Truncated => f.write_str("the connection closed before the end of the response"),
            Self::TooLong => write!(f, "the answer is longer than {} MiB", LIMIT >> 20),
            Self::Redirect { status, location } => write!(f, "answered {status}, a redirect to {location}"),
            Self::Token(said) => write!(f, "the API key was not accepted: {said}"),
            Self::Permission(said) => write!(f, "the API key lacks a permission: {said}"),
            Self::RateLimit => f.write_str("too many requests"),
            Self::NotTwenty(found) => write!(f, "this is not Twenty's API: {found}"),
            Self::NotAsked(said) => write!(f, "the server does not support the query: {said}"),
            Self::Server { status, said } => write!(f, "answered {status}: {said}"),
        }
    }
}

/// Returns the message of a response that is an error: REST's `messages`, or GraphQL's `errors`.
pub(crate) fn error_message(json: &Json) -> Option<String> {
    let texts = |list: &Json, of: fn(&Json) -> Option<&str>| {
        let texts: Vec<_> = list.as_array()?.iter().filter_map(of).collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    };
    let messages = json.get("messages").and_then(|messages| texts(messages, Json::as_str));
    let errors = || texts(json.get("errors")?, |error| error.get("message")?.as_str());
    let single = || json.get("statusCode").and_then(|_| Some(json.get("message")?.as_str()?.to_owned()));
    messages.or_else(errors).or_else(single)
}

/// Returns the response, unless it is an error. Adds the secrets in it to `redaction`.
pub(super) fn json(response: &Response, redaction: &Redaction) -> Result<Json, ApiError> {
    let status = response.status;
    if matches!(status, 300..=399) {
        let location =
            response.headers.get(header::LOCATION).map(|location| String::from_utf8_lossy(location.as_bytes()));
        let location = location.map_or_else(|| "nowhere".to_owned(), |location| redaction.shown_url(&location));
        return Err(ApiError::Redirect { status, location });
    }
    let Ok(json) = serde_json::from_slice::<Json>(&response.body) else {
        return Err(no_json(response));
    };
    redaction.add_secrets_of(&json);
    if let Some(said) = error_message(&json) {
        let code = json.pointer("/errors/0/extensions/code").and_then(Json::as_str).unwrap_or_default();
        return Err(of_twenty(status, code, &said, redaction));
    }
    match status {
        200..=299 => Ok(json),
        401 => Err(ApiError::Token("answered 401".to_owned())),
        403 => Err(ApiError::Permission("answered 403".to_owned())),
        429 => Err(ApiError::RateLimit),
        500..=599 => Err(ApiError::Server { status, said: "an error without a message".to_owned() }),
        _ => Err(ApiError::NotTwenty(format!("answered {status}"))),
    }
}

fn no_json(response: &Response) -> ApiError {
    let status = response.status;
    if status == 429 {
        return ApiError::RateLimit;
    }
    let body = response.body.trim_ascii_start();
    let found = match body.first() {
        None => "without a body",
        Some(b'<') => "with HTML instead of JSON",
        Some(_) => "without JSON",
    };
    if status >= 500 {
        return ApiError::Server {
            status,
            said: format!("an error {found}, perhaps from a proxy whose server is down"),
        };
    }
    ApiError::NotTwenty(format!("it answered {status} {found}"))
}

/// Classifies an error by the texts of Twenty's REST and GraphQL servers.
fn of_twenty(status: u16, code: &str, said: &str, redaction: &Redaction) -> ApiError {
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let shown = redaction.shown(said);
    if status == 429 || says(&["Too many requests"]) {
        ApiError::RateLimit
    } else if says(&["Missing authentication token", "No payload", "Token invalid", "expired", "revoked"])
        || status == 401
        || code == "UNAUTHENTICATED"
    {
        ApiError::Token(shown)
    } else if says(&["permission"]) || status == 403 || code == "FORBIDDEN" {
        ApiError::Permission(shown)
    } else if code == "GRAPHQL_VALIDATION_FAILED" || says(&["Cannot query field", "Unknown argument"]) {
        ApiError::NotAsked(shown)
    } else if status == 404 {
        ApiError::NotTwenty(format!("it answered 404: {shown}"))
    } else {
        ApiError::Server { status, said: shown }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;

    fn read(status: u16, body: &'static str) -> Result<Json, String> {
        let headers = HeaderMap::new();
        json(&Response { status, headers, body: body.into() }, &Redaction::default()).map_err(|error| {
            let kind = format!("{error:?}");
            kind.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default().to_owned()
        })
    }

    #[test]
    fn errors_are_classified() {
        let rest = [
            (403, r#"{"statusCode":403,"messages":["Missing authentication token"],"error":"F"}"#, "Token"),
            (401, r#"{"statusCode":401,"messages":["No payload"]}"#, "Token"),
            (401, r#"{"statusCode":401,"messages":["Token invalid."]}"#, "Token"),
            (401, r#"{"statusCode":401,"messages":["Token has expired."]}"#, "Token"),
            (403, r#"{"statusCode":403,"messages":["This API Key is revoked"]}"#, "Token"),
            (400, r#"{"messages":["Entity performing the request does not have permission"]}"#, "Permission"),
            (400, r#"{"statusCode":400,"messages":["Too many requests."]}"#, "RateLimit"),
            (429, "slow down", "RateLimit"),
            (200, r#"{"errors":[{"message":"Token has expired.","extensions":{"code":"UNAUTHENTICATED"}}]}"#, "Token"),
            (200, r#"{"errors":[{"message":"No","extensions":{"code":"FORBIDDEN"}}]}"#, "Permission"),
            (400, r#"{"errors":[{"message":"Cannot query field \"fieldsList\" on type \"Object\"."}]}"#, "NotAsked"),
            (500, r#"{"statusCode":500,"message":"Internal server error"}"#, "Server"),
            (502, "<html>Bad gateway</html>", "Server"),
            (200, "<!DOCTYPE html>", "NotTwenty"),
            (200, "", "NotTwenty"),
            (200, "hello", "NotTwenty"),
            (404, r#"{"statusCode":404,"message":"Cannot GET /rest"}"#, "NotTwenty"),
            (404, "{}", "NotTwenty"),
            (302, "", "Redirect"),
        ];
        for (status, body, expected) in rest {
            assert_eq!(read(status, body), Err(expected.to_owned()), "{status} {body}");
        }
        assert_eq!(read(200, "[]"), Ok(Json::Array(Vec::new())));
    }
}
