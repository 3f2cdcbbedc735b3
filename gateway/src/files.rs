//! Files that hold secrets.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Creates a file that only its owner may read: whole or not at all, and durably. Of several processes that do, one
/// succeeds.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when there is one; else when it cannot be written.
pub(crate) fn create_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension(format!("unfinished-{:016x}", rand::random::<u64>()));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&unfinished, path);
    std::fs::remove_file(&unfinished)?;
    linked?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
