//! Components of policies beside the kept state, so that they can be compiled while the admin service is away.

use std::collections::HashSet;
use std::io;

use feed::PolicyDigest;

use super::disk::{Directory, Disk as _, Growing as _, read_if_there};

/// A directory of components, each under its digest.
#[derive(Debug, Clone)]
pub(crate) struct KeptComponents(Directory);

impl KeptComponents {
    pub(super) fn open(directory: &Directory) -> io::Result<Self> {
        Directory::open(directory.path("policies")).map(Self)
    }

    /// Returns a component, if it is there and is what its name says. Blocks.
    pub(crate) fn read(&self, digest: &PolicyDigest) -> Option<Vec<u8>> {
        let read = read_if_there(&self.0.path(&digest.to_string()));
        let octets = read.unwrap_or_else(|error| {
            tracing::warn!(%error, %digest, "a kept policy cannot be read");
            None
        })?;
        if PolicyDigest::of(&octets) == *digest {
            return Some(octets);
        }
        tracing::warn!(%digest, "a kept policy is not what was written; it is fetched anew");
        None
    }

    /// Keeps a component. Blocks.
    pub(crate) fn write(&self, digest: &PolicyDigest, octets: &[u8]) {
        let name = digest.to_string();
        let unfinished = format!("{name}.unfinished");
        let written = (|| {
            let mut file = self.0.create(&unfinished)?;
            file.append(octets)?;
            file.sync()?;
            self.0.rename(&unfinished, &name)
        })();
        if let Err(error) = written {
            tracing::warn!(%error, %digest, "a policy cannot be kept: this gateway could not start with it without the admin service");
        }
    }

    /// Removes all but these. Blocks.
    pub(crate) fn retain(&self, digests: &[PolicyDigest]) {
        let kept: HashSet<String> = digests.iter().map(ToString::to_string).collect();
        let entries = std::fs::read_dir(self.0.path(""));
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let own = name.strip_suffix(".unfinished").unwrap_or(&name);
            if !kept.contains(own) {
                // What stays takes room and does no harm.
                drop(self.0.remove(&name));
            }
        }
    }
}
