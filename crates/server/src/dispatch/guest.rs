//! A guest that is being executed, wherever its code comes from: a module's instance or native code.

use crate::deployments::{Code, Deployment};
use bivouac_protocol::{Code as ErrorCode, ErrorInfo, Guest};
use bivouac_wasm_host::{DriveError, Instance, InstanceError};
use bytes::Bytes;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// One guest of one slice.
pub enum Running {
    /// An instance of a module.
    Module(Box<Instance>),
    /// Native code, until it panics.
    Native(Option<Box<dyn Guest>>),
}

impl Running {
    /// Makes a fresh guest. `nonce` seeds what the module takes for the system's randomness.
    ///
    /// # Errors
    /// [`InstanceError`] where a module cannot be instantiated.
    pub fn new(deployment: &Deployment, nonce: [u8; 32], now_ms: u64) -> Result<Self, InstanceError> {
        match &deployment.code {
            Code::Module(module) => Ok(Self::Module(Box::new(module.instantiate(nonce, now_ms)?))),
            Code::Native(native) => Ok(Self::Native(Some((native.factory)()))),
        }
    }

    /// One turn.
    ///
    /// # Errors
    /// [`DriveError`]; the guest is of no more use.
    pub fn drive(&mut self, frame: &[u8], now_ms: u64) -> Result<Bytes, DriveError> {
        match self {
            Self::Module(instance) => instance.drive(frame, now_ms),
            Self::Native(guest) => {
                let Some(mut alive) = guest.take() else {
                    return Err(panicked("the guest was driven after it had panicked"));
                };
                // A guest that panicked is never driven again, so what it left half-done is never seen.
                match catch_unwind(AssertUnwindSafe(|| alive.drive(frame))) {
                    Ok(bytes) => {
                        *guest = Some(alive);
                        Ok(bytes)
                    }
                    Err(panic) => {
                        let text = panic
                            .downcast_ref::<String>()
                            .map(String::as_str)
                            .or_else(|| panic.downcast_ref::<&str>().copied())
                            .unwrap_or("no message");
                        Err(panicked(text))
                    }
                }
            }
        }
    }

    /// What the guest wrote to its standard output and error since it was last asked.
    pub fn take_log(&mut self) -> Vec<String> {
        match self {
            Self::Module(instance) => instance.take_log(),
            Self::Native(_) => Vec::new(),
        }
    }
}

fn panicked(message: &str) -> DriveError {
    DriveError {
        info: ErrorInfo::retryable(ErrorCode::GUEST_TRAPPED, format!("the component panicked: {message}")),
        may_be_load: false,
    }
}
