//! How a command fails, and with which exit code.

use std::io;
use std::path::PathBuf;

use http::StatusCode;
use serde_json::Value;

use super::oci;
use crate::exit::{self, Failure};

/// Why a command failed. No variant holds a token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no token to ask with.
    #[error("no token: put it into the variable POSTERN_TOKEN, or into a file and give --token-file FILE")]
    NoToken,
    /// What should be a token cannot be sent as one.
    #[error("the token in {0} is not one word of printable characters")]
    UnusableToken(String),
    /// The address of the API is not one.
    #[error("{0:?} is not an address such as https://postern.example.com or http://127.0.0.1:8080/prefix")]
    Url(String),
    /// A file cannot be read.
    #[error("failed to read {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file of certificates holds none.
    #[error("{} holds no usable certificate", .0.display())]
    Certificates(PathBuf),
    /// A private key is missing, or is not that of the certificate.
    #[error("{} holds no private key of the client certificate", .0.display())]
    Key(PathBuf),
    /// The expiry is not a time in the future.
    #[error("{0}")]
    Expiry(String),
    /// The caller's token belongs to no organisation, or to several.
    #[error("say which organisation with --org: {0}")]
    Org(String),
    /// Nobody in the organisation has this name.
    #[error("nobody in {org} has the id or the name {name:?}")]
    NoSubject {
        /// The organisation that was searched.
        org: String,
        /// What was looked for.
        name: String,
    },
    /// Several subjects have this name.
    #[error("{name:?} is the name of several; say which by id: {}", ids.join(", "))]
    SeveralSubjects {
        /// What was looked for.
        name: String,
        /// Whose name it is.
        ids: Vec<String>,
    },
    /// The API answered, and said no.
    #[error("refused ({}): {message}{advice}", [status.as_str(), reason.as_str()].join(" ").trim_end())]
    Refused {
        /// The status.
        status: StatusCode,
        /// The id of the reason; empty when the answer has none.
        reason: String,
        /// The text for people.
        message: String,
        /// What the answer tells besides; null when it tells nothing.
        details: Value,
        /// What to do about it, on lines of its own; empty when a command knows nothing.
        advice: String,
    },
    /// No whole answer came.
    #[error("failed to ask {url}")]
    Unreachable {
        /// Where the request went.
        url: String,
        /// Why there is no answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An answer came that the API does not give: something else listens there.
    #[error("what answers at {url} is not the API that was expected: {problem}")]
    NotTheApi {
        /// Where the request went.
        url: String,
        /// What is wrong with the answer.
        problem: &'static str,
    },
    /// What a command line says cannot be done together, or means nothing.
    #[error("{0}")]
    Usage(String),
    /// A file holds something else than it should.
    #[error("{}: {problem}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file cannot be written.
    #[error("failed to write {}", path.display())]
    Written {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something that asks nobody failed.
    #[error("{0}")]
    OnFiles(Failure),
    /// A registry.
    #[error(transparent)]
    Registry(#[from] oci::Error),
    /// The output cannot be written.
    #[error("failed to print the answer")]
    Output(#[source] io::Error),
}

impl Error {
    /// Adds what to do about a refusal, as a function knows by the id of its reason and its details.
    pub(super) fn advise(mut self, known: impl FnOnce(&str, &Value) -> Option<String>) -> Self {
        if let Self::Refused {
            reason,
            details,
            advice,
            ..
        } = &mut self
            && let Some(text) = known(reason, details)
        {
            *advice = format!("\n{}", text.trim_end());
        }
        self
    }

    /// Returns the exit code of a command that fails so.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NoSubject { .. } | Self::SeveralSubjects { .. } | Self::Refused { .. } => REFUSED,
            Self::NoToken
            | Self::UnusableToken(_)
            | Self::Url(_)
            | Self::Certificates(_)
            | Self::Key(_)
            | Self::Expiry(_)
            | Self::Usage(_)
            | Self::Org(_) => exit::USAGE,
            Self::Content { .. } => exit::DATA,
            Self::OnFiles(failure) => failure.code,
            Self::Registry(error) => error.exit_code(),
            Self::Unreachable { .. } | Self::NotTheApi { .. } => exit::UNAVAILABLE,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => exit::READER_GONE,
            Self::File { .. } | Self::Written { .. } | Self::Output(_) => exit::INPUT_OUTPUT,
        }
    }
}

/// The API was asked, and what was asked for was not done.
const REFUSED: u8 = 1;
