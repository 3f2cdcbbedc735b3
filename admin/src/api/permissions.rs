//! `/orgs/{org}/users/{user}/perms`: what a subject may do, on each object on which it holds a role.
//!
//! The answer is worked out by asking the role policies about every operation of the catalogue.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::{Extension, Json};
use catalogue::{Catalogue, EnvTypes, Matched, Operation};
use feed::Scope;
use serde::Serialize;
use tokio::sync::Semaphore;

use super::Api;
use crate::body::PathParameters;
use crate::error::ApiError;
use crate::identity::Caller;

/// Tells whether the role policies allow what is asked. It may take its time.
pub type Decide = Arc<dyn Fn(&PermissionQuestion<'_>) -> bool + Send + Sync>;

/// May this subject do this?
#[derive(Debug)]
pub struct PermissionQuestion<'a> {
    /// Who would ask, with all roles.
    pub subject: &'a feed::Subject,
    /// What for.
    pub operation: &'a Matched<'a>,
    /// The env types that it would concern.
    pub env_types: &'a [&'a str],
}

/// Works out permissions.
pub(crate) struct Permissions {
    /// Replaced whole when the configuration is read again; held for a moment only.
    catalogue: Mutex<Arc<Catalogue>>,
    decide: Decide,
    turns: Semaphore,
}

/// Permissions by object path.
#[derive(Debug, Serialize)]
pub(super) struct SubjectPermissions {
    objects: BTreeMap<String, ObjectPermissions>,
}

#[derive(Debug, Serialize)]
struct ObjectPermissions {
    permissions: BTreeSet<String>,
}

/// `GET /orgs/{org}/users/{user}/perms`
pub(super) async fn read(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((org, user)): PathParameters<(String, String)>,
) -> Result<Json<SubjectPermissions>, ApiError> {
    let mut reading = api.read(&caller, &org).await?;
    let found = reading.subject(&user).await?;
    let subject = feed::Subject {
        roles: reading.view.roles(&user).await?,
        id: found.id,
        kind: found.kind,
        org: found.org,
    };
    drop(reading);
    let _turn = api.permissions.turns.acquire().await.map_err(ApiError::internal)?;
    let permissions = Arc::clone(&api.permissions);
    // Thousands of decisions take milliseconds, which other requests should not wait for.
    let work = tokio::task::spawn_blocking(move || permissions.of(&subject));
    work.await.map(Json).map_err(ApiError::internal)
}

impl Permissions {
    pub(crate) fn new(catalogue: Arc<Catalogue>, decide: Decide) -> Self {
        let turns = Semaphore::new(TURNS);
        Self {
            catalogue: Mutex::new(catalogue),
            decide,
            turns,
        }
    }

    /// Tells of other operations from now on.
    pub(crate) fn replace_catalogue(&self, catalogue: Arc<Catalogue>) {
        *self.catalogue.lock().unwrap_or_else(PoisonError::into_inner) = catalogue;
    }

    fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.catalogue.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn of(&self, subject: &feed::Subject) -> SubjectPermissions {
        let org = Scope::org(&subject.org);
        let scopes = subject.roles.iter().map(|held| &held.scope).chain([&org]);
        let question = Asked {
            permissions: self,
            catalogue: &self.catalogue(),
            subject,
        };
        let objects = scopes.map(|scope| {
            let permissions = question.on(scope);
            (scope.to_string(), ObjectPermissions { permissions })
        });
        SubjectPermissions {
            objects: objects.collect(),
        }
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permissions(..)")
    }
}

/// One request's questions.
struct Asked<'a> {
    permissions: &'a Permissions,
    catalogue: &'a Catalogue,
    subject: &'a feed::Subject,
}

impl Asked<'_> {
    /// Returns the permissions whose operations are all allowed on an object.
    fn on(&self, scope: &Scope) -> BTreeSet<String> {
        let mut allowed = BTreeMap::new();
        for operation in self.catalogue.operations() {
            if let Some(decision) = self.decide(operation, scope) {
                let all = allowed.entry(operation.permission.clone()).or_insert(true);
                *all &= decision;
            }
        }
        let held = allowed.into_iter().filter(|(_, all)| *all);
        held.map(|(permission, _)| permission).collect()
    }

    /// Returns whether an operation is allowed on an object; `None` when it is not about such objects.
    ///
    /// What needs a role on an app and one on an env type is a permission on the app when some env type of the subject
    /// completes it, and on the env type when some app does.
    fn decide(&self, operation: &Arc<Operation>, scope: &Scope) -> Option<bool> {
        let names: Vec<&str> = operation.parameter_names().collect();
        let of_app = names.contains(&"appId");
        let of_env_type = names.iter().any(|name| matches!(*name, "envTypeId" | "envType"));
        let concerns_env_types = operation.env_types != EnvTypes::None;
        match scope {
            Scope::Org { .. } => (!of_app && !of_env_type).then(|| self.ask(operation, None, None, &[])),
            Scope::App { app, .. } if of_app && concerns_env_types => {
                let mut env_types = self.env_types().chain([ANY]);
                Some(env_types.any(|env_type| self.ask(operation, Some(app), None, &[env_type])))
            }
            Scope::App { app, .. } => of_app.then(|| self.ask(operation, Some(app), None, &[])),
            Scope::EnvType { env_type, .. } if of_app && concerns_env_types => {
                let mut apps = self.apps().chain([ANY]);
                Some(apps.any(|app| self.ask(operation, Some(app), None, &[env_type])))
            }
            Scope::EnvType { env_type, .. } => of_env_type.then(|| self.ask(operation, None, Some(env_type), &[])),
        }
    }

    fn ask(&self, operation: &Arc<Operation>, app: Option<&str>, env_type: Option<&str>, env_types: &[&str]) -> bool {
        let value = |name: &str| match name {
            "orgId" => self.subject.org.as_str(),
            "appId" => app.unwrap_or(ANY),
            "envTypeId" | "envType" => env_type.unwrap_or(ANY),
            _ => ANY,
        };
        let values: Vec<&str> = operation.parameter_names().map(value).collect();
        let matched = Matched::from_values(operation, &values);
        matched.is_some_and(|matched| {
            (self.permissions.decide)(&PermissionQuestion {
                subject: self.subject,
                operation: &matched,
                env_types,
            })
        })
    }

    fn apps(&self) -> impl Iterator<Item = &str> {
        self.subject.roles.iter().filter_map(|held| match &held.scope {
            Scope::App { app, .. } => Some(app.as_str()),
            Scope::Org { .. } | Scope::EnvType { .. } => None,
        })
    }

    fn env_types(&self) -> impl Iterator<Item = &str> {
        self.subject.roles.iter().filter_map(|held| match &held.scope {
            Scope::EnvType { env_type, .. } => Some(env_type.as_str()),
            Scope::Org { .. } | Scope::App { .. } => None,
        })
    }
}

/// Stands for objects that nobody holds a role on: an identifier like another.
const ANY: &str = "any";

/// How many requests are worked out at once; each keeps a core busy.
const TURNS: usize = 2;
