//! `/api/deployments`: uploading modules, and what is deployed.
//!
//! An upload is the module itself as the body. What it is goes in the query: `service` (required), `immutable_ref`
//! (default: the module's SHA-256), `environment`, `activate` (default true), `replace_route_owners` (default false) and,
//! any number of times, `grant=host=api.example.com`, `grant=secret=NAME`, `grant=memory`. A digest that is sent along
//! (`X-Content-SHA256` in hex, or `Digest: sha-256=` in base64) is checked before anything else happens.

use crate::{
    deployments::{CARRIER_NATIVE, NewDeployment},
    http::{
        ApiError, App,
        auth::{Caller, Scope, is_name},
        body,
        object::{Object, array},
        runs::answer,
    },
};
use axum::{
    extract::{
        Path, Query, Request, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bivouac_protocol::{DeploymentId, manifest::Capabilities};
use bivouac_store::{DeploymentRecord, RouteRecord};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// The longest immutable ref, in bytes.
const MAX_REF: usize = 128;
/// The most deployments of one page.
const MAX_PAGE: usize = 500;

type Pairs = Vec<(String, String)>;

/// `POST /api/deployments`
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    query: Result<Query<Pairs>, QueryRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    caller.require(&[Scope::Deploy])?;
    let wish = Wish::read(query?.0)?;
    let environment = caller.control_environment(wish.environment.as_deref())?;
    let (parts, body) = request.into_parts();
    let advice = "leave out what is not needed (a release build with `strip` and `opt-level = \"s\"`), or let the operator raise max_module";
    let module = body::read(&parts.headers, body, app.config.max_module, "the module", advice).await?;
    if module.is_empty() {
        return Err(ApiError::bad_request(
            "the body is empty: send the module itself, such as with `curl --data-binary @module.wasm`, or use `bivouac deploy`",
        ));
    }
    let digest: [u8; 32] = Sha256::digest(&module).into();
    check_digest(&parts.headers, &digest)?;
    let new = NewDeployment {
        environment: environment.clone(),
        service: wish.service,
        immutable_ref: wish.immutable_ref.unwrap_or_else(|| format!("sha256-{}", hex::encode(digest))),
        grants: wish.grants,
        activate: wish.activate,
        replace_route_owners: wish.replace_route_owners,
    };
    // Another process, or nobody yet, may have worked in this environment.
    app.deployments.read_routes(&app.driver, &environment)?;
    let deployed = app.deployments.deploy(&app.driver, new, &module).await?;
    let record = &deployed.deployment.record;
    tracing::info!(deployment = %record.id, service = record.service, environment, existing = deployed.existing, key = caller.key(), "deployed");
    let mut object = describe(record);
    object.put("environment", &environment).put("existing", &deployed.existing);
    object.raw("routes", &array(deployed.routes.iter().map(route))).put("dropped", &deployed.dropped);
    let status = if deployed.existing { StatusCode::OK } else { StatusCode::CREATED };
    Ok(answer(status, object.finish()))
}

/// What an upload's query says.
struct Wish {
    environment: Option<String>,
    service: String,
    immutable_ref: Option<String>,
    grants: Capabilities,
    activate: bool,
    replace_route_owners: bool,
}

impl Wish {
    fn read(pairs: Pairs) -> Result<Self, ApiError> {
        let mut service = None;
        let mut wish = Self {
            environment: None,
            service: String::new(),
            immutable_ref: None,
            grants: Capabilities::default(),
            activate: true,
            replace_route_owners: false,
        };
        for (name, value) in pairs {
            match name.as_str() {
                "environment" => wish.environment = Some(value),
                "service" => service = Some(value),
                "immutable_ref" => wish.immutable_ref = Some(value),
                "grant" => grant(&mut wish.grants, &value)?,
                "activate" => wish.activate = flag(&name, &value)?,
                "replace_route_owners" => wish.replace_route_owners = flag(&name, &value)?,
                other => {
                    return Err(ApiError::bad_request(format!(
                        "`{}` is no parameter of a deployment: environment, service, immutable_ref, grant, activate, replace_route_owners",
                        other.chars().take(64).collect::<String>()
                    )));
                }
            }
        }
        wish.service = service.filter(|service| is_name(service)).ok_or_else(|| {
            ApiError::bad_request(
                "name the service that the module is a version of: ?service=NAME, with 1 to 64 letters, digits, `-` and `_`",
            )
        })?;
        let plain = |text: &String| (1..=MAX_REF).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if wish.immutable_ref.as_ref().is_some_and(|text| !plain(text)) {
            return Err(ApiError::bad_request(format!(
                "immutable_ref is 1 to {MAX_REF} printable characters without spaces, such as a commit or a version"
            )));
        }
        Ok(wish)
    }
}

fn grant(grants: &mut Capabilities, text: &str) -> Result<(), ApiError> {
    let list = match text.split_once('=') {
        Some(("host", host)) if !host.is_empty() => (&mut grants.hosts, host),
        Some(("secret", name)) if !name.is_empty() => (&mut grants.secrets, name),
        None if text == "memory" => {
            grants.memory = true;
            return Ok(());
        }
        _ => {
            return Err(ApiError::bad_request(format!(
                "`{}` is no grant: host=api.example.com, secret=NAME or memory",
                text.chars().take(128).collect::<String>()
            )));
        }
    };
    if !list.0.iter().any(|granted| granted == list.1) {
        list.0.push(list.1.to_owned());
    }
    Ok(())
}

fn flag(name: &str, value: &str) -> Result<bool, ApiError> {
    match value {
        "" | "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(ApiError::bad_request(format!("{name} is `true` or `false`"))),
    }
}

/// Compares what arrived with what the sender says that it sent.
fn check_digest(headers: &HeaderMap, digest: &[u8; 32]) -> Result<(), ApiError> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("").trim().to_owned());
    let unreadable = |name: &str, form: &str| ApiError::bad_request(format!("the header {name} is not {form}"));
    let mut claims = Vec::new();
    if let Some(claim) = text("x-content-sha256") {
        let claim = claim.strip_prefix("sha256:").unwrap_or(&claim);
        claims.push(hex::decode(claim).map_err(|_| unreadable("X-Content-SHA256", "a SHA-256 in hex"))?);
    }
    if let Some(claim) = text("digest") {
        let value = claim.split(',').find_map(|part| {
            let (algorithm, value) = part.trim().split_once('=')?;
            algorithm.eq_ignore_ascii_case("sha-256").then_some(value)
        });
        let value = value.and_then(|value| STANDARD.decode(value).ok());
        claims.push(value.ok_or_else(|| unreadable("Digest", "of the form `sha-256=BASE64`"))?);
    }
    if claims.iter().any(|claim| claim != digest) {
        return Err(ApiError::bad_request(format!(
            "the module that arrived has the SHA-256 {}, not the one that the request says: it was changed or cut on the way; send it again",
            hex::encode(digest)
        )));
    }
    Ok(())
}

/// A deployment as clients see it.
fn describe(record: &DeploymentRecord) -> Object {
    let mut object = Object::with_capacity(512 + record.manifest.len());
    object
        .id("deployment_id", record.id)
        .put("service", &record.service)
        .put("immutable_ref", &record.immutable_ref)
        .put("carrier", &record.carrier)
        .put("abi", &record.abi)
        .id("sha256", hex::encode(record.digest))
        .put("size", &record.size)
        .put("native", &(record.carrier == CARRIER_NATIVE))
        .raw("manifest", record.manifest.as_bytes())
        .raw("grants", record.grants.as_bytes())
        .time("created_at", record.created);
    object
}

fn route(route: &RouteRecord) -> Vec<u8> {
    let mut object = Object::new();
    object.put("environment", &route.environment).put("component", &route.component).put("service", &route.service);
    object.id("deployment_id", route.deployment).finish()
}

#[derive(Deserialize)]
pub(crate) struct ListQuery {
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /api/deployments`
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    caller.require(&[Scope::Deploy, Scope::Read])?;
    let Query(query) = query?;
    let after = query.after.map(|text| text.parse::<DeploymentId>()).transpose();
    let after = after.map_err(|error| ApiError::bad_request(format!("after: {error}")))?;
    let limit = query.limit.unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE);
    let records = app.driver.reader().deployments(after, limit)?;
    let next = (records.len() == limit).then(|| records.last().map(|record| record.id)).flatten();
    let mut body = Object::new();
    body.raw("deployments", &array(records.iter().map(|record| describe(record).finish())));
    body.put("count", &records.len()).put("next", &next);
    Ok(answer(StatusCode::OK, body.finish()))
}

/// `GET /api/deployments/{id}`
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    caller.require(&[Scope::Deploy, Scope::Read])?;
    let id: DeploymentId =
        id?.parse().map_err(|error| ApiError::not_found(format!("there is no such deployment: {error}")))?;
    let record = app.driver.reader().deployment(id)?;
    let record = record.ok_or_else(|| ApiError::not_found(format!("deployment {id} does not exist")))?;
    app.deployments.read_routes(&app.driver, caller.environment())?;
    let routes = app.deployments.routes(caller.environment());
    let mut object = describe(&record);
    object.raw("routes", &array(routes.iter().filter(|route| route.deployment == id).map(route)));
    Ok(answer(StatusCode::OK, object.finish()))
}

#[derive(Deserialize)]
pub(crate) struct RoutesQuery {
    environment: Option<String>,
}

/// `GET /api/routes`
pub(crate) async fn routes(
    State(app): State<App>,
    caller: Caller,
    query: Result<Query<RoutesQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    caller.require(&[Scope::Run, Scope::Read, Scope::Deploy])?;
    let environment = caller.control_environment(query?.0.environment.as_deref())?;
    app.deployments.read_routes(&app.driver, &environment)?;
    let routes = app.deployments.routes(&environment);
    let mut body = Object::new();
    body.put("environment", &environment).raw("routes", &array(routes.iter().map(route))).put("count", &routes.len());
    Ok(answer(StatusCode::OK, body.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(query: &[(&str, &str)]) -> Result<Wish, ApiError> {
        Wish::read(query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn grants_are_hosts_secrets_and_memory_and_count_once() {
        let grants = ["host=a.example", "host=localhost:*", "host=a.example", "secret=TOKEN", "memory"];
        let query: Vec<_> = grants.iter().map(|grant| ("grant", *grant)).chain([("service", "s")]).collect();
        let grants = wish(&query).unwrap().grants;
        assert_eq!(grants.hosts, ["a.example", "localhost:*"]);
        assert_eq!(grants.secrets, ["TOKEN"]);
        assert!(grants.memory);
    }

    #[test]
    fn a_query_that_is_not_understood_is_refused() {
        for query in [
            &[][..],
            &[("service", "")],
            &[("service", "a b")],
            &[("service", "s"), ("grant", "host=")],
            &[("service", "s"), ("grant", "everything")],
            &[("service", "s"), ("activate", "maybe")],
            &[("service", "s"), ("immutable_ref", "")],
            &[("service", "s"), ("enviroment", "x")],
        ] {
            assert!(wish(query).is_err(), "{query:?}");
        }
    }

    #[test]
    fn a_digest_that_differs_is_refused_in_either_form() {
        let digest: [u8; 32] = Sha256::digest(b"module").into();
        let headers =
            |name: &'static str, value: String| HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
        assert!(check_digest(&headers("x-content-sha256", hex::encode(digest)), &digest).is_ok());
        assert!(
            check_digest(&headers("digest", format!("md5=x, SHA-256={}", STANDARD.encode(digest))), &digest).is_ok()
        );
        for bad in [
            headers("x-content-sha256", hex::encode([0; 32])),
            headers("x-content-sha256", "zz".to_owned()),
            headers("digest", format!("sha-256={}", STANDARD.encode([0; 32]))),
            headers("digest", "sha-512=AAAA".to_owned()),
        ] {
            assert!(check_digest(&bad, &digest).is_err(), "{bad:?}");
        }
    }
}
