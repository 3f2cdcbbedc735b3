//! The first start: an organisation, a service user that administers it, and a token for it. Once for each store, and once
//! more for each backup that is restored: nobody need have a token then that is believed.

use feed::token::Kind;
use feed::{Scope, SubjectKind};
use serde_json::json;

use crate::data_dir::{BOOTSTRAP_TOKEN_FILE, DataDirectory, STORE_FILE};
use crate::store::subjects::NewForm;
use crate::store::{Actor, AuditEntry, Change, NewSubject, NewToken, Store, StoreError};
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

/// Makes an administrator of the first organisation in the first change of another life of a store, and commits it.
pub(crate) async fn restore(
    mut change: Change,
    id: &str,
    (directory, random): (&DataDirectory, &Random),
    backup_revision: u64,
) -> Result<(), OpenError> {
    let made = random.secret(Kind::Token);
    let token = made.map_err(|source| OpenError::Io {
        path: BOOTSTRAP_TOKEN_FILE.into(),
        source,
    })?;
    let org = change.view.first_org().await.map_err(failed)?.unwrap_or_default();
    let new = Administrator {
        org: &org,
        id,
        token: &token,
    };
    new.write_rows(&mut change).await.map_err(failed)?;
    directory.write_bootstrap_token(&token)?;
    let entry = AuditEntry {
        operation: "restore",
        target: format!("/orgs/{org}"),
        org: org.clone(),
        before: None,
        after: Some(json!({"administrator": id, "token": BOOTSTRAP_TOKEN_ID, "backup_revision": backup_revision})),
    };
    change.commit(entry).await.map_err(failed)?;
    Ok(())
}

fn failed(error: StoreError) -> OpenError {
    OpenError::Database {
        path: STORE_FILE.into(),
        source: Box::new(error),
    }
}

struct Administrator<'a> {
    org: &'a str,
    id: &'a str,
    token: &'a feed::Secret,
}

impl Administrator<'_> {
    async fn insert(&self, store: &Store, directory: &DataDirectory) -> Result<bool, OpenError> {
        let actor = Actor::Bootstrap {
            administrator: self.id.to_owned(),
        };
        let mut change = store.change(actor).await.map_err(failed)?;
        if !change.is_first() {
            // Another process was faster.
            return Ok(false);
        }
        change.insert_org(self.org).await.map_err(failed)?;
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

    async fn write_rows(&self, change: &mut Change) -> Result<(), StoreError> {
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
            description: "made at the first start or by a restore",
            expiry: None,
            certificate: None,
        };
        change.insert_token(self.org, self.id, &token).await
    }
}

const BOOTSTRAP_TOKEN_ID: &str = "bootstrap";
