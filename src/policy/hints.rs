//! Hints from a policy's source: permissions that the catalogue does not have.
//!
//! A component's own data cannot tell: compilers cut and join texts. The source is read as text, so this may miss some, and
//! only ever warns.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use catalogue::Catalogue;

use super::project::Project;
use super::selector::nearest;

/// Returns a message for each text in the source that looks like a permission of the catalogue's and is none.
pub(super) fn unknown_permissions(project: &Project, catalogue: &Catalogue) -> Vec<String> {
    let known: BTreeSet<&str> = catalogue
        .operations()
        .iter()
        .map(|own| own.permission.as_str())
        .collect();
    let mut found = BTreeSet::new();
    for folder in [project.folder().to_owned(), project.folder().join("src")] {
        for (file, text) in sources(&folder) {
            for word in quoted(&text).filter(|word| resembles(word, &known)) {
                let near = nearest(word, known.iter().copied());
                let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
                found.insert(format!("{file}: no operation needs the permission {word:?}{near}"));
            }
        }
    }
    found.into_iter().collect()
}

/// Returns whether a text begins like a permission that is known, and is not one.
fn resembles(word: &str, known: &BTreeSet<&str>) -> bool {
    let lower = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let Some((resource, _)) = word.split_once('.') else {
        return false;
    };
    let begins = |permission: &&&str| permission.split('.').next() == Some(resource);
    word.split('.').all(lower) && !known.contains(word) && known.iter().any(|own| begins(&own))
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .flat_map(|line| line.split(['"', '\'', '`']).skip(1).step_by(2))
}

fn sources(folder: &Path) -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let read = |path: std::path::PathBuf| {
        let extension = path.extension()?.to_str()?;
        let is_source = SOURCES.contains(&extension) && path.metadata().ok()?.len() <= SOURCE_BYTES_MAX;
        let name = path.file_name()?.to_str()?.to_owned();
        is_source.then(|| Some((name, fs::read_to_string(&path).ok()?)))?
    };
    entries.flatten().filter_map(|entry| read(entry.path())).collect()
}

/// Endings of files that policies are written in.
const SOURCES: [&str; 7] = ["rs", "c", "ts", "js", "py", "rego", "go"];

/// Largest source that is read; a larger one was not written by hand.
const SOURCE_BYTES_MAX: u64 = 1 << 20;
