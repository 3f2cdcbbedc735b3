//! Guards: guard policies where they are attached.

use feed::{Guard, Record};

use super::sql::{Row, sql};
use super::{Change, StoreError, View, unsigned};

impl View {
    /// Returns the guards of an organisation in the order of their ids.
    pub(crate) async fn guards(&mut self, org: &str) -> Result<Vec<Guard>, StoreError> {
        let rows = sql("SELECT * FROM guards WHERE org = $1 ORDER BY id")
            .bind(org)
            .rows(self.connection())
            .await?;
        rows.iter().map(read).collect()
    }

    /// Returns the guards that judge requests about an organisation: its own, and those of the installation.
    pub(crate) async fn guards_over(&mut self, org: &str) -> Result<Vec<Guard>, StoreError> {
        let rows = sql("SELECT * FROM guards WHERE org = $1 OR scope = 'installation' ORDER BY org, id")
            .bind(org)
            .rows(self.connection())
            .await?;
        rows.iter().map(read).collect()
    }

    /// Returns a guard of an organisation.
    pub(crate) async fn guard(&mut self, org: &str, id: &str) -> Result<Option<Guard>, StoreError> {
        let row = sql("SELECT * FROM guards WHERE org = $1 AND id = $2")
            .bind(org)
            .bind(id)
            .row(self.connection())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Returns the guards that a policy of an organisation is attached as.
    pub(crate) async fn guards_of(&mut self, org: &str, policy: &str) -> Result<Vec<Guard>, StoreError> {
        let rows = sql("SELECT * FROM guards WHERE org = $1 AND policy = $2 ORDER BY id")
            .bind(org)
            .bind(policy)
            .rows(self.connection())
            .await?;
        rows.iter().map(read).collect()
    }

    /// Counts the guards of an organisation.
    pub(crate) async fn guards_count(&mut self, org: &str) -> Result<u64, StoreError> {
        let (count,): (i64,) = sql("SELECT count(*) FROM guards WHERE org = $1")
            .bind(org)
            .fetch_one(self.connection())
            .await?;
        unsigned(count)
    }
}

impl Change {
    /// Writes a guard as it is in this value, and tells gateways of it. Its policy and id stay what they were.
    pub(crate) async fn write_guard(&mut self, guard: &Guard) -> Result<(), StoreError> {
        sql(
            "INSERT INTO guards (org, id, policy, scope, position, settings, created_ms, created_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
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
        sql("DELETE FROM guards WHERE org = $1 AND id = $2")
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

fn read(row: &Row) -> Result<Guard, StoreError> {
    let scope: String = row.get("scope")?;
    let position: i64 = row.get("position")?;
    Ok(Guard {
        org: row.get("org")?,
        id: row.get("id")?,
        policy: row.get("policy")?,
        scope: scope.parse().map_err(|error| StoreError::Damaged(format!("{error}")))?,
        position: u32::try_from(position).map_err(|_large| StoreError::Damaged(format!("the position {position}")))?,
        settings: row.get("settings")?,
    })
}
