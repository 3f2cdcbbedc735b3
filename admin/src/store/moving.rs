//! Moving: filling an empty store with what was written of another, as the same life of it or as a new one.

use std::io::BufRead;
use std::path::Path;

use feed::Clock;

use super::changes::Life;
use super::dialect::Begin;
use super::health::Health;
use super::open::Place;
use super::restore::Replaced;
use super::sql::sql;
use super::transfer::{Purpose, Reader, TransferError};
use super::{Actor, Change, Pools, StoreError, View, postgres, signed, sqlite};
use crate::data_dir::DataDirectory;
use crate::transfer::MoveError;
use crate::{OpenError, Random, bootstrap};

/// What restoring has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// The revision that the new life of the store begins with.
    pub revision: u64,
    /// How many tokens are held.
    pub held: u64,
    /// How many tokens are good as they were.
    pub free: u64,
}

/// What restoring needs.
pub(crate) struct Restoring<'a> {
    pub(crate) place: &'a Place,
    pub(crate) replaced: Option<Place>,
    pub(crate) directory: &'a DataDirectory,
    pub(crate) clock: &'a Clock,
    pub(crate) random: &'a Random,
}

/// Returns the state of a store, of which nothing is changed.
pub(crate) async fn look(place: &Place) -> Result<View, OpenError> {
    let readers = match place {
        Place::Files { store, .. } => sqlite::look(store).await?,
        Place::Postgres(database) => postgres::open(database, &Health::default()).await?.0.readers,
    };
    let begun = readers.begin(Begin::Read).await;
    Ok(View::new(begun.map_err(|error| place.failure(error))?))
}

/// Fills an empty store with what was exported; returns its revision.
pub(crate) async fn import(place: &Place, file: impl BufRead, path: &Path) -> Result<u64, MoveError> {
    let in_file = |source: TransferError| MoveError::File {
        path: path.to_owned(),
        source,
    };
    let mut reader = Reader::of(file, Purpose::Export).map_err(in_file)?;
    let (pools, mut view) = empty(place).await?;
    view.read_all(&mut reader).await.map_err(in_file)?;
    let committed = view.transaction.commit().await;
    committed.map_err(|error| place.failure(error))?;
    pools.close().await;
    Ok(reader.head.revision)
}

impl Restoring<'_> {
    /// Fills an empty store with a backup.
    pub(crate) async fn restore(self, file: impl BufRead, path: &Path) -> Result<Restored, MoveError> {
        let in_file = |source: TransferError| MoveError::File {
            path: path.to_owned(),
            source,
        };
        let failed = |error: StoreError| MoveError::Open(self.place.failure(error));
        let mut reader = Reader::of(file, Purpose::Backup).map_err(in_file)?;
        if reader.head.revision == 0 {
            return Err(in_file(reader.wrong("a backup of a store that nobody had used")));
        }
        let mut replaced = match &self.replaced {
            Some(place) => Some(Replaced::of(look(place).await?).await.map_err(failed)?),
            None => None,
        };
        if replaced
            .as_ref()
            .is_some_and(|replaced| replaced.id != reader.head.store)
        {
            return Err(MoveError::OtherStore);
        }
        let (pools, mut view) = empty(self.place).await?;
        view.read_all(&mut reader).await.map_err(in_file)?;
        let (held, free) = view.hold_tokens(replaced.as_mut()).await.map_err(failed)?;
        let seen = replaced.map(|replaced| replaced.revision);
        let revision = self.first_revision(reader.head.revision, seen);
        view.begin_life(revision).await.map_err(failed)?;
        let id = self.random.uuid().map_err(StoreError::Random).map_err(failed)?;
        let administrator = format!("s-{id}");
        let attempt = self.random.uuid().map_err(StoreError::Random).map_err(failed)?;
        let life = Life {
            revision,
            now_ms: self.clock.unix_ms(),
            actor: Actor::Bootstrap {
                administrator: administrator.clone(),
            },
            attempt: attempt.to_string(),
        };
        let change = Change::restoring(view, &pools, life);
        let kept_with = (self.directory, self.random);
        bootstrap::restore(change, &administrator, kept_with, reader.head.revision).await?;
        pools.close().await;
        Ok(Restored { revision, held, free })
    }

    /// Returns a revision that is greater than any that a gateway can have seen.
    ///
    /// Without the replaced store nobody knows which that was: the time in milliseconds is greater, unless there were a
    /// thousand changes in each second of its life.
    fn first_revision(&self, backup: u64, replaced: Option<u64>) -> u64 {
        let seen = replaced.unwrap_or_else(|| u64::try_from(self.clock.unix_ms()).unwrap_or_default());
        seen.max(backup) + 1
    }
}

impl View {
    /// Begins another life of the store. The change log before it is forgotten: its revisions are of the life before.
    async fn begin_life(&mut self, revision: u64) -> Result<(), StoreError> {
        sql("DELETE FROM changes").execute(self.connection()).await?;
        sql("UPDATE store SET revision = $1, incarnation = $1")
            .bind(signed(revision)?)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

/// Opens a store for filling it.
async fn empty(place: &Place) -> Result<(Pools, View), MoveError> {
    let health = Health::default();
    let pools = match place {
        Place::Files { store, .. } => sqlite::open(store, &health).await?,
        Place::Postgres(database) => postgres::open(database, &health).await?.0,
    };
    let begun = pools.writer.begin(Begin::Write).await;
    let mut view = View::new(begun.map_err(|error| place.failure(error))?);
    let empty = view.is_empty().await;
    if !empty.map_err(|error| place.failure(error))? {
        return Err(MoveError::NotEmpty {
            store: place.name().display().to_string(),
        });
    }
    Ok((pools, view))
}
