//! The disk, as a parameter: a directory in production, memory in simulations.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A place for a few files.
pub trait Disk: Clone + Send + 'static {
    /// A file that is being written.
    type File: Growing;

    /// Reads a file; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Begins an empty file, in the place of another of the name.
    ///
    /// # Errors
    /// When it cannot be.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Writes a short file in its place, durably. It is seen as it was, or as it is, or as neither after a crash.
    ///
    /// # Errors
    /// When it cannot be, or not durably.
    fn overwrite(&self, name: &str, octets: &[u8]) -> io::Result<()>;

    /// Gives a file another name, in the place of another, durably.
    ///
    /// # Errors
    /// When it cannot be, or not durably.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file, durably, if there is one.
    ///
    /// # Errors
    /// When it cannot be, or not durably.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// A file that is being written.
pub trait Growing: Send + 'static {
    /// Writes to its end.
    ///
    /// # Errors
    /// When not all can be written.
    fn append(&mut self, octets: &[u8]) -> io::Result<()>;

    /// Makes what was written outlive a loss of power.
    ///
    /// # Errors
    /// When it does not.
    fn sync(&mut self) -> io::Result<()>;
}

/// A directory that is its owner's alone.
#[derive(Debug, Clone)]
pub struct Directory(PathBuf);

impl Directory {
    /// Opens a directory, and makes it when there is none.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        match std::fs::DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            Ok(()) | Err(_) => Ok(Self(path)),
        }
    }

    /// Returns the path of a file.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Takes the directory for this process, until the lock is dropped. `None` while another has it.
    ///
    /// # Errors
    /// When the lock cannot be made.
    pub(crate) fn lock(&self) -> io::Result<Option<File>> {
        let file = private().truncate(false).open(self.path("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

impl Disk for Directory {
    type File = File;

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        read_if_there(&self.path(name))
    }

    fn create(&self, name: &str) -> io::Result<File> {
        private().truncate(true).open(self.path(name))
    }

    fn overwrite(&self, name: &str, octets: &[u8]) -> io::Result<()> {
        let path = self.path(name);
        let is_new = !path.exists();
        let mut file = private().truncate(false).open(path)?;
        file.write_all(octets)?;
        file.sync_data()?;
        if is_new { self.sync() } else { Ok(()) }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))?;
        self.sync()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => self.sync(),
        }
    }
}

impl Growing for File {
    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        self.write_all(octets)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Reads a file; `None` when there is none.
pub(crate) fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(octets) => Ok(Some(octets)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}
