//! Watching the files: what they hold is looked at, not when they were changed, so it does not matter whether they are
//! written in place, renamed, or reached by a symbolic link that turns.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{InForce, ServerTls, TlsFileError, TlsSettings};

/// What all files held at one look.
pub(super) struct Contents {
    /// Chains and keys.
    pub(super) certificates: Vec<(Content, Content)>,
    pub(super) client_ca: Option<Content>,
    pub(super) client_crl: Option<Content>,
}

/// What a file held.
pub(super) struct Content {
    pub(super) path: PathBuf,
    read: io::Result<Vec<u8>>,
}

/// States of the files that have been met, by their digests.
pub(super) struct Seen {
    applied: [u8; 32],
    /// The last that was refused, and told of.
    refused: Option<[u8; 32]>,
    /// What the last look found.
    last: [u8; 32],
}

/// The thread that looks.
pub(crate) struct Watcher {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Contents {
    pub(super) fn read(settings: &TlsSettings) -> Self {
        let pairs = settings.certificates.iter();
        Self {
            certificates: pairs
                .map(|files| (Content::read(&files.chain), Content::read(&files.key)))
                .collect(),
            client_ca: settings.client_ca_file.as_deref().map(Content::read),
            client_crl: settings.client_crl_file.as_deref().map(Content::read),
        }
    }

    /// Tells this state from others. That a file cannot be read is a state as well.
    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        let pairs = self.certificates.iter().flat_map(|(chain, key)| [chain, key]);
        for content in pairs.chain(&self.client_ca).chain(&self.client_crl) {
            match &content.read {
                Ok(octets) => {
                    digest.update((octets.len() as u64).to_le_bytes());
                    digest.update(octets);
                }
                Err(_) => digest.update(u64::MAX.to_le_bytes()),
            }
        }
        digest.finalize().into()
    }
}

impl Content {
    /// Returns what the file held.
    pub(super) fn octets(&self) -> Result<&[u8], TlsFileError> {
        self.read.as_deref().map_err(|error| TlsFileError::Unreadable {
            path: self.path.clone(),
            source: io::Error::new(error.kind(), error.to_string()),
        })
    }

    fn read(path: &Path) -> Self {
        let read = || {
            let mut octets = Vec::new();
            File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut octets)?;
            if octets.len() as u64 > FILE_BYTES_MAX {
                return Err(io::Error::other("it is longer than 16 MiB"));
            }
            Ok(octets)
        };
        Self {
            path: path.to_owned(),
            read: read(),
        }
    }
}

impl Seen {
    pub(super) fn applied(contents: &Contents) -> Self {
        let digest = contents.digest();
        Self {
            applied: digest,
            refused: None,
            last: digest,
        }
    }
}

impl ServerTls {
    /// Reads the files now, and puts what they hold into force, whole. Connections that are open keep what they have.
    ///
    /// # Errors
    /// [`TlsFileError`]: what was in force stays.
    pub fn reload(&self) -> Result<(), TlsFileError> {
        let contents = Contents::read(&self.settings);
        let digest = contents.digest();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.last = digest;
        if digest == seen.applied {
            seen.refused = None;
            return Ok(());
        }
        let made = InForce::made_of(&contents, &self.settings, &self.clock);
        let already_told = seen.refused.replace(digest) == Some(digest);
        match made {
            Ok(in_force) => {
                self.in_force.store(Arc::new(in_force));
                seen.applied = digest;
                seen.refused = None;
                self.counts.reloads_applied.fetch_add(1, Ordering::Relaxed);
                tracing::info!("the certificates have changed and are in force");
                Ok(())
            }
            Err(error) => {
                if !already_told {
                    self.counts.reloads_refused.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(%error, "the certificates have changed and cannot be used: the old ones stay");
                }
                Err(error)
            }
        }
    }

    /// Looks whether the files have changed. A state is judged when two looks in a row have found it: whoever writes
    /// several files, or a long one, is given the time to finish.
    fn look(&self) {
        let digest = Contents::read(&self.settings).digest();
        let settled = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut seen.last, digest) == digest
        };
        if settled {
            // What is wrong has been told; a certificate that is not valid yet will be at a later look.
            drop(self.reload());
        }
    }
}

impl Watcher {
    /// Starts to look at the files, again and again.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(tls: Arc<ServerTls>, interval: Duration) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let watch = move || {
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                tls.look();
            }
        };
        let thread = std::thread::Builder::new()
            .name("postern-files".to_owned())
            .spawn(watch)?;
        Ok(Self { stop, thread })
    }

    /// Stops, and waits for the end of a look that is going on. Blocks.
    pub(crate) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the watcher of the certificates panicked");
        }
    }
}

/// Longest file, in octets: room for a revocation list of 400,000 certificates.
const FILE_BYTES_MAX: u64 = 16 << 20;
