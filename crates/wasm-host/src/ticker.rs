//! The clock of the time limit: a thread that counts the engines' epochs up until it is dropped.

use crate::{config::TICK, error::HostError};
use std::{
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::JoinHandle,
};
use wasmtime::Engine;

/// Owns the thread, and ends and joins it on drop.
#[derive(Debug)]
pub(crate) struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(crate) fn start(engines: Vec<Engine>) -> Result<Self, HostError> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name("wasm-ticker".to_owned())
            .stack_size(64 << 10)
            .spawn(move || {
                while matches!(stopped.recv_timeout(TICK), Err(RecvTimeoutError::Timeout)) {
                    engines.iter().for_each(Engine::increment_epoch);
                }
            })
            .map_err(HostError::Ticker)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It only counts, so it cannot have panicked.
            drop(thread.join());
        }
    }
}
