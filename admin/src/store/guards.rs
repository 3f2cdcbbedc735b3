//! Guards: guard policies where they are attached.

use feed::{Guard, Record};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Change, StoreError, View, unsigned};

impl View {
    /// Returns the guards of an organisation in the order of their ids.
    pub(crate) async fn guards(&mut self, org: &str) -> Result<Vec<Guard>, StoreError> {
        let rows = sqlx::query("SELECT * FROM guards WHERE org = ? ORDER BY id")
            .bind(org)
            .fetch_all(self.connection())
            .await?;
        rows.iter().map(read).collect()
    }

    /// Returns the guards that judge requests about an organisation: its own, and those of the installation.
    pub(crate) async fn guards_over(&mut self, org: &str) -> Result<Vec<Guard>, StoreError> {
        let rows = sqlx::query("SELECT * FROM guards WHERE org = ? OR scope = 'installation' ORDER BY org, id")
            .bind(org)
            .fetch_all(self.connection())
            .await?;
        rows.iter().map(read).collect()
    }

    /// Returns a guard of an organisation.
    pub(crate) async fn guard(&mut self, org: &str, id: &str) -> Result<Option<Guard>, StoreError> {
        let row = sqlx::query("SELECT * FROM guards WHERE org = ? AND id = ?")
            .bind(org)
            .bind(id)
            .fetch_optional(self.connection())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Returns the guards that a policy of an organisation is attached as.
    pub(crate) async fn guards_of(&mut self, org: &str, policy: &str) -> Result<Vec<Guard>, StoreError> {
        let rows = sqlx::query("SELECT * FROM guards WHERE org = ? AND policy = ? ORDER BY id")
            .bind(org)
            .bind(policy)
            .fetch_all(self.connection())
            .await?;
        rows.iter().map(read).collect()
    }

    /// Counts the guards of an organisation.
    pub(crate) async fn guards_count(&mut self, org: &str) -> Result<u64, StoreError> {
        let (count,): (i64,) = sqlx::query_as("SELECT count(*) FROM guards WHERE org = ?")
            .bind(org)
            .fetch_one(self.connection())
            .await?;
        unsigned(count)
    }
}

impl Change {
    /// Writes a guard as it is in this value, and tells gateways of it. Its policy and id stay what they were.
    pub(crate) async fn write_guard(&mut self, guard: &Guard) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO guards (org, id, policy, scope, position, settings, created_ms, created_by)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (org, id) DO UPDATE
             SET scope = excluded.scope, position = excluded.position, settings = excluded.settings",
        )
        .bind(&guard.org)
        .bind(&guard.id)
        .bind(&guard.policy)
        .bind(guard.scope.to_string())
        .bind(i64::from(guard.position))
        .bind(&guard.settings)
        .bind(self.now_ms)
        .bind(self.actor.id().to_owned())
        .execute(self.view.connection())
        .await?;
        self.records.push(Record::Guard(guard.clone()));
        Ok(())
    }

    /// Removes a guard, and tells gateways of its end.
    pub(crate) async fn delete_guard(&mut self, guard: &Guard) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM guards WHERE org = ? AND id = ?")
            .bind(&guard.org)
            .bind(&guard.id)
            .execute(self.view.connection())
            .await?;
        self.records.push(Record::GuardRemoved {
            org: guard.org.clone(),
            id: guard.id.clone(),
        });
        Ok(())
    }
}

fn read(row: &SqliteRow) -> Result<Guard, StoreError> {
    let scope: &str = row.try_get("scope")?;
    Ok(Guard {
        org: row.try_get("org")?,
        id: row.try_get("id")?,
        policy: row.try_get("policy")?,
        scope: scope.parse().map_err(|error| StoreError::Damaged(format!("{error}")))?,
        position: row.try_get("position")?,
        settings: row.try_get("settings")?,
    })
}
