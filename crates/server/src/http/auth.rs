//! Who speaks: API keys, their scopes, and what a key stands for.
//!
//! A key is `bvk_` and a public part, `_`, and a secret part; some public clients insist on `agnt5_sk_` in front, so every
//! key works with it too. Only a key's SHA-256 is kept, and it is compared in constant time. The key decides the
//! environment and the user; a request cannot. In development, requests from this machine need none.

use crate::{
    driver::{Driver, now},
    http::{ApiError, App},
    secrets::Secret,
    start::DEFAULT_ENVIRONMENT,
};
use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{Extensions, HeaderMap, HeaderValue, StatusCode, header, request},
};
use bivouac_protocol::Code;
use bivouac_store::{CommitError, ControlChange, KeyRecord, StoreError};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
};
use subtle::ConstantTimeEq as _;

/// The shortest key that an operator may choose.
pub const MIN_CHOSEN_KEY: usize = 32;
/// Where an operator puts a key of his own choice.
const ADMIN_KEY_VARIABLE: &str = "BIVOUAC_ADMIN_KEY";
/// The longest key that is looked at.
const MAX_KEY: usize = 512;
/// What our keys begin with.
const PREFIX: &str = "bvk_";
/// What some public clients want a key to begin with.
const FOREIGN_PREFIX: &str = "agnt5_sk_";

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Start runs and see them.
    Run,
    /// See runs.
    Read,
    /// Interfere with runs: cancel.
    Workflow,
    /// Deploy, and see what is deployed.
    Deploy,
    /// Speak for another user.
    Impersonate,
    /// Everything, in every environment.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Run, Self::Read, Self::Workflow, Self::Deploy, Self::Impersonate, Self::Admin];

    /// The scope as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Read => "read",
            Self::Workflow => "workflow",
            Self::Deploy => "deploy",
            Self::Impersonate => "impersonate",
            Self::Admin => "admin",
        }
    }

    /// Reads a scope.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// Who sent a request.
#[derive(Clone, Debug)]
pub(crate) struct Caller(Arc<Known>);

#[derive(Debug)]
struct Known {
    record: KeyRecord,
    scopes: Vec<Scope>,
}

impl Caller {
    fn new(record: KeyRecord) -> Self {
        let scopes = record.scopes.iter().filter_map(|text| Scope::parse(text)).collect();
        Self(Arc::new(Known { record, scopes }))
    }

    /// The environment that the caller belongs to.
    pub(crate) fn environment(&self) -> &str {
        &self.0.record.environment
    }

    /// The user that the caller stands for.
    pub(crate) fn user(&self) -> &str {
        &self.0.record.user
    }

    /// The public part of the caller's key.
    pub(crate) fn key(&self) -> &str {
        &self.0.record.id
    }

    pub(crate) fn has(&self, scope: Scope) -> bool {
        self.0.scopes.contains(&scope) || self.0.scopes.contains(&Scope::Admin)
    }

    /// Refuses a caller that has none of the scopes.
    pub(crate) fn require(&self, any_of: &[Scope]) -> Result<(), ApiError> {
        if any_of.iter().any(|scope| self.has(*scope)) {
            return Ok(());
        }
        let names: Vec<_> = any_of.iter().map(|scope| format!("`{}`", scope.as_str())).collect();
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            Code::INSUFFICIENT_SCOPES,
            format!(
                "the key {} lacks the scope {}: it has {}; create a key that has it with `bivouac keys create`",
                self.key(),
                names.join(" or "),
                if self.0.record.scopes.is_empty() { "none".to_owned() } else { self.0.record.scopes.join(", ") }
            ),
        ))
    }

    /// The environment that a control request works in: the caller's own, or for an administrator any.
    pub(crate) fn control_environment(&self, wanted: Option<&str>) -> Result<String, ApiError> {
        let Some(wanted) = wanted else { return Ok(self.environment().to_owned()) };
        if !is_name(wanted) {
            return Err(ApiError::bad_request(format!(
                "`{}` is no environment's name: 1 to 64 letters, digits, `-` and `_`",
                wanted.chars().take(64).collect::<String>()
            )));
        }
        if wanted != self.environment() && !self.has(Scope::Admin) {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                Code::INSUFFICIENT_SCOPES,
                format!(
                    "the key {} belongs to the environment {}: only a key with the scope `admin` may work in {wanted}",
                    self.key(),
                    self.environment()
                ),
            ));
        }
        Ok(wanted.to_owned())
    }
}

/// Whether a text may name an environment, a service or a tenant.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, app: &App) -> Result<Self, ApiError> {
        app.keys.caller(&parts.headers, &parts.extensions, app.config.dev)
    }
}

/// The API keys of a server.
pub struct Keys {
    by_id: RwLock<HashMap<String, Caller>>,
    /// Who sends what carries no key, from this machine in development.
    developer: Caller,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

/// An administrator's key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AdminKeyError {
    /// Too easy to guess.
    #[error(
        "the admin key has {0} characters: choose one of at least {MIN_CHOSEN_KEY}, such as `openssl rand -hex 32` gives"
    )]
    TooShort(usize),
    /// It was revoked.
    #[error("the admin key {0} was revoked: choose another one")]
    Revoked(String),
    /// Another key has its public part.
    #[error("another key has the public part {0}: choose another one")]
    Taken(String),
    /// The system gives no randomness.
    #[error("the system gives no randomness: {0}")]
    Randomness(String),
    /// It could not be written.
    #[error("keeping the admin key: {0}")]
    Commit(#[from] CommitError),
}

impl Keys {
    /// Reads the keys from the store.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn load(driver: &Driver) -> Result<Self, StoreError> {
        let keys = driver.reader().keys()?.into_iter().map(|record| (record.id.clone(), Caller::new(record)));
        Ok(Self { by_id: RwLock::new(keys.collect()), developer: developer() })
    }

    /// The environments that there are: the first one and those that keys belong to.
    #[must_use]
    pub fn environments(&self) -> BTreeSet<String> {
        let mut environments = BTreeSet::from([DEFAULT_ENVIRONMENT.to_owned()]);
        environments.extend(self.all().into_iter().map(|record| record.environment));
        environments
    }

    /// Makes sure that somebody can administrate the server: takes the operator's key from `BIVOUAC_ADMIN_KEY`, or makes
    /// one where there is none. A key that was made is returned, this once.
    ///
    /// # Errors
    /// [`AdminKeyError`]; nothing is changed.
    pub async fn ensure_admin(&self, driver: &Driver, environment: &str) -> Result<Option<String>, AdminKeyError> {
        if let Ok(chosen) = std::env::var(ADMIN_KEY_VARIABLE) {
            if let Some(record) = self.chosen_admin(plain(&chosen), environment)? {
                self.put(driver, record).await?;
            }
            return Ok(None);
        }
        if self.administrators() > 0 {
            return Ok(None);
        }
        let text = generate()?;
        self.put(driver, admin(&text, environment)).await?;
        Ok(Some(text))
    }

    /// The record of a key that the operator chose; nothing where it is known already.
    fn chosen_admin(&self, key: &str, environment: &str) -> Result<Option<KeyRecord>, AdminKeyError> {
        if key.len() < MIN_CHOSEN_KEY {
            return Err(AdminKeyError::TooShort(key.len()));
        }
        match self.all().into_iter().find(|record| record.id == public_part(key)) {
            Some(record) if record.revoked.is_some() => Err(AdminKeyError::Revoked(record.id)),
            Some(record) if record.digest != digest(key) => Err(AdminKeyError::Taken(record.id)),
            Some(_) => Ok(None),
            None => Ok(Some(admin(key, environment))),
        }
    }

    /// How many keys may administrate.
    pub(crate) fn administrators(&self) -> usize {
        let admin = |record: &KeyRecord| record.scopes.iter().any(|scope| scope == Scope::Admin.as_str());
        self.all().iter().filter(|record| record.revoked.is_none() && admin(record)).count()
    }

    /// All keys, the newest first.
    pub(crate) fn all(&self) -> Vec<KeyRecord> {
        let keys = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        let mut records: Vec<_> = keys.values().map(|caller| caller.0.record.clone()).collect();
        records.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        records
    }

    /// Makes a key; its text is returned this once.
    pub(crate) async fn create(
        &self,
        driver: &Driver,
        name: String,
        environment: &str,
        scopes: Vec<Scope>,
        user: String,
    ) -> Result<(KeyRecord, Secret), AdminKeyError> {
        let text = generate()?;
        let scopes = scopes.into_iter().map(|scope| scope.as_str().to_owned()).collect();
        let record = KeyRecord { name, scopes, user, ..admin(&text, environment) };
        self.put(driver, record.clone()).await?;
        Ok((record, Secret::new(text)))
    }

    /// Writes a key or its revocation; what is returned is on disk and in force.
    pub(crate) async fn put(&self, driver: &Driver, record: KeyRecord) -> Result<(), CommitError> {
        driver.control(ControlChange::PutKey(record.clone())).await?;
        let mut keys = self.by_id.write().unwrap_or_else(PoisonError::into_inner);
        keys.insert(record.id.clone(), Caller::new(record));
        Ok(())
    }

    /// Who sent a request with these headers. In development (`dev`), requests from this machine need no key.
    pub(crate) fn caller(&self, headers: &HeaderMap, extensions: &Extensions, dev: bool) -> Result<Caller, ApiError> {
        match presented(headers)? {
            Some(key) => self.authenticate(key).ok_or_else(|| {
                unauthorized("the API key is not known or was revoked: list the keys with `bivouac keys ls`")
            }),
            None if dev && is_local(headers, extensions) => Ok(self.developer.clone()),
            None if dev => Err(unauthorized(
                "only requests from this machine, and not from web pages of others, need no API key: send one in the header X-API-KEY or Authorization: Bearer",
            )),
            None => Err(unauthorized(
                "the request carries no API key: send one in the header X-API-KEY or Authorization: Bearer",
            )),
        }
    }

    fn authenticate(&self, key: &str) -> Option<Caller> {
        let key = plain(key);
        if key.len() > MAX_KEY {
            return None;
        }
        let keys = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        let caller = keys.get(&*public_part(key))?;
        let record = &caller.0.record;
        let equal: bool = digest(key).ct_eq(&record.digest).into();
        (equal && record.revoked.is_none()).then(|| caller.clone())
    }
}

fn unauthorized(message: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, Code::UNAUTHORIZED, message)
}

/// The key that a request carries. `X-API-KEY` comes first; another scheme than `Bearer` is none of ours.
fn presented(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get("x-api-key").or_else(|| headers.get(header::AUTHORIZATION)) else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| unauthorized("the API key is not text: send it as it was printed"))?.trim();
    if headers.contains_key("x-api-key") {
        return Ok(Some(text));
    }
    let bearer = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match bearer {
        Some((_, key)) => Ok(Some(key.trim())),
        None => Err(unauthorized("the Authorization header is not of the form `Bearer KEY`")),
    }
}

/// Whether a request comes from a program on this machine. A page of somebody else's that this machine's browser shows
/// has that page's `Origin`, or reaches us by a name of its own.
fn is_local(headers: &HeaderMap, extensions: &Extensions) -> bool {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    let from_here = peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback());
    let to_here = |name: &str| {
        let host = name.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        let host = host.map_or(name, |(host, _)| host).trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    };
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("?"));
    let host_fits = text(header::HOST).is_none_or(to_here);
    let origin_fits =
        text(header::ORIGIN).is_none_or(|origin| origin.split_once("://").is_some_and(|(_, host)| to_here(host)));
    from_here && host_fits && origin_fits
}

/// A key without the prefix that some clients insist on.
fn plain(key: &str) -> &str {
    key.strip_prefix(FOREIGN_PREFIX).unwrap_or(key)
}

/// What a key is listed and found by. A key that an operator chose has no public part: a piece of its digest serves.
fn public_part(key: &str) -> std::borrow::Cow<'_, str> {
    match key.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')) {
        Some((public, _)) => key[..PREFIX.len() + public.len()].into(),
        None => format!("{PREFIX}{}", hex::encode(&digest(key)[..6])).into(),
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

fn generate() -> Result<String, AdminKeyError> {
    let mut random = [0; 38];
    getrandom::fill(&mut random).map_err(|error| AdminKeyError::Randomness(error.to_string()))?;
    let (public, secret) = random.split_at(6);
    Ok(format!("{PREFIX}{}_{}", hex::encode(public), hex::encode(secret)))
}

/// An administrator's key.
fn admin(key: &str, environment: &str) -> KeyRecord {
    KeyRecord {
        id: public_part(key).into_owned(),
        name: "admin".to_owned(),
        digest: digest(key),
        environment: environment.to_owned(),
        scopes: vec![Scope::Admin.as_str().to_owned()],
        user: "admin".to_owned(),
        created: now(),
        revoked: None,
    }
}

/// Who works on this machine in development.
fn developer() -> Caller {
    Caller::new(KeyRecord {
        id: "none".to_owned(),
        name: "development".to_owned(),
        digest: [0; 32],
        environment: DEFAULT_ENVIRONMENT.to_owned(),
        scopes: vec![Scope::Admin.as_str().to_owned()],
        user: "developer".to_owned(),
        created: now(),
        revoked: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin(key: &str) -> KeyRecord {
        super::admin(key, DEFAULT_ENVIRONMENT)
    }

    fn keys() -> (Keys, String) {
        let text = generate().unwrap();
        let caller = Caller::new(admin(&text));
        let by_id = RwLock::new(HashMap::from([(caller.key().to_owned(), caller)]));
        (Keys { by_id, developer: developer() }, text)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn from(peer: &str) -> Extensions {
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 1)));
        extensions
    }

    #[test]
    fn a_key_is_known_in_both_headers_and_with_the_foreign_prefix() {
        let (keys, key) = keys();
        let none = Extensions::new();
        for pair in [
            ("x-api-key", key.clone()),
            ("x-api-key", format!("agnt5_sk_{key}")),
            ("authorization", format!("Bearer {key}")),
            ("authorization", format!("bearer {key}")),
        ] {
            assert!(keys.caller(&headers(&[(pair.0, &pair.1)]), &none, false).is_ok(), "{pair:?}");
        }
    }

    #[test]
    fn a_wrong_secret_a_missing_key_and_another_scheme_are_unauthorized() {
        let (keys, key) = keys();
        let wrong = format!("{}0", &key[..key.len() - 1]);
        let wrong = if wrong == key { format!("{}1", &key[..key.len() - 1]) } else { wrong };
        for pairs in [
            vec![("x-api-key", wrong.as_str())],
            vec![],
            vec![("authorization", "Basic eDp5")],
            vec![("x-api-key", "bvk_")],
            vec![("x-api-key", "")],
        ] {
            let error = keys.caller(&headers(&pairs), &from("127.0.0.1"), false).unwrap_err();
            assert_eq!(error.status(), StatusCode::UNAUTHORIZED, "{pairs:?}");
        }
    }

    #[test]
    fn in_development_only_programs_on_this_machine_need_no_key() {
        let (keys, _) = keys();
        let local = from("127.0.0.1");
        assert!(keys.caller(&headers(&[("host", "localhost:7420")]), &local, true).is_ok());
        assert!(keys.caller(&headers(&[("host", "[::1]:7420")]), &from("::1"), true).is_ok());
        assert!(keys.caller(&headers(&[("origin", "http://127.0.0.1:7420")]), &local, true).is_ok());
        for (pairs, peer) in [
            (vec![("host", "evil.example:7420")], "127.0.0.1"),
            (vec![("host", "localhost"), ("origin", "https://evil.example")], "127.0.0.1"),
            (vec![("host", "localhost"), ("origin", "null")], "127.0.0.1"),
            (vec![("host", "localhost")], "192.0.2.7"),
        ] {
            assert!(keys.caller(&headers(&pairs), &from(peer), true).is_err(), "{pairs:?} {peer}");
        }
        assert!(keys.caller(&HeaderMap::new(), &Extensions::new(), true).is_err());
    }

    #[test]
    fn a_key_of_the_operators_choice_is_long_and_taken_once() {
        let (keys, key) = keys();
        assert!(matches!(keys.chosen_admin("short", "e"), Err(AdminKeyError::TooShort(5))));
        assert_eq!(keys.chosen_admin(&key, "e").unwrap(), None);
        let chosen = "0123456789012345678901234567890123456789";
        let record = keys.chosen_admin(chosen, "e").unwrap().unwrap();
        assert!(!record.id.contains(&chosen[..8]), "no piece of the key is its public part");
    }

    #[test]
    fn a_scope_is_given_by_itself_or_by_admin() {
        let (_, key) = keys();
        let only_read = Caller::new(KeyRecord { scopes: vec!["read".to_owned()], ..admin(&key) });
        assert!(only_read.require(&[Scope::Run, Scope::Read]).is_ok());
        assert_eq!(only_read.require(&[Scope::Deploy]).unwrap_err().status(), StatusCode::FORBIDDEN);
        assert!(Caller::new(admin(&key)).require(&[Scope::Deploy]).is_ok());
    }

    #[test]
    fn an_administrator_works_in_any_environment_and_others_in_their_own() {
        let (_, key) = keys();
        let deployer = Caller::new(KeyRecord { scopes: vec!["deploy".to_owned()], ..admin(&key) });
        assert_eq!(deployer.control_environment(None).unwrap(), DEFAULT_ENVIRONMENT);
        assert!(deployer.control_environment(Some("staging")).is_err());
        assert_eq!(Caller::new(admin(&key)).control_environment(Some("staging")).unwrap(), "staging");
        assert!(Caller::new(admin(&key)).control_environment(Some("a b")).is_err());
    }
}
