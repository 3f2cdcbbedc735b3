//! Service users as lists show them: a page at a time, with what their tokens come to.

use sqlx::AssertSqlSafe;

use super::sql::{Statement, sql};
use super::{StoreError, View, unsigned};

/// Which service users are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// What their name, id or address contains, in any spelling of ASCII letters; empty: anything.
    pub text: String,
    /// Their role on the organisation; empty: any.
    pub role: String,
    pub state: Option<State>,
    pub order: Order,
    pub descending: bool,
    pub offset: u64,
    pub limit: u64,
    /// From when to when a token is about to end.
    pub now_ms: i64,
    pub soon_ms: i64,
}

/// What lists tell service users apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Disabled,
    /// It has no token.
    Tokenless,
    /// A token of it ends soon.
    Ending,
    /// A token of it has ended.
    Ended,
}

/// What a list is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Order {
    #[default]
    Name,
    Created,
    Role,
    /// The next end of a token; who has none that ends comes last.
    Ending,
}

/// A line of such a list.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct ServiceUser {
    pub id: String,
    pub name: String,
    pub email: Option<String>,
    pub created_ms: i64,
    pub disabled: bool,
    pub role: Option<String>,
    pub tokens: i64,
    /// Tokens that have ended.
    pub ended: i64,
    /// When the next of its tokens ends.
    pub next_end_ms: Option<i64>,
}

impl View {
    /// Returns a page of the service users of an organisation, and how many there are on all pages.
    pub(crate) async fn service_users(
        &mut self,
        org: &str,
        wanted: &Wanted,
    ) -> Result<(u64, Vec<ServiceUser>), StoreError> {
        let filtered = format!("{ROWS} WHERE {}", condition(wanted.state));
        let text = format!("SELECT count(*) FROM ({filtered}) AS found");
        let (count,): (i64,) = bound(&text, org, wanted).fetch_one(self.connection()).await?;
        let direction = if wanted.descending { "DESC" } else { "ASC" };
        let order = match wanted.order {
            Order::Name => format!("lower(name) {direction}, id"),
            Order::Created => format!("created_ms {direction}, id"),
            Order::Role => format!("coalesce(role, '') {direction}, lower(name), id"),
            Order::Ending => format!("next_end_ms IS NULL, next_end_ms {direction}, lower(name), id"),
        };
        let text = format!("{filtered} ORDER BY {order} LIMIT $7 OFFSET $8");
        let rows = bound(&text, org, wanted)
            .bind(i64::try_from(wanted.limit).unwrap_or(i64::MAX))
            .bind(i64::try_from(wanted.offset).unwrap_or(i64::MAX))
            .fetch_all(self.connection())
            .await?;
        Ok((unsigned(count)?, rows))
    }
}

impl View {
    /// Returns how many tokens of an organisation end at a time or before.
    pub(crate) async fn tokens_ending_until(&mut self, org: &str, unix_ms: i64) -> Result<u64, StoreError> {
        let (count,): (i64,) = sql("SELECT count(*) FROM tokens WHERE org = $1 AND expires_ms <= $2")
            .bind(org)
            .bind(unix_ms)
            .fetch_one(self.connection())
            .await?;
        unsigned(count)
    }

    /// Returns how many tokens of an organisation never end by themselves.
    pub(crate) async fn tokens_without_end(&mut self, org: &str) -> Result<u64, StoreError> {
        let (count,): (i64,) = sql("SELECT count(*) FROM tokens WHERE org = $1 AND expires_ms IS NULL")
            .bind(org)
            .fetch_one(self.connection())
            .await?;
        unsigned(count)
    }
}

/// All service users of an organisation, `$1`, that match `$2` and `$3`; `$4` is now, `$5` is soon.
const ROWS: &str = r"SELECT * FROM (
    SELECT s.id, s.name, s.email, s.created_ms, s.disabled, b.role,
        coalesce(t.tokens, 0) AS tokens, coalesce(t.ended, 0) AS ended, t.next_end_ms,
        coalesce(t.next_end_ms <= $5, $6) AS is_ending
    FROM subjects s
    LEFT JOIN role_bindings b ON b.subject = s.id AND b.scope = '/orgs/' || s.org
    LEFT JOIN (SELECT subject, count(*) AS tokens, count(*) FILTER (WHERE expires_ms <= $4) AS ended,
                   min(expires_ms) FILTER (WHERE expires_ms > $4) AS next_end_ms
               FROM tokens WHERE org = $1 GROUP BY subject) AS t ON t.subject = s.id
    WHERE s.org = $1 AND s.kind = 'service-user' AND ($3 = '' OR b.role = $3)
        AND (lower(s.name) LIKE $2 ESCAPE '\' OR s.id LIKE $2 ESCAPE '\' OR lower(coalesce(s.email, '')) LIKE $2 ESCAPE '\')
    ) AS users";

fn condition(state: Option<State>) -> &'static str {
    match state {
        None => "1 = 1",
        Some(State::Disabled) => "disabled",
        Some(State::Tokenless) => "tokens = 0",
        Some(State::Ending) => "is_ending",
        Some(State::Ended) => "ended > 0",
    }
}

fn bound(text: &str, org: &str, wanted: &Wanted) -> Statement {
    let mut pattern = String::from("%");
    for character in wanted.text.to_ascii_lowercase().chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    sql(AssertSqlSafe(text.to_owned()))
        .bind(org)
        .bind(pattern)
        .bind(&wanted.role)
        .bind(wanted.now_ms)
        .bind(wanted.soon_ms)
        .bind(false)
}
