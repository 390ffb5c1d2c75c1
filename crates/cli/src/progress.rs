//! A spinner for what takes a while, in a terminal only.

use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

/// How long something may take before a spinner appears: shorter ones would only flicker.
const PATIENCE: Duration = Duration::from_millis(400);
/// How often the spinner turns.
const TURN: Duration = Duration::from_millis(100);

/// A spinner on stderr; it is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Spinner(Option<ProgressBar>);

impl Spinner {
    /// Shows a spinner at once, if anybody looks.
    pub(crate) fn start(message: impl Into<String>) -> Self {
        if !io::stderr().is_terminal() {
            return Self(None);
        }
        let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})").expect("the template is fixed");
        let bar = ProgressBar::new_spinner().with_style(style).with_message(message.into());
        bar.enable_steady_tick(TURN);
        Self(Some(bar))
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Waits for something, with a spinner once it takes a while.
pub(crate) async fn spin<T>(message: impl Into<String>, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = tokio::time::sleep(PATIENCE) => {}
    }
    let _spinner = Spinner::start(message);
    work.await
}
