//! One executor thread: its slices, its inbox, its loop.

use super::{Executors, ToExecutor, Voice, slice::Slice};
use crate::{
    deployments::Deployments,
    driver::{Said, now},
    effects::http::{Exchange, HttpEffects},
    metrics::Metrics,
    secrets::Secrets,
};
use bivouac_engine::{Fence, Input, Loss, Timestamp};
use bivouac_protocol::{Path, RunId, frame::Outcome};
use crossbeam_channel::{Receiver, Sender};
use std::{collections::HashMap, io, sync::Arc, thread};
use tokio::{runtime::Handle, task::AbortHandle};

/// The most messages that are taken before slices are driven.
pub const MAX_DRAIN: usize = 256;
/// The stack of an executor thread, in bytes: the guest's share and the host's own.
const STACK: usize = 4 << 20;

/// What every executor thread needs.
#[derive(Clone)]
pub(crate) struct Env {
    pub(crate) voice: Voice,
    pub(crate) deployments: Arc<Deployments>,
    pub(crate) secrets: Secrets,
    pub(crate) http: HttpEffects,
    pub(crate) runtime: Handle,
    pub(crate) metrics: Arc<Metrics>,
    /// This thread's own inbox, where the outcomes of its effects go.
    pub(crate) inbox: Sender<ToExecutor>,
}

impl Env {
    pub(crate) fn now(&self) -> Timestamp {
        now()
    }

    /// Performs an exchange on the runtime; its outcome comes back to this thread.
    pub(crate) fn spawn_http(&self, run: RunId, fence: Fence, path: Path, exchange: Exchange) -> AbortHandle {
        let http = self.http.clone();
        self.spawn(run, fence, path, async move { http.perform(exchange).await })
    }

    /// Performs an effect on the runtime; its outcome comes back to this thread.
    pub(crate) fn spawn(
        &self,
        run: RunId,
        fence: Fence,
        path: Path,
        effect: impl Future<Output = Outcome> + Send + 'static,
    ) -> AbortHandle {
        let inbox = self.inbox.clone();
        let task = self.runtime.spawn(async move {
            let outcome = effect.await;
            // A thread that has ended needs no outcome: the effect is asked for again in replay, under its key.
            let _ended = inbox.send(ToExecutor::Outcome { run, fence, path, outcome });
        });
        task.abort_handle()
    }
}

/// Starts `count` threads.
///
/// # Errors
/// Where the system gives no thread.
pub(crate) fn start(
    channels: Vec<(Sender<ToExecutor>, Receiver<ToExecutor>)>,
    env: impl Fn(Sender<ToExecutor>) -> Env,
) -> io::Result<Executors> {
    let mut threads = Vec::with_capacity(channels.len());
    let mut inboxes = Vec::with_capacity(channels.len());
    for (index, (sender, receiver)) in channels.into_iter().enumerate() {
        let env = env(sender.clone());
        inboxes.push(sender);
        let name = format!("executor-{index}");
        threads.push(
            thread::Builder::new().name(name).stack_size(STACK).spawn(move || Executor::new(env, receiver).run())?,
        );
    }
    Ok(Executors::new(inboxes, threads))
}

struct Executor {
    env: Env,
    inbox: Receiver<ToExecutor>,
    slices: HashMap<RunId, Slice>,
    /// Slices that something has come for, in the order in which it came.
    touched: Vec<RunId>,
}

impl Executor {
    fn new(env: Env, inbox: Receiver<ToExecutor>) -> Self {
        Self { env, inbox, slices: HashMap::new(), touched: Vec::new() }
    }

    fn run(mut self) {
        while let Ok(message) = self.inbox.recv() {
            let mut next = Some(message);
            let mut taken = 0;
            while let Some(message) = next {
                if matches!(message, ToExecutor::Stop) {
                    return;
                }
                self.take(message);
                taken += 1;
                next = if taken < MAX_DRAIN { self.inbox.try_recv().ok() } else { None };
            }
            self.drive();
        }
    }

    fn take(&mut self, message: ToExecutor) {
        match message {
            ToExecutor::Dispatch { run, fence, accepted } => {
                self.slices.remove(&run);
                match Slice::begin(&self.env, run, fence, accepted) {
                    Ok(slice) => {
                        self.slices.insert(run, slice);
                        self.touched.push(run);
                    }
                    Err(said) => self.env.voice.say(run, *said),
                }
            }
            ToExecutor::Outcome { run, fence, path, outcome } => {
                self.with(run, fence, |slice, _| slice.arrive(path, outcome));
            }
            ToExecutor::Cancel { run, fence, mode } => self.with(run, fence, |slice, _| slice.cancel(mode)),
            ToExecutor::Perform { run, fence, path } => self.with(run, fence, |slice, env| slice.perform(env, &path)),
            ToExecutor::Abort { run, fence, path } => self.with(run, fence, |slice, _| slice.abort(&path)),
            ToExecutor::Drop { run, fence } => {
                if self.slices.get(&run).is_some_and(|slice| slice.is(fence)) {
                    self.slices.remove(&run);
                }
            }
            ToExecutor::Lose { run, fence } => {
                if self.slices.get(&run).is_some_and(|slice| slice.is(fence)) {
                    self.slices.remove(&run);
                    self.env.voice.say(run, Said::Input(Input::Lost { fence, cause: Loss::Executor }));
                }
            }
            ToExecutor::DropAll => self.slices.clear(),
            ToExecutor::Stop => {}
        }
    }

    /// A word for a slice; what bears another fence is not for the slice that is here now.
    fn with(&mut self, run: RunId, fence: Fence, act: impl FnOnce(&mut Slice, &Env)) {
        if let Some(slice) = self.slices.get_mut(&run).filter(|slice| slice.is(fence)) {
            act(slice, &self.env);
            self.touched.push(run);
        }
    }

    fn drive(&mut self) {
        for run in std::mem::take(&mut self.touched) {
            if let Some(slice) = self.slices.get_mut(&run).filter(|slice| slice.is_ready()) {
                slice.drive(&self.env);
            }
        }
    }
}
