//! Opening: from a data directory to a running control plane, or a reason why not. A refusal changes nothing.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use catalogue::segment::is_identifier;

use crate::data_dir::DataDirectory;
use crate::evaluator::Evaluator;
use crate::feed_api::Feeds;
use crate::fleet::Fleet;
use crate::gateways::Gateways;
use crate::store::Store;
use crate::store::open::Place;
use crate::{Admin, Parts, Settings, bootstrap};

/// Why the control plane cannot start. An operator does something else for each.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data directory is missing, or not a directory.
    #[error("there is no data directory {}", path.display())]
    NoDirectory {
        /// The path that was given.
        path: PathBuf,
    },
    /// The data directory, or a file in it, cannot be written.
    #[error("{} cannot be written", path.display())]
    Unwritable {
        /// The directory or the file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process uses the data directory.
    #[error("another process uses the data directory {}", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The store's file is damaged, or not a store.
    #[error("the store {} is damaged or not a store: {detail}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// A newer Postern has written the store.
    #[error("the store {} has schema version {found}, and this binary knows versions up to {known}", path.display())]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that this binary knows.
        known: i64,
    },
    /// An older Postern has made the store's tables, or nobody has; a store that others may use is not migrated in passing.
    #[error(
        "the store {store} has schema version {found}, and this binary needs version {needed}: run `postern admin migrate`"
    )]
    OlderSchema {
        /// Where it is.
        store: String,
        /// Its version; 0: it has no tables.
        found: i64,
        /// The version that is needed.
        needed: i64,
    },
    /// The organisation to be made has a name that no organisation can have.
    #[error("{0:?} cannot be the id of an organisation")]
    InvalidOrg(String),
    /// The file for the gateway credential holds something else.
    #[error("{} holds no gateway credential: {source}", path.display())]
    Credential {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: feed::token::Malformed,
    },
    /// The file for the feed's key holds something else, or no key could be made.
    #[error("{} holds no key for the feed: {source}", path.display())]
    FeedKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: feed::key::KeyError,
    },
    /// Reading or writing a file failed.
    #[error("{} cannot be read or written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The engine that vets policies does not start.
    #[error("the policy engine does not start")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database failed in another way.
    #[error("the store {} cannot be used", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What the database says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Opens the control plane. An empty store gets its organisation and its first administrator.
///
/// # Errors
/// [`OpenError`]; nothing is damaged by a refusal.
pub async fn open(settings: Settings) -> Result<Admin, OpenError> {
    let org = settings.org.clone().unwrap_or_else(|| DEFAULT_ORG.to_owned());
    if !is_identifier(&org) {
        return Err(OpenError::InvalidOrg(org));
    }
    let directory = DataDirectory::take(&settings.data)?;
    let credential = directory.gateway_credential(&settings.random)?;
    let feed_key = directory.feed_key(settings.feed_key_file.as_deref())?;
    let place = Place::of(settings.postgres.as_ref(), &directory)?;
    let (store, decisions) = Store::open(&place, &settings.clock, &settings.random).await?;
    let bootstrapped = bootstrap::run(&store, &directory, &settings.random, &org).await?;
    let evaluator = Evaluator::start(
        settings.compiler.clone(),
        settings.trusted_keys.clone(),
        Arc::clone(&settings.catalogue),
    )?;
    let (store, gateways, feeds) = (Arc::new(store), Arc::new(Gateways::new()), Arc::new(Feeds::open()));
    let fleet = Fleet::open(&store, &gateways, &feeds, credential).await;
    let fleet = fleet.map_err(|error| OpenError::Database {
        path: place.name(),
        source: Box::new(error),
    })?;
    let parts = Parts {
        fleet,
        decisions,
        evaluator,
        directory,
        feed_key,
    };
    Ok(Admin::new(settings, parts, bootstrapped))
}

/// The organisation that an empty store gets when none was asked for.
const DEFAULT_ORG: &str = "default";
