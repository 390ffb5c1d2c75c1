//! What a component fails with.
//!
//! An [`Error`] is a code, a message and whether the same again may succeed. Any `std::error::Error` becomes one with
//! `?`. It is not a `std::error::Error` itself, because that conversion would then not be possible.

use bivouac_protocol::{Code, ErrorInfo};
use std::fmt;

/// The longest error text that is recorded; a longer one is cut.
const MAX_MESSAGE_BYTES: usize = 16 << 10;

/// Why a component, a step or an effect failed.
///
/// # Examples
/// ```
/// use bivouac::Error;
///
/// fn parse(text: &str) -> Result<u32, Error> {
///     Ok(text.parse::<u32>()?)
/// }
///
/// let error = parse("seven").unwrap_err();
/// assert_eq!(error.code(), "HANDLER_FAILED");
/// assert!(error.is_retryable());
///
/// let refused = Error::terminal("SOLD_OUT", "no seat is left on this train");
/// assert_eq!(refused.to_string(), "SOLD_OUT: no seat is left on this train");
/// assert!(!refused.is_retryable());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Error(ErrorInfo);

impl Error {
    /// An error of the component's own that the same again may mend: another attempt follows where the retry policy
    /// allows one.
    pub fn new(message: impl Into<String>) -> Self {
        Self::retryable("HANDLER_FAILED", message)
    }

    /// An error with a code of the author's that the same again may mend.
    pub fn retryable(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::from_info(ErrorInfo::retryable(Code::new(code), message))
    }

    /// An error with a code of the author's that the same again meets again: no further attempt is made.
    pub fn terminal(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::from_info(ErrorInfo::terminal(Code::new(code), message))
    }

    /// An error as it was recorded.
    #[must_use]
    pub fn from_info(mut info: ErrorInfo) -> Self {
        if info.message.len() > MAX_MESSAGE_BYTES {
            let end = info.message.floor_char_boundary(MAX_MESSAGE_BYTES);
            info.message.truncate(end);
        }
        Self(info)
    }

    pub(crate) fn refused(code: Code, message: impl Into<String>) -> Self {
        Self::from_info(ErrorInfo::terminal(code, message))
    }

    /// The stable code, such as `HANDLER_FAILED` or one of the author's.
    #[must_use]
    pub fn code(&self) -> &str {
        self.0.code.as_str()
    }

    /// What happened.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether the same again may succeed.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// The same error, not to be met again by trying again.
    #[must_use]
    pub const fn into_terminal(mut self) -> Self {
        self.0.retryable = false;
        self
    }

    /// The same error, with the time to wait before the next attempt at least.
    #[must_use]
    pub fn retry_after(mut self, wait: std::time::Duration) -> Self {
        self.0.retry_after_ms = Some(crate::exec::millis(wait));
        self
    }

    /// The same error, with what was being done in front of its message.
    ///
    /// # Examples
    /// ```
    /// # use bivouac::Error;
    /// let error = Error::new("the file is empty").context("reading the price list");
    /// assert_eq!(error.message(), "reading the price list: the file is empty");
    /// ```
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.0.message = format!("{doing}: {}", self.0.message);
        Self::from_info(self.0)
    }

    /// The error as it is recorded.
    #[must_use]
    pub const fn info(&self) -> &ErrorInfo {
        &self.0
    }

    /// The error as it is recorded.
    #[must_use]
    pub fn into_info(self) -> ErrorInfo {
        self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<E: std::error::Error + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        let dynamic: &(dyn std::error::Error + 'static) = &error;
        if let Some(info) = dynamic.downcast_ref::<ErrorInfo>() {
            return Self(info.clone());
        }
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::from_info(ErrorInfo::retryable(Code::HANDLER_FAILED, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_error_keeps_its_code_through_the_question_mark() {
        let error = Error::from(ErrorInfo::terminal(Code::HOST_NOT_GRANTED, "no"));
        assert_eq!(error.code(), "HOST_NOT_GRANTED");
        assert!(!error.is_retryable());
    }

    #[test]
    fn causes_are_named_once_each_in_order() {
        #[derive(Debug)]
        struct Outer(std::num::ParseIntError);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("reading the price")
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let error = Error::from(Outer("x".parse::<u8>().unwrap_err()));
        assert_eq!(error.message(), "reading the price: invalid digit found in string");
    }

    #[test]
    fn a_giant_message_is_cut_at_a_character() {
        let error = Error::new("é".repeat(MAX_MESSAGE_BYTES));
        assert_eq!(error.message().len(), MAX_MESSAGE_BYTES);
    }
}
