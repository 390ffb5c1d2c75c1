//! What a host tells a guest in one turn.

use super::{
    FrameError, HttpResponse, StepResult,
    codec::{self, Attachments},
};
use crate::{ABI_VERSION, EffectKey, ErrorInfo, Json, Path, RunId, StepKey, manifest::ComponentRef};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One turn's input: the time, what was waited for, and once per attempt how it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFrame {
    /// The turn's number, counted through the whole run from 1.
    pub turn: u64,
    /// The time of the turn, in milliseconds since the Unix epoch; it never decreases within a run.
    pub now_ms: u64,
    /// How the attempt starts; in its first turn only.
    pub start: Option<Start>,
    /// Outcomes of effects, by path.
    pub deliver: Vec<(Path, Outcome)>,
    /// The run is to end.
    pub cancel: Option<CancelMode>,
    /// Bytes that outcomes refer to as `{"$att":i}`; filled by [`InFrame::decode`], ignored by [`InFrame::encode`].
    pub attachments: Vec<Bytes>,
}

/// How an attempt starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The run.
    pub run_id: RunId,
    /// How often the run was continued.
    pub generation: u32,
    /// What is run.
    pub component: ComponentRef,
    /// Which try of the component's code this is, from 1.
    pub attempt: u32,
    /// The run's input.
    pub input: Json,
    /// What the caller sent along.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// The verified caller.
    pub auth: Auth,
    /// What the attempt inherits from those before it.
    #[serde(default, skip_serializing_if = "Memo::is_empty")]
    pub memo: Memo,
    /// Change markers frozen when the run was accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<String>,
    /// Limits frozen when the run was accepted.
    #[serde(default)]
    pub limits: Limits,
    /// The run's seed for `ctx.random`, 32 bytes in base64. The host puts it in when it drives; it is never journaled
    /// with the turn.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub seed: String,
}

/// The verified caller of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Auth {
    /// The application: the service that the deployment belongs to.
    pub app: String,
    /// The user that the key or token stands for.
    pub user: String,
    /// The sub-tenant.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tenant: String,
}

/// What an attempt inherits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memo {
    /// Steps that succeeded, or failed for good.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "step_results")]
    pub steps: Vec<(StepKey, StepResult)>,
    /// When timers are due, in milliseconds since the Unix epoch, by the key of the `sleep`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timers: Vec<(EffectKey, u64)>,
    /// What questions of earlier attempts were answered with, whole outcomes, by the key of the `ask`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<(EffectKey, Json)>,
}

impl Memo {
    /// Whether nothing is inherited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.timers.is_empty() && self.answers.is_empty()
    }
}

/// Limits that the SDK checks before the host has to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// The largest value of a step, in bytes.
    pub step_bytes: u32,
    /// The largest output, in bytes.
    pub output_bytes: u32,
    /// The most effects that one turn may ask for.
    pub effects_per_turn: u32,
    /// The most effects that may be open at once.
    pub open_effects: u32,
    /// The most notes in one turn.
    pub notes_per_turn: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            step_bytes: 256 << 10,
            output_bytes: 1 << 20,
            effects_per_turn: 256,
            open_effects: 256,
            notes_per_turn: 256,
        }
    }
}

/// How a run is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CancelMode {
    /// Open outcomes are still delivered, clean-up is allowed within a limit, new waits are not.
    Grace,
    /// At once: whatever the guest says is not heard.
    Now,
}

/// What became of an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its value.
    Ok(Json),
    /// The reply to an `http` effect; decoded frames carry it as [`Outcome::Ok`].
    Http(HttpResponse),
    /// Why it did not happen.
    Err(ErrorInfo),
}

#[derive(Serialize, Deserialize)]
struct Header {
    v: u32,
    turn: u64,
    now_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<Start>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    deliver: Vec<(Path, OutcomeWire)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cancel: Option<CancelMode>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    att: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
struct OutcomeWire {
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::json::present")]
    ok: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    err: Option<ErrorInfo>,
}

impl OutcomeWire {
    /// The value or the error; a text that has neither, or both, is not an outcome.
    fn into_result(self) -> Result<StepResult, &'static str> {
        match self {
            Self { ok: Some(value), err: None } => Ok(Ok(value)),
            Self { ok: None, err: Some(error) } => Ok(Err(error)),
            Self { ok: Some(_), err: Some(_) } => Err("an outcome has both `ok` and `err`"),
            Self { ok: None, err: None } => Err("an outcome has neither `ok` nor `err`"),
        }
    }
}

impl InFrame {
    /// A turn that only says what time it is.
    #[must_use]
    pub const fn new(turn: u64, now_ms: u64) -> Self {
        Self { turn, now_ms, start: None, deliver: Vec::new(), cancel: None, attachments: Vec::new() }
    }

    /// Writes the frame.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut attachments = Attachments::default();
        let deliver = self
            .deliver
            .iter()
            .map(|(path, outcome)| {
                let wire = match outcome {
                    Outcome::Ok(json) => OutcomeWire { ok: Some(json.clone()), err: None },
                    Outcome::Http(response) => OutcomeWire { ok: Some(response.to_json(&mut attachments)), err: None },
                    Outcome::Err(error) => OutcomeWire { ok: None, err: Some(error.clone()) },
                };
                (path.clone(), wire)
            })
            .collect();
        let header = Header {
            v: ABI_VERSION,
            turn: self.turn,
            now_ms: self.now_ms,
            start: self.start.clone(),
            deliver,
            cancel: self.cancel,
            att: attachments.lengths(),
        };
        codec::write(&header, &attachments)
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// [`FrameError`] where it is not what the contract says.
    pub fn decode(frame: &[u8]) -> Result<Self, FrameError> {
        let (header, attachments) = codec::split(frame)?;
        let header: Header = codec::parse(header)?;
        if header.v != ABI_VERSION {
            return Err(FrameError::Version(header.v));
        }
        let deliver = header
            .deliver
            .into_iter()
            .map(|(path, wire)| match wire.into_result() {
                Ok(Ok(value)) => Ok((path, Outcome::Ok(value))),
                Ok(Err(error)) => Ok((path, Outcome::Err(error))),
                Err(why) => Err(FrameError::Header(format!("{why} (path {path:?})"))),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            turn: header.turn,
            now_ms: header.now_ms,
            start: header.start,
            deliver,
            cancel: header.cancel,
            attachments,
        })
    }
}

/// Step results as `[key, {"ok":..} | {"err":..}]`.
pub(super) mod step_results {
    use super::{OutcomeWire, StepKey, StepResult};
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    pub(in super::super) fn serialize<S: Serializer>(
        steps: &[(StepKey, StepResult)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let wire: Vec<(&StepKey, OutcomeWire)> = steps
            .iter()
            .map(|(key, result)| match result {
                Ok(value) => (key, OutcomeWire { ok: Some(value.clone()), err: None }),
                Err(error) => (key, OutcomeWire { ok: None, err: Some(error.clone()) }),
            })
            .collect();
        wire.serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(StepKey, StepResult)>, D::Error> {
        let wire = Vec::<(StepKey, OutcomeWire)>::deserialize(deserializer)?;
        wire.into_iter()
            .map(|(key, result)| match result.into_result() {
                Ok(result) => Ok((key, result)),
                Err(why) => Err(D::Error::custom(format_args!("{why} (step {key:?})"))),
            })
            .collect()
    }
}
