//! Effects: reports of gateways that have been applied, by their ids.

use super::sql::sql;
use super::{Change, StoreError, signed, unsigned};

impl Change {
    /// Returns the revision that a report made, if it has been applied.
    pub(crate) async fn effect_revision(&mut self, id: &str) -> Result<Option<u64>, StoreError> {
        let row: Option<(i64,)> = sql("SELECT revision FROM effects WHERE id = $1")
            .bind(id)
            .fetch_optional(self.view.connection())
            .await?;
        row.map(|(revision,)| unsigned(revision)).transpose()
    }

    /// Remembers that this change applies a report.
    pub(crate) async fn insert_effect(&mut self, id: &str) -> Result<(), StoreError> {
        sql("INSERT INTO effects (id, revision) VALUES ($1, $2)")
            .bind(id)
            .bind(signed(self.revision)?)
            .execute(self.view.connection())
            .await?;
        Ok(())
    }
}
