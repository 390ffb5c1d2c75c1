//! What an agent says of itself.

use crate::{Object, proto};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An agent's card: who it is, where and how it is spoken to, what it can do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentCard {
    /// Its name for a person.
    #[serde(deserialize_with = "proto::nullable")]
    pub name: String,
    /// What it is for.
    #[serde(deserialize_with = "proto::nullable")]
    pub description: String,
    /// Where and how it is spoken to, the preferred way first.
    #[serde(alias = "supported_interfaces", deserialize_with = "proto::nullable")]
    pub supported_interfaces: Vec<AgentInterface>,
    /// Who offers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<AgentProvider>,
    /// Its version, as its author counts.
    #[serde(deserialize_with = "proto::nullable")]
    pub version: String,
    /// Where it is explained.
    #[serde(
        alias = "documentation_url",
        deserialize_with = "proto::some_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub documentation_url: Option<String>,
    /// What of the protocol it can.
    #[serde(deserialize_with = "proto::nullable")]
    pub capabilities: AgentCapabilities,
    /// How callers may sign in, by a name.
    #[serde(
        alias = "security_schemes",
        deserialize_with = "proto::nullable",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub security_schemes: BTreeMap<String, SecurityScheme>,
    /// Which of them are needed, one of the list.
    #[serde(
        alias = "security_requirements",
        deserialize_with = "proto::nullable",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub security_requirements: Vec<SecurityRequirement>,
    /// Media types that it takes, where a skill does not say otherwise.
    #[serde(alias = "default_input_modes", deserialize_with = "proto::nullable")]
    pub default_input_modes: Vec<String>,
    /// Media types that it answers with, where a skill does not say otherwise.
    #[serde(alias = "default_output_modes", deserialize_with = "proto::nullable")]
    pub default_output_modes: Vec<String>,
    /// What it can do.
    #[serde(deserialize_with = "proto::nullable")]
    pub skills: Vec<AgentSkill>,
    /// Who vouches for it.
    #[serde(deserialize_with = "proto::nullable", skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<AgentCardSignature>,
    /// Its picture.
    #[serde(alias = "icon_url", deserialize_with = "proto::some_text", skip_serializing_if = "Option::is_none")]
    pub icon_url: Option<String>,
}

/// One way to speak to an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentInterface {
    /// Where.
    #[serde(deserialize_with = "proto::nullable")]
    pub url: String,
    /// How: `JSONRPC`, `HTTP+JSON` or `GRPC`.
    #[serde(alias = "protocol_binding", deserialize_with = "proto::nullable")]
    pub protocol_binding: String,
    /// What requests have to name as their tenant.
    #[serde(deserialize_with = "proto::some_text", skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The protocol's version, such as `1.0`.
    #[serde(alias = "protocol_version", deserialize_with = "proto::nullable")]
    pub protocol_version: String,
}

/// Who offers an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentProvider {
    /// Its place on the web.
    #[serde(deserialize_with = "proto::nullable")]
    pub url: String,
    /// The organization's name.
    #[serde(deserialize_with = "proto::nullable")]
    pub organization: String,
}

/// What of the protocol an agent can; what is not said it cannot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentCapabilities {
    /// Whether it streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streaming: Option<bool>,
    /// Whether it sends notifications.
    #[serde(alias = "push_notifications", skip_serializing_if = "Option::is_none")]
    pub push_notifications: Option<bool>,
    /// Extensions of the protocol that it knows.
    #[serde(deserialize_with = "proto::nullable", skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<AgentExtension>,
    /// Whether verified callers see another card.
    #[serde(alias = "extended_agent_card", skip_serializing_if = "Option::is_none")]
    pub extended_agent_card: Option<bool>,
}

/// An extension of the protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentExtension {
    /// Its URI.
    #[serde(deserialize_with = "proto::nullable")]
    pub uri: String,
    /// What the agent does with it.
    #[serde(deserialize_with = "proto::some_text", skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether a client has to know it.
    #[serde(deserialize_with = "proto::nullable", skip_serializing_if = "proto::is_false")]
    pub required: bool,
    /// Its parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<Object>,
}

/// One thing that an agent can do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentSkill {
    /// Its id, unique within the agent.
    #[serde(deserialize_with = "proto::nullable")]
    pub id: String,
    /// Its name for a person.
    #[serde(deserialize_with = "proto::nullable")]
    pub name: String,
    /// What it does.
    #[serde(deserialize_with = "proto::nullable")]
    pub description: String,
    /// Words to find it by.
    #[serde(deserialize_with = "proto::nullable")]
    pub tags: Vec<String>,
    /// Requests that it can serve.
    #[serde(deserialize_with = "proto::nullable", skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// Media types that it takes; none means the agent's.
    #[serde(alias = "input_modes", deserialize_with = "proto::nullable", skip_serializing_if = "Vec::is_empty")]
    pub input_modes: Vec<String>,
    /// Media types that it answers with; none means the agent's.
    #[serde(alias = "output_modes", deserialize_with = "proto::nullable", skip_serializing_if = "Vec::is_empty")]
    pub output_modes: Vec<String>,
    /// How callers have to be signed in, one of the list.
    #[serde(
        alias = "security_requirements",
        deserialize_with = "proto::nullable",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub security_requirements: Vec<SecurityRequirement>,
}

/// Schemes that are needed together, each with its scopes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecurityRequirement {
    /// The scopes, by the scheme's name.
    #[serde(deserialize_with = "proto::nullable")]
    pub schemes: BTreeMap<String, StringList>,
}

/// A list of texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StringList {
    /// The texts.
    #[serde(deserialize_with = "proto::nullable")]
    pub list: Vec<String>,
}

/// One way to sign in. The members of each are those of OpenAPI's security schemes; they are carried as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SchemeWire", into = "SchemeWire")]
pub enum SecurityScheme {
    /// A key in a header, a query or a cookie.
    ApiKey(Object),
    /// A scheme of the header `Authorization`.
    Http(Object),
    /// OAuth 2.0.
    OAuth2(Object),
    /// OpenID Connect.
    OpenIdConnect(Object),
    /// A client's certificate.
    MutualTls(Object),
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SchemeWire {
    #[serde(alias = "api_key_security_scheme", skip_serializing_if = "Option::is_none")]
    api_key_security_scheme: Option<Object>,
    #[serde(alias = "http_auth_security_scheme", skip_serializing_if = "Option::is_none")]
    http_auth_security_scheme: Option<Object>,
    #[serde(
        rename = "oauth2SecurityScheme",
        alias = "oauth2_security_scheme",
        skip_serializing_if = "Option::is_none"
    )]
    oauth2_security_scheme: Option<Object>,
    #[serde(alias = "open_id_connect_security_scheme", skip_serializing_if = "Option::is_none")]
    open_id_connect_security_scheme: Option<Object>,
    #[serde(alias = "mtls_security_scheme", skip_serializing_if = "Option::is_none")]
    mtls_security_scheme: Option<Object>,
}

impl TryFrom<SchemeWire> for SecurityScheme {
    type Error = &'static str;

    fn try_from(wire: SchemeWire) -> Result<Self, Self::Error> {
        let schemes = [
            wire.api_key_security_scheme.map(Self::ApiKey),
            wire.http_auth_security_scheme.map(Self::Http),
            wire.oauth2_security_scheme.map(Self::OAuth2),
            wire.open_id_connect_security_scheme.map(Self::OpenIdConnect),
            wire.mtls_security_scheme.map(Self::MutualTls),
        ];
        let mut schemes = schemes.into_iter().flatten();
        match (schemes.next(), schemes.next()) {
            (Some(scheme), None) => Ok(scheme),
            _ => Err("a security scheme is exactly one of those that the protocol knows"),
        }
    }
}

impl From<SecurityScheme> for SchemeWire {
    fn from(scheme: SecurityScheme) -> Self {
        let mut wire = Self::default();
        match scheme {
            SecurityScheme::ApiKey(object) => wire.api_key_security_scheme = Some(object),
            SecurityScheme::Http(object) => wire.http_auth_security_scheme = Some(object),
            SecurityScheme::OAuth2(object) => wire.oauth2_security_scheme = Some(object),
            SecurityScheme::OpenIdConnect(object) => wire.open_id_connect_security_scheme = Some(object),
            SecurityScheme::MutualTls(object) => wire.mtls_security_scheme = Some(object),
        }
        wire
    }
}

/// A signature of a card, as JWS writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentCardSignature {
    /// The protected header, base64url.
    #[serde(deserialize_with = "proto::nullable")]
    pub protected: String,
    /// The signature, base64url.
    #[serde(deserialize_with = "proto::nullable")]
    pub signature: String,
    /// The unprotected header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<Object>,
}
