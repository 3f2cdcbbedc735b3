//! Effects: reports of gateways that have been applied, by their ids.

use super::{Change, StoreError, signed, unsigned};

impl Change {
    /// Returns the revision that a report made, if it has been applied.
    pub(crate) async fn effect_revision(&mut self, id: &str) -> Result<Option<u64>, StoreError> {
        let row: Option<(i64,)> = sqlx::query_as("SELECT revision FROM effects WHERE id = ?")
            .bind(id)
            .fetch_optional(self.view.connection())
            .await?;
        row.map(|(revision,)| unsigned(revision)).transpose()
    }

    /// Remembers that this change applies a report.
    pub(crate) async fn insert_effect(&mut self, id: &str) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO effects (id, revision) VALUES (?, ?)")
            .bind(id)
            .bind(signed(self.revision)?)
            .execute(self.view.connection())
            .await?;
        Ok(())
    }
}
