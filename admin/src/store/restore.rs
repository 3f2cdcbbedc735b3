//! Restoring: a backup becomes another life of the store, in which no token is believed that may have been revoked since.

use super::sql::sql;
use super::{StoreError, View, unsigned};

/// The store that a restored backup takes the place of, as it was at its end.
#[derive(Debug)]
pub(super) struct Replaced {
    view: View,
    pub(super) id: String,
    pub(super) revision: u64,
}

impl Replaced {
    /// Reads what the store is. It must be in use no more.
    pub(super) async fn of(mut view: View) -> Result<Self, StoreError> {
        let (id, revision): (String, i64) = sql("SELECT id, revision FROM store")
            .fetch_one(view.connection())
            .await?;
        Ok(Self {
            view,
            id,
            revision: unsigned(revision)?,
        })
    }
}

/// Digest, subject, id, expiry and client certificate.
type LivingToken = (Vec<u8>, String, String, Option<i64>, Option<String>);

impl View {
    /// Holds every token but those which the replaced store vouches for: it has them alive, of the same subject, until the same
    /// time, and the subject holds no role here that it did not hold there. Returns how many are held, and how many not.
    pub(super) async fn hold_tokens(&mut self, replaced: Option<&mut Replaced>) -> Result<(u64, u64), StoreError> {
        sql("UPDATE tokens SET held = $1")
            .bind(true)
            .execute(self.connection())
            .await?;
        if let Some(replaced) = replaced {
            self.free_living_tokens(&mut replaced.view).await?;
            self.hold_where_roles_came_back(&mut replaced.view).await?;
        }
        let (held, free): (i64, i64) = sql("SELECT (SELECT count(*) FROM tokens WHERE held = $1),
                    (SELECT count(*) FROM tokens WHERE held <> $1)")
        .bind(true)
        .fetch_one(self.connection())
        .await?;
        Ok((unsigned(held)?, unsigned(free)?))
    }

    async fn free_living_tokens(&mut self, replaced: &mut View) -> Result<(), StoreError> {
        let mut after = Vec::new();
        loop {
            let living: Vec<LivingToken> = sql("SELECT digest, subject, id, expires_ms, certificate FROM tokens
                 WHERE held <> $1 AND digest > $2 ORDER BY digest LIMIT $3")
            .bind(true)
            .bind(after.as_slice())
            .bind(ROWS_AT_ONCE)
            .fetch_all(replaced.connection())
            .await?;
            let Some((last, ..)) = living.last() else {
                return Ok(());
            };
            after.clone_from(last);
            for (digest, subject, id, expires_ms, certificate) in living {
                sql("UPDATE tokens SET held = $1
                     WHERE digest = $2 AND subject = $3 AND id = $4
                       AND expires_ms IS NOT DISTINCT FROM $5 AND certificate IS NOT DISTINCT FROM $6")
                .bind(false)
                .bind(digest.as_slice())
                .bind(subject)
                .bind(id)
                .bind(expires_ms)
                .bind(certificate)
                .execute(self.connection())
                .await?;
            }
        }
    }

    async fn hold_where_roles_came_back(&mut self, replaced: &mut View) -> Result<(), StoreError> {
        let (mut subject, mut scope) = (String::new(), String::new());
        loop {
            let bindings: Vec<(String, String, String)> = sql("SELECT subject, scope, role FROM role_bindings
                 WHERE (subject, scope) > ($1, $2) ORDER BY subject, scope LIMIT $3")
            .bind(&subject)
            .bind(&scope)
            .bind(ROWS_AT_ONCE)
            .fetch_all(self.connection())
            .await?;
            let Some((last_subject, last_scope, _)) = bindings.last() else {
                return Ok(());
            };
            (subject, scope) = (last_subject.clone(), last_scope.clone());
            for (subject, scope, role) in &bindings {
                let (held_there,): (bool,) = sql("SELECT EXISTS (SELECT 1 FROM role_bindings
                     WHERE subject = $1 AND scope = $2 AND role = $3)")
                .bind(subject)
                .bind(scope)
                .bind(role)
                .fetch_one(replaced.connection())
                .await?;
                if !held_there {
                    sql("UPDATE tokens SET held = $1 WHERE subject = $2")
                        .bind(true)
                        .bind(subject)
                        .execute(self.connection())
                        .await?;
                }
            }
        }
    }
}

/// Rows that are read at once.
const ROWS_AT_ONCE: i64 = 5000;
