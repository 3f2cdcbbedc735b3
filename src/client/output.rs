//! What a command prints: tables for people, JSON for scripts.

use std::io::Write;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::Value;

use super::connection::Session;
use super::error::Error;

/// What a command has to say. It may hold a new token, so it cannot be printed by accident.
pub(super) struct Output {
    /// What was asked for.
    pub(super) out: String,
    /// What is good to know besides.
    pub(super) advice: String,
}

/// A column of a table: its title, and the field of the API's objects that it shows.
pub(super) type Column = (&'static str, &'static str);

impl Output {
    /// Returns JSON, indented.
    pub(super) fn json(answer: &Value) -> Self {
        Self::text(if answer.is_null() {
            String::new()
        } else {
            format!("{answer:#}\n")
        })
    }

    /// Returns a table of one object or a list of objects. A field that is missing, or false, is an
    /// empty cell.
    pub(super) fn table(columns: &[Column], answer: &Value) -> Self {
        let mut table = Table::new();
        table.load_style(NOTHING);
        table.set_header(columns.iter().map(|(title, _)| *title));
        let rows = answer.as_array().map_or(std::slice::from_ref(answer), Vec::as_slice);
        for row in rows {
            table.add_row(columns.iter().map(|(_, field)| cell(&row[*field])));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Self::text(format!("{}\n", table.trim_fmt()))
    }

    /// Says that something was done of which the API has nothing to show.
    pub(super) fn done(session: &Session, what: &str) -> Self {
        Self::text(if session.json {
            String::new()
        } else {
            format!("{what}\n")
        })
    }

    /// Returns a text as it is.
    pub(super) fn text(out: String) -> Self {
        Self {
            out,
            advice: String::new(),
        }
    }

    /// Adds what is good to know besides.
    pub(super) fn advise(mut self, advice: String) -> Self {
        self.advice = advice;
        self
    }

    /// Prints both.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub(super) fn print(&self, out: &mut dyn Write, advice: &mut dyn Write) -> Result<(), Error> {
        let mut print = || {
            out.write_all(self.out.as_bytes())?;
            out.flush()?;
            advice.write_all(self.advice.as_bytes())
        };
        print().map_err(Error::Output)
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text),
        Value::Number(number) => number.to_string(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) | Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

/// Returns a text without anything that a terminal would take for a command, or that would break a row of a table.
pub(super) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_has_a_row_for_each_object_and_no_lines() {
        let columns = [("ID", "id"), ("NAME", "name")];
        let list = json!([{"id": "s-1", "name": "ci"}, {"id": "s-22", "other": 1}]);
        assert_eq!(Output::table(&columns, &list).out, "ID    NAME\ns-1   ci\ns-22\n");
        assert_eq!(Output::table(&columns, &json!([])).out, "ID  NAME\n");
        assert_eq!(Output::table(&columns, &list[0]).out, "ID   NAME\ns-1  ci\n");
    }

    #[test]
    fn a_name_cannot_command_the_terminal() {
        let row = json!({"name": "a\u{1b}[2Jb\nc\u{9b}d"});
        let shown = Output::table(&[("NAME", "name")], &row).out;
        assert_eq!(shown, "NAME\na\\u{1b}[2Jb\\nc\\u{9b}d\n");
    }

    #[test]
    fn an_empty_answer_prints_nothing_as_json() {
        assert_eq!(Output::json(&Value::Null).out, "");
        assert_eq!(Output::json(&json!({"a": 1})).out, "{\n  \"a\": 1\n}\n");
    }
}
