//! Deliberate defects, one per rule that matters, so that the simulation can prove that it would notice.
//!
//! Only the simulation switches them on, for its own thread. Without the feature `sabotage` none of this is compiled.

use std::cell::Cell;

/// A rule that can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// A stale slice's turns are accepted.
    FenceOff,
    /// A client is answered before the commit.
    AnswerBeforeCommit,
    /// A keyed effect leaves before the commit.
    OutputBeforeCommit,
    /// A run parks although what it waits for is there already, and nobody wakes it.
    LostWakeUp,
    /// A new attempt inherits nothing.
    MemoForgotten,
    /// A signal that was delivered to a dropped future is gone.
    SignalLostInSelect,
    /// An answer that comes again answers what is asked by then.
    AnswerCountsTwice,
    /// A new attempt knows nothing of the answers before it.
    AnswerLost,
    /// Memory writes are seen by other runs before their commit.
    DirtyMemoryRead,
}

thread_local! {
    static ON: Cell<Option<Defect>> = const { Cell::new(None) };
}

/// Switches one defect on for this thread, or all off.
pub fn switch(defect: Option<Defect>) {
    ON.set(defect);
}

/// Whether a defect is on in this thread.
#[must_use]
pub fn is_on(defect: Defect) -> bool {
    ON.get() == Some(defect)
}
