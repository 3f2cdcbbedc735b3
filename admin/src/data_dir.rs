//! The data directory: who uses it, and the files with secrets in it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use feed::key::SigningKey;
use feed::token::Kind;
use feed::{Digest, Secret};

use crate::{OpenError, Random};

/// File of the data directory that holds the first administrator's token, written once.
pub const BOOTSTRAP_TOKEN_FILE: &str = "bootstrap-token";

/// File of the data directory that holds the credential with which gateways read the feed and reach the API.
pub const GATEWAY_CREDENTIAL_FILE: &str = "gateway-credential";

/// File of the data directory that holds the key with which the command line asks the console for links to sign in.
pub const CONSOLE_KEY_FILE: &str = "console-key";

/// File of the data directory that holds the private key with which the feed is signed: PKCS#8 in PEM.
pub const FEED_KEY_FILE: &str = "feed-key";

/// File of the data directory that holds its public half, for gateways.
pub const FEED_PUBLIC_KEY_FILE: &str = "feed-key.pub";

/// File of the data directory that holds the store.
pub const STORE_FILE: &str = "postern.db";

/// File of the data directory that holds the newest decisions of gateways.
pub const DECISIONS_FILE: &str = "decisions.sqlite";

/// A data directory that this process alone uses, until it is dropped.
#[derive(Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
    _lock: File,
}

impl DataDirectory {
    /// Takes the directory for this process.
    ///
    /// # Errors
    /// [`OpenError::NoDirectory`], [`OpenError::Unwritable`], [`OpenError::InUse`].
    pub(crate) fn take(path: &Path) -> Result<Self, OpenError> {
        if !path.is_dir() {
            return Err(OpenError::NoDirectory { path: path.to_owned() });
        }
        let unwritable = |source| OpenError::Unwritable {
            path: path.to_owned(),
            source,
        };
        let lock = private_file(&path.join(LOCK_FILE), OpenOptions::new().create(true).truncate(false));
        let lock = lock.map_err(unwritable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(unwritable(source)),
        }
    }

    /// Returns the path of the store's file, which exists from now on and is nobody else's to read.
    pub(crate) fn store_file(&self) -> Result<PathBuf, OpenError> {
        self.private_database(STORE_FILE)
    }

    /// Returns the path of the file for decisions, which exists from now on and is nobody else's to read.
    pub(crate) fn decisions_file(&self) -> Result<PathBuf, OpenError> {
        self.private_database(DECISIONS_FILE)
    }

    fn private_database(&self, name: &str) -> Result<PathBuf, OpenError> {
        let path = self.path.join(name);
        match private_file(&path, OpenOptions::new().create(true).truncate(false)) {
            Ok(_file) => Ok(path),
            Err(source) => Err(OpenError::Unwritable { path, source }),
        }
    }

    /// Writes the first administrator's token, in place of one that no store knows.
    pub(crate) fn write_bootstrap_token(&self, token: &Secret) -> Result<(), OpenError> {
        self.write_secret(BOOTSTRAP_TOKEN_FILE, token)
    }

    /// Returns the digest of the gateway credential, which is made if there is none.
    ///
    /// # Errors
    /// [`OpenError::Credential`] when the file holds something else.
    pub(crate) fn gateway_credential(&self, random: &Random) -> Result<Digest, OpenError> {
        let path = self.path.join(GATEWAY_CREDENTIAL_FILE);
        match std::fs::read(&path) {
            Ok(text) => Digest::of_presented(Kind::GatewayCredential, text.trim_ascii_end())
                .map_err(|source| OpenError::Credential { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = random.secret(Kind::GatewayCredential);
                let secret = made.map_err(|source| OpenError::Io { path, source })?;
                self.write_secret(GATEWAY_CREDENTIAL_FILE, &secret)?;
                Ok(secret.digest())
            }
            Err(source) => Err(OpenError::Io { path, source }),
        }
    }

    /// Makes the key with which the command line asks the console for links, in the place of an earlier one.
    pub(crate) fn console_key(&self, random: &Random) -> Result<Digest, OpenError> {
        let made = random.secret(Kind::ConsoleKey);
        let secret = made.map_err(|source| OpenError::Io {
            path: self.path.join(CONSOLE_KEY_FILE),
            source,
        })?;
        self.write_secret(CONSOLE_KEY_FILE, &secret)?;
        Ok(secret.digest())
    }

    /// Returns the key that signs the feed: that of a file which replicas share, or else the directory's own, which is
    /// made if there is none. Its public half lies in the directory from now on.
    ///
    /// # Errors
    /// [`OpenError::FeedKey`] when the file holds something else.
    pub(crate) fn feed_key(&self, shared: Option<&Path>) -> Result<SigningKey, OpenError> {
        let own = self.path.join(FEED_KEY_FILE);
        let path = shared.unwrap_or(&own).to_owned();
        let unusable = |source| OpenError::FeedKey {
            path: path.clone(),
            source,
        };
        let pem = match std::fs::read_to_string(&path) {
            Ok(pem) => pem,
            Err(error) if error.kind() == io::ErrorKind::NotFound && shared.is_none() => {
                let pem = SigningKey::generate_pem().map_err(unusable)?;
                self.write_private(FEED_KEY_FILE, &pem)?;
                pem
            }
            Err(source) => return Err(OpenError::Io { path, source }),
        };
        let key = SigningKey::from_pem(&pem).map_err(unusable)?;
        self.write_private(FEED_PUBLIC_KEY_FILE, &format!("{}\n", key.public()))?;
        Ok(key)
    }

    fn write_secret(&self, name: &str, secret: &Secret) -> Result<(), OpenError> {
        self.write_private(name, &format!("{}\n", secret.reveal()))
    }

    /// Writes a file whole or not at all; when this returns, it is on the disk.
    fn write_private(&self, name: &str, text: &str) -> Result<(), OpenError> {
        let path = self.path.join(name);
        let unfinished = self.path.join(format!("{name}.new"));
        let write = || {
            let mut file = private_file(&unfinished, OpenOptions::new().create(true).truncate(true))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&unfinished, &path)?;
            // A rename lasts only when the directory does.
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|source| OpenError::Io { path, source })
    }
}

const LOCK_FILE: &str = "postern.lock";

/// Opens a file for writing that, when new, only its owner may read.
fn private_file(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    options.write(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_in_use_is_refused_until_it_is_free() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = DataDirectory::take(directory.path()).expect("it is free");
        let second = DataDirectory::take(directory.path());
        assert!(matches!(second, Err(OpenError::InUse { .. })), "{second:?}");
        drop(first);
        DataDirectory::take(directory.path()).expect("it is free again");
    }

    #[test]
    fn the_gateway_credential_is_made_once_and_only_its_owner_may_read_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let data = DataDirectory::take(directory.path()).expect("it is free");
        let made = data.gateway_credential(&Random::system()).expect("it is made");
        let read = data.gateway_credential(&Random::system()).expect("it is read");
        assert_eq!(made, read);
        let file = std::fs::metadata(directory.path().join(GATEWAY_CREDENTIAL_FILE)).expect("it exists");
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn the_feed_key_is_made_once_and_only_its_owner_may_read_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let data = DataDirectory::take(directory.path()).expect("it is free");
        let made = data.feed_key(None).expect("it is made").public();
        assert_eq!(data.feed_key(None).expect("it is read").public(), made);
        let path = directory.path().join(FEED_KEY_FILE);
        let file = std::fs::metadata(&path).expect("it exists");
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
        let public = std::fs::read_to_string(directory.path().join(FEED_PUBLIC_KEY_FILE)).expect("it is there");
        assert_eq!(public.trim(), made);
        std::fs::write(&path, "password").expect("it is written");
        assert!(matches!(data.feed_key(None), Err(OpenError::FeedKey { .. })));
    }

    #[test]
    fn a_feed_key_that_replicas_share_must_be_there() {
        let (first, second) = (
            tempfile::tempdir().expect("a directory"),
            tempfile::tempdir().expect("a directory"),
        );
        let one = DataDirectory::take(first.path()).expect("it is free");
        let other = DataDirectory::take(second.path()).expect("it is free");
        let shared = first.path().join(FEED_KEY_FILE);
        assert!(matches!(other.feed_key(Some(&shared)), Err(OpenError::Io { .. })));
        let made = one.feed_key(None).expect("it is made").public();
        let taken = other.feed_key(Some(&shared)).expect("it is there").public();
        assert_eq!(taken, made);
        assert!(!second.path().join(FEED_KEY_FILE).exists());
    }

    #[test]
    fn a_file_that_is_no_gateway_credential_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let data = DataDirectory::take(directory.path()).expect("it is free");
        let path = directory.path().join(GATEWAY_CREDENTIAL_FILE);
        std::fs::write(&path, "password").expect("it is written");
        let answer = data.gateway_credential(&Random::system());
        assert!(matches!(answer, Err(OpenError::Credential { .. })), "{answer:?}");
        assert_eq!(std::fs::read(&path).expect("it is there"), b"password");
    }
}
