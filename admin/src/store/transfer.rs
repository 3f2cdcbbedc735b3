//! Transfer: the whole of a store as lines of JSON, out of either database and into either.
//!
//! The first line says what the file is; then each table has a line with its columns and a line for each of its rows; the last
//! line tells how many rows there were, and the digest of all lines before it. No line holds a secret: tokens are in it by
//! their digests. Decisions are not part of it.

use std::io::{BufRead, Write};

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sqlx::AssertSqlSafe;

use super::sql::{Value, sql};
use super::tables::{Kind, STORE, TABLES, Table};
use super::{StoreError, View, schema, unsigned};

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Purpose {
    /// Moving a store: what is imported goes on as if nothing had happened.
    Export,
    /// Coming back to an earlier state: what is restored is another life of the store.
    Backup,
}

/// Why a file cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The file itself.
    #[error("the file cannot be read or written")]
    Io(#[from] std::io::Error),
    /// The store.
    #[error("the store failed")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The file is not what it should be.
    #[error("line {line}: {problem}")]
    File {
        /// The line, the first is 1.
        line: u64,
        /// What is wrong.
        problem: String,
    },
}

/// The first line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    postern: Purpose,
    format: u32,
    schema: i64,
    pub(super) store: String,
    pub(super) incarnation: u64,
    pub(super) revision: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TableHead {
    table: String,
    columns: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    rows: u64,
    sha256: String,
}

impl View {
    /// Writes the whole state.
    pub(crate) async fn write_all(
        &mut self,
        purpose: Purpose,
        out: &mut (impl Write + Send),
    ) -> Result<u64, TransferError> {
        let (store, incarnation, revision): (String, i64, i64) = sql("SELECT id, incarnation, revision FROM store")
            .fetch_one(self.connection())
            .await
            .map_err(StoreError::from)?;
        let head = Head {
            postern: purpose,
            format: FORMAT,
            schema: schema::newest(),
            store,
            incarnation: unsigned(incarnation)?,
            revision: unsigned(revision)?,
        };
        let mut lines = Lines {
            out,
            digest: Context::new(&SHA256),
        };
        lines.write(&head)?;
        let mut rows = 0;
        for table in TABLES {
            lines.write(&TableHead {
                table: table.name.to_owned(),
                columns: table.names().map(str::to_owned).collect(),
            })?;
            let mut after = None;
            while let Some(page) = self.page(table, after.as_deref()).await? {
                for row in &page {
                    lines.write(&row.iter().map(to_json).collect::<Vec<_>>())?;
                }
                rows += page.len() as u64;
                after = page.last().map(|row| row[..table.key].to_vec());
            }
        }
        let sha256 = hexadecimal(lines.digest.clone().finish().as_ref());
        lines.write(&End { rows, sha256 })?;
        lines.out.flush()?;
        Ok(rows)
    }

    async fn page(&mut self, table: &Table, after: Option<&[Value]>) -> Result<Option<Vec<Vec<Value>>>, StoreError> {
        let columns = table.names().collect::<Vec<_>>().join(", ");
        let key = table.names().take(table.key).collect::<Vec<_>>().join(", ");
        let behind = after.map_or(String::new(), |key_values| {
            let places: Vec<String> = (1..=key_values.len()).map(|place| format!("${place}")).collect();
            format!("WHERE ({key}) > ({})", places.join(", "))
        });
        let text = format!(
            "SELECT {columns} FROM {} {behind} ORDER BY {key} LIMIT {}",
            table.name, table.page
        );
        let statement = after
            .into_iter()
            .flatten()
            .fold(sql(AssertSqlSafe(text)), |statement, value| {
                statement.bind(value.clone())
            });
        let rows = statement.rows(self.connection()).await?;
        let rows: Vec<_> = rows.iter().map(|row| table.read(row)).collect::<Result<_, _>>()?;
        Ok((!rows.is_empty()).then_some(rows))
    }

    /// Returns whether no table has a row, but for the one that every store has from its opening.
    pub(super) async fn is_empty(&mut self) -> Result<bool, StoreError> {
        for table in TABLES {
            let rows = match table.name {
                STORE => "store WHERE revision > 0".to_owned(),
                name => name.to_owned(),
            };
            let text = format!("SELECT EXISTS (SELECT 1 FROM {rows})");
            let (found,): (bool,) = sql(AssertSqlSafe(text)).fetch_one(self.connection()).await?;
            if found {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Puts a whole state in the place of an empty one. Nothing of it is there until the transaction is committed, which must
    /// not happen after an error.
    pub(super) async fn read_all(&mut self, file: &mut Reader<impl BufRead>) -> Result<(), TransferError> {
        let forgotten = sql("DELETE FROM store").execute(self.connection()).await;
        forgotten.map_err(StoreError::from)?;
        for table in TABLES {
            file.table(table)?;
            loop {
                let rows = file.rows(table)?;
                if rows.is_empty() {
                    break;
                }
                self.insert(table, rows).await?;
            }
        }
        file.end()
    }

    async fn insert(&mut self, table: &Table, rows: Vec<Vec<Value>>) -> Result<(), StoreError> {
        let mut places = 0;
        let groups: Vec<String> = rows
            .iter()
            .map(|row| {
                let group: Vec<String> = row
                    .iter()
                    .map(|_value| {
                        places += 1;
                        format!("${places}")
                    })
                    .collect();
                format!("({}{})", table.constant_value(), group.join(", "))
            })
            .collect();
        let columns = table.names().collect::<Vec<_>>().join(", ");
        let text = format!(
            "INSERT INTO {} ({}{columns}) VALUES {}",
            table.name,
            table.constant_name(),
            groups.join(", ")
        );
        let values = rows.into_iter().flatten();
        let statement = values.fold(sql(AssertSqlSafe(text)), super::sql::Statement::bind);
        statement.execute(self.connection()).await?;
        Ok(())
    }
}

/// A file being read.
pub(super) struct Reader<R> {
    lines: std::io::Lines<R>,
    digest: Context,
    line: u64,
    rows: u64,
    /// A line that ended the rows before it.
    kept: Option<String>,
    pub(super) head: Head,
}

impl<R: BufRead> Reader<R> {
    /// Reads the first line of a file that must be for a purpose.
    pub(super) fn of(file: R, purpose: Purpose) -> Result<Self, TransferError> {
        let mut reader = Self {
            lines: file.lines(),
            digest: Context::new(&SHA256),
            line: 0,
            rows: 0,
            kept: None,
            head: Head {
                postern: purpose,
                format: FORMAT,
                schema: 0,
                store: String::new(),
                incarnation: 0,
                revision: 0,
            },
        };
        let line = reader.next()?;
        let head: Head = serde_json::from_str(&line).map_err(|_other| reader.wrong("not a file of Postern's"))?;
        let known = schema::newest();
        if head.format != FORMAT || head.schema != known {
            return Err(reader.wrong(&format!(
                "written by a version with format {} and schema {}; this one reads format {FORMAT} and schema {known}",
                head.format, head.schema
            )));
        }
        if head.postern == Purpose::Backup && purpose == Purpose::Export {
            return Err(
                reader.wrong("a backup: it is restored, not imported, so that what was revoked since stays revoked")
            );
        }
        reader.count(&line);
        reader.head = head;
        Ok(reader)
    }

    fn next(&mut self) -> Result<String, TransferError> {
        self.line += 1;
        let line = self.lines.next().transpose()?;
        let line = line.ok_or_else(|| self.wrong("the file ends too early"))?;
        Ok(line)
    }

    fn count(&mut self, line: &str) {
        self.digest.update(line.as_bytes());
        self.digest.update(b"\n");
    }

    fn table(&mut self, table: &Table) -> Result<(), TransferError> {
        let line = match self.kept.take() {
            Some(line) => line,
            None => self.next()?,
        };
        let head: TableHead =
            serde_json::from_str(&line).map_err(|_other| self.wrong(&format!("not the table {}", table.name)))?;
        if head.table != table.name || !head.columns.iter().map(String::as_str).eq(table.names()) {
            return Err(self.wrong(&format!("not the columns of the table {}", table.name)));
        }
        self.count(&line);
        Ok(())
    }

    /// Reads the next rows, a bounded number of them; none at the end of the table.
    fn rows(&mut self, table: &Table) -> Result<Vec<Vec<Value>>, TransferError> {
        let mut rows = Vec::new();
        let rows_max = table.page.min(VALUES_MAX / table.columns.len());
        while rows.len() < rows_max {
            let line = match self.kept.take() {
                Some(line) => line,
                None => self.next()?,
            };
            if !line.starts_with('[') {
                self.kept = Some(line);
                break;
            }
            let values: Vec<Json> = serde_json::from_str(&line).map_err(|_other| self.wrong("not a row"))?;
            let row = (values.len() == table.columns.len()).then(|| {
                let values = values.into_iter().zip(table.columns);
                values.map(|(value, (_, kind))| from_json(value, *kind)).collect()
            });
            let row: Option<Vec<Value>> = row.flatten();
            rows.push(row.ok_or_else(|| self.wrong(&format!("not a row of the table {}", table.name)))?);
            self.count(&line);
        }
        self.rows += rows.len() as u64;
        Ok(rows)
    }

    fn end(&mut self) -> Result<(), TransferError> {
        let line = match self.kept.take() {
            Some(line) => line,
            None => self.next()?,
        };
        let end: End = serde_json::from_str(&line).map_err(|_other| self.wrong("not the end of a file"))?;
        if end.rows != self.rows || end.sha256 != hexadecimal(self.digest.clone().finish().as_ref()) {
            return Err(self.wrong("rows are missing or were changed: the digest is another"));
        }
        if self.lines.next().is_some() {
            return Err(self.wrong("more behind the end"));
        }
        Ok(())
    }

    pub(super) fn wrong(&self, problem: &str) -> TransferError {
        TransferError::File {
            line: self.line,
            problem: problem.to_owned(),
        }
    }
}

struct Lines<'w, W> {
    out: &'w mut W,
    digest: Context,
}

impl<W: Write> Lines<'_, W> {
    fn write(&mut self, line: &impl Serialize) -> Result<(), TransferError> {
        let mut text = serde_json::to_vec(line).map_err(std::io::Error::from)?;
        text.push(b'\n');
        self.digest.update(&text);
        self.out.write_all(&text)?;
        Ok(())
    }
}

impl From<StoreError> for TransferError {
    fn from(error: StoreError) -> Self {
        Self::Store(Box::new(error))
    }
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Boolean(value) => Json::from(*value),
        Value::Integer(value) => Json::from(*value),
        Value::Text(value) => Json::from(value.as_deref()),
        Value::Octets(value) => Json::from(value.as_ref().map(|octets| STANDARD.encode(octets))),
    }
}

fn from_json(value: Json, kind: Kind) -> Option<Value> {
    Some(match (kind, value) {
        (Kind::Boolean, Json::Bool(value)) => Value::Boolean(value),
        (Kind::Integer, Json::Null) => Value::Integer(None),
        (Kind::Integer, Json::Number(value)) => Value::Integer(Some(value.as_i64()?)),
        (Kind::Text, Json::Null) => Value::Text(None),
        (Kind::Text, Json::String(value)) => Value::Text(Some(value)),
        (Kind::Octets, Json::Null) => Value::Octets(None),
        (Kind::Octets, Json::String(value)) => Value::Octets(Some(STANDARD.decode(value).ok()?)),
        _ => return None,
    })
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Version of the file's form. What is in the tables has a version of its own, the schema's.
const FORMAT: u32 = 1;

/// Most values in one statement: SQLite takes 32,766.
const VALUES_MAX: usize = 10_000;
