//! The first start: an organisation, a service user that administers it, and a token for it. Once for each store.

use feed::token::Kind;
use feed::{Scope, SubjectKind};
use serde_json::json;

use crate::data_dir::{BOOTSTRAP_TOKEN_FILE, DataDirectory, STORE_FILE};
use crate::store::subjects::NewForm;
use crate::store::{Actor, AuditEntry, NewSubject, NewToken, Store, StoreError};
use crate::{OpenError, Random, roles};

/// Gives an empty store its organisation and its first administrator; returns whether it was empty.
///
/// The token is on the disk before the store knows it. A crash in between leaves an empty store and a file with a token
/// that nothing accepts, and the next start begins anew.
pub(crate) async fn run(
    store: &Store,
    directory: &DataDirectory,
    random: &Random,
    org: &str,
) -> Result<bool, OpenError> {
    if *store.newest().borrow() > 0 {
        return Ok(false);
    }
    let io = |source| OpenError::Io {
        path: BOOTSTRAP_TOKEN_FILE.into(),
        source,
    };
    let id = format!("s-{}", random.uuid().map_err(io)?);
    let token = random.secret(Kind::Token).map_err(io)?;
    let new = Administrator {
        org,
        id: &id,
        token: &token,
    };
    new.insert(store, directory).await
}

struct Administrator<'a> {
    org: &'a str,
    id: &'a str,
    token: &'a feed::Secret,
}

impl Administrator<'_> {
    async fn insert(&self, store: &Store, directory: &DataDirectory) -> Result<bool, OpenError> {
        let failed = |error: StoreError| OpenError::Database {
            path: STORE_FILE.into(),
            source: Box::new(error),
        };
        let actor = Actor::Bootstrap {
            administrator: self.id.to_owned(),
        };
        let mut change = store.change(actor).await.map_err(failed)?;
        if !change.is_first() {
            // Another process was faster.
            return Ok(false);
        }
        self.write_rows(&mut change).await.map_err(failed)?;
        directory.write_bootstrap_token(self.token)?;
        let entry = AuditEntry {
            operation: "bootstrap",
            org: self.org.to_owned(),
            target: format!("/orgs/{}", self.org),
            before: None,
            after: Some(json!({"administrator": self.id, "token": BOOTSTRAP_TOKEN_ID})),
        };
        change.commit(entry).await.map_err(failed)?;
        Ok(true)
    }

    async fn write_rows(&self, change: &mut crate::store::Change) -> Result<(), StoreError> {
        change.insert_org(self.org).await?;
        let subject = NewSubject {
            id: self.id,
            org: self.org,
            name: "bootstrap-administrator",
            email: None,
            form: NewForm::ServiceUser,
        };
        change.insert_subject(&subject).await?;
        let scope = Scope::org(self.org);
        let kind = SubjectKind::ServiceUser;
        change.bind(self.id, kind, &scope, roles::ADMINISTRATOR).await?;
        let token = NewToken {
            id: BOOTSTRAP_TOKEN_ID,
            digest: self.token.digest(),
            description: "made at the first start",
            expiry: None,
            certificate: None,
        };
        change.insert_token(self.org, self.id, &token).await
    }
}

const BOOTSTRAP_TOKEN_ID: &str = "bootstrap";
