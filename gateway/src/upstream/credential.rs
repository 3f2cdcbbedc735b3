//! The credential that an upstream gets from us: from a file, a command or the environment, and renewed without a restart.
//!
//! What cannot be read never takes the place of what could: the old credential stays until there is a new one.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::metrics::Reloads;

/// Where the credential comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSource {
    /// None is sent.
    Nowhere,
    /// It was given and stays.
    Given(Secret),
    /// A file that holds it on one line; looked at again and again.
    File(PathBuf),
    /// What a command says, run with `sh -c`: after each `refresh`, and when the upstream has answered 401.
    Command {
        /// The command.
        line: String,
        /// From one run to the next.
        refresh: Duration,
    },
}

/// A credential in the clear. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Why a credential cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The file cannot be read.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// What happened.
        error: String,
    },
    /// The command did not end well.
    #[error("upstream_token_command: {0}")]
    Command(String),
    /// Empty, or more than one word.
    #[error("{0} must hold one secret on one line")]
    Form(String),
}

/// The credential in force, as the value of `Authorization`.
pub(super) struct Credential {
    source: CredentialSource,
    current: ArcSwapOption<HeaderValue>,
    refused: Notify,
}

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: String) -> Self {
        Self(secret)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Credential {
    /// Gets it for the first time.
    pub(super) async fn open(source: CredentialSource) -> Result<Self, CredentialError> {
        let value = read(&source).await?;
        Ok(Self {
            source,
            current: ArcSwapOption::from_pointee(value),
            refused: Notify::new(),
        })
    }

    /// Returns the value of `Authorization`.
    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        self.current.load().as_deref().cloned()
    }

    /// The upstream has answered 401: a command is asked for another soon.
    pub(super) fn was_refused(&self) {
        self.refused.notify_one();
    }

    /// Renews it, for ever.
    pub(super) async fn tend(&self, watch: Duration, reloads: &Reloads) {
        let mut told = None;
        let mut refused_at: Option<Instant> = None;
        loop {
            match &self.source {
                CredentialSource::Nowhere | CredentialSource::Given(_) => return,
                CredentialSource::File(_) => sleep(watch).await,
                CredentialSource::Command { refresh, .. } => {
                    let next = Instant::now() + *refresh;
                    tokio::select! {
                        () = sleep_until(next) => {}
                        () = self.refused.notified() => {
                            let pause_ends = refused_at.map(|at| (at + REFUSED_PAUSE).min(next));
                            sleep_until(pause_ends.unwrap_or_else(Instant::now)).await;
                            refused_at = Some(Instant::now());
                        }
                    }
                }
            }
            told = self.renew(told, reloads).await;
        }
    }

    /// Returns what is wrong, if something is; it is told once.
    async fn renew(&self, told: Option<CredentialError>, reloads: &Reloads) -> Option<CredentialError> {
        match read(&self.source).await {
            Ok(value) => {
                if value != self.authorization() {
                    self.current.store(value.map(std::sync::Arc::new));
                    reloads.replaced();
                    tracing::info!("the upstream's credential was replaced");
                }
                None
            }
            Err(error) => {
                if told.as_ref() != Some(&error) {
                    reloads.failed();
                    tracing::error!(%error, "the upstream's credential cannot be renewed; the old one stays");
                }
                Some(error)
            }
        }
    }
}

/// How long a command may take.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(10);

/// Refused credentials make a command run at most this often.
const REFUSED_PAUSE: Duration = Duration::from_secs(10);

/// Longest credential, in octets, white space around it included.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

async fn read(source: &CredentialSource) -> Result<Option<HeaderValue>, CredentialError> {
    match source {
        CredentialSource::Nowhere => Ok(None),
        CredentialSource::Given(secret) => bearer(&secret.0, || "POSTERN_UPSTREAM_TOKEN".to_owned()).map(Some),
        CredentialSource::File(path) => {
            let text = read_file(path).await.map_err(|error| CredentialError::File {
                path: path.display().to_string(),
                error: error.to_string(),
            })?;
            bearer(&text, || path.display().to_string()).map(Some)
        }
        CredentialSource::Command { line, .. } => {
            let text = run(line).await.map_err(CredentialError::Command)?;
            bearer(&text, || "upstream_token_command".to_owned()).map(Some)
        }
    }
}

async fn read_file(path: &Path) -> std::io::Result<String> {
    let file = tokio::fs::File::open(path).await?;
    read_text(file).await
}

async fn read_text(from: impl AsyncRead + Unpin) -> std::io::Result<String> {
    let mut text = String::new();
    from.take(SECRET_BYTES_MAX).read_to_string(&mut text).await?;
    Ok(text)
}

async fn run(line: &str) -> Result<String, String> {
    let mut command = Command::new("sh");
    command.arg("-c").arg(line).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let running = async {
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or_else(|| std::io::Error::other("no output"))?;
        let text = read_text(output).await?;
        Ok::<_, std::io::Error>((child.wait().await?, text))
    };
    let ended = timeout(COMMAND_TIME_MAX, running)
        .await
        .map_err(|_elapsed| format!("it did not end within {COMMAND_TIME_MAX:?}"))?;
    match ended {
        Ok((status, text)) if status.success() => Ok(text),
        Ok((status, _)) => Err(status.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn bearer(text: &str, origin: impl Fn() -> String) -> Result<HeaderValue, CredentialError> {
    let secret = text.trim();
    if secret.is_empty() || secret.contains(char::is_whitespace) {
        return Err(CredentialError::Form(origin()));
    }
    let value = HeaderValue::try_from(format!("Bearer {secret}"));
    let mut value = value.map_err(|_invalid: http::header::InvalidHeaderValue| CredentialError::Form(origin()))?;
    value.set_sensitive(true);
    Ok(value)
}
