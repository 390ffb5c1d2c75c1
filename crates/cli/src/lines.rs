//! Lines that somebody types, or that stand in a file that is piped in.
//!
//! Each line is read on a thread of its own, which may be left waiting for one that never comes: the process ends all
//! the same. The terminal's own line editing is what there is.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _},
    thread,
};
use tokio::sync::oneshot;

/// The longest line, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// Whether a person types.
pub(crate) fn is_typed() -> bool {
    io::stdin().is_terminal()
}

/// Reads the next line, without its end; nothing where there is no more. The prompt is for a person only.
///
/// # Errors
/// What the system says, or that the line is too long.
pub(crate) async fn next(prompt: &str) -> io::Result<Option<String>> {
    if is_typed() {
        let mut stderr = io::stderr().lock();
        stderr.write_all(prompt.as_bytes())?;
        stderr.flush()?;
    }
    let (sender, receiver) = oneshot::channel();
    thread::spawn(move || {
        // Nobody waits any more where the command has ended meanwhile.
        let _ended = sender.send(read());
    });
    receiver.await.unwrap_or(Ok(None))
}

fn read() -> io::Result<Option<String>> {
    let mut line = String::new();
    let read = io::stdin().lock().take(MAX_LINE).read_line(&mut line)?;
    if read == 0 {
        return Ok(None);
    }
    if u64::try_from(read).is_ok_and(|read| read == MAX_LINE) && !line.ends_with('\n') {
        return Err(io::Error::other(format!("a line has more than {MAX_LINE} bytes")));
    }
    Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned()))
}
