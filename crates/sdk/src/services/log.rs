//! Where lines of the log go.

use bivouac_protocol::frame::LogLevel;

/// Takes lines of the log.
pub trait LoggingService: Send + Sync {
    /// Writes a line. It must not wait: a service that sends lines somewhere keeps them until it has time.
    fn log(&self, level: LogLevel, message: &str);
}

/// Writes lines to standard error, the level first.
#[derive(Clone, Copy, Debug, Default)]
pub struct StderrLoggingService;

impl StderrLoggingService {
    /// Writes to this process's standard error.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl LoggingService for StderrLoggingService {
    fn log(&self, level: LogLevel, message: &str) {
        let level = match level {
            LogLevel::Debug => "DEBUG",
            LogLevel::Info => "INFO",
            LogLevel::Warn => "WARN",
            LogLevel::Error => "ERROR",
        };
        eprintln!("{level} {message}");
    }
}
