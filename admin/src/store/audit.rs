//! Audit entries: who changed what. One for each revision, written with it, never with a secret or a digest in it.

use serde_json::Value;

use super::sql::sql;
use super::{Change, StoreError, View, signed};

/// Who makes a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Actor {
    /// A subject, through the API.
    Subject {
        /// Id of the subject.
        id: String,
        /// Id of the token that its request carried.
        token: String,
    },
    /// A gateway, for something that happened at the orchestrator.
    Gateway {
        /// Id of the subject that made it happen, where that is known.
        creator: Option<String>,
    },
    /// The first start, on behalf of the administrator that it makes.
    Bootstrap {
        /// Id of the new administrator.
        administrator: String,
    },
    /// Whoever holds the store itself, with a command on its machine.
    Operator,
}

/// What a change did, for people.
#[derive(Debug)]
pub(crate) struct AuditEntry {
    /// Operation id of the catalogue, or the name of an event that is no operation.
    pub operation: &'static str,
    /// The organisation that was changed.
    pub org: String,
    /// Path of what was changed.
    pub target: String,
    /// What it was. `None`: it is new.
    pub before: Option<Value>,
    /// What it is. `None`: it is gone.
    pub after: Option<Value>,
}

/// An entry as it was written.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct StoredEntry {
    pub revision: i64,
    pub at_ms: i64,
    pub actor_kind: String,
    pub actor_subject: Option<String>,
    pub actor_token: Option<String>,
    /// What the actor is called now; `None`: it is gone.
    pub actor_name: Option<String>,
    pub operation: String,
    pub target: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// Which entries are asked for; `None`: any.
#[derive(Debug, Clone, Default)]
pub(crate) struct WantedEntries {
    pub actor: Option<String>,
    pub operation: Option<String>,
    /// Path of what was changed, and of all below it.
    pub target: Option<String>,
    pub before: Option<u64>,
    pub limit: u32,
}

impl View {
    /// Returns entries of an organisation, the newest first.
    pub(crate) async fn audit_entries(
        &mut self,
        org: &str,
        wanted: &WantedEntries,
    ) -> Result<Vec<StoredEntry>, StoreError> {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let before = wanted.before.map_or(Ok(i64::MAX), signed)?;
        let entries = sql(
            "SELECT a.revision, a.at_ms, a.actor_kind, a.actor_subject, a.actor_token,
                 s.name AS actor_name, a.operation, a.target, a.before, a.after
             FROM audit_entries a LEFT JOIN subjects s ON s.id = a.actor_subject
             WHERE a.org = $1 AND a.revision < $2 AND ($3 = '' OR a.actor_subject = $3)
               AND ($4 = '' OR a.operation = $4)
               AND ($5 = '' OR a.target = $5 OR substr(a.target, 1, length($5) + 1) = $5 || '/')
             ORDER BY a.revision DESC LIMIT $6",
        )
        .bind(org)
        .bind(before)
        .bind(text(&wanted.actor))
        .bind(text(&wanted.operation))
        .bind(text(&wanted.target))
        .bind(i64::from(wanted.limit))
        .fetch_all(self.connection())
        .await?;
        Ok(entries)
    }
}

impl Actor {
    /// Returns the id that rows tell as their creator.
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Subject { id, .. } => id,
            Self::Gateway { creator } => creator.as_deref().unwrap_or(GATEWAY),
            Self::Bootstrap { administrator } => administrator,
            Self::Operator => BOOTSTRAP,
        }
    }

    fn columns(&self) -> (&'static str, Option<&str>, Option<&str>) {
        match self {
            Self::Subject { id, token } => ("subject", Some(id), Some(token)),
            Self::Gateway { creator } => (GATEWAY, creator.as_deref(), None),
            Self::Bootstrap { administrator } => (BOOTSTRAP, Some(administrator), None),
            // The schema has no word of its own for those who need no token.
            Self::Operator => (BOOTSTRAP, None, None),
        }
    }
}

impl Change {
    pub(super) async fn insert_audit_entry(&mut self, entry: &AuditEntry) -> Result<(), StoreError> {
        let (kind, subject, token) = self.actor.columns();
        let text = |value: &Option<Value>| value.as_ref().map(Value::to_string);
        sql("INSERT INTO audit_entries
                (revision, at_ms, actor_kind, actor_subject, actor_token, operation, org, target, before, after)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
        .bind(signed(self.revision)?)
        .bind(self.now_ms)
        .bind(kind)
        .bind(subject)
        .bind(token)
        .bind(entry.operation)
        .bind(&entry.org)
        .bind(&entry.target)
        .bind(text(&entry.before))
        .bind(text(&entry.after))
        .execute(self.view.connection())
        .await?;
        Ok(())
    }
}

const GATEWAY: &str = "gateway";

const BOOTSTRAP: &str = "bootstrap";
