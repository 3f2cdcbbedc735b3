//! How reports look: tables, sizes, wrapped lines.

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use engine::Class;
use feed::decision::RecordedOutcome;

/// Returns a table without lines, each row on one line.
pub(super) fn table<const N: usize>(titles: [&str; N], rows: &[[String; N]]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(titles);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    format!("{}\n", table.trim_fmt())
}

/// Returns a text in lines of at most [`WIDTH`] characters, broken at blanks; all but the first are indented.
pub(super) fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = String::new();
    let mut at = indent;
    for word in text.split(' ') {
        if at > indent && at + 1 + word.len() > WIDTH {
            lines.push('\n');
            lines.push_str(&" ".repeat(indent));
            at = indent;
        } else if at > indent {
            lines.push(' ');
            at += 1;
        }
        lines.push_str(word);
        at += word.len();
    }
    lines
}

/// Returns a number of bytes for people.
pub(super) fn size(bytes: usize) -> String {
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..1_048_576 => format!("{} KiB", bytes / 1_024),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// Returns the name of a class, with what it means.
pub(super) fn class_name(class: Class) -> &'static str {
    match class {
        Class::Small => "small",
        Class::Script => "script (larger limits, slower decisions)",
    }
}

/// Returns what came of a decision, in words. Texts in it are a policy's: they may not command a terminal.
pub(super) fn outcome(outcome: &RecordedOutcome) -> String {
    let said = match outcome {
        RecordedOutcome::Allowed { role } => format!("allowed by role {role}"),
        RecordedOutcome::NotAllowed => "no role allows it".to_owned(),
        RecordedOutcome::Denied { guard, reason } => format!("denied by guard {guard}: {reason}"),
        RecordedOutcome::Undecided { by, fault } => format!("undecided: {by} gave no verdict ({fault})"),
    };
    said.escape_debug().to_string()
}

/// Characters on a line.
const WIDTH: usize = 110;
