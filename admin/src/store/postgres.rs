//! PostgreSQL: where it is, opening it, and what its errors mean.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection, Postgres, Row};

use super::connections::Pool;
use super::dialect::Dialect;
use super::health::Health;
use super::open::{READERS, SNAPSHOT_WAIT_MAX, SNAPSHOTS, WAIT_MAX};
use super::{Pools, StoreError, following, schema};
use crate::OpenError;

/// Where a PostgreSQL database is, and how it is reached.
#[derive(Clone)]
pub struct PostgresPlace {
    options: Box<PgConnectOptions>,
    name: String,
}

/// Why a text is not the place of a database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// It is of another form.
    #[error("not a URL of the form postgres://USER@HOST/DATABASE")]
    Form,
    /// It names no database.
    #[error("names no database")]
    NoDatabase,
    /// It holds a password, which would be in logs.
    #[error("holds a password: it belongs in a file of its own")]
    Password,
    /// A parameter is not known, or not to be had.
    #[error("has the parameter {0}, which is not one of sslmode, sslrootcert, sslcert, sslkey, host, port")]
    Parameter(String),
    /// TLS would be left out when the other side asks for it.
    #[error("sslmode must be disable, require, verify-ca or verify-full")]
    SslMode,
}

impl PostgresPlace {
    /// Reads a URL of libpq's form. Without `sslmode`, TLS with a checked certificate is needed, but for sockets of the
    /// same machine.
    ///
    /// # Errors
    /// [`InvalidUrl`].
    pub fn parse(url: &str, password: Option<&str>) -> Result<Self, InvalidUrl> {
        let scheme = ["postgres://", "postgresql://"];
        let rest = scheme.iter().find_map(|scheme| url.strip_prefix(scheme));
        let rest = rest.ok_or(InvalidUrl::Form)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').ok_or(InvalidUrl::NoDatabase)?;
        if authority.split_once('@').is_some_and(|(user, _)| user.contains(':')) {
            return Err(InvalidUrl::Password);
        }
        let mut ssl_mode = None;
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').ok_or(InvalidUrl::Form)?;
            match name {
                "sslmode" => ssl_mode = Some(checked_mode(value)?),
                "sslrootcert" | "sslcert" | "sslkey" | "host" | "port" => {}
                "password" => return Err(InvalidUrl::Password),
                other => return Err(InvalidUrl::Parameter(other.to_owned())),
            }
        }
        // libpq takes a URL without a host where `host` is a parameter.
        let host = if authority.is_empty() || authority.ends_with('@') {
            "localhost"
        } else {
            ""
        };
        let url = format!("postgres://{authority}{host}/{database}?{query}");
        let options = PgConnectOptions::from_str(&url).map_err(|_malformed| InvalidUrl::Form)?;
        let ssl_mode = ssl_mode.unwrap_or(match options.get_socket() {
            Some(_) => PgSslMode::Disable,
            None => PgSslMode::VerifyFull,
        });
        let database = options.get_database().ok_or(InvalidUrl::NoDatabase)?;
        let host = options
            .get_socket()
            .map_or_else(|| options.get_host().to_owned(), |path| path.display().to_string());
        let name = format!("postgres://{host}/{database}");
        let options = options
            .ssl_mode(ssl_mode)
            .application_name("postern")
            .disable_statement_logging();
        let options = match password {
            Some(password) => options.password(password),
            None => options,
        };
        Ok(Self {
            options: Box::new(options),
            name,
        })
    }

    /// Returns host and database, without the user and the password.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Brings the database to the newest version of the schema; returns the version that it had and the one it has.
    ///
    /// # Errors
    /// [`OpenError::NewerSchema`], [`OpenError::Database`].
    pub async fn migrate(&self) -> Result<(i64, i64), OpenError> {
        let connected = self.options.connect().await;
        let mut connection = connected.map_err(|error| self.failure(error))?;
        let found = version(&mut connection).await.map_err(|error| self.failure(error))?;
        self.check_not_newer(found)?;
        let migrated = schema::migrator(Dialect::Postgres).run(&mut connection).await;
        migrated.map_err(|error| self.failure(schema::unmigrated(error)))?;
        connection.close().await.ok();
        Ok((found, schema::newest()))
    }

    fn check_not_newer(&self, found: i64) -> Result<(), OpenError> {
        let known = schema::newest();
        if found <= known {
            return Ok(());
        }
        Err(OpenError::NewerSchema {
            path: self.name.clone().into(),
            found,
            known,
        })
    }

    fn check_not_older(&self, found: i64) -> Result<(), OpenError> {
        let needed = schema::newest();
        if found >= needed {
            return Ok(());
        }
        Err(OpenError::OlderSchema {
            store: self.name.clone(),
            found,
            needed,
        })
    }

    fn failure(&self, error: sqlx::Error) -> OpenError {
        OpenError::Database {
            path: self.name.clone().into(),
            source: Box::new(error),
        }
    }
}

/// Returns a mode that does not give way to none.
fn checked_mode(name: &str) -> Result<PgSslMode, InvalidUrl> {
    match name {
        "verify-full" => Ok(PgSslMode::VerifyFull),
        "verify-ca" => Ok(PgSslMode::VerifyCa),
        "require" => Ok(PgSslMode::Require),
        "disable" => Ok(PgSslMode::Disable),
        _ => Err(InvalidUrl::SslMode),
    }
}

impl fmt::Debug for PostgresPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresPlace").field(&self.name).finish()
    }
}

/// Opens a database whose schema is this binary's. Returns its connections, and those of decisions: writer and readers.
///
/// # Errors
/// [`OpenError::Corrupt`], [`OpenError::NewerSchema`], [`OpenError::OlderSchema`], [`OpenError::Database`].
pub(super) async fn open(place: &PostgresPlace, health: &Health) -> Result<(Pools, (Pool, Pool)), OpenError> {
    let connected = place.options.connect().await;
    let mut connection = connected.map_err(|error| place.failure(error))?;
    let found = version(&mut connection).await;
    let found = found.map_err(|error| place.failure(error))?;
    place.check_not_newer(found)?;
    place.check_not_older(found)?;
    let problem = problem(&mut connection).await;
    if let Some(detail) = problem.map_err(|error| place.failure(error))? {
        return Err(OpenError::Corrupt {
            path: place.name.clone().into(),
            detail,
        });
    }
    connection.close().await.ok();
    let pool = |connections, wait, settings| Pool::Postgres(pool(place, (connections, wait), settings, health));
    let pools = Pools {
        writer: pool(1, WAIT_MAX, CHANGING),
        readers: pool(READERS, WAIT_MAX, READING),
        snapshots: pool(SNAPSHOTS, SNAPSHOT_WAIT_MAX, READING_LONG),
        following: Some(self::pool(place, (following::CONNECTIONS, WAIT_MAX), READING, health)),
    };
    Ok((pools, (pool(1, WAIT_MAX, DECIDED), pool(READERS, WAIT_MAX, READING))))
}

/// Makes a pool that connects when it is used, with a bound on connections and on the wait for one.
fn pool(
    place: &PostgresPlace,
    (connections, wait): (u32, Duration),
    settings: &'static str,
    health: &Health,
) -> sqlx::Pool<Postgres> {
    let health = health.clone();
    PoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(wait)
        .idle_timeout(None)
        .max_lifetime(CONNECTION_LIFETIME)
        // A server that was started again has closed what was idle.
        .test_before_acquire(true)
        .after_connect(move |connection, _| {
            health.connected();
            Box::pin(async move { sqlx::raw_sql(settings).execute(connection).await.map(drop) })
        })
        .connect_lazy_with(PgConnectOptions::clone(&place.options))
}

/// Returns the version of the schema; 0: there is none.
async fn version(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    let (migrated,): (bool,) = sqlx::query_as(
        "SELECT EXISTS (SELECT 1 FROM information_schema.tables
                        WHERE table_schema = current_schema() AND table_name = '_sqlx_migrations')",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !migrated {
        return Ok(0);
    }
    let row = sqlx::query("SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success")
        .fetch_one(connection)
        .await?;
    row.try_get(0)
}

/// Looks for what keeps a database from being used.
async fn problem(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    let (encoding,): (String,) = sqlx::query_as("SELECT current_setting('server_encoding')")
        .fetch_one(&mut *connection)
        .await?;
    if encoding != "UTF8" {
        return Ok(Some(format!("its encoding is {encoding}, and must be UTF8")));
    }
    let (in_step,): (bool,) = sqlx::query_as(
        "SELECT coalesce((SELECT max(revision) FROM store), 0) = coalesce((SELECT max(revision) FROM changes), 0)
            AND coalesce((SELECT max(revision) FROM store), 0) = coalesce((SELECT max(revision) FROM audit_entries), 0)",
    )
    .fetch_one(connection)
    .await?;
    Ok((!in_step).then(|| "the revision, the change log and the audit entries are not in step".to_owned()))
}

/// Returns what an error means, where PostgreSQL or the way to it has made it.
pub(super) fn known(error: &sqlx::Error) -> Option<StoreError> {
    if matches!(
        error,
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolClosed
    ) {
        return Some(StoreError::Unreachable);
    }
    match code(error)? {
        LOCK_NOT_AVAILABLE | QUERY_CANCELED => Some(StoreError::Busy),
        READ_ONLY | IDLE_IN_TRANSACTION => Some(StoreError::Unreachable),
        code if code.starts_with(ROLLED_BACK) => Some(StoreError::Busy),
        code if code.starts_with(NO_CONNECTION) || code.starts_with(NO_RESOURCES) => Some(StoreError::Unreachable),
        code if code.starts_with(OPERATOR) => Some(StoreError::Unreachable),
        _ => None,
    }
}

/// Returns whether the server itself has said that a commit was not made.
pub(super) fn is_refusal(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| code.starts_with(ROLLED_BACK) || code.starts_with(VIOLATION))
}

fn code(error: &sqlx::Error) -> Option<&str> {
    let error = error.as_database_error()?;
    error.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::code)
}

/// A change holds the row that all others wait for: a process that stands still must not hold it for long.
const CHANGING: &str = "SET lock_timeout = '5s'; SET statement_timeout = '20s';
    SET idle_in_transaction_session_timeout = '10s';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

const READING: &str = "SET statement_timeout = '20s'; SET idle_in_transaction_session_timeout = '20s'";

/// A gateway may read nothing for 30 s while a snapshot is told.
const READING_LONG: &str = "SET statement_timeout = '60s'; SET idle_in_transaction_session_timeout = '60s'";

/// What the last second before a crash of the server decided may be lost here; it is in the gateway's log.
const DECIDED: &str = "SET lock_timeout = '5s'; SET statement_timeout = '20s';
    SET idle_in_transaction_session_timeout = '10s'; SET synchronous_commit = off";

/// After which time a connection is replaced: what a proxy or a firewall on the way forgets is not kept.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(1800);

// https://www.postgresql.org/docs/15/errcodes-appendix.html: whole codes, and the classes that codes begin with.
const LOCK_NOT_AVAILABLE: &str = "55P03";
const QUERY_CANCELED: &str = "57014";
const READ_ONLY: &str = "25006";
const IDLE_IN_TRANSACTION: &str = "25P03";
const ROLLED_BACK: &str = "40";
const VIOLATION: &str = "23";
const NO_CONNECTION: &str = "08";
const NO_RESOURCES: &str = "53";
const OPERATOR: &str = "57";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_named_without_its_user_and_shows_no_password() {
        let place = PostgresPlace::parse("postgres://me@db.example.com:5433/postern", Some("secret")).expect("a place");
        assert_eq!(place.name(), "postgres://db.example.com/postern");
        assert_eq!(
            format!("{place:?}"),
            "PostgresPlace(\"postgres://db.example.com/postern\")"
        );
    }

    #[test]
    fn tls_is_checked_unless_it_is_said_otherwise_or_the_socket_is_local() {
        let mode = |url: &str| {
            let place = PostgresPlace::parse(url, None).expect("a place");
            format!("{:?}", place.options.get_ssl_mode())
        };
        assert_eq!(mode("postgres://me@db/postern"), "VerifyFull");
        assert_eq!(mode("postgres://me@db/postern?sslmode=disable"), "Disable");
        assert_eq!(mode("postgres://me@db/postern?sslmode=verify-ca"), "VerifyCa");
        assert_eq!(mode("postgres://me@/postern?host=/run/postgresql"), "Disable");
        for giving_way in ["allow", "prefer", "", "require "] {
            let url = format!("postgres://me@db/postern?sslmode={giving_way}");
            assert_eq!(
                PostgresPlace::parse(&url, None).err(),
                Some(InvalidUrl::SslMode),
                "{url}"
            );
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        let refused = |url: &str| PostgresPlace::parse(url, None).err();
        assert_eq!(refused("mysql://me@db/postern"), Some(InvalidUrl::Form));
        assert_eq!(refused("postgres://me@db"), Some(InvalidUrl::NoDatabase));
        assert_eq!(refused("postgres://me@db/"), Some(InvalidUrl::NoDatabase));
        assert_eq!(refused("postgres://me:secret@db/postern"), Some(InvalidUrl::Password));
        assert_eq!(
            refused("postgres://me@db/postern?password=secret"),
            Some(InvalidUrl::Password)
        );
        assert_eq!(
            refused("postgres://me@db/postern?connect_timeout=1"),
            Some(InvalidUrl::Parameter("connect_timeout".to_owned()))
        );
    }
}
