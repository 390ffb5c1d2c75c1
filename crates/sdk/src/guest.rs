//! The two functions of every guest, for a [`Module`]: its manifest, and one turn.
//!
//! A guest holds one attempt at a time and does no I/O. Whatever the frame is, the answer is a frame: a panic in a
//! native component ends its attempt, as a trap does in WASM.

use crate::{
    context::Context,
    error::Error,
    exec::{attempt::Attempt, core::Core},
    module::Module,
};
use bivouac_protocol::{
    Code, ErrorInfo, Guest,
    frame::{FrameError, InFrame, OutFrame, Start, Status},
};
use bytes::Bytes;
use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// A module as a guest; what `#[bivouac::module]` makes of the function it stands on.
///
/// One guest drives one run at a time.
///
/// # Examples
/// ```
/// use bivouac::{Module, protocol::{Guest, manifest::Manifest}};
///
/// let guest = Module::new().into_guest();
/// let manifest: Manifest = serde_json::from_slice(&guest.configure()).unwrap();
/// assert_eq!(manifest.abi, 1);
/// ```
pub struct ModuleGuest {
    module: Module,
    attempt: Option<Attempt>,
}

impl ModuleGuest {
    pub(crate) const fn new(module: Module) -> Self {
        Self { module, attempt: None }
    }

    /// The module that it executes.
    pub const fn module(&self) -> &Module {
        &self.module
    }

    /// One turn, decoded.
    fn turn(&mut self, mut frame: InFrame) -> OutFrame {
        if let Some(start) = frame.start.take() {
            match self.start(start, &frame) {
                Ok(attempt) => self.attempt = Some(attempt),
                Err(error) => return failed(error.into_info()),
            }
        }
        let Some(attempt) = &mut self.attempt else {
            return failed(ErrorInfo::terminal(
                Code::FRAME_INVALID,
                "the frame continues an attempt, but none is on its way here: the first frame must carry `start`",
            ));
        };
        let out = attempt.turn(frame);
        if out.status != Status::Running {
            self.attempt = None;
        }
        out
    }

    fn start(&mut self, start: Start, frame: &InFrame) -> Result<Attempt, Error> {
        self.attempt = None;
        let component = self.module.find(&start.component)?;
        let core = Core::new(start, frame.turn, frame.now_ms);
        let body = component(Context::new(Arc::clone(&core)), &core.start.input)?;
        Ok(Attempt::start(core, body))
    }
}

impl Guest for ModuleGuest {
    fn configure(&self) -> Bytes {
        serde_json::to_vec(&self.module.manifest()).expect("a manifest has text keys").into()
    }

    fn drive(&mut self, frame: &[u8]) -> Bytes {
        let frame = match InFrame::decode(frame) {
            Ok(frame) => frame,
            Err(error) => {
                self.attempt = None;
                return failed(undecodable(&error)).encode();
            }
        };
        // What a panic leaves behind is dropped with the attempt.
        match catch_unwind(AssertUnwindSafe(|| self.turn(frame))) {
            Ok(out) => out.encode(),
            Err(panic) => {
                let attempt = self.attempt.take();
                let trapped = ErrorInfo::retryable(Code::GUEST_TRAPPED, panic_message(&*panic));
                // A second panic, in a destructor, has nothing to add to the first.
                drop(catch_unwind(AssertUnwindSafe(|| drop(attempt))));
                failed(trapped).encode()
            }
        }
    }
}

fn failed(error: ErrorInfo) -> OutFrame {
    OutFrame { error: Some(error), ..OutFrame::new(Status::Failed) }
}

fn undecodable(error: &FrameError) -> ErrorInfo {
    let code = match error {
        FrameError::Version(_) => Code::ABI_UNSUPPORTED,
        _ => Code::FRAME_INVALID,
    };
    ErrorInfo::terminal(code, error.to_string())
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the component's code panicked: {}", text.unwrap_or("(no message)"))
}

impl fmt::Debug for ModuleGuest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModuleGuest").field("module", &self.module).finish_non_exhaustive()
    }
}
