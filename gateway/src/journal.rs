//! A journal: entries that are on disk until they are done.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::marker::PhantomData;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Entries with ids, one JSON object a line; a second line with the same id says that it is done.
pub(crate) struct Journal<T> {
    path: PathBuf,
    file: File,
    pending: usize,
    bytes: usize,
    entries: PhantomData<T>,
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
}

#[derive(Serialize, Deserialize)]
struct Line<T> {
    id: String,
    /// `None`: done.
    entry: Option<T>,
}

impl<T: Serialize + DeserializeOwned> Journal<T> {
    /// Opens a journal, making it when there is none, and returns the entries that are not done, oldest first.
    ///
    /// # Errors
    /// [`JournalError`]; the file is left as it is.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<(String, T)>), JournalError> {
        let name = || path.display().to_string();
        let failed = |source| JournalError::File { path: name(), source };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(error)),
        };
        let mut pending = BTreeMap::new();
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            match serde_json::from_str(line) {
                Ok(Line { id, entry: Some(entry) }) => drop(pending.insert(id, (at, entry))),
                Ok(Line { id, entry: None }) => drop(pending.remove(&id)),
                // The last line may have been cut off by a crash, before anyone was told that it is there.
                Err(_cut_off) if at + 1 == lines.len() => {}
                Err(_other) => {
                    return Err(JournalError::Content {
                        path: name(),
                        line: at + 1,
                    });
                }
            }
        }
        let mut pending: Vec<(usize, String, T)> =
            pending.into_iter().map(|(id, (at, entry))| (at, id, entry)).collect();
        pending.sort_by_key(|(at, _, _)| *at);
        let pending: Vec<(String, T)> = pending.into_iter().map(|(_, id, entry)| (id, entry)).collect();
        let journal = Self::rewrite(path, &pending).map_err(failed)?;
        Ok((journal, pending))
    }

    /// Adds an entry. When this returns it is on disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn append(&mut self, id: &str, entry: &T) -> io::Result<()> {
        self.write(&Line {
            id: id.to_owned(),
            entry: Some(entry),
        })?;
        self.pending += 1;
        self.file.sync_data()
    }

    /// Notes that an entry is done. Should this be lost, the entry is only met once more.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn done(&mut self, id: &str) -> io::Result<()> {
        self.write(&Line::<&T> {
            id: id.to_owned(),
            entry: None,
        })?;
        self.pending = self.pending.saturating_sub(1);
        if self.pending == 0 && self.bytes > REWRITE_BYTES {
            *self = Self::rewrite(&self.path.clone(), &[])?;
        }
        Ok(())
    }

    fn rewrite(path: &Path, pending: &[(String, T)]) -> io::Result<Self> {
        let fresh = path.with_extension("unfinished");
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)?;
        let mut journal = Self {
            path: path.to_owned(),
            file,
            pending: pending.len(),
            bytes: 0,
            entries: PhantomData,
        };
        for (id, entry) in pending {
            journal.write(&Line {
                id: id.clone(),
                entry: Some(entry),
            })?;
        }
        journal.file.sync_all()?;
        std::fs::rename(&fresh, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(journal)
    }

    fn write<E: Serialize>(&mut self, line: &Line<E>) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.bytes += text.len();
        self.file.write_all(&text)
    }
}

/// Size from which a journal without pending entries is begun anew, in octets.
const REWRITE_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> (Journal<String>, Vec<(String, String)>) {
        Journal::open(path).expect("it opens")
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
        let refused = Journal::<String>::open(&path);
        assert!(matches!(refused, Err(JournalError::Content { line: 1, .. })));
        assert!(
            std::fs::read_to_string(&path)
                .expect("still there")
                .starts_with("nonsense")
        );
    }
}
