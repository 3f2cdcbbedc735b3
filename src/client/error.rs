//! How a command fails, and with which exit code.

use std::io;
use std::path::PathBuf;

use http::StatusCode;

use crate::exit;

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
    #[error("refused ({}): {message}", [status.as_str(), reason.as_str()].join(" ").trim_end())]
    Refused {
        /// The status.
        status: StatusCode,
        /// The id of the reason; empty when the answer has none.
        reason: String,
        /// The text for people.
        message: String,
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
    /// The output cannot be written.
    #[error("failed to print the answer")]
    Output(#[source] io::Error),
}

impl Error {
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
            | Self::Org(_) => exit::USAGE,
            Self::Unreachable { .. } | Self::NotTheApi { .. } => exit::UNAVAILABLE,
            Self::File { .. } | Self::Output(_) => exit::INPUT_OUTPUT,
        }
    }
}

/// The API was asked, and what was asked for was not done.
const REFUSED: u8 = 1;
