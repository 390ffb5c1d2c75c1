//! Spinners and bars for what takes a while, in a terminal only.

use futures::stream;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Body;
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

    /// Prints something while the spinner steps aside.
    pub(crate) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// How much of an upload goes out between two looks at it, in bytes.
const PIECE: usize = 64 << 10;

/// A request's body, with a bar that shows how much of it has gone out, and then `after`. The bar is gone when it is
/// dropped.
pub(crate) fn upload(bytes: &[u8], after: String) -> (Body, Spinner) {
    if !io::stderr().is_terminal() {
        return (Body::from(bytes.to_vec()), Spinner(None));
    }
    let style = ProgressStyle::with_template("{spinner} {msg} [{bar:30}] {bytes} of {total_bytes}")
        .expect("the template is fixed")
        .progress_chars("=> ");
    let waiting = ProgressStyle::with_template("{spinner} {msg} ({elapsed})").expect("the template is fixed");
    let bar = ProgressBar::new(bytes.len() as u64).with_style(style).with_message("uploading");
    bar.enable_steady_tick(TURN);
    let pieces: Vec<Vec<u8>> = bytes.chunks(PIECE).map(<[u8]>::to_vec).collect();
    let told = bar.clone();
    let pieces = pieces.into_iter().map(move |piece| {
        told.inc(piece.len() as u64);
        if told.length() == Some(told.position()) {
            told.set_style(waiting.clone());
            told.set_message(after.clone());
        }
        Ok::<_, io::Error>(piece)
    });
    (Body::wrap_stream(stream::iter(pieces)), Spinner(Some(bar)))
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
