//! A disk in memory: it loses power, fills up, and lets anybody write to it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use gateway::kept::{Disk, Growing};

/// A disk. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Files>>);

#[derive(Default)]
struct Files {
    files: BTreeMap<String, Shared>,
    /// Operations that still succeed; `None`: all.
    left: Option<u32>,
    /// Whether the power is gone since.
    is_off: bool,
    is_full: bool,
    /// Whether the last short file is there after the power went while it was written.
    is_lucky: bool,
}

/// A file is written on when it has got another name.
type Shared = Arc<Mutex<Content>>;

#[derive(Default)]
struct Content {
    octets: Vec<u8>,
    /// Octets that outlive a loss of power.
    durable: usize,
}

/// A file that is written to.
pub(crate) struct Writing {
    disk: Memory,
    content: Shared,
}

/// What happens to an operation.
enum Fate {
    Done,
    /// The power goes while it is done.
    Half,
}

impl Memory {
    fn files(&self) -> MutexGuard<'_, Files> {
        self.0.lock().expect("no test holds it")
    }

    /// Has the power go after some operations more: the one that follows is half done.
    pub(crate) fn lose_power_after(&self, operations: u32) {
        let mut files = self.files();
        files.left = Some(operations);
        files.is_lucky = operations.is_multiple_of(2);
    }

    /// Returns whether the power is gone.
    pub(crate) fn is_off(&self) -> bool {
        self.files().is_off
    }

    /// Ends the process. What it had written is there; without power, of what was not made durable only as much as `keep`
    /// says of each file.
    pub(crate) fn restart(&self, mut keep: impl FnMut(usize) -> usize) {
        let mut files = self.files();
        if files.is_off {
            for content in files.files.values() {
                let mut content = content.lock().expect("no test holds it");
                let kept = content.durable + keep(content.octets.len() - content.durable);
                content.octets.truncate(kept);
            }
        }
        for content in files.files.values() {
            let mut content = content.lock().expect("no test holds it");
            content.durable = content.octets.len();
        }
        (files.left, files.is_off) = (None, false);
    }

    /// Has the disk full, or no longer.
    pub(crate) fn fill(&self, is_full: bool) {
        self.files().is_full = is_full;
    }

    /// Returns what a file holds.
    pub(crate) fn get(&self, name: &str) -> Option<Vec<u8>> {
        let content = self.files().files.get(name).map(Arc::clone)?;
        let octets = content.lock().expect("no test holds it").octets.clone();
        Some(octets)
    }

    /// Puts a file in place.
    pub(crate) fn put(&self, name: &str, octets: Vec<u8>) {
        let durable = octets.len();
        let content = Arc::new(Mutex::new(Content { octets, durable }));
        self.files().files.insert(name.to_owned(), content);
    }

    /// Takes a file away.
    pub(crate) fn take(&self, name: &str) {
        self.files().files.remove(name);
    }
}

impl Files {
    fn fate(&mut self, grows: bool) -> io::Result<Fate> {
        if self.is_off {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if grows && self.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        match &mut self.left {
            Some(0) => {
                self.is_off = true;
                Ok(Fate::Half)
            }
            Some(left) => {
                *left -= 1;
                Ok(Fate::Done)
            }
            None => Ok(Fate::Done),
        }
    }
}

/// What an operation answers when the power went.
fn done(fate: &Fate) -> io::Result<()> {
    match fate {
        Fate::Done => Ok(()),
        Fate::Half => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

impl Disk for Memory {
    type File = Writing;

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.get(name))
    }

    fn create(&self, name: &str) -> io::Result<Writing> {
        done(&self.files().fate(true)?)?;
        let content = Shared::default();
        self.files().files.insert(name.to_owned(), Arc::clone(&content));
        let disk = self.clone();
        Ok(Writing { disk, content })
    }

    fn overwrite(&self, name: &str, octets: &[u8]) -> io::Result<()> {
        let is_new = self.get(name).is_none();
        let fate = self.files().fate(is_new)?;
        // A sector is written whole or not at all.
        if matches!(fate, Fate::Done) || self.files().is_lucky {
            self.put(name, octets.to_vec());
        }
        done(&fate)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let fate = self.files().fate(false)?;
        if matches!(fate, Fate::Done) {
            let mut files = self.files();
            let content = files.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
            files.files.insert(to.to_owned(), content);
        }
        done(&fate)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let fate = self.files().fate(false)?;
        if matches!(fate, Fate::Done) {
            self.take(name);
        }
        done(&fate)
    }
}

impl Growing for Writing {
    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        let fate = self.disk.files().fate(true)?;
        let written = match fate {
            Fate::Done => octets,
            Fate::Half => &octets[..octets.len() / 2],
        };
        self.content
            .lock()
            .expect("no test holds it")
            .octets
            .extend_from_slice(written);
        done(&fate)
    }

    fn sync(&mut self) -> io::Result<()> {
        let fate = self.disk.files().fate(false)?;
        if matches!(fate, Fate::Done) {
            let mut content = self.content.lock().expect("no test holds it");
            content.durable = content.octets.len();
        }
        done(&fate)
    }
}
