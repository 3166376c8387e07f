//! Forwards verified deliveries, and detects loops.
//!
//! Each forwarded request names this process in `Via` (RFC 9110, 7.6.3), whose purpose is to detect
//! loops. Comparing addresses is not enough: an address has many spellings, and a loop may lead
//! through other listeners and proxies.

use axum::http::{HeaderMap, HeaderValue, Method, header};
use bytes::Bytes;
use uuid::Uuid;

use crate::{
    client::{Answer, Client, PostError},
    output::Failure,
    target::Target,
};

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Forward {
    client: Client,
    /// The value of `Via` that this process adds. Its pseudonym is new for each process.
    via: HeaderValue,
}

impl Forward {
    pub(super) fn new(target: Target) -> Result<Self, Failure> {
        let via = HeaderValue::from_str(&format!("1.1 twenty-webhook-{}", Uuid::new_v4().simple()));
        let via = via.map_err(|error| Failure::about("the header Via", &error))?;
        Ok(Self { client: Client::new(target)?, via })
    }

    pub(super) const fn target(&self) -> &Target {
        self.client.target()
    }

    /// Returns whether this process has already forwarded the request. Proxies may have joined
    /// values of `Via`.
    pub(super) fn has_forwarded(&self, headers: &HeaderMap) -> bool {
        let ours = self.via.as_bytes();
        let names_this = |value: &HeaderValue| value.as_bytes().windows(ours.len()).any(|part| part == ours);
        headers.get_all(header::VIA).iter().any(names_this)
    }

    /// Forwards the request, with the name of this process.
    pub(super) async fn post(&self, mut headers: HeaderMap, body: Bytes) -> Result<Answer, PostError> {
        // Servers accept far fewer headers than a map can contain.
        let _ = headers.try_append(header::VIA, self.via.clone());
        self.client.send(Method::POST, &headers, body).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_process_that_forwarded_sees_a_loop() {
        let forward = || Forward::new("http://localhost/".parse().unwrap()).unwrap();
        let (this, other) = (forward(), forward());
        let text = |forward: &Forward| forward.via.to_str().unwrap().to_owned();
        let (ours, others) = (text(&this), text(&other));
        for (values, expected) in [
            (vec![], false),
            (vec!["1.1 proxy".to_owned(), "1.0 fred, 1.1 p.example.net (Apache/1.1)".to_owned()], false),
            (vec![others.clone()], false),
            (vec![ours.clone()], true),
            (vec!["1.1 proxy".to_owned(), ours.clone(), others.clone()], true),
            (vec![format!("1.1 proxy,{ours},{others} (comment)")], true),
        ] {
            let mut headers = HeaderMap::new();
            for value in &values {
                headers.append(header::VIA, value.parse().unwrap());
            }
            assert_eq!(this.has_forwarded(&headers), expected, "{values:?}");
            headers.append(header::VIA, HeaderValue::from_bytes(b"1.1 \xff").unwrap());
            assert_eq!(this.has_forwarded(&headers), expected, "{values:?} and another");
        }
    }
}
