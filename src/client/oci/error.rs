//! How dealing with a registry fails.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use oci_client::errors::{DigestError, OciDistributionError};

use crate::exit;

/// Why a component could not be pushed or pulled. No variant holds a password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The text names nothing in a registry.
    #[error("{text:?} is no reference such as oci://registry.example.com/policies/freeze:1.0.0: {problem}")]
    Reference {
        /// What was given.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file that was named cannot be read.
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
    /// The credentials of docker's configuration cannot be used.
    #[error("{}: {problem}; give --registry-username NAME and --registry-password-file FILE", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The registry holds something else under this reference.
    #[error("the reference names {0}, not a WebAssembly component with the media types of the standard artifact")]
    NotThatArtifact(String),
    /// What was to be pushed is no component.
    #[error("the file is no WebAssembly component: {0}")]
    NotAComponent(String),
    /// More octets than a policy may have.
    #[error("the component is longer than {} MiB, the most that a policy may have", super::COMPONENT_BYTES_MAX >> 20)]
    TooLong,
    /// The registry sent other octets than those that were asked for.
    #[error("what the registry sent is not used")]
    OtherDigest(#[source] DigestError),
    /// The registry took too long.
    #[error("the registry had not done it after {} s", .0.as_secs())]
    Slow(Duration),
    /// The registry says no.
    #[error("the registry refused")]
    Refused(#[source] Box<OciDistributionError>),
    /// The registry did not answer, or not as a registry does.
    #[error("failed to ask the registry")]
    Unreachable(#[source] Box<OciDistributionError>),
}

impl Error {
    /// Tells a registry that says no, or sends something else, from one that cannot be asked.
    pub(super) fn registry(error: OciDistributionError) -> Self {
        if let OciDistributionError::DigestError(error) = error {
            return Self::OtherDigest(error);
        }
        let refused = if let OciDistributionError::ServerError { code, .. } = &error {
            *code < 500
        } else {
            matches!(
                error,
                OciDistributionError::RegistryError { .. }
                    | OciDistributionError::UnauthorizedError { .. }
                    | OciDistributionError::AuthenticationFailure(_)
                    | OciDistributionError::ImageManifestNotFoundError(_)
            )
        };
        let source = Box::new(error);
        if refused {
            Self::Refused(source)
        } else {
            Self::Unreachable(source)
        }
    }

    /// Tells a component that is not what its digest says from one that did not come whole.
    pub(super) fn transfer(error: io::Error) -> Self {
        match error.downcast::<DigestError>() {
            Ok(error) => Self::OtherDigest(error),
            Err(error) => Self::registry(OciDistributionError::IoError(error)),
        }
    }

    /// Returns the exit code of a command that fails so.
    pub(in crate::client) fn exit_code(&self) -> u8 {
        match self {
            Self::Reference { .. } | Self::Certificates(_) | Self::Credentials { .. } => exit::USAGE,
            Self::NotThatArtifact(_) | Self::NotAComponent(_) | Self::TooLong | Self::OtherDigest(_) => exit::DATA,
            Self::File { .. } => exit::INPUT_OUTPUT,
            Self::Refused(_) => 1,
            Self::Slow(_) | Self::Unreachable(_) => exit::UNAVAILABLE,
        }
    }
}
