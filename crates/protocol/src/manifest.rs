//! A module's manifest: the components it offers and the capabilities it asks for.

use crate::json::Json;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What `bivouac_configure` returns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The revision of the guest contract.
    pub abi: u32,
    /// The SDK that built it, such as `bivouac-rust/0.1.0`.
    #[serde(default)]
    pub sdk: String,
    /// What the module offers.
    pub components: Vec<Component>,
    /// The operations it may ask for; a host that does not know one refuses the module at upload.
    #[serde(default)]
    pub ops: Vec<String>,
    /// What it asks for; nothing of it is given unless the deployer grants it.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// Change markers that runs accepted on this deployment answer true to (`ctx.patched`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<String>,
}

/// One thing that can be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// What kind of component.
    #[serde(rename = "type")]
    pub kind: ComponentKind,
    /// Its name, unique within its kind.
    pub name: String,
    /// One sentence for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON Schema of the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<Json>,
    /// JSON Schema of the output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Json>,
    /// Its policies.
    #[serde(default, skip_serializing_if = "FlowControl::is_empty")]
    pub flow_control: FlowControl,
    /// What an agent says of itself; there for agents, and only for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Agent>,
}

/// What an agent says of itself to those who look for one: the author's part of its card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Its name for a person; the component's name is the one in paths.
    pub title: String,
    /// Its version, as the author counts.
    pub version: String,
    /// What it can do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skills: Vec<Skill>,
    /// Media types that it takes, where a skill does not say otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input_modes: Vec<String>,
    /// Media types that it answers with, where a skill does not say otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output_modes: Vec<String>,
    /// Whether it has an extended card for verified callers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub extended: bool,
    /// Where it is explained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documentation_url: Option<String>,
    /// Its picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon_url: Option<String>,
    /// Who offers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
}

/// One thing that an agent can do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skill {
    /// Its id, unique within the agent.
    pub id: String,
    /// Its name for a person.
    pub name: String,
    /// What it does, and when to use it.
    pub description: String,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Requests that it can serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// Media types that it takes; none means the agent's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input_modes: Vec<String>,
    /// Media types that it answers with; none means the agent's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output_modes: Vec<String>,
    /// Whether only the extended card shows it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub extended: bool,
}

/// Who offers an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// The organization's name.
    pub organization: String,
    /// Its place on the web.
    pub url: String,
}

/// The kinds of component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ComponentKind {
    /// A function.
    Function,
    /// A workflow.
    Workflow,
    /// An agent: its runs are tasks of A2A.
    Agent,
    /// A tool, called by agents.
    Tool,
}

impl ComponentKind {
    /// The kind as it is written, in the singular.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Workflow => "workflow",
            Self::Agent => "agent",
            Self::Tool => "tool",
        }
    }

    /// The kind as the routes of the API write it, in the plural.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Function => "functions",
            Self::Workflow => "workflows",
            Self::Agent => "agents",
            Self::Tool => "tools",
        }
    }

    /// Reads a kind in the singular or the plural (`function`, `functions`).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "function" | "functions" => Some(Self::Function),
            "workflow" | "workflows" => Some(Self::Workflow),
            "agent" | "agents" => Some(Self::Agent),
            "tool" | "tools" => Some(Self::Tool),
            _ => None,
        }
    }
}

impl fmt::Display for ComponentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A component by kind and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ComponentRef {
    /// What kind of component.
    #[serde(rename = "type")]
    pub kind: ComponentKind,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ComponentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// The policies of a component. Only `retries` is enforced so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowControl {
    /// What happens after a failure of the component's code; absent means one attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
}

impl FlowControl {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How a component is tried again after its code failed. Source: flow control, row `retries`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retries {
    /// Attempts in all, the first included.
    pub max_attempts: u32,
    /// The wait before the first retry, in milliseconds.
    pub initial_interval_ms: u64,
    /// The longest wait, in milliseconds.
    pub max_interval_ms: u64,
    /// How the wait grows.
    pub backoff: Backoff,
    /// The factor of exponential growth, in thousandths (2000 = 2.0).
    #[serde(with = "thousandths")]
    #[serde(rename = "multiplier")]
    pub multiplier_thousandths: u32,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            initial_interval_ms: 1_000,
            max_interval_ms: 60_000,
            backoff: Backoff::Exponential,
            multiplier_thousandths: 2_000,
        }
    }
}

/// How the wait between attempts grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backoff {
    /// Always the initial interval.
    Constant,
    /// The initial interval times the number of the retry.
    Linear,
    /// The initial interval times the multiplier to the power of the retry.
    Exponential,
}

/// A factor travels as a number (`2.0`) and is kept as an integer, so that the engine needs no floats.
mod thousandths {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(value: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(*value) / 1000.0)
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let value = f64::deserialize(deserializer)?;
        if (1.0..=1_000.0).contains(&value) {
            Ok((value * 1000.0).round() as u32)
        } else {
            Err(D::Error::custom("multiplier must lie between 1 and 1000"))
        }
    }
}

/// What a module asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Capabilities {
    /// Hosts for `http`: `api.example.com`, `*.example.com`, `localhost:*`, `127.0.0.1:8080`; without a port, the
    /// scheme's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Secrets by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Memory per (environment, app, user).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub memory: bool,
}
