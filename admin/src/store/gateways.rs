//! Gateways: those that have a credential of their own, and those that may get one. Never a secret, only digests.

use feed::Digest;

use super::sql::sql;
use super::{Change, StoreError, View, signed};

/// A gateway that was made known.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct KnownGateway {
    pub name: String,
    /// Digest of its credential; none before it has enrolled.
    credential: Option<Vec<u8>>,
    pub enrolment_ends_ms: i64,
    pub enrolled_ms: Option<i64>,
}

/// Tells one state of the table from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct GatewaysVersion {
    gateways: i64,
    changed: i64,
}

impl KnownGateway {
    /// Returns the digest of its credential; `None` before it has enrolled.
    pub(crate) fn credential(&self) -> Result<Option<Digest>, StoreError> {
        let octets = self.credential.as_ref().map(|octets| <[u8; 32]>::try_from(&octets[..]));
        let octets = octets.transpose();
        let octets = octets.map_err(|_length| StoreError::Damaged("the digest of a credential".to_owned()))?;
        Ok(octets.map(Digest::from_bytes))
    }
}

impl View {
    /// Returns all gateways, ordered by name.
    pub(crate) async fn gateways(&mut self) -> Result<Vec<KnownGateway>, StoreError> {
        let gateways = sql("SELECT name, credential, enrolment_ends_ms, enrolled_ms FROM gateways ORDER BY name")
            .fetch_all(self.connection())
            .await?;
        Ok(gateways)
    }

    /// Returns what changes when any gateway does.
    pub(crate) async fn gateways_version(&mut self) -> Result<GatewaysVersion, StoreError> {
        let version = sql("SELECT count(*) AS gateways, coalesce(max(changed), 0) AS changed FROM gateways")
            .fetch_one(self.connection())
            .await?;
        Ok(version)
    }

    /// Returns whether a gateway may enrol with a token, or has with this credential.
    pub(crate) async fn may_enrol(
        &mut self,
        (token, credential): (Digest, Digest),
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let (found,): (i64,) = sql(
            "SELECT count(*) FROM gateways WHERE enrolment = $1 AND enrolment_ends_ms > $2
                            AND (credential IS NULL OR credential = $3)",
        )
        .bind(&token.as_bytes()[..])
        .bind(now_ms)
        .bind(&credential.as_bytes()[..])
        .fetch_one(self.connection())
        .await?;
        Ok(found > 0)
    }

    /// Returns a gateway.
    pub(crate) async fn gateway(&mut self, name: &str) -> Result<Option<KnownGateway>, StoreError> {
        let gateway = sql("SELECT name, credential, enrolment_ends_ms, enrolled_ms
             FROM gateways WHERE name = $1")
        .bind(name)
        .fetch_optional(self.connection())
        .await?;
        Ok(gateway)
    }
}

impl Change {
    /// Makes a gateway known: it may enrol with a token, until a time.
    pub(crate) async fn await_gateway(&mut self, name: &str, token: Digest, ends_ms: i64) -> Result<(), StoreError> {
        sql(
            "INSERT INTO gateways (name, enrolment, enrolment_ends_ms, created_ms, created_by, changed)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(name)
        .bind(&token.as_bytes()[..])
        .bind(ends_ms)
        .bind(self.now_ms)
        .bind(self.actor.id().to_owned())
        .bind(signed(self.revision)?)
        .execute(self.view.connection())
        .await?;
        Ok(())
    }

    /// Gives a credential to the gateway that may enrol with a token, which is used up by that. Returns its name; `None`
    /// when the token is none, was used for another credential, or has ended.
    pub(crate) async fn enrol_gateway(
        &mut self,
        token: Digest,
        credential: Digest,
    ) -> Result<Option<String>, StoreError> {
        let row: Option<(String,)> = sql(
            "UPDATE gateways SET credential = $1, enrolled_ms = coalesce(enrolled_ms, $2), changed = $3
             WHERE enrolment = $4 AND enrolment_ends_ms > $2 AND (credential IS NULL OR credential = $1)
             RETURNING name",
        )
        .bind(&credential.as_bytes()[..])
        .bind(self.now_ms)
        .bind(signed(self.revision)?)
        .bind(&token.as_bytes()[..])
        .fetch_optional(self.view.connection())
        .await?;
        Ok(row.map(|(name,)| name))
    }

    /// Gives a gateway another name.
    pub(crate) async fn rename_gateway(&mut self, name: &str, new: &str) -> Result<(), StoreError> {
        sql("UPDATE gateways SET name = $1, changed = $2 WHERE name = $3")
            .bind(new)
            .bind(signed(self.revision)?)
            .bind(name)
            .execute(self.view.connection())
            .await?;
        Ok(())
    }

    /// Removes a gateway, and with it its credential.
    pub(crate) async fn delete_gateway(&mut self, name: &str) -> Result<(), StoreError> {
        sql("DELETE FROM gateways WHERE name = $1")
            .bind(name)
            .execute(self.view.connection())
            .await?;
        Ok(())
    }
}
