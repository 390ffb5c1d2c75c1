//! How agents are found: the card of one, the catalog of many, and how both are served.
//!
//! A card is the author's part ([`manifest::Agent`]) and the place where the agent is spoken to. The catalog is a link
//! set (RFC 9264) at the well-known path of RFC 9727: the specification of A2A has no card for many agents.

use crate::{
    Object, PROTOCOL_VERSION,
    types::{
        AgentCapabilities, AgentCard, AgentInterface, AgentProvider, AgentSkill, SecurityRequirement, SecurityScheme,
        StringList,
    },
};
use bivouac_protocol::{Json, manifest};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Where an agent's card lies, below its base.
pub const CARD_PATH: &str = "/.well-known/agent-card.json";
/// Where the catalog lies.
pub const CATALOG_PATH: &str = "/.well-known/api-catalog";
/// The media type of the catalog.
pub const CATALOG_MEDIA_TYPE: &str = "application/linkset+json";
/// How long a card may be kept before it is asked for again, in seconds.
pub const CARD_MAX_AGE: u32 = 60;
/// What an agent takes and gives that does not say so.
pub const DEFAULT_MODES: [&str; 2] = ["text/plain", "application/json"];
/// The name of the security scheme in our cards.
const BEARER: &str = "bearer";

/// Where an agent is spoken to, and who may.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The agent's base address, without a slash at its end: `https://agents.example.com/agents/planner`.
    pub base_url: &'a str,
    /// Whether callers have to show a key.
    pub keyed: bool,
}

/// The card that everybody may see, or the extended one, which shows every skill.
#[must_use]
pub fn of_component(component: &manifest::Component, place: Place<'_>, extended: bool) -> AgentCard {
    let unsaid = manifest::Agent::default();
    let agent = component.agent.as_ref().unwrap_or(&unsaid);
    let name = if agent.title.is_empty() { component.name.clone() } else { agent.title.clone() };
    let interface = |binding: &str, path: &str| AgentInterface {
        url: format!("{}{path}", place.base_url),
        protocol_binding: binding.to_owned(),
        tenant: None,
        protocol_version: PROTOCOL_VERSION.to_owned(),
    };
    let modes = |modes: &[String]| {
        if modes.is_empty() { DEFAULT_MODES.map(str::to_owned).to_vec() } else { modes.to_vec() }
    };
    let mut card = AgentCard {
        description: component.description.clone().unwrap_or_else(|| name.clone()),
        name,
        supported_interfaces: vec![interface("JSONRPC", "/a2a/jsonrpc"), interface("HTTP+JSON", "/a2a/rest")],
        provider: agent
            .provider
            .as_ref()
            .map(|provider| AgentProvider { url: provider.url.clone(), organization: provider.organization.clone() }),
        version: if agent.version.is_empty() { "0".to_owned() } else { agent.version.clone() },
        documentation_url: agent.documentation_url.clone(),
        capabilities: AgentCapabilities {
            streaming: Some(true),
            push_notifications: Some(false),
            extensions: Vec::new(),
            extended_agent_card: Some(agent.extended),
        },
        default_input_modes: modes(&agent.input_modes),
        default_output_modes: modes(&agent.output_modes),
        skills: agent.skills.iter().filter(|skill| extended || !skill.extended).map(skill).collect(),
        icon_url: agent.icon_url.clone(),
        ..AgentCard::default()
    };
    if place.keyed {
        let scheme = Object::of_members([("scheme", Json::of("Bearer").expect("a text is JSON"))]);
        card.security_schemes.insert(BEARER.to_owned(), SecurityScheme::Http(scheme));
        let schemes = BTreeMap::from([(BEARER.to_owned(), StringList::default())]);
        card.security_requirements.push(SecurityRequirement { schemes });
    }
    card
}

fn skill(skill: &manifest::Skill) -> AgentSkill {
    AgentSkill {
        id: skill.id.clone(),
        name: skill.name.clone(),
        description: skill.description.clone(),
        tags: skill.tags.clone(),
        examples: skill.examples.clone(),
        input_modes: skill.input_modes.clone(),
        output_modes: skill.output_modes.clone(),
        security_requirements: Vec::new(),
    }
}

/// Every media type that an agent takes: its own and those of all its skills, also the ones only the extended card shows.
#[must_use]
pub fn input_modes(component: &manifest::Component) -> Vec<String> {
    let card = of_component(component, Place { base_url: "", keyed: false }, true);
    let mut modes = card.default_input_modes;
    for mode in card.skills.into_iter().flat_map(|skill| skill.input_modes) {
        if !modes.contains(&mode) {
            modes.push(mode);
        }
    }
    modes
}

/// The catalog of agents, each by its base address, without a slash at its end.
#[must_use]
pub fn catalog<'a>(bases: impl IntoIterator<Item = &'a str>) -> Json {
    #[derive(Serialize)]
    struct LinkSet {
        linkset: Vec<Links>,
    }
    #[derive(Serialize)]
    struct Links {
        anchor: String,
        #[serde(rename = "service-desc")]
        service_desc: [Link; 1],
    }
    #[derive(Serialize)]
    struct Link {
        href: String,
        #[serde(rename = "type")]
        media_type: &'static str,
    }
    let linkset = bases.into_iter().map(|base| Links {
        anchor: format!("{base}/"),
        service_desc: [Link { href: format!("{base}{CARD_PATH}"), media_type: "application/json" }],
    });
    Json::of(&LinkSet { linkset: linkset.collect() }).expect("links have text keys")
}

/// The entity tag of a document: equal texts have equal tags.
#[must_use]
pub fn etag(text: &str) -> String {
    use std::fmt::Write as _;
    let digest = Sha256::digest(text.as_bytes());
    let mut tag = String::with_capacity(34);
    tag.push('"');
    for byte in &digest[..16] {
        write!(tag, "{byte:02x}").expect("a text takes what is written to it");
    }
    tag.push('"');
    tag
}

/// Whether a document with this tag is what the header `If-None-Match` names.
#[must_use]
pub fn matches_etag(if_none_match: &str, tag: &str) -> bool {
    let named = if_none_match.split(',').map(str::trim);
    named.map(|named| named.strip_prefix("W/").unwrap_or(named)).any(|named| named == "*" || named == tag)
}

/// The response to a request for a document: the document, or that it has not changed.
///
/// `keyed` says that others may see another one, so that no shared cache keeps it.
#[cfg(feature = "http")]
#[must_use]
pub fn response(
    headers: &http::HeaderMap,
    document: &Json,
    media_type: &'static str,
    keyed: bool,
) -> http::Response<bytes::Bytes> {
    use http::{HeaderValue, StatusCode, header};
    let tag = etag(document.text());
    let unchanged = headers.get_all(header::IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    let unchanged = unchanged.into_iter().any(|named| matches_etag(named, &tag));
    let body = if unchanged { bytes::Bytes::new() } else { bytes::Bytes::from(document.text().to_owned()) };
    let mut response = http::Response::new(body);
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let kept = if keyed { "private" } else { "public" };
    let cache_control = format!("{kept}, max-age={CARD_MAX_AGE}");
    for (name, value) in [(header::ETAG, tag), (header::CACHE_CONTROL, cache_control)] {
        let value = HeaderValue::try_from(value).expect("tags and directives are ASCII");
        response.headers_mut().insert(name, value);
    }
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Authorization, X-API-Key"));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
