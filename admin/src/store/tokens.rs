//! Tokens of service users: everything but their secrets.

use feed::{Digest, Record, Thumbprint};

use super::sql::sql;
use super::{Change, StoreError, Subject, View, unsigned};

/// A token, as people see it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Token {
    pub id: String,
    pub description: String,
    /// As its creator wrote it.
    pub expires_at: Option<String>,
    pub expires_ms: Option<i64>,
    pub created_ms: i64,
    pub created_by: String,
    /// The client certificate that it is bound to.
    pub certificate: Option<String>,
    /// Whether it came back with a backup and nobody has vouched for it yet: it is not believed.
    pub held: bool,
}

/// A token to be.
#[derive(Debug)]
pub(crate) struct NewToken<'a> {
    pub id: &'a str,
    pub digest: Digest,
    pub description: &'a str,
    /// The expiry as it was written, and in milliseconds since the Unix epoch.
    pub expiry: Option<(&'a str, i64)>,
    /// The client certificate that must come with it.
    pub certificate: Option<Thumbprint>,
}

impl View {
    /// Returns a token of a subject.
    pub(crate) async fn token(&mut self, subject: &Subject, id: &str) -> Result<Option<Token>, StoreError> {
        let token = sql(
            "SELECT id, description, expires_at, expires_ms, created_ms, created_by, certificate, held
             FROM tokens WHERE subject = $1 AND id = $2 AND org = $3",
        )
        .bind(&subject.id)
        .bind(id)
        .bind(&subject.org)
        .fetch_optional(self.connection())
        .await?;
        Ok(token)
    }

    /// Returns the tokens of a subject, ordered by id.
    pub(crate) async fn tokens(&mut self, subject: &Subject) -> Result<Vec<Token>, StoreError> {
        let tokens = sql(
            "SELECT id, description, expires_at, expires_ms, created_ms, created_by, certificate, held
             FROM tokens WHERE subject = $1 AND org = $2 ORDER BY id",
        )
        .bind(&subject.id)
        .bind(&subject.org)
        .fetch_all(self.connection())
        .await?;
        Ok(tokens)
    }

    /// Counts the tokens of a subject.
    pub(crate) async fn tokens_count(&mut self, subject: &Subject) -> Result<u64, StoreError> {
        let (count,): (i64,) = sql("SELECT count(*) FROM tokens WHERE subject = $1")
            .bind(&subject.id)
            .fetch_one(self.connection())
            .await?;
        unsigned(count)
    }

    async fn is_disabled(&mut self, subject: &str) -> Result<bool, StoreError> {
        let (disabled,): (bool,) = sql("SELECT disabled FROM subjects WHERE id = $1")
            .bind(subject)
            .fetch_one(self.connection())
            .await?;
        Ok(disabled)
    }
}

impl Change {
    /// Adds a token to a service user.
    pub(crate) async fn insert_token(
        &mut self,
        org: &str,
        subject: &str,
        new: &NewToken<'_>,
    ) -> Result<(), StoreError> {
        sql("INSERT INTO tokens
                (number, subject, org, id, digest, description, expires_at, expires_ms, created_ms, created_by,
                 certificate)
             SELECT coalesce(max(number), 0) + 1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 FROM tokens")
        .bind(subject)
        .bind(org)
        .bind(new.id)
        .bind(&new.digest.as_bytes()[..])
        .bind(new.description)
        .bind(new.expiry.map(|(text, _)| text))
        .bind(new.expiry.map(|(_, ms)| ms))
        .bind(self.now_ms)
        .bind(self.actor.id().to_owned())
        .bind(new.certificate.map(|certificate| certificate.to_string()))
        .execute(self.view.connection())
        .await?;
        if !self.view.is_disabled(subject).await? {
            self.records.push(Record::Token(feed::Token {
                digest: new.digest,
                id: new.id.to_owned(),
                subject: subject.to_owned(),
                expires_ms: new.expiry.map(|(_, ms)| ms),
                certificate: new.certificate,
            }));
        }
        Ok(())
    }

    /// Lets a held token go: gateways are told of it.
    pub(crate) async fn release_token(&mut self, subject: &Subject, id: &str) -> Result<(), StoreError> {
        let row: ToldToken = sql("UPDATE tokens SET held = $1
             WHERE subject = $2 AND id = $3 RETURNING digest, id, expires_ms, certificate")
        .bind(false)
        .bind(&subject.id)
        .bind(id)
        .fetch_one(self.view.connection())
        .await?;
        if !subject.disabled {
            self.records.push(Record::Token(told(&subject.id, row)?));
        }
        Ok(())
    }

    /// Has gateways forget all tokens of a subject, or tells them of those that are not held.
    pub(super) async fn tell_tokens(&mut self, subject: &Subject, forget: bool) -> Result<(), StoreError> {
        let rows: Vec<ToldToken> = sql("SELECT digest, id, expires_ms, certificate FROM tokens
             WHERE subject = $1 AND NOT held ORDER BY number")
        .bind(&subject.id)
        .fetch_all(self.view.connection())
        .await?;
        for row in rows {
            self.records.push(match forget {
                true => removal(row.0)?,
                false => Record::Token(told(&subject.id, row)?),
            });
        }
        Ok(())
    }

    /// Removes a token of a subject. Its id is free again.
    pub(crate) async fn delete_token(&mut self, subject: &Subject, id: &str) -> Result<(), StoreError> {
        let (digest,): (Vec<u8>,) = sql("DELETE FROM tokens WHERE subject = $1 AND id = $2 RETURNING digest")
            .bind(&subject.id)
            .bind(id)
            .fetch_one(self.view.connection())
            .await?;
        // Gateways have been told before to forget those of a disabled service user.
        if !subject.disabled {
            self.records.push(removal(digest)?);
        }
        Ok(())
    }

    /// Removes all tokens of a subject. Each is told by a record of its own: gateways keep tokens by their digests.
    pub(crate) async fn delete_tokens(&mut self, subject: &Subject) -> Result<(), StoreError> {
        let digests: Vec<(Vec<u8>,)> = sql("DELETE FROM tokens WHERE subject = $1 RETURNING digest")
            .bind(&subject.id)
            .fetch_all(self.view.connection())
            .await?;
        for (digest,) in digests.into_iter().filter(|_| !subject.disabled) {
            self.records.push(removal(digest)?);
        }
        Ok(())
    }
}

/// Digest, id, expiry and client certificate.
type ToldToken = (Vec<u8>, String, Option<i64>, Option<String>);

fn told(subject: &str, (digest, id, expires_ms, certificate): ToldToken) -> Result<feed::Token, StoreError> {
    let certificate = certificate.map(|text| text.parse()).transpose();
    Ok(feed::Token {
        digest: read_digest(digest)?,
        id,
        subject: subject.to_owned(),
        expires_ms,
        certificate: certificate.map_err(|_malformed| StoreError::Damaged("a certificate's thumbprint".to_owned()))?,
    })
}

fn removal(digest: Vec<u8>) -> Result<Record, StoreError> {
    let digest = read_digest(digest)?;
    Ok(Record::TokenRemoved { digest })
}

fn read_digest(octets: Vec<u8>) -> Result<Digest, StoreError> {
    let octets = octets.try_into();
    let octets = octets.map_err(|_other| StoreError::Damaged("a digest of another length".to_owned()))?;
    Ok(Digest::from_bytes(octets))
}
