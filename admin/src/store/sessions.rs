//! Sessions: browsers in which members have signed in to the console, and the links that let them. Never a secret, only
//! digests. No revision tells of them: gateways have no use for that.

use feed::Digest;

use super::sql::sql;
use super::{Store, StoreError, View};

/// A browser in which a member has signed in.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Session {
    pub id: String,
    pub subject: String,
    /// What the browser says it is.
    pub browser: String,
    pub created_ms: i64,
    /// When it was last used, to the minute.
    pub seen_ms: i64,
}

/// A session to be.
#[derive(Debug)]
pub(crate) struct NewSession<'a> {
    pub id: &'a str,
    pub digest: Digest,
    pub browser: &'a str,
    pub now_ms: i64,
}

/// Sessions that were created and seen no earlier than this.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Living {
    pub created_ms_min: i64,
    pub seen_ms_min: i64,
}

impl Store {
    /// Lets a member sign in with a link, once, until a time.
    pub(crate) async fn insert_link(
        &self,
        digest: Digest,
        (org, member): (&str, &str),
        (now_ms, ends_ms): (i64, i64),
    ) -> Result<(), StoreError> {
        let mut view = self.locked().await?;
        sql("DELETE FROM sign_in_links WHERE ends_ms <= $1")
            .bind(now_ms)
            .execute(view.connection())
            .await?;
        sql("INSERT INTO sign_in_links (digest, subject, org, ends_ms) VALUES ($1, $2, $3, $4)")
            .bind(&digest.as_bytes()[..])
            .bind(member)
            .bind(org)
            .bind(ends_ms)
            .execute(view.connection())
            .await?;
        Ok(view.transaction.commit().await?)
    }

    /// Uses a link up and begins a session; `None` when the link is none, was used, or has ended. Returns the member's id.
    pub(crate) async fn follow_link(
        &self,
        link: Digest,
        new: &NewSession<'_>,
        living: Living,
    ) -> Result<Option<String>, StoreError> {
        let mut view = self.locked().await?;
        let row: Option<(String, String)> = sql("DELETE FROM sign_in_links WHERE digest = $1 AND ends_ms > $2
             RETURNING subject, org")
        .bind(&link.as_bytes()[..])
        .bind(new.now_ms)
        .fetch_optional(view.connection())
        .await?;
        let Some((subject, org)) = row else { return Ok(None) };
        sql("DELETE FROM sessions WHERE created_ms < $1 OR seen_ms < $2")
            .bind(living.created_ms_min)
            .bind(living.seen_ms_min)
            .execute(view.connection())
            .await?;
        sql(
            "INSERT INTO sessions (id, digest, subject, org, browser, created_ms, seen_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $6)",
        )
        .bind(new.id)
        .bind(&new.digest.as_bytes()[..])
        .bind(&subject)
        .bind(org)
        .bind(new.browser)
        .bind(new.now_ms)
        .execute(view.connection())
        .await?;
        view.transaction.commit().await?;
        Ok(Some(subject))
    }

    /// Notes that a session is in use.
    pub(crate) async fn see_session(&self, id: &str, now_ms: i64) -> Result<(), StoreError> {
        let mut view = self.locked().await?;
        sql("UPDATE sessions SET seen_ms = $1 WHERE id = $2")
            .bind(now_ms)
            .bind(id)
            .execute(view.connection())
            .await?;
        Ok(view.transaction.commit().await?)
    }

    /// Ends a session of a member; returns whether there was one.
    pub(crate) async fn end_session(&self, member: &str, id: &str) -> Result<bool, StoreError> {
        let mut view = self.locked().await?;
        let ended = sql("DELETE FROM sessions WHERE subject = $1 AND id = $2")
            .bind(member)
            .bind(id)
            .execute(view.connection())
            .await?;
        view.transaction.commit().await?;
        Ok(ended > 0)
    }
}

impl View {
    /// Returns the session that a browser proves.
    pub(crate) async fn session(&mut self, digest: Digest, living: Living) -> Result<Option<Session>, StoreError> {
        let session = sql("SELECT id, subject, browser, created_ms, seen_ms FROM sessions
             WHERE digest = $1 AND created_ms >= $2 AND seen_ms >= $3")
        .bind(&digest.as_bytes()[..])
        .bind(living.created_ms_min)
        .bind(living.seen_ms_min)
        .fetch_optional(self.connection())
        .await?;
        Ok(session)
    }

    /// Returns the sessions of a member, the newest first.
    pub(crate) async fn sessions(&mut self, member: &str, living: Living) -> Result<Vec<Session>, StoreError> {
        let sessions = sql("SELECT id, subject, browser, created_ms, seen_ms FROM sessions
             WHERE subject = $1 AND created_ms >= $2 AND seen_ms >= $3 ORDER BY created_ms DESC, id")
        .bind(member)
        .bind(living.created_ms_min)
        .bind(living.seen_ms_min)
        .fetch_all(self.connection())
        .await?;
        Ok(sessions)
    }
}
