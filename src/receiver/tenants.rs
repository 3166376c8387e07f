use std::{
    error::Error,
    fmt,
    hash::{BuildHasher as _, RandomState},
    pin::Pin,
    sync::Arc,
};

use super::Receiver;
use crate::{
    caught::caught,
    clip::{NAME, clip},
    verify::{ConfigError, Keys, Secret, VerifierBuilder},
};

type BoxError = Box<dyn Error + Send + Sync>;
pub(super) type Resolving = Pin<Box<dyn Future<Output = Result<Option<Keys>, BoxError>> + Send>>;

/// Finds the keys for a request; see [`Receiver::for_tenants`].
#[derive(Clone)]
pub(super) struct Resolver(Arc<dyn Fn(TenantRequest) -> Resolving + Send + Sync>);

impl Resolver {
    pub(super) fn resolve(&self, request: TenantRequest) -> Resolving {
        (self.0)(request)
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<fn>")
    }
}

/// What identifies a tenant: the request without its body, which is not verified yet.
#[derive(Clone)]
pub struct TenantRequest {
    path: String,
    query: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
}

impl TenantRequest {
    pub(super) fn new<N: AsRef<[u8]>, V: AsRef<[u8]>>(target: &str, headers: impl IntoIterator<Item = (N, V)>) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let owned =
            |(name, value): (N, V)| (String::from_utf8_lossy(name.as_ref()).into_owned(), value.as_ref().to_vec());
        Self { path: path.to_owned(), query, headers: headers.into_iter().map(owned).collect() }
    }

    /// Returns the path as it was sent, with its escapes: `/webhooks/twenty/acme`. Inside axum's
    /// `nest` it lacks the prefix that `nest` removes.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the last segment of the path: `acme`.
    #[must_use]
    pub fn last_segment(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Returns the query, without the question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Returns the first header with this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut headers = self.headers.iter();
        headers.find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }
}

/// Shows only the path, because query and headers can hold credentials.
impl fmt::Debug for TenantRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantRequest").field("path", &clip(&self.path, NAME)).finish_non_exhaustive()
    }
}

impl Receiver {
    /// Creates a receiver for many tenants. `resolve` returns the [`Keys`] of a request's tenant.
    ///
    /// `verifier` holds all settings except secrets. `resolve` runs for requests with well-formed,
    /// fresh signature headers, before the body is read and within the [body
    /// deadline](Self::body_deadline). It may query a database, and its result may change, so
    /// secrets can change while the program runs.
    ///
    /// `None` means an unknown tenant. An error, a panic or a timeout is answered with 503. An
    /// unknown tenant is answered with 401 after the same work as a wrong signature for a tenant
    /// with one secret, so the response does not show whether a tenant exists. A wrong signature
    /// for a tenant with several secrets takes longer, so an attacker who measures the time can
    /// detect a rotation.
    ///
    /// Give the keys of each tenant their own id, which distinguishes tenants in logs and in
    /// deduplication.
    ///
    /// ```
    /// use std::{collections::HashMap, sync::{Arc, RwLock}};
    /// use twenty_webhook::{Receiver, verify::{Keys, Secret, Verifier}};
    ///
    /// let keys = Keys::new("acme", [Secret::new("acme's secret")?])?;
    /// let tenants = Arc::new(RwLock::new(HashMap::from([("acme".to_owned(), keys)])));
    /// let receiver = Receiver::for_tenants(Verifier::builder(), move |request| {
    ///     let tenants = Arc::clone(&tenants);
    ///     async move { Ok(tenants.read().map_err(|_| "poisoned")?.get(request.last_segment()).cloned()) }
    /// })?;
    /// # let _ = receiver;
    /// # Ok::<(), twenty_webhook::verify::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError`] of the verifier; [`ConfigError::KeysAndSecrets`] if `verifier` has keys or
    /// secrets.
    pub fn for_tenants<F>(
        verifier: VerifierBuilder,
        resolve: impl Fn(TenantRequest) -> F + Send + Sync + 'static,
    ) -> Result<Self, ConfigError>
    where
        F: Future<Output = Result<Option<Keys>, BoxError>> + Send + 'static,
    {
        if verifier.has_secrets() {
            return Err(ConfigError::KeysAndSecrets);
        }
        // Deliveries of unknown tenants are verified with a random secret, for the same work as one
        // secret. The result is ignored.
        let unknown = || RandomState::new().hash_one(());
        let nobody = Keys::new("", [Secret::new(format!("{:x}{:x}", unknown(), unknown()))?])?;
        let receiver = Self::new(verifier.keys(nobody).build()?);
        let resolve = Arc::new(resolve);
        let resolve = move |request| -> Resolving {
            let resolve = Arc::clone(&resolve);
            Box::pin(async move {
                let resolved = caught(async { resolve(request).await }).await;
                resolved.unwrap_or_else(|panic| Err(format!("the resolver panicked: {panic}").into()))
            })
        };
        Ok(receiver.with_resolver(Resolver(Arc::new(resolve))))
    }
}
