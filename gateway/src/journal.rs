//! A journal: entries that are on disk until they are done.
//!
//! Several processes may use one directory, such as an old gateway that drains and the new one: each holds a journal of
//! its own, by a lock that goes with the process, and takes over the entries of journals that nobody holds.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::marker::PhantomData;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Entries with ids, one JSON object a line; a second line with the same id says that it is done.
pub(crate) struct Journal<T> {
    /// The path of the first journal; those of the others are made from it.
    first: PathBuf,
    path: PathBuf,
    file: File,
    pending: usize,
    /// Octets of whole lines.
    bytes: u64,
    /// Whether something may stand behind the last whole line: a write that failed.
    torn: bool,
    entries: PhantomData<T>,
    _lock: File,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be read or written.
    #[error("the journal {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What happened.
        source: io::Error,
    },
    /// A line other than the last is no entry: the file is not ours, or was damaged.
    #[error("the journal {path} cannot be read at line {line}")]
    Content {
        /// The file.
        path: String,
        /// Number of the line, from 1.
        line: usize,
    },
    /// As many processes as may be use the directory.
    #[error("{JOURNALS_MAX} processes hold the journals at {path}")]
    Held {
        /// The path of the first journal.
        path: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Line<T> {
    id: String,
    /// `None`: done.
    entry: Option<T>,
}

/// Entries that are not done, with their ids, oldest first.
type Pending<T> = Vec<(String, T)>;

impl<T: Serialize + DeserializeOwned> Journal<T> {
    /// Takes the first journal that nobody holds, of `PATH`, `PATH.1` and so on, making it when there is none. Returns the
    /// entries that are not done.
    ///
    /// # Errors
    /// [`JournalError`]; the file is left as it is.
    pub(crate) fn take(first: &Path) -> Result<(Self, Pending<T>), JournalError> {
        for number in 0..JOURNALS_MAX {
            let path = numbered(first, number);
            let failed = |source| failed(&path, source);
            if let Some(lock) = lock(&path).map_err(failed)? {
                let pending = read(&path)?;
                let file = rewrite(&path, &pending).map_err(failed)?;
                let mut journal = Self {
                    first: first.to_owned(),
                    path: path.clone(),
                    file,
                    pending: pending.len(),
                    bytes: 0,
                    torn: false,
                    entries: PhantomData,
                    _lock: lock,
                };
                journal.bytes = journal.file.stream_position().map_err(failed)?;
                return Ok((journal, pending));
            }
        }
        Err(JournalError::Held {
            path: first.display().to_string(),
        })
    }

    /// Takes over the entries of journals that nobody holds any more. When this returns they are in this one on disk; an
    /// entry that was taken over twice, because of a crash in between, has its old id.
    ///
    /// # Errors
    /// [`JournalError`]; what was not taken over is where it was.
    pub(crate) fn adopt(&mut self) -> Result<Pending<T>, JournalError> {
        let mut adopted = Vec::new();
        for number in 0..JOURNALS_MAX {
            let path = numbered(&self.first, number);
            let failed = |source| failed(&path, source);
            if path == self.path || !path.exists() {
                continue;
            }
            let Some(_lock) = lock(&path).map_err(failed)? else {
                continue;
            };
            for (id, entry) in read(&path)? {
                self.append(&id, &entry).map_err(failed)?;
                adopted.push((id, entry));
            }
            std::fs::remove_file(&path).map_err(failed)?;
        }
        Ok(adopted)
    }

    /// Adds an entry. When this returns it is on disk.
    ///
    /// # Errors
    /// When it cannot be written; then it is not there, whatever part of it was.
    pub(crate) fn append(&mut self, id: &str, entry: &T) -> io::Result<()> {
        let before = self.bytes;
        self.write(&Line {
            id: id.to_owned(),
            entry: Some(entry),
        })?;
        if let Err(error) = self.file.sync_data() {
            self.bytes = before;
            self.torn = true;
            return Err(error);
        }
        self.pending += 1;
        Ok(())
    }

    /// Notes that an entry is done. Should this be lost, the entry is only met once more.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn done(&mut self, id: &str) -> io::Result<()> {
        self.pending = self.pending.saturating_sub(1);
        self.write(&Line::<&T> {
            id: id.to_owned(),
            entry: None,
        })?;
        if self.pending == 0 && self.bytes > REWRITE_BYTES {
            self.file = rewrite::<T>(&self.path, &[])?;
            self.bytes = 0;
        }
        Ok(())
    }

    /// Writes a line behind the last whole one.
    fn write<E: Serialize>(&mut self, line: &Line<E>) -> io::Result<()> {
        let text = text(line)?;
        if self.torn {
            self.file.set_len(self.bytes)?;
            self.file.seek(SeekFrom::Start(self.bytes))?;
        }
        self.torn = true;
        self.file.write_all(&text)?;
        self.torn = false;
        self.bytes += text.len() as u64;
        Ok(())
    }
}

/// Size from which a journal without pending entries is begun anew, in octets.
const REWRITE_BYTES: u64 = 1024 * 1024;

/// Processes that may use one directory at once: an upgrade needs two.
const JOURNALS_MAX: usize = 16;

fn numbered(first: &Path, number: usize) -> PathBuf {
    match number {
        0 => first.to_owned(),
        number => beside(first, &format!(".{number}")),
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Locks a journal until the file that is returned is closed; `None` when another process holds it. The lock is on a file
/// of its own, as the journal's is replaced when it is rewritten.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(beside(path, ".lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Pending<T>, JournalError> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(failed(path, error)),
    };
    let mut pending = BTreeMap::new();
    let lines: Vec<&[u8]> = text
        .split_inclusive(|octet| *octet == b'\n')
        .map(|line| line.trim_ascii_end())
        .collect();
    for (at, line) in lines.iter().enumerate() {
        match serde_json::from_slice(line) {
            Ok(Line { id, entry: Some(entry) }) => drop(pending.insert(id, (at, entry))),
            Ok(Line { id, entry: None }) => drop(pending.remove(&id)),
            // By a crash or a full disk, before anyone was told that it is there.
            Err(_cut_off) if at + 1 == lines.len() => {
                tracing::warn!(journal = %path.display(), line = at + 1, "the last line was half-written: it is cut off");
            }
            Err(_other) => {
                return Err(JournalError::Content {
                    path: path.display().to_string(),
                    line: at + 1,
                });
            }
        }
    }
    let mut pending: Vec<(usize, String, T)> = pending.into_iter().map(|(id, (at, entry))| (at, id, entry)).collect();
    pending.sort_by_key(|(at, _, _)| *at);
    Ok(pending.into_iter().map(|(_, id, entry)| (id, entry)).collect())
}

/// Puts a file with these entries alone in the place of a journal, and returns it, to be written on.
fn rewrite<T: Serialize>(path: &Path, pending: &[(String, T)]) -> io::Result<File> {
    let fresh = beside(path, ".unfinished");
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    for (id, entry) in pending {
        file.write_all(&text(&Line {
            id: id.clone(),
            entry: Some(entry),
        })?)?;
    }
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(file)
}

fn text<E: Serialize>(line: &Line<E>) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(text)
}

fn failed(path: &Path, source: io::Error) -> JournalError {
    JournalError::File {
        path: path.display().to_string(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> (Journal<String>, Vec<(String, String)>) {
        Journal::take(path).expect("it opens")
    }

    #[test]
    fn entries_that_are_not_done_are_met_again_in_their_order() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("effects");
        let (mut journal, pending) = open(&path);
        assert!(pending.is_empty());
        for id in ["b", "c", "a"] {
            journal.append(id, &format!("entry {id}")).expect("written");
        }
        journal.done("c").expect("written");
        drop(journal);
        let left = [
            ("b".to_owned(), "entry b".to_owned()),
            ("a".to_owned(), "entry a".to_owned()),
        ];
        assert_eq!(open(&path).1, left);
        assert_eq!(open(&path).1, left);
    }

    #[test]
    fn a_last_line_that_was_cut_off_is_passed_over_and_an_earlier_one_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("effects");
        std::fs::write(&path, "{\"id\":\"a\",\"entry\":\"x\"}\n{\"id\":\"b\",\"ent").expect("written");
        assert_eq!(open(&path).1, [("a".to_owned(), "x".to_owned())]);
        std::fs::write(&path, "nonsense\n{\"id\":\"a\",\"entry\":\"x\"}\n").expect("written");
        let refused = Journal::<String>::take(&path);
        assert!(matches!(refused, Err(JournalError::Content { line: 1, .. })));
        assert!(
            std::fs::read_to_string(&path)
                .expect("still there")
                .starts_with("nonsense")
        );
    }

    #[test]
    fn each_process_has_a_journal_and_what_one_left_is_taken_over_by_another() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("effects");
        let (mut first, _) = open(&path);
        let (mut second, _) = open(&path);
        first.append("a", &"of the first".to_owned()).expect("written");
        second.append("b", &"of the second".to_owned()).expect("written");
        assert!(
            second.adopt().expect("read").is_empty(),
            "the first still holds its own"
        );
        drop(first);
        let left = [("a".to_owned(), "of the first".to_owned())];
        assert_eq!(second.adopt().expect("read"), left);
        assert!(second.adopt().expect("read").is_empty());
        second.done("b").expect("written");
        drop(second);
        let (mut third, pending) = open(&path);
        assert!(pending.is_empty());
        assert_eq!(third.adopt().expect("read"), left);
    }

    #[test]
    fn an_entry_that_could_not_be_written_leaves_no_half_line() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("effects");
        let (mut journal, _) = open(&path);
        journal.append("a", &"kept".to_owned()).expect("written");
        let good = std::mem::replace(&mut journal.file, File::open("/dev/full").expect("it is there"));
        journal
            .append("b", &"lost".to_owned())
            .expect_err("it cannot be written");
        journal.file = good;
        // What a disk that filled up half way would have left.
        journal.file.write_all(b"{\"id\":\"b\",\"en").expect("written");
        journal.append("c", &"kept".to_owned()).expect("written");
        drop(journal);
        let ids: Vec<String> = open(&path).1.into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, ["a", "c"]);
    }
}
