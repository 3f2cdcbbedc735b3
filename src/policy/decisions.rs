//! Files with decisions on record: one JSON object after the other, as a decision log has them, a line each, or indented.

use std::path::Path;

use feed::decision::RecordedDecision;

use crate::exit::{DATA, Failure, INPUT_OUTPUT};

/// Reads a file.
///
/// # Errors
/// When it cannot be read, or holds anything else.
pub(super) fn read(file: &Path) -> Result<Vec<RecordedDecision>, Failure> {
    let text = text(file)?;
    let decisions = serde_json::Deserializer::from_str(&text).into_iter();
    let decisions: Result<Vec<RecordedDecision>, _> = decisions.collect();
    decisions.map_err(|error| {
        let message = format!("{}: {error}: this is no decision on record", file.display());
        Failure::said(DATA, message)
    })
}

/// Reads a file of text.
///
/// # Errors
/// When it cannot be read.
pub(super) fn text(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file);
    text.map_err(|error| Failure::said(INPUT_OUTPUT, format!("{}: {error}", file.display())))
}
