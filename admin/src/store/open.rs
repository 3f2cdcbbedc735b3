//! Opening: from a place to a store that is in use.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use feed::{Clock, StoreName};
use tokio::sync::watch;

use super::decisions::Decisions;
use super::dialect::Begin;
use super::following::Following;
use super::health::Health;
use super::sql::sql;
use super::{Pools, PostgresPlace, Store, StoreError, View, postgres, sqlite, unsigned};
use crate::data_dir::DataDirectory;
use crate::{OpenError, Random};

/// Where a store is.
#[derive(Debug)]
pub(crate) enum Place {
    /// In files that exist, of which this process is the only user. Empty ones are new.
    Files {
        /// The store's.
        store: PathBuf,
        /// That of decisions.
        decisions: PathBuf,
    },
    /// In a PostgreSQL database, which other processes may use.
    Postgres(PostgresPlace),
}

impl Place {
    /// Returns the place of the store of a data directory, unless it is in a database.
    pub(crate) fn of(postgres: Option<&PostgresPlace>, directory: &DataDirectory) -> Result<Self, OpenError> {
        Ok(match postgres {
            Some(place) => Self::Postgres(place.clone()),
            None => Self::Files {
                store: directory.store_file()?,
                decisions: directory.decisions_file()?,
            },
        })
    }

    /// Wraps what makes it useless.
    pub(crate) fn failure(&self, error: impl std::error::Error + Send + Sync + 'static) -> OpenError {
        failure(&self.name(), error)
    }

    /// Returns how people call it.
    pub(crate) fn name(&self) -> PathBuf {
        match self {
            Self::Files { store, .. } => store.clone(),
            Self::Postgres(place) => place.name().into(),
        }
    }
}

impl Store {
    /// Opens a store and its decisions. A file is migrated; a PostgreSQL database must have been.
    ///
    /// # Errors
    /// [`OpenError::Corrupt`], [`OpenError::NewerSchema`], [`OpenError::OlderSchema`], [`OpenError::Unwritable`],
    /// [`OpenError::Database`].
    pub(crate) async fn open(place: &Place, clock: &Clock, random: &Random) -> Result<(Self, Decisions), OpenError> {
        let health = Health::default();
        let (pools, decisions) = match place {
            Place::Files { store, decisions } => {
                let pools = sqlite::open(store, &health).await?;
                let opened = sqlite::open_decisions(decisions).await;
                (pools, opened.map_err(|error| failure(decisions, error))?)
            }
            Place::Postgres(place) => postgres::open(place, &health).await?,
        };
        let new_id = random.uuid().map_err(|source| OpenError::Io {
            path: place.name(),
            source,
        })?;
        let store = Self::of(pools, clock, random, &new_id.to_string(), health).await;
        let store = store.map_err(|error| failure(&place.name(), error))?;
        let (writer, readers) = decisions;
        Ok((store, Decisions { writer, readers }))
    }

    async fn of(
        pools: Pools,
        clock: &Clock,
        random: &Random,
        new_id: &str,
        health: Health,
    ) -> Result<Self, StoreError> {
        let mut view = View::new(pools.writer.begin(Begin::Write).await?);
        sql("INSERT INTO store (only_row, id, revision) VALUES (1, $1, 0) ON CONFLICT DO NOTHING")
            .bind(new_id)
            .execute(view.connection())
            .await?;
        let (id, revision, incarnation): (String, i64, i64) = sql("SELECT id, revision, incarnation FROM store")
            .fetch_one(view.connection())
            .await?;
        view.transaction.commit().await?;
        let newest = Arc::new(watch::Sender::new(unsigned(revision)?));
        let incarnation = unsigned(incarnation)?;
        let following = pools.following.as_ref();
        let following = following.map(|pool| Following::start(pool, incarnation, &newest, &health));
        Ok(Self {
            name: StoreName { id, incarnation }.to_string(),
            incarnation,
            clock: clock.clone(),
            random: random.clone(),
            pools,
            newest,
            following,
            health,
        })
    }
}

fn failure(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> OpenError {
    OpenError::Database {
        path: path.to_owned(),
        source: Box::new(error),
    }
}

/// Connections for reading by the API.
pub(super) const READERS: u32 = 4;

/// Snapshots that are read at once; more gateways wait for their turn.
pub(super) const SNAPSHOTS: u32 = 4;

/// Longest wait for a connection or for the database's own lock.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(5);

/// Longest wait of a gateway for its turn.
pub(super) const SNAPSHOT_WAIT_MAX: Duration = Duration::from_secs(60);
