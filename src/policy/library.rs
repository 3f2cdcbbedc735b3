//! Components by digest: those in a folder, and the built-in ones.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{Policy, builtin};
use feed::PolicyDigest;

use super::workbench::Engines;
use crate::exit::{Failure, INPUT_OUTPUT};

/// Where components are, by digest.
pub(super) struct Shelf {
    files: HashMap<PolicyDigest, PathBuf>,
}

/// Components that are loaded when they are asked for. Belongs to one thread.
pub(super) struct Library<'s> {
    shelf: &'s Shelf,
    engines: Engines,
    loaded: RefCell<HashMap<PolicyDigest, Option<Arc<Policy>>>>,
}

impl Shelf {
    /// Looks for components, files that end in `.wasm`, in folders and one level below them.
    ///
    /// # Errors
    /// When a folder or a file cannot be read.
    pub(super) fn of(folders: &[PathBuf]) -> Result<Self, Failure> {
        let mut files = HashMap::new();
        for folder in folders {
            for entry in entries(folder)? {
                if entry.is_dir() {
                    for entry in entries(&entry)? {
                        take(&entry, &mut files)?;
                    }
                } else {
                    take(&entry, &mut files)?;
                }
            }
        }
        Ok(Self { files })
    }

    fn read(&self, digest: PolicyDigest) -> Option<Vec<u8>> {
        if let Some(file) = self.files.get(&digest) {
            return fs::read(file).ok();
        }
        let builtin = builtin::COMPONENTS
            .iter()
            .find(|component| PolicyDigest::of(component) == digest);
        builtin.map(|component| component.to_vec())
    }
}

impl<'s> Library<'s> {
    /// Returns a library with nothing loaded yet.
    ///
    /// # Errors
    /// When the machine refuses the engines' memory or threads.
    pub(super) fn new(shelf: &'s Shelf) -> Result<Self, Failure> {
        Ok(Self {
            shelf,
            engines: Engines::new()?,
            loaded: RefCell::default(),
        })
    }

    /// Returns the policy with this digest; none when its component is not on the shelf, or is no policy.
    pub(super) fn policy(&self, digest: PolicyDigest) -> Option<Arc<Policy>> {
        if let Some(known) = self.loaded.borrow().get(&digest) {
            return known.clone();
        }
        let component = self.shelf.read(digest);
        let policy = component.and_then(|component| self.engines.load(&component).ok());
        let policy = policy.map(Arc::new);
        self.loaded.borrow_mut().insert(digest, policy.clone());
        policy
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let listed = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    listed.map_err(|error| Failure::said(INPUT_OUTPUT, format!("{}: {error}", folder.display())))
}

fn take(file: &Path, files: &mut HashMap<PolicyDigest, PathBuf>) -> Result<(), Failure> {
    if file.extension().is_some_and(|extension| extension == "wasm") && file.is_file() {
        let bytes = fs::read(file);
        let bytes = bytes.map_err(|error| Failure::said(INPUT_OUTPUT, format!("{}: {error}", file.display())))?;
        files.insert(PolicyDigest::of(&bytes), file.to_owned());
    }
    Ok(())
}
