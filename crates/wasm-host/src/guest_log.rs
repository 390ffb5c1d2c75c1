//! What a guest writes to its output: kept as log lines, and read for the text of a panic.
//!
//! Both are bounded: the log keeps its beginning, the panic is looked for at the end. A flood costs its guest time and
//! the host nothing.

/// How many of the last bytes are kept for the text of a panic.
const TAIL_BYTES: usize = 8 << 10;

/// The longest text of a panic that is passed on, in bytes.
const PANIC_BYTES: usize = 2 << 10;

/// What one instance wrote.
#[derive(Debug)]
pub(crate) struct GuestLog {
    limit: usize,
    kept: Vec<u8>,
    dropped: u64,
    tail: Vec<u8>,
}

impl GuestLog {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { limit, kept: Vec::new(), dropped: 0, tail: Vec::new() }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let fits = bytes.len().min(self.limit - self.kept.len());
        self.kept.extend_from_slice(&bytes[..fits]);
        self.dropped = self.dropped.saturating_add((bytes.len() - fits) as u64);
        let end = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
        let overflow = (self.tail.len() + end.len()).saturating_sub(TAIL_BYTES);
        self.tail.drain(..overflow);
        self.tail.extend_from_slice(end);
    }

    /// The lines since the last call, and how much was dropped as a line of its own.
    pub(crate) fn take(&mut self) -> Vec<String> {
        if self.kept.is_empty() && self.dropped == 0 {
            return Vec::new();
        }
        let kept = std::mem::take(&mut self.kept);
        let mut lines: Vec<String> =
            String::from_utf8_lossy(&kept).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            lines.push(format!("({dropped} bytes of log dropped: the limit is {} bytes)", self.limit));
        }
        lines
    }

    /// The text of the last panic, or else the last line written.
    pub(crate) fn panic_text(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.tail);
        let found = match text.rfind("panicked at") {
            Some(start) => {
                let lines = text[start..].lines().filter(|line| !line.starts_with("note: run with `RUST_BACKTRACE"));
                lines.collect::<Vec<_>>().join("\n")
            }
            None => text.lines().rfind(|line| !line.trim().is_empty())?.to_owned(),
        };
        let end = found.floor_char_boundary(PANIC_BYTES);
        Some(found[..end].trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_given_line_by_line_and_once() {
        let mut log = GuestLog::new(100);
        log.write(b"one\ntw");
        log.write(b"o\n\nthree");
        assert_eq!(log.take(), ["one", "two", "three"]);
        assert!(log.take().is_empty());
    }

    #[test]
    fn a_flood_keeps_its_beginning_and_says_what_was_dropped() {
        let mut log = GuestLog::new(4);
        log.write(b"begin");
        log.write(&[b'x'; 1000]);
        assert_eq!(log.take(), ["begi", "(1001 bytes of log dropped: the limit is 4 bytes)"]);
    }

    #[test]
    fn the_text_of_a_panic_survives_a_flood_before_it() {
        let mut log = GuestLog::new(4);
        log.write(&[b'x'; 100_000]);
        log.write(b"\nthread '<unnamed>' (1) panicked at src/lib.rs:3:5:\nno stock\n");
        log.write(b"note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n");
        assert_eq!(log.panic_text().as_deref(), Some("panicked at src/lib.rs:3:5:\nno stock"));
    }

    #[test]
    fn without_a_panic_the_last_line_speaks() {
        let mut log = GuestLog::new(100);
        assert_eq!(log.panic_text(), None);
        log.write(b"first\nmemory allocation of 99 bytes failed\n\n");
        assert_eq!(log.panic_text().as_deref(), Some("memory allocation of 99 bytes failed"));
    }
}
