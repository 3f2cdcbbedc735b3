//! Role bindings: which role a subject holds on a scope, at most one for each pair.

use feed::{RoleBinding, Scope, SubjectKind};

use super::sql::sql;
use super::subjects::{kind_name, parse_kind};
use super::{Change, StoreError, Subject, View, unsigned};

impl View {
    /// Returns all roles of a subject, ordered by scope.
    pub(crate) async fn roles(&mut self, subject: &str) -> Result<Vec<RoleBinding>, StoreError> {
        let rows: Vec<(String, String)> =
            sql("SELECT scope, role FROM role_bindings WHERE subject = $1 ORDER BY scope")
                .bind(subject)
                .fetch_all(self.connection())
                .await?;
        rows.into_iter()
            .map(|(scope, role)| {
                let scope = scope.parse().map_err(|error| StoreError::Damaged(format!("{error}")))?;
                Ok(RoleBinding { scope, role })
            })
            .collect()
    }

    /// Counts those who could act as administrators of an organisation without this subject: service users, and members
    /// that have followed their invitation.
    pub(crate) async fn administrators_besides(&mut self, subject: &Subject) -> Result<u64, StoreError> {
        let (count,): (i64,) = sql(
            "SELECT count(*) FROM role_bindings b JOIN subjects s ON s.id = b.subject
             WHERE b.scope = '/orgs/' || $1 AND b.role = 'administrator' AND s.id <> $2
               AND ((s.kind = 'service-user' AND NOT s.disabled) OR (s.kind = 'member' AND s.invite = 'accepted'))",
        )
        .bind(&subject.org)
        .bind(&subject.id)
        .fetch_one(self.connection())
        .await?;
        unsigned(count)
    }

    /// Returns a subject in the form that gateways are told.
    pub(super) async fn subject_record(&mut self, id: &str) -> Result<feed::Subject, StoreError> {
        let (kind, org): (String, String) = sql("SELECT kind, org FROM subjects WHERE id = $1")
            .bind(id)
            .fetch_one(self.connection())
            .await?;
        Ok(feed::Subject {
            id: id.to_owned(),
            kind: parse_kind(&kind)?,
            org,
            roles: self.roles(id).await?,
        })
    }
}

impl Change {
    /// Gives a subject a role on a scope, in place of the one it holds there.
    pub(crate) async fn bind(
        &mut self,
        subject: &str,
        kind: SubjectKind,
        scope: &Scope,
        role: &str,
    ) -> Result<(), StoreError> {
        sql(
            "INSERT INTO role_bindings (subject, subject_kind, org, scope, role, created_ms, created_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (subject, scope) DO UPDATE
             SET role = excluded.role, created_ms = excluded.created_ms, created_by = excluded.created_by",
        )
        .bind(subject)
        .bind(kind_name(kind))
        .bind(scope.organisation())
        .bind(scope.to_string())
        .bind(role)
        .bind(self.now_ms)
        .bind(self.actor.id().to_owned())
        .execute(self.view.connection())
        .await?;
        self.touched.insert(subject.to_owned());
        Ok(())
    }

    /// Takes the role that a subject holds on a scope.
    pub(crate) async fn unbind(&mut self, subject: &str, scope: &Scope) -> Result<(), StoreError> {
        sql("DELETE FROM role_bindings WHERE subject = $1 AND scope = $2")
            .bind(subject)
            .bind(scope.to_string())
            .execute(self.view.connection())
            .await?;
        self.touched.insert(subject.to_owned());
        Ok(())
    }

    /// Takes all roles that anybody holds on a scope, and returns whose they were.
    pub(crate) async fn unbind_all(&mut self, scope: &Scope) -> Result<Vec<String>, StoreError> {
        let rows: Vec<(String,)> = sql("DELETE FROM role_bindings WHERE scope = $1 RETURNING subject")
            .bind(scope.to_string())
            .fetch_all(self.view.connection())
            .await?;
        let subjects: Vec<String> = rows.into_iter().map(|(subject,)| subject).collect();
        self.touched.extend(subjects.iter().cloned());
        Ok(subjects)
    }
}
