//! That nothing was forgotten: every reason of a refusal is shown by a test over a real socket.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use gateway::refusal::Reason;

use crate::harness::refusal::REFUSALS;

/// Returns the sources of the tests, without this file and without the harness.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("it is a directory");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    let paths = paths.filter(|path| !path.ends_with("harness") && !path.ends_with("guests"));
    let sources = paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    sources
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

#[test]
fn the_contract_lists_every_reason_of_the_gateway_with_its_status() {
    let ours: BTreeSet<(&str, u16)> = REFUSALS.into_iter().collect();
    let theirs: BTreeSet<(&str, u16)> = Reason::all()
        .map(|reason| (reason.id(), reason.status().as_u16()))
        .collect();
    assert_eq!(ours, theirs);
    assert_eq!(ours.len(), REFUSALS.len());
}

#[test]
fn every_reason_is_asserted_by_a_test() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let sources = sources(&tests)
        .into_iter()
        .filter(|path| !path.ends_with("coverage.rs"));
    let text: String = sources
        .map(|path| std::fs::read_to_string(path).expect("it can be read"))
        .collect();
    let missing: Vec<&str> = Reason::all()
        .map(Reason::id)
        .filter(|reason| !is_asserted(&text, reason))
        .collect();
    assert_eq!(missing, [""; 0]);
}

/// A reason is asserted by `assert_refused(…, "reason")`, or by a row of a table that ends with it.
fn is_asserted(text: &str, reason: &str) -> bool {
    let named = format!("\"{reason}\"");
    let mut behind = text.split(&named).skip(1);
    behind.any(|rest| rest.trim_start_matches([',', ' ', '\n']).starts_with(')'))
}
