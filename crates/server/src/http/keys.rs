//! `/api/keys`: making, listing and revoking API keys. A key's text is shown once, in the answer that makes it.

use crate::{
    driver::now,
    http::{
        ApiError, App,
        auth::{AdminKeyError, Caller, Scope},
        begin::MAX_IDENTITY,
        body,
        object::{Object, array},
        runs::answer,
    },
};
use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    http::StatusCode,
    response::Response,
};
use bivouac_protocol::Code;
use bivouac_store::KeyRecord;
use serde::Deserialize;

/// The most keys of a server.
const MAX_KEYS: usize = 10_000;
/// What a request for a key looks like.
const FORM: &str = r#"{"name":"ci","scopes":["run","read"],"environment":"default","user":"ci"}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateBody {
    #[serde(default)]
    name: String,
    scopes: Vec<String>,
    environment: Option<String>,
    user: Option<String>,
}

/// `POST /api/keys`
pub(crate) async fn create(State(app): State<App>, caller: Caller, request: Request) -> Result<Response, ApiError> {
    caller.require(&[Scope::Admin])?;
    let (parts, body) = request.into_parts();
    let body = body::read(&parts.headers, body, body::MAX_CONTROL_BODY, "the body", "shorten the name").await?;
    let wish: CreateBody = body::parse(&body, FORM, false)?;
    let scopes = wish.scopes.iter().map(|text| scope(text)).collect::<Result<Vec<_>, _>>()?;
    if scopes.is_empty() {
        return Err(ApiError::bad_request(format!("give the key at least one scope: {}", all_scopes())));
    }
    let user = wish.user.filter(|user| !user.is_empty()).unwrap_or_else(|| wish.name.clone());
    if wish.name.len() > MAX_IDENTITY || user.len() > MAX_IDENTITY {
        return Err(ApiError::bad_request(format!("a key's name and user may have {MAX_IDENTITY} bytes each")));
    }
    if app.keys.all().len() >= MAX_KEYS {
        return Err(ApiError::conflict(Code::BAD_REQUEST, format!("the server holds {MAX_KEYS} keys, and no more")));
    }
    let environment = caller.control_environment(wish.environment.as_deref())?;
    let made = app.keys.create(&app.driver, wish.name, &environment, scopes, user).await;
    let (record, key) = made.map_err(|error| match error {
        AdminKeyError::Commit(error) => error.into(),
        other => ApiError::internal("making a key", &other),
    })?;
    tracing::info!(new = record.id, environment, key = caller.key(), "key created");
    let mut object = describe(&record);
    object.put("key", key.reveal());
    Ok(answer(StatusCode::CREATED, object.finish()))
}

fn scope(text: &str) -> Result<Scope, ApiError> {
    Scope::parse(text).ok_or_else(|| {
        let text: String = text.chars().take(64).collect();
        ApiError::bad_request(format!("`{text}` is no scope: {}", all_scopes()))
    })
}

fn all_scopes() -> String {
    Scope::ALL.map(Scope::as_str).join(", ")
}

/// What may be seen of a key.
fn describe(record: &KeyRecord) -> Object {
    let mut object = Object::new();
    object
        .put("id", &record.id)
        .put("name", &record.name)
        .put("environment", &record.environment)
        .put("scopes", &record.scopes)
        .put("user", &record.user)
        .time("created_at", record.created);
    if let Some(revoked) = record.revoked {
        object.time("revoked_at", revoked);
    }
    object
}

/// `GET /api/keys`
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Result<Response, ApiError> {
    caller.require(&[Scope::Admin])?;
    let keys = app.keys.all();
    let mut body = Object::new();
    body.raw("keys", &array(keys.iter().map(|record| describe(record).finish()))).put("count", &keys.len());
    Ok(answer(StatusCode::OK, body.finish()))
}

/// `DELETE /api/keys/{id}`
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    caller.require(&[Scope::Admin])?;
    let Path(id) = id?;
    let record = app.keys.all().into_iter().find(|record| record.id == id).ok_or_else(|| {
        ApiError::not_found(
            "there is no such key: give its public part (bvk_ and 12 letters and digits), as `bivouac keys ls` shows it",
        )
    })?;
    let is_admin = record.scopes.iter().any(|scope| scope == Scope::Admin.as_str());
    if record.revoked.is_none() && is_admin && app.keys.administrators() == 1 {
        return Err(ApiError::conflict(
            Code::BAD_REQUEST,
            format!(
                "{id} is the last key with the scope `admin`: create another one first, or nobody can administrate"
            ),
        ));
    }
    let record = KeyRecord { revoked: record.revoked.or_else(|| Some(now())), ..record };
    app.keys.put(&app.driver, record.clone()).await?;
    tracing::info!(revoked = record.id, key = caller.key(), "key revoked");
    Ok(answer(StatusCode::OK, describe(&record).finish()))
}
