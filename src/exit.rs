//! Exit codes, as `sysexits.h` has them, and the failure that carries one.

use std::error::Error;
use std::fmt;

/// What was asked for is refused: by the API, or by a check or a test of a policy.
pub(crate) const REFUSED: u8 = 1;
/// The command line or the configuration cannot be used.
pub(crate) const USAGE: u8 = 64;
/// Data on disk cannot be used: a damaged store, or one that a newer Postern has written.
pub(crate) const DATA: u8 = 65;
/// Something needed is not there: an address in use, a server that does not answer.
pub(crate) const UNAVAILABLE: u8 = 69;
/// A fault of Postern's own.
pub(crate) const SOFTWARE: u8 = 70;
/// A directory or a file cannot be made.
pub(crate) const CANNOT_CREATE: u8 = 73;
/// A file cannot be read or written.
pub(crate) const INPUT_OUTPUT: u8 = 74;
/// Whoever reads what is printed is gone: 128 and the number of SIGPIPE, as a shell tells it.
pub(crate) const READER_GONE: u8 = 141;

/// Why a command failed, for the person who ran it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    message: String,
}

impl Failure {
    /// Returns a failure that tells an error with everything that led to it.
    pub(crate) fn new(code: u8, error: &dyn Error) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            // Errors that show their source themselves would say it twice.
            let text = error.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            source = error.source();
        }
        Self { code, message }
    }

    pub(crate) fn said(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
