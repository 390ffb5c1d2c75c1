//! Cards and the catalog: how agents are found.
//!
//! Those of the public environment need no key, unless the operator says otherwise. An agent that is not there and one
//! that the caller may not see are answered alike.

use super::place::{Agent, Place, agent_ref, agents, deployed, origin};
use crate::http::{ApiError, App, Shared, auth::Scope};
use axum::{
    body::Body,
    extract::{Request, State},
    http::{Extensions, HeaderMap, Method, StatusCode, header},
    response::Response,
};
use bivouac_a2a::{A2aError, ErrorKind, card, http::Reply};
use bivouac_protocol::{Code, Json};

/// The most agents of a catalog, and of an error that lists them.
const MAX_LISTED: usize = 1_000;

/// The environment whose agents a request may see, and whether it showed a key for that.
struct Seen {
    environment: String,
    keyed: bool,
}

impl Seen {
    fn by(app: &Shared, headers: &HeaderMap, extensions: &Extensions, wanted: Option<&str>) -> Result<Self, ApiError> {
        let public = &app.config.public_environment;
        let anonymous = !headers.contains_key("x-api-key") && !headers.contains_key(header::AUTHORIZATION);
        match app.keys.caller(headers, extensions, app.config.dev) {
            Ok(caller) => {
                let environment = wanted.unwrap_or_else(|| caller.environment());
                let open = app.config.public_cards && environment == public;
                if environment == caller.environment() || caller.has(Scope::Admin) || open {
                    return Ok(Self { environment: environment.to_owned(), keyed: !anonymous });
                }
                Err(no_agent())
            }
            Err(error) if anonymous && app.config.public_cards => match wanted {
                Some(wanted) if wanted != public => Err(error),
                _ => Ok(Self { environment: public.clone(), keyed: false }),
            },
            Err(error) => Err(error),
        }
    }
}

fn no_agent() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        Code::COMPONENT_NOT_FOUND,
        format!("there is no such agent that you may see: those that are there are listed at {}", card::CATALOG_PATH),
    )
}

/// `GET BASE/.well-known/agent-card.json`
pub(super) fn of_agent(app: &Shared, place: &Place, request: Request) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            Code::METHOD_NOT_ALLOWED,
            "a card is asked for with GET",
        ));
    }
    let seen = Seen::by(app, &parts.headers, &parts.extensions, place.environment.as_deref())?;
    show(app, &parts.headers, &seen, place)
}

fn show(app: &Shared, headers: &HeaderMap, seen: &Seen, place: &Place) -> Result<Response, ApiError> {
    let component = agent_ref(&place.agent);
    let deployment = deployed(app, &seen.environment, &component)?.ok_or_else(no_agent)?;
    let mut components = deployment.manifest.components.iter();
    let described = components.find(|c| c.kind == component.kind && c.name == component.name).ok_or_else(no_agent)?;
    let base_url = format!("{}{}", origin(app, headers), place.base);
    let card = card::of_component(described, card::Place { base_url: &base_url, keyed: !app.config.dev }, false);
    let document = Json::of(&card).map_err(|error| ApiError::internal("writing a card", &error))?;
    Ok(card::response(headers, &document, "application/json", seen.keyed).map(Body::from))
}

/// `GET /.well-known/agent-card.json`: the only agent, or the one that is configured.
pub(super) async fn root(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    let seen = Seen::by(&app, &parts.headers, &parts.extensions, None)?;
    let names = agents(&app, &seen.environment);
    let chosen = match (&app.config.default_agent, &names[..]) {
        (Some(chosen), names) if names.contains(chosen) => Some(chosen),
        (None, [only]) => Some(only),
        _ => None,
    };
    if let Some(chosen) = chosen {
        return show(&app, &parts.headers, &seen, &Place::of_agent(&app, &seen.environment, chosen));
    }
    let origin = origin(&app, &parts.headers);
    let address =
        |name: &String| format!("{origin}{}{}", Place::of_agent(&app, &seen.environment, name).base, card::CARD_PATH);
    let addresses: Vec<_> = names.iter().take(MAX_LISTED).map(address).collect();
    let message = if addresses.is_empty() {
        "no agent is deployed here: deploy one with `bivouac deploy`".to_owned()
    } else {
        format!(
            "this server has several agents and none of them is the default (`default_agent`): their cards are {}",
            addresses.join(", ")
        )
    };
    Err(ApiError::new(StatusCode::NOT_FOUND, Code::COMPONENT_NOT_FOUND, message))
}

/// `GET /agents/.well-known/agent-card.json`: where a client looks that was given a base without a slash at its end.
pub(super) async fn below_no_agent(State(app): State<App>, headers: HeaderMap) -> ApiError {
    ApiError::not_found(format!(
        "no agent's name is in this path: give your client the agent's address with a slash at its end, such as {}/agents/NAME/",
        origin(&app, &headers)
    ))
}

/// `GET /.well-known/api-catalog`: every agent, as a link set.
pub(super) async fn catalog(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    let seen = Seen::by(&app, &parts.headers, &parts.extensions, None)?;
    let origin = origin(&app, &parts.headers);
    let names = agents(&app, &seen.environment);
    let base = |name: &String| format!("{origin}{}", Place::of_agent(&app, &seen.environment, name).base);
    let bases: Vec<_> = names.iter().take(MAX_LISTED).map(base).collect();
    let document = card::catalog(bases.iter().map(String::as_str));
    Ok(card::response(&parts.headers, &document, card::CATALOG_MEDIA_TYPE, seen.keyed).map(Body::from))
}

/// The card that verified callers see.
pub(super) fn extended(agent: &Agent) -> Result<Reply, A2aError> {
    let component = agent.described()?;
    let described = component.agent.as_ref();
    if !described.is_some_and(|agent| agent.extended) {
        return Err(A2aError::new(
            ErrorKind::UnsupportedOperation,
            "this agent has no extended card, as its card says: the card that everybody sees is all there is",
        ));
    }
    if !described.is_some_and(|agent| agent.skills.iter().any(|skill| skill.extended)) {
        return Err(A2aError::new(
            ErrorKind::ExtendedAgentCardNotConfigured,
            "this agent promises an extended card and has nothing to show on it: its author gives it an extended skill",
        ));
    }
    let place = card::Place { base_url: &agent.base_url, keyed: agent.keyed };
    Ok(Reply::Card(card::of_component(component, place, true)))
}
