//! Who asks: the head of a request becomes a verified [`AuthContext`].

use crate::{context::AuthContext, error::Error, memory::AgentResult};
use async_trait::async_trait;
use bivouac_protocol::Code;
use sha2::{Digest as _, Sha256};
use std::fmt;
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

/// The user that [`DefaultAuthService`] finds behind every request.
pub const LOCAL_USER: &str = "local";

impl AuthContext {
    /// A user of an application, without a sub-tenant.
    ///
    /// # Examples
    /// ```
    /// let caller = bivouac::AuthContext::new("trips", "ada").with_tenant("north");
    /// assert_eq!((caller.user_name.as_str(), caller.tenant.as_str()), ("ada", "north"));
    /// ```
    #[must_use]
    pub fn new(app_name: impl Into<String>, user_name: impl Into<String>) -> Self {
        Self { app_name: app_name.into(), user_name: user_name.into(), tenant: String::new() }
    }

    /// The same user in a sub-tenant.
    #[must_use]
    pub fn with_tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = tenant.into();
        self
    }
}

/// A request without its body: what says who asks.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// The method, in upper case.
    pub method: String,
    /// The path and the query.
    pub target: String,
    /// Names and values of the headers, in order.
    pub headers: Vec<(String, String)>,
}

impl RequestHead {
    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The key that the request shows: `Authorization: Bearer KEY`, or `X-API-Key: KEY`.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        let bearer = self.header("authorization").and_then(|value| {
            let (scheme, key) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
        });
        bearer.or_else(|| self.header("x-api-key"))
    }
}

/// Turns a request's head into who asks.
///
/// What it returns is trusted: tasks and memory belong to that user alone. So it must verify what it reads - a key, a
/// token's signature - and never believe a name that a client wrote.
#[async_trait]
pub trait AuthService: Send + Sync {
    /// Who asks.
    ///
    /// # Errors
    /// Why nobody is recognised; the client is told that it is not authenticated, and the message.
    async fn authenticate(&self, request: &RequestHead) -> AgentResult<AuthContext>;

    /// Whether callers have to show a key, as the agents' cards then say.
    fn wants_key(&self) -> bool {
        true
    }
}

/// Finds the same local user behind every request: for a laptop, and for hosts that let nobody else in.
///
/// It verifies nothing. Where several people can reach the agent, use [`KeyAuthService`] or one of your own: with this
/// one they all are one user and see each other's tasks.
#[derive(Clone, Debug)]
pub struct DefaultAuthService {
    user: AuthContext,
}

impl DefaultAuthService {
    /// The user [`LOCAL_USER`] of the application `default`.
    #[must_use]
    pub fn new() -> Self {
        Self::of(AuthContext::new("default", LOCAL_USER))
    }

    /// A user of one's own choice.
    #[must_use]
    pub const fn of(user: AuthContext) -> Self {
        Self { user }
    }
}

impl Default for DefaultAuthService {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl AuthService for DefaultAuthService {
    async fn authenticate(&self, _: &RequestHead) -> AgentResult<AuthContext> {
        Ok(self.user.clone())
    }

    fn wants_key(&self) -> bool {
        false
    }
}

/// Knows users by their keys: `Authorization: Bearer KEY` or `X-API-Key: KEY`.
///
/// Only the keys' SHA-256 is held, and every one is compared in constant time, so that neither memory nor timing tells a
/// key. Keys should be long and random; a digest does not protect a short password.
///
/// # Examples
/// ```
/// use bivouac::{AuthContext, KeyAuthService};
///
/// let keys = KeyAuthService::new()
///     .key("4f1c0b7e9a5d4c2f8e6b", AuthContext::new("trips", "ada"))
///     .key("91d2e8c7b6a54f3e2d1c", AuthContext::new("trips", "bob"));
/// # let _ = keys;
/// ```
#[derive(Clone, Default)]
pub struct KeyAuthService {
    users: Vec<([u8; 32], AuthContext)>,
}

impl KeyAuthService {
    /// Knows nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Knows a user by a key; the last user of one key counts.
    #[must_use]
    pub fn key(mut self, key: &str, user: AuthContext) -> Self {
        self.users.push((Sha256::digest(key).into(), user));
        self
    }

    fn find(&self, key: &str) -> Option<&AuthContext> {
        let shown: [u8; 32] = Sha256::digest(key).into();
        // One more than there are stands for nobody; every key is looked at, whichever fits.
        let nobody = u32::try_from(self.users.len()).unwrap_or(u32::MAX);
        let mut found = nobody;
        for (at, (digest, _)) in (0_u32..).zip(&self.users) {
            found.conditional_assign(&at, digest.ct_eq(&shown));
        }
        self.users.get(found as usize).map(|(_, user)| user)
    }
}

#[async_trait]
impl AuthService for KeyAuthService {
    async fn authenticate(&self, request: &RequestHead) -> AgentResult<AuthContext> {
        let key = request.key().ok_or_else(|| {
            Error::refused(
                Code::UNAUTHORIZED,
                "the request shows no key: send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`",
            )
        })?;
        self.find(key).cloned().ok_or_else(|| {
            Error::refused(Code::UNAUTHORIZED, "the key is not known: use one that this agent was configured with")
        })
    }
}

impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers hold keys.
        f.debug_struct("RequestHead")
            .field("method", &self.method)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for KeyAuthService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyAuthService").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_finds_its_user_and_no_other_key_finds_any() {
        let keys = KeyAuthService::new()
            .key("first", AuthContext::new("app", "ada"))
            .key("second", AuthContext::new("app", "bob"));
        assert_eq!(keys.find("first").unwrap().user_name, "ada");
        assert_eq!(keys.find("second").unwrap().user_name, "bob");
        assert_eq!(keys.find("third"), None);
        assert_eq!(keys.find(""), None);
        assert_eq!(KeyAuthService::new().find("first"), None);
    }

    #[test]
    fn a_key_is_read_from_either_header_whatever_its_case() {
        let head = |name: &str, value: &str| RequestHead {
            headers: vec![(name.to_owned(), value.to_owned())],
            ..RequestHead::default()
        };
        assert_eq!(head("Authorization", "bearer  k ").key(), Some("k"));
        assert_eq!(head("X-Api-Key", "k").key(), Some("k"));
        assert_eq!(head("authorization", "Basic k").key(), None);
    }
}
