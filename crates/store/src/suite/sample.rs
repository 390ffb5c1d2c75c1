//! Batches to try a store with.

use crate::{CommitError, DeploymentRecord, KeyRecord, RouteRecord, SecretRecord, Store};
use bivouac_engine::{
    Accepted, Aspect, Batch, Effect, EffectKind, End, Event, MemoryScope, MemoryWrite, Status, Step, StepOutcome,
    Timestamp, Transition, Turn,
    event::{Delivery, Note},
    shard::{Head, Recorded},
};
use bivouac_protocol::{DeploymentId, RunId, key::Digest};
use bytes::Bytes;

/// A shard's owner, as its loop would be: it knows where the shard's entries end.
#[derive(Clone, Debug)]
pub struct Owner {
    /// The shard.
    pub shard: u16,
    /// The owner's epoch.
    pub epoch: u64,
    /// The number of the shard's last entry.
    pub lsn: u64,
}

impl Owner {
    /// Opens the shard.
    ///
    /// # Panics
    /// Where the store refuses.
    pub fn open(store: &mut dyn Store, shard: u16) -> Self {
        let opened = store.open_shard(shard).expect("a store under test opens its shard");
        Self { shard, epoch: opened.epoch, lsn: opened.lsn }
    }

    /// What would write these transitions next.
    #[must_use]
    pub const fn batch(&self, transitions: Vec<Transition>) -> Batch {
        Batch { shard: self.shard, epoch: self.epoch, lsn: self.lsn, transitions }
    }

    /// Writes these transitions.
    ///
    /// # Errors
    /// Those of the store.
    pub fn commit(&mut self, store: &mut dyn Store, transitions: Vec<Transition>) -> Result<(), CommitError> {
        let batch = self.batch(transitions);
        store.commit(&batch)?;
        self.lsn = batch.last_lsn();
        Ok(())
    }
}

/// The id of the `n`th run of a shard: later runs have greater ids.
#[must_use]
pub const fn run_id(shard: u16, n: u64) -> RunId {
    RunId::new(1_700_000_000_000 + n, shard, n.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// When the `seq`th event is recorded.
#[must_use]
pub const fn at(seq: u64) -> Timestamp {
    Timestamp(1_700_000_000_000 + seq)
}

/// A transition that takes these events, the first numbered `from`, and leaves the head as it is.
#[must_use]
pub fn transition(run: RunId, from: u64, events: Vec<Event>) -> Transition {
    let events = (from..).zip(events).map(|(seq, event)| Recorded { seq, at: at(seq), event }).collect();
    Transition { run, events, head: None, writes: Vec::new() }
}

/// The start of a run, with its head.
#[must_use]
pub fn start(run: RunId) -> Transition {
    start_of(run, accepted("default", "workflow/order"))
}

/// The start of a run that begins so, with its head.
#[must_use]
pub fn start_of(run: RunId, accepted: Accepted) -> Transition {
    let head = Head { status: Status::Queued, wake: Some(Timestamp(0)), aspect: Aspect::Plain, state: None };
    Transition { head: Some(head), ..transition(run, 1, vec![Event::Accepted(Box::new(accepted))]) }
}

/// How a run begins.
#[must_use]
pub fn accepted(environment: &str, component: &str) -> Accepted {
    Accepted {
        environment: environment.into(),
        tenant: "".into(),
        app: "shop".into(),
        user: "ada".into(),
        deployment: DeploymentId::from_u128(7),
        component: component.into(),
        idempotency: None,
        input: Bytes::from_static(br#"{"item":"book"}"#),
        metadata: Bytes::new(),
        seed: Bytes::from_static(&[1; 77]),
        patches: vec!["2026-01".into()],
        retries: None,
    }
}

/// The end of a run, as its `seq`th event, with its head.
#[must_use]
pub fn end(run: RunId, seq: u64, status: Status) -> Transition {
    let end = match status {
        Status::Failed => End::Failed {
            error: bivouac_protocol::ErrorInfo::terminal(bivouac_protocol::Code::CANCELLED, "it did not work out"),
        },
        Status::Cancelled => End::Cancelled { reason: "not needed any more".into() },
        _ => End::Completed { output: Bytes::from_static(b"42") },
    };
    let head = Head { status, wake: None, aspect: Aspect::Plain, state: None };
    Transition { head: Some(head), ..transition(run, seq, vec![Event::Ended(end)]) }
}

/// A small event.
#[must_use]
pub const fn small_event() -> Event {
    Event::AttemptStarted { attempt: 2 }
}

/// A turn as a step with an HTTP request makes it: about 600 bytes in the journal.
#[must_use]
pub fn turn(n: u64) -> Turn {
    // An outcome with what services send: no two alike.
    let tracking = Digest::of([&n.to_le_bytes()[..]]).text();
    let frame = format!(
        r#"{{"v":1,"turn":{n},"now":{now},"results":[{{"path":"step-{n}/1","ok":{{"status":200,"headers":{{"content-type":"application/json","x-request-id":"{tracking}"}},"body":"{{\"order\":{n},\"state\":\"reserved\",\"tracking\":\"{tracking}\",\"warehouse\":\"north-{w}\"}}"}}}}]}}"#,
        now = at(n).0,
        w = n % 17,
    );
    let digest = Digest::of([&n.to_be_bytes()[..]]);
    Turn {
        n,
        now: at(n),
        frame: Bytes::from(frame),
        delivered: vec![Delivery { path: format!("step-{n}/1").into(), signal: None }],
        cancel: None,
        effects: vec![Effect {
            path: format!("step-{}/1", n + 1).into(),
            key: format!("0/step-{}/{}#1", n + 1, digest.text()).into(),
            op: "http".into(),
            digest,
            kind: EffectKind::Keyed,
        }],
        steps: vec![Step {
            key: format!("step-{n}").into(),
            outcome: StepOutcome::Ok(Bytes::from(format!(r#"{{"reserved":true,"tracking":"{tracking}"}}"#))),
        }],
        cancels: Vec::new(),
        notes: vec![Note {
            visible: false,
            text: Bytes::from(format!(r#"{{"level":"info","message":"step {n} done"}}"#)),
        }],
    }
}

/// Whose memory.
#[must_use]
pub fn scope(user: &str) -> MemoryScope {
    MemoryScope { environment: "default".into(), app: "shop".into(), tenant: "".into(), user: user.into() }
}

/// A write of a user's memory.
#[must_use]
pub fn write(user: &str, name: &str, value: Option<&str>) -> MemoryWrite {
    let value = value.map(|value| Bytes::from(value.to_owned()));
    MemoryWrite { scope: scope(user), name: name.into(), value }
}

/// A deployment of the service `shop`.
#[must_use]
pub fn deployment(n: u128, immutable_ref: &str) -> DeploymentRecord {
    DeploymentRecord {
        id: DeploymentId::from_u128(n),
        service: "shop".to_owned(),
        immutable_ref: immutable_ref.to_owned(),
        carrier: "core/1".to_owned(),
        abi: 1,
        digest: [7; 32],
        size: 1 << 20,
        manifest: r#"{"components":[]}"#.to_owned(),
        grants: r#"{"http":["example.com"]}"#.to_owned(),
        created: at(0),
    }
}

/// A route of the environment `default` to a deployment.
#[must_use]
pub fn route(component: &str, deployment: u128) -> RouteRecord {
    RouteRecord {
        environment: "default".to_owned(),
        component: component.to_owned(),
        service: "shop".to_owned(),
        deployment: DeploymentId::from_u128(deployment),
    }
}

/// A secret of the environment `default`.
#[must_use]
pub fn secret(name: &str, sealed: &[u8]) -> SecretRecord {
    SecretRecord {
        environment: "default".to_owned(),
        name: name.to_owned(),
        hosts: vec!["api.example.com".to_owned(), "example.com".to_owned()],
        sealed: sealed.to_vec(),
        set: at(0),
    }
}

/// An API key.
#[must_use]
pub fn key(id: &str) -> KeyRecord {
    KeyRecord {
        id: id.to_owned(),
        name: "laptop".to_owned(),
        digest: [9; 32],
        environment: "default".to_owned(),
        scopes: vec!["run".to_owned(), "deploy".to_owned()],
        user: "ada".to_owned(),
        created: at(0),
        revoked: None,
    }
}
