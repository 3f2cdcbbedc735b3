//! How reports look: tables, sizes, wrapped lines.

use comfy_table::Table;
use comfy_table::presets::NOTHING;

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

/// Characters on a line.
const WIDTH: usize = 110;
