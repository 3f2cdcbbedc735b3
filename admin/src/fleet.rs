//! The fleet: which gateways are let in. Their credentials are in the store; a copy of the digests is here, since every
//! request of a gateway asks for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use feed::Digest;

use crate::feed_api::Feeds;
use crate::gateways::Gateways;
use crate::store::gateways::GatewaysVersion;
use crate::store::{Store, StoreError};

/// The gateways that are let in.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub store: Arc<Store>,
    pub gateways: Arc<Gateways>,
    pub feeds: Arc<Feeds>,
    /// Of the credential that gateways without one of their own share.
    shared: Digest,
    enrolled: Mutex<Enrolled>,
    /// One at a time, so that none puts an older state in the place of a newer one.
    refreshing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Enrolled {
    version: Option<GatewaysVersion>,
    /// Names, by the digests of credentials.
    names: HashMap<Digest, String>,
}

/// Which gateway asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Peer {
    /// One of those that share a credential.
    Sharing,
    /// One with a credential of its own.
    Enrolled {
        /// Its name.
        name: String,
        /// Digest of its credential.
        credential: Digest,
    },
}

impl Fleet {
    /// Reads which gateways there are.
    pub(crate) async fn open(
        store: &Arc<Store>,
        gateways: &Arc<Gateways>,
        feeds: &Arc<Feeds>,
        shared: Digest,
    ) -> Result<Arc<Self>, StoreError> {
        let fleet = Self {
            store: Arc::clone(store),
            gateways: Arc::clone(gateways),
            feeds: Arc::clone(feeds),
            shared,
            enrolled: Mutex::default(),
            refreshing: tokio::sync::Mutex::default(),
        };
        fleet.refresh().await?;
        Ok(Arc::new(fleet))
    }

    /// Returns who has this credential.
    pub(crate) fn peer(&self, credential: Digest) -> Option<Peer> {
        if verify_slices_are_equal(credential.as_bytes(), self.shared.as_bytes()).is_ok() {
            return Some(Peer::Sharing);
        }
        // A digest that is looked up tells nothing of a secret: nobody can choose it octet by octet.
        let enrolled = self.lock_enrolled();
        let name = enrolled.names.get(&credential)?.clone();
        Some(Peer::Enrolled { name, credential })
    }

    /// Returns the names of the gateways that have a credential of their own.
    pub(crate) fn names(&self) -> Vec<String> {
        self.lock_enrolled().names.values().cloned().collect()
    }

    /// Returns whether a gateway of this name has a credential of its own.
    pub(crate) fn is_enrolled(&self, name: &str) -> bool {
        let enrolled = self.lock_enrolled();
        enrolled.names.values().any(|own| own == name)
    }

    /// Reads the gateways again, if any has changed. The feeds of those that are gone end, and what they told is forgotten.
    pub(crate) async fn refresh(&self) -> Result<(), StoreError> {
        let _turn = self.refreshing.lock().await;
        let mut view = self.store.view().await?;
        let version = view.gateways_version().await?;
        if self.lock_enrolled().version == Some(version) {
            return Ok(());
        }
        let mut names = HashMap::new();
        for gateway in view.gateways().await? {
            if let Some(credential) = gateway.credential()? {
                names.insert(credential, gateway.name);
            }
        }
        drop(view);
        let before = {
            let mut enrolled = self.lock_enrolled();
            enrolled.version = Some(version);
            std::mem::replace(&mut enrolled.names, names.clone())
        };
        for (credential, name) in before {
            if names.get(&credential) == Some(&name) {
                continue;
            }
            self.gateways.forget(&name);
            if !names.contains_key(&credential) {
                self.feeds.end(credential);
                tracing::info!(gateway = name, "a gateway was removed: its feed has ended");
            }
        }
        Ok(())
    }

    fn lock_enrolled(&self) -> MutexGuard<'_, Enrolled> {
        self.enrolled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
