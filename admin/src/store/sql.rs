//! Statements: one text for both databases, with `$1`, `$2` … where values go.
//!
//! What the two understand differently is not written here: `dialect` has it, statement by statement.

use sqlx::database::Database;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Decode, Encode, FromRow, Postgres, Row as _, SqlSafeStr, SqlStr, Sqlite, Type};

use super::connections::Connection;

/// Begins a statement.
pub(super) fn sql(text: impl SqlSafeStr) -> Statement {
    Statement {
        text: text.into_sql_str(),
        values: Vec::new(),
    }
}

/// A statement with its values.
#[derive(Debug)]
pub(super) struct Statement {
    text: SqlStr,
    values: Vec<Value>,
}

/// A value of one of the types that the store uses.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Boolean(bool),
    Integer(Option<i64>),
    Text(Option<String>),
    Octets(Option<Vec<u8>>),
}

/// One row of an answer.
#[derive(Debug)]
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// What can be read from a row of either database: tuples of columns, and structures that derive `FromRow`.
pub(super) trait FromAnyRow: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> {}

impl<T> FromAnyRow for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> {}

/// What can be read from a column of either database.
pub(super) trait FromAnyColumn:
    for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}

impl<T> FromAnyColumn for T where
    T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}

impl Statement {
    /// Gives the next value.
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs it, and returns how many rows it touched.
    pub(super) async fn execute(self, connection: Connection<'_>) -> Result<u64, sqlx::Error> {
        match connection {
            Connection::Sqlite(connection) => Ok(self.sqlite().execute(connection).await?.rows_affected()),
            Connection::Postgres(connection) => Ok(self.postgres().execute(connection).await?.rows_affected()),
        }
    }

    /// Runs it, and returns all rows as they are.
    pub(super) async fn rows(self, connection: Connection<'_>) -> Result<Vec<Row>, sqlx::Error> {
        match connection {
            Connection::Sqlite(connection) => {
                let rows = self.sqlite().fetch_all(connection).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            Connection::Postgres(connection) => {
                let rows = self.postgres().fetch_all(connection).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    /// Runs it, and returns the first row as it is.
    pub(super) async fn row(self, connection: Connection<'_>) -> Result<Option<Row>, sqlx::Error> {
        match connection {
            Connection::Sqlite(connection) => Ok(self.sqlite().fetch_optional(connection).await?.map(Row::Sqlite)),
            Connection::Postgres(connection) => {
                Ok(self.postgres().fetch_optional(connection).await?.map(Row::Postgres))
            }
        }
    }

    /// Runs it, and reads all rows.
    pub(super) async fn fetch_all<T: FromAnyRow>(self, connection: Connection<'_>) -> Result<Vec<T>, sqlx::Error> {
        self.rows(connection).await?.iter().map(Row::read).collect()
    }

    /// Runs it, and reads the first row.
    pub(super) async fn fetch_optional<T: FromAnyRow>(
        self,
        connection: Connection<'_>,
    ) -> Result<Option<T>, sqlx::Error> {
        self.row(connection).await?.as_ref().map(Row::read).transpose()
    }

    /// Runs it, and reads the first row, which must be there.
    pub(super) async fn fetch_one<T: FromAnyRow>(self, connection: Connection<'_>) -> Result<T, sqlx::Error> {
        let row = self.fetch_optional(connection).await?;
        row.ok_or(sqlx::Error::RowNotFound)
    }

    fn sqlite(self) -> Query<'static, Sqlite, SqliteArguments> {
        self.values.into_iter().fold(sqlx::query(self.text), bind_to)
    }

    fn postgres(self) -> Query<'static, Postgres, PgArguments> {
        self.values.into_iter().fold(sqlx::query(self.text), bind_to)
    }
}

fn bind_to<D>(query: Query<'static, D, D::Arguments>, value: Value) -> Query<'static, D, D::Arguments>
where
    D: Database,
    bool: for<'q> Encode<'q, D> + Type<D>,
    Option<i64>: for<'q> Encode<'q, D> + Type<D>,
    Option<String>: for<'q> Encode<'q, D> + Type<D>,
    Option<Vec<u8>>: for<'q> Encode<'q, D> + Type<D>,
{
    match value {
        Value::Boolean(value) => query.bind(value),
        Value::Integer(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
        Value::Octets(value) => query.bind(value),
    }
}

impl Row {
    /// Returns the value of a column.
    pub(super) fn get<T: FromAnyColumn>(&self, column: &str) -> Result<T, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }

    fn read<T: FromAnyRow>(&self) -> Result<T, sqlx::Error> {
        match self {
            Self::Sqlite(row) => T::from_row(row),
            Self::Postgres(row) => T::from_row(row),
        }
    }
}

macro_rules! values {
    ($($from:ty => |$value:ident| $into:expr),+ $(,)?) => {
        $(impl From<$from> for Value {
            fn from($value: $from) -> Self {
                $into
            }
        })+
    };
}

values! {
    bool => |value| Self::Boolean(value),
    i64 => |value| Self::Integer(Some(value)),
    Option<i64> => |value| Self::Integer(value),
    &str => |value| Self::Text(Some(value.to_owned())),
    String => |value| Self::Text(Some(value)),
    &String => |value| Self::Text(Some(value.clone())),
    Option<&str> => |value| Self::Text(value.map(str::to_owned)),
    Option<String> => |value| Self::Text(value),
    Option<&String> => |value| Self::Text(value.cloned()),
    &Option<String> => |value| Self::Text(value.clone()),
    &[u8] => |value| Self::Octets(Some(value.to_owned())),
}
