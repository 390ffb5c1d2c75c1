//! `/api/secrets`: setting and removing secrets. A value goes in and never comes out.

use crate::{
    http::{
        ApiError, App,
        auth::{Caller, Scope},
        body,
        object::{Object, array},
        runs::answer,
    },
    secrets::{MAX_SECRET, Secret},
};
use axum::{
    extract::{
        Path, Query, Request, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::StatusCode,
    response::Response,
};
use bivouac_store::{ControlChange, SecretRecord};
use bivouac_wasm_host::manifest::MAX_SECRET_NAME_BYTES;
use serde::Deserialize;

/// The most hosts that a secret may be bound to.
const MAX_HOSTS: usize = 32;
/// What a request to set a secret looks like.
const FORM: &str = r#"{"value":"...","hosts":["api.example.com"]}"#;

#[derive(Deserialize)]
pub(crate) struct EnvironmentQuery {
    environment: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetBody {
    value: String,
    hosts: Vec<String>,
}

/// `PUT /api/secrets/{name}`
pub(crate) async fn set(
    State(app): State<App>,
    caller: Caller,
    name: Result<Path<String>, PathRejection>,
    query: Result<Query<EnvironmentQuery>, QueryRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    caller.require(&[Scope::Admin])?;
    let environment = caller.control_environment(query?.0.environment.as_deref())?;
    let name = secret_name(name?)?;
    let (parts, body) = request.into_parts();
    let advice = "keep long material elsewhere";
    let body = body::read(&parts.headers, body, body::MAX_CONTROL_BODY, "the body", advice).await?;
    let SetBody { value, hosts } = body::parse(&body, FORM, true)?;
    check(&value, &hosts)?;
    app.secrets.set(&app.driver, &environment, &name, &Secret::new(value), hosts.clone()).await?;
    tracing::info!(secret = name, environment, key = caller.key(), "secret set");
    let mut object = Object::new();
    object.put("name", &name).put("hosts", &hosts).put("environment", &environment);
    Ok(answer(StatusCode::OK, object.finish()))
}

/// `GET /api/secrets`: names and hosts.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    query: Result<Query<EnvironmentQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    caller.require(&[Scope::Deploy])?;
    let environment = caller.control_environment(query?.0.environment.as_deref())?;
    let secrets = app.driver.reader().secrets(&environment)?;
    let describe = |record: &SecretRecord| {
        let mut object = Object::new();
        object.put("name", &record.name).put("hosts", &record.hosts).time("set_at", record.set).finish()
    };
    let mut body = Object::new();
    body.put("environment", &environment).raw("secrets", &array(secrets.iter().map(describe)));
    body.put("count", &secrets.len());
    Ok(answer(StatusCode::OK, body.finish()))
}

/// `DELETE /api/secrets/{name}`
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    name: Result<Path<String>, PathRejection>,
    query: Result<Query<EnvironmentQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    caller.require(&[Scope::Admin])?;
    let environment = caller.control_environment(query?.0.environment.as_deref())?;
    let name = secret_name(name?)?;
    if !app.driver.reader().secrets(&environment)?.iter().any(|record| record.name == name) {
        return Err(ApiError::not_found(format!("there is no secret {name} in the environment {environment}")));
    }
    let change = ControlChange::RemoveSecret { environment: environment.clone(), name: name.clone() };
    app.driver.control(change).await?;
    tracing::info!(secret = name, environment, key = caller.key(), "secret removed");
    let mut object = Object::new();
    object.put("name", &name).put("environment", &environment).raw("removed", b"true");
    Ok(answer(StatusCode::OK, object.finish()))
}

/// The same rule as for the names that manifests ask for.
fn secret_name(Path(name): Path<String>) -> Result<String, ApiError> {
    let fits = (1..=MAX_SECRET_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if fits {
        return Ok(name);
    }
    Err(ApiError::bad_request(format!(
        "a secret's name is 1 to {MAX_SECRET_NAME_BYTES} letters, digits and `_`, such as API_TOKEN"
    )))
}

/// A secret ends up in a request's header. No message quotes it.
fn check(value: &str, hosts: &[String]) -> Result<(), ApiError> {
    if value.is_empty() {
        return Err(ApiError::bad_request("the secret's value is empty: remove the secret with DELETE instead"));
    }
    if value.len() > MAX_SECRET {
        return Err(ApiError::bad_request(format!(
            "a secret may have {MAX_SECRET} bytes, this one has {}",
            value.len()
        )));
    }
    if value.chars().any(char::is_control) {
        return Err(ApiError::bad_request(
            "the secret's value has a line break or another control character, which no header can carry",
        ));
    }
    let host = |host: &String| (1..=255).contains(&host.len()) && host.bytes().all(|b| b.is_ascii_graphic());
    if hosts.is_empty() || hosts.len() > MAX_HOSTS || !hosts.iter().all(host) {
        return Err(ApiError::bad_request(format!(
            "name 1 to {MAX_HOSTS} hosts that the secret may be sent to, such as {FORM}"
        )));
    }
    Ok(())
}
