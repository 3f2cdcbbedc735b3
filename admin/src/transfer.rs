//! What the operator does to a store with a process of its own: moving it, coming back to an earlier state of it, and taking out
//! of it what keeps everybody out. No admin service serves from the store meanwhile, but for backups.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use feed::Clock;

use crate::api::detachment;
use crate::data_dir::DataDirectory;
use crate::store::moving::{self, Restored};
use crate::store::open::Place;
use crate::store::transfer::{Purpose, TransferError};
use crate::store::{Actor, Store, StoreError};
use crate::{OpenError, PostgresPlace, Random};

/// A store that is worked on.
#[derive(Debug, Clone)]
pub struct StorePlace {
    /// The data directory.
    pub data: PathBuf,
    /// The PostgreSQL database that holds the store; `None`: a file of the data directory does.
    pub postgres: Option<PostgresPlace>,
}

/// The store that a backup takes the place of: no admin service may use it any more.
#[derive(Debug, Clone)]
pub enum ReplacedStore {
    /// A file.
    File(PathBuf),
    /// A database.
    Postgres(PostgresPlace),
}

/// Why a store could not be moved or restored. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file is there already.
    #[error("{} exists", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or written, or is not what it should be.
    #[error("{}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: TransferError,
    },
    /// The store to be filled holds something.
    #[error("the store {store} is not empty")]
    NotEmpty {
        /// Where it is.
        store: String,
    },
    /// The replaced store is another one.
    #[error("the replaced store is another one than the backup's")]
    OtherStore,
    /// No guard has the id.
    #[error("{org} has no guard {id}")]
    NoSuchGuard {
        /// The organisation.
        org: String,
        /// The id.
        id: String,
    },
}

impl StorePlace {
    /// Writes all of a store that no admin service uses to a new file; returns how many rows.
    ///
    /// # Errors
    /// [`MoveError`].
    pub async fn export(&self, file: &Path) -> Result<u64, MoveError> {
        let _directory = DataDirectory::take(&self.data)?;
        self.write(file, Purpose::Export).await
    }

    /// Writes all of a store, which may be in use, to a new file; returns how many rows.
    ///
    /// # Errors
    /// [`MoveError`].
    pub async fn back_up(&self, file: &Path) -> Result<u64, MoveError> {
        self.write(file, Purpose::Backup).await
    }

    /// Fills an empty store with what was exported, so that it goes on as if it were the exported one; returns its
    /// revision.
    ///
    /// # Errors
    /// [`MoveError`].
    pub async fn import(&self, file: &Path) -> Result<u64, MoveError> {
        let directory = DataDirectory::take(&self.data)?;
        let reader = open(file)?;
        moving::import(&self.writable(&directory)?, reader, file).await
    }

    /// Fills an empty store with a backup, as another life of the store that was backed up. Tokens are held unless the
    /// replaced store vouches for them, and a new administrator's token is written to the data directory.
    ///
    /// # Errors
    /// [`MoveError`].
    pub async fn restore(
        &self,
        file: &Path,
        replaced: Option<&ReplacedStore>,
        clock: &Clock,
        random: &Random,
    ) -> Result<Restored, MoveError> {
        let directory = DataDirectory::take(&self.data)?;
        let reader = open(file)?;
        let work = moving::Restoring {
            place: &self.writable(&directory)?,
            replaced: replaced.map(ReplacedStore::place),
            directory: &directory,
            clock,
            random,
        };
        work.restore(reader, file).await
    }

    /// Detaches a guard, which nobody could have done through the API when it refuses everybody; returns the revision at which
    /// it is detached. Of a database, other admin services may be serving from it.
    ///
    /// # Errors
    /// [`MoveError`].
    pub async fn detach_guard(
        &self,
        (org, id): (&str, &str),
        clock: &Clock,
        random: &Random,
    ) -> Result<u64, MoveError> {
        let directory = DataDirectory::take(&self.data)?;
        let place = self.writable(&directory)?;
        let (store, _decisions) = Store::open(&place, clock, random).await?;
        let failed = |error: StoreError| MoveError::Open(place.failure(error));
        let mut change = store.change(Actor::Operator).await.map_err(failed)?;
        let guard = change.view.guard(org, id).await.map_err(failed)?;
        let guard = guard.ok_or_else(|| MoveError::NoSuchGuard {
            org: org.to_owned(),
            id: id.to_owned(),
        })?;
        change.delete_guard(&guard).await.map_err(failed)?;
        let revision = change.commit(detachment(&guard)).await.map_err(failed)?;
        store.close().await;
        Ok(revision)
    }

    fn writable(&self, directory: &DataDirectory) -> Result<Place, OpenError> {
        Place::of(self.postgres.as_ref(), directory)
    }

    async fn write(&self, file: &Path, purpose: Purpose) -> Result<u64, MoveError> {
        let place = match &self.postgres {
            Some(place) => ReplacedStore::Postgres(place.clone()),
            None => ReplacedStore::File(self.data.join(crate::STORE_FILE)),
        };
        let mut view = moving::look(&place.place()).await?;
        let mut unfinished = file.as_os_str().to_owned();
        unfinished.push(".new");
        let unfinished = PathBuf::from(unfinished);
        if file.exists() {
            return Err(MoveError::Exists { path: file.to_owned() });
        }
        let failed = |source: TransferError| MoveError::File {
            path: file.to_owned(),
            source,
        };
        let io = |error: std::io::Error| failed(error.into());
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut out = BufWriter::new(options.open(&unfinished).map_err(io)?);
        let rows = view.write_all(purpose, &mut out).await.map_err(failed)?;
        out.flush().map_err(io)?;
        out.get_ref().sync_all().map_err(io)?;
        std::fs::rename(&unfinished, file).map_err(io)?;
        // A rename lasts only when the directory does.
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = File::open(parent.unwrap_or(Path::new("."))).map_err(io)?;
        parent.sync_all().map_err(io)?;
        Ok(rows)
    }
}

impl ReplacedStore {
    fn place(&self) -> Place {
        match self {
            Self::File(path) => Place::Files {
                store: path.clone(),
                decisions: PathBuf::new(),
            },
            Self::Postgres(place) => Place::Postgres(place.clone()),
        }
    }
}

fn open(file: &Path) -> Result<BufReader<File>, MoveError> {
    let opened = File::open(file);
    let opened = opened.map_err(|error| MoveError::File {
        path: file.to_owned(),
        source: error.into(),
    })?;
    Ok(BufReader::new(opened))
}
