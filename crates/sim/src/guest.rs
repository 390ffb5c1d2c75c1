//! A guest as the SDK makes it, without the SDK: scopes, paths, keys, memo, cancels, grace.
//!
//! It interprets a [`Program`]: a frame in, what it asks for out, and nothing else. The same frames give the same
//! output, which the executor checks at every replay. Keys can be made to shift between attempts on purpose.

mod fiber;

pub use fiber::{Ask, Op, Out};

use crate::program::Program;
use bivouac_engine::memo::Memo;
use bivouac_protocol::{
    Code, ErrorInfo, Path, RunId,
    frame::{CancelMode, InFrame, Outcome},
};
use fiber::{Drive, Fiber, Progress};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

/// The code with which programs fail.
pub const FAILED: &str = "SIM_FAILED";
/// The code with which the outside world refuses.
pub const REFUSED: &str = "SIM_REFUSED";
/// What is sent to clean up.
pub const CLEAN_UP: u32 = 9_999;

/// How a guest ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With an output.
    Completed(Value),
    /// With an error.
    Failed(ErrorInfo),
    /// Because it was told to.
    Cancelled,
}

/// What an attempt starts with.
#[derive(Clone, Debug)]
pub struct Start {
    /// The run.
    pub run: RunId,
    /// Which try.
    pub attempt: u32,
    /// What it inherits.
    pub memo: Memo,
    /// Whether keys shift between attempts: a planted bug.
    pub keys_shift: bool,
}

/// One instance.
#[derive(Debug)]
pub struct Guest {
    program: Arc<Program>,
    start: Start,
    root: Fiber,
    outcomes: BTreeMap<Path, Result<Value, ErrorInfo>>,
    cancelled: bool,
    cleaning_up: Option<(Path, ErrorInfo)>,
}

impl Guest {
    /// A fresh instance.
    #[must_use]
    pub fn new(program: Arc<Program>, start: Start) -> Self {
        let root = Fiber::root(Arc::clone(&program.nodes));
        Self { program, start, root, outcomes: BTreeMap::new(), cancelled: false, cleaning_up: None }
    }

    /// Whether an effect with this path is awaited, so that an outcome for it may be delivered.
    #[must_use]
    pub fn awaits(&self, path: &Path) -> bool {
        self.cleaning_up.as_ref().map_or_else(|| self.root.awaits(path), |(waiting, _)| waiting == path)
    }

    /// One turn.
    pub fn drive(&mut self, frame: &InFrame) -> Out {
        for (path, outcome) in &frame.deliver {
            self.outcomes.insert(path.clone(), value_of(outcome));
        }
        self.cancelled |= frame.cancel == Some(CancelMode::Grace);
        let mut drive = Drive {
            now: frame.now_ms,
            start: &self.start,
            cancelled: self.cancelled,
            outcomes: &mut self.outcomes,
            out: Out::default(),
        };
        let end = if let Some((path, error)) = &self.cleaning_up {
            drive.outcomes.remove(path).map(|_| Err(error.clone()))
        } else {
            match self.root.poll(&mut drive) {
                Progress::Pending => None,
                Progress::Done => Some(Ok(())),
                Progress::Failed(error) if self.cancelled && self.program.cleans_up => {
                    let op = Op::Call { keyed: true, payload: CLEAN_UP };
                    self.cleaning_up = Some((self.root.ask(CLEAN_UP, op, &mut drive), error));
                    None
                }
                Progress::Failed(error) => Some(Err(error)),
            }
        };
        if let (Some(Ok(())), Some((id, name))) = (&end, self.program.last_words) {
            let value = Some(fiber::kept(self.start.run, id));
            self.root.ask(id, Op::Save { name, value }, &mut drive);
        }
        let mut out = drive.out;
        out.end = end.map(|end| match end {
            Ok(()) => Ending::Completed(Value::Array(self.root.log.clone())),
            Err(_) if self.cancelled => Ending::Cancelled,
            Err(error) => Ending::Failed(error),
        });
        out
    }
}

fn value_of(outcome: &Outcome) -> Result<Value, ErrorInfo> {
    match outcome {
        Outcome::Ok(json) => json.parse().map_err(|error| ErrorInfo::terminal(Code::INTERNAL, error.to_string())),
        Outcome::Http(_) => Err(ErrorInfo::terminal(Code::INTERNAL, "no guest of the simulation asks for HTTP")),
        Outcome::Err(error) => Err(error.clone()),
    }
}
