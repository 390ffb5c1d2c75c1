//! A host of one guest, turn by turn, for tests about single frames.

use bivouac::{
    Component, Json, Module, ModuleGuest,
    protocol::{
        EffectKey, Guest as _, RunId, StepKey,
        frame::{Auth, CancelMode, InFrame, Memo, OutFrame, Outcome, Start, StepResult},
        manifest::ComponentRef,
    },
};
use serde::Serialize;

/// 32 bytes of 7 in base64.
pub(crate) const SEED: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

pub(crate) struct Driver {
    guest: ModuleGuest,
    start: Option<Start>,
    turn: u64,
    pub(crate) now_ms: u64,
}

pub(crate) fn driver<C: Component>(input: impl Serialize) -> Driver {
    let guest = Module::new().component::<C>().into_guest();
    let component = guest.module().manifest().components.swap_remove(0);
    let start = Start {
        run_id: RunId::new(1, 2, 3),
        generation: 0,
        component: ComponentRef { kind: component.kind, name: component.name },
        attempt: 1,
        input: Json::of(&input).unwrap(),
        metadata: Default::default(),
        auth: Auth { app: "app".into(), user: "ada".into(), tenant: String::new() },
        memo: Memo::default(),
        patches: Vec::new(),
        limits: Default::default(),
        seed: SEED.into(),
    };
    Driver { guest, start: Some(start), turn: 0, now_ms: 1_000 }
}

impl Driver {
    pub(crate) fn starting(mut self, change: impl FnOnce(&mut Start)) -> Self {
        change(self.start.as_mut().unwrap());
        self
    }

    pub(crate) fn remembering(self, step: &str, result: StepResult) -> Self {
        self.starting(|start| start.memo.steps.push((StepKey::from(step), result)))
    }

    pub(crate) fn with_timer(self, key: &EffectKey, due_ms: u64) -> Self {
        self.starting(|start| start.memo.timers.push((key.clone(), due_ms)))
    }

    /// A turn that delivers these outcomes; the first one starts the attempt.
    pub(crate) fn turn<const N: usize>(&mut self, deliver: [(&str, Outcome); N]) -> OutFrame {
        let deliver = deliver.into_iter().map(|(path, outcome)| (path.into(), outcome)).collect();
        self.drive(|frame| InFrame { deliver, ..frame })
    }

    pub(crate) fn cancel(&mut self, mode: CancelMode) -> OutFrame {
        self.drive(|frame| InFrame { cancel: Some(mode), ..frame })
    }

    pub(crate) fn drive(&mut self, change: impl FnOnce(InFrame) -> InFrame) -> OutFrame {
        self.turn += 1;
        let frame = InFrame { start: self.start.take(), ..InFrame::new(self.turn, self.now_ms) };
        OutFrame::decode(&self.guest.drive(&change(frame).encode())).unwrap()
    }
}

pub(crate) fn ok(value: impl Serialize) -> Outcome {
    Outcome::Ok(Json::of(&value).unwrap())
}

/// A reply of status 200.
pub(crate) fn reply(body: impl Serialize) -> Outcome {
    ok(serde_json::json!({ "status": 200, "body": { "json": serde_json::to_value(body).unwrap() } }))
}

/// What a turn asks for: `path op`.
pub(crate) fn asked(out: &OutFrame) -> Vec<String> {
    out.effects.iter().map(|effect| format!("{} {}", effect.path.as_str(), effect.op.name())).collect()
}

pub(crate) fn paths(out: &OutFrame) -> Vec<&str> {
    out.effects.iter().map(|effect| effect.path.as_str()).collect()
}

pub(crate) fn cancels(out: &OutFrame) -> Vec<&str> {
    out.cancels.iter().map(|path| path.as_str()).collect()
}

pub(crate) fn steps(out: &OutFrame) -> Vec<&str> {
    out.steps.iter().map(|(key, _)| key.as_str()).collect()
}

pub(crate) fn code(out: &OutFrame) -> &str {
    out.error.as_ref().map_or("", |error| error.code.as_str())
}

pub(crate) fn message(out: &OutFrame) -> &str {
    out.error.as_ref().map_or("", |error| &error.message)
}
