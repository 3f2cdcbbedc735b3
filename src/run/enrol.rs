//! What a gateway shows to the admin service and knows its feed by: from files that it was given, or from its own
//! directory, where an enrolment has put them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use feed::token::Kind;
use feed::{Digest, FeedKeys, Secret};
use gateway::EnrolError;
use gateway::upstream::Upstream;
use rand::TryRng as _;
use rand::rngs::SysRng;

use crate::config::Reading;
use crate::exit::{CANNOT_CREATE, DATA, Failure, SOFTWARE, UNAVAILABLE, USAGE};

/// Where a gateway's credential comes from.
pub(super) enum Credentials {
    /// Files that an operator has put there.
    Given {
        credential_file: PathBuf,
        feed_public_key_file: PathBuf,
    },
    /// The gateway's own, in its directory; got with an enrolment token when it is not there yet.
    Own {
        data: PathBuf,
        enrolment_token_file: Option<PathBuf>,
    },
}

/// What is shown, and what is believed.
pub(super) struct Proofs {
    pub(super) credential: String,
    pub(super) feed_keys: FeedKeys,
}

/// What an operator carries from `postern fleet enrol` to the gateway.
struct EnrolmentToken {
    secret: String,
    feed_public_key: String,
}

impl Credentials {
    /// Reads what is needed; errors are noted in the reading.
    pub(super) fn of(reading: &mut Reading, data: &Path) -> Self {
        let enrolment_token_file = reading.file("enrolment_token_file");
        let given = reading.file("gateway_credential_file");
        let own = data.join(admin::GATEWAY_CREDENTIAL_FILE);
        if given.is_some() || (enrolment_token_file.is_none() && !own.exists()) {
            return Self::Given {
                credential_file: PathBuf::from(reading.needed("gateway_credential_file")),
                feed_public_key_file: PathBuf::from(reading.needed("feed_public_key_file")),
            };
        }
        Self::Own {
            data: data.to_owned(),
            enrolment_token_file,
        }
    }

    /// Returns the proofs. `open` makes the admin service, as it is asked with a credential.
    pub(super) async fn proofs(
        &self,
        open: impl AsyncFnOnce(String) -> Result<Upstream, Failure>,
    ) -> Result<Proofs, Failure> {
        match self {
            Self::Given {
                credential_file,
                feed_public_key_file,
            } => read(credential_file, feed_public_key_file),
            Self::Own {
                data,
                enrolment_token_file,
            } => {
                let (credential, keys) = (
                    data.join(admin::GATEWAY_CREDENTIAL_FILE),
                    data.join(admin::FEED_PUBLIC_KEY_FILE),
                );
                if let Some(file) = enrolment_token_file.as_ref().filter(|_| !credential.exists()) {
                    let token = EnrolmentToken::parse(&super::secret_file(file)?)?;
                    enrol(data, &token, open).await?;
                }
                read(&credential, &keys)
            }
        }
    }
}

fn read(credential: &Path, keys: &Path) -> Result<Proofs, Failure> {
    Ok(Proofs {
        credential: super::secret_file(credential)?,
        feed_keys: super::feed_keys(keys)?,
    })
}

/// Has a new credential let in, and keeps it. An attempt whose answer was lost is made again with the same one.
async fn enrol(
    data: &Path,
    token: &EnrolmentToken,
    open: impl AsyncFnOnce(String) -> Result<Upstream, Failure>,
) -> Result<(), Failure> {
    let unfinished = data.join(UNFINISHED);
    let unwritable = |error: io::Error| Failure::said(CANNOT_CREATE, format!("{}: {error}", data.display()));
    if !unfinished.exists() {
        let mut bits = [0; 32];
        SysRng
            .try_fill_bytes(&mut bits)
            .map_err(|error| Failure::new(SOFTWARE, &error))?;
        let secret = Secret::from_random(Kind::GatewayCredential, bits);
        write(&unfinished, secret.reveal()).map_err(unwritable)?;
    }
    let credential = super::secret_file(&unfinished)?;
    let digest = Digest::of_presented(Kind::GatewayCredential, credential.as_bytes())
        .map_err(|error| Failure::said(DATA, format!("{}: {error}", unfinished.display())))?;
    let admin = open(token.secret.clone()).await?;
    let name = gateway::enrol(admin, digest).await.map_err(|error| match error {
        EnrolError::Token => Failure::new(USAGE, &error),
        EnrolError::NoAnswer(_) | EnrolError::Status(_) | EnrolError::Answer(_) => Failure::new(UNAVAILABLE, &error),
    })?;
    write(&data.join(admin::FEED_PUBLIC_KEY_FILE), &token.feed_public_key).map_err(unwritable)?;
    // From here on it is known: the credential's file comes last.
    std::fs::rename(&unfinished, data.join(admin::GATEWAY_CREDENTIAL_FILE)).map_err(unwritable)?;
    File::open(data)
        .and_then(|directory| directory.sync_all())
        .map_err(unwritable)?;
    tracing::info!(gateway = name, "enrolled: the enrolment token is used up");
    Ok(())
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

impl EnrolmentToken {
    fn parse(text: &str) -> Result<Self, Failure> {
        let malformed = || {
            Failure::said(
                USAGE,
                "the enrolment token is not one of `postern fleet enrol`".to_owned(),
            )
        };
        let (secret, feed_public_key) = text.split_once('.').ok_or_else(malformed)?;
        Digest::of_presented(Kind::Enrolment, secret.as_bytes()).map_err(|_malformed| malformed())?;
        FeedKeys::parse(feed_public_key).map_err(|_malformed| malformed())?;
        Ok(Self {
            secret: secret.to_owned(),
            feed_public_key: feed_public_key.to_owned(),
        })
    }
}

/// File with a credential that no admin service has confirmed yet.
const UNFINISHED: &str = "gateway-credential.new";
