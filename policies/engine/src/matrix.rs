//! What a subject may do, found by asking its policies about every operation of the catalogue.

use std::sync::Arc;

use catalogue::{Catalogue, EnvTypes, Matched, Operation};
use feed::decision::RecordedOutcome;
use feed::{Scope, Subject};

use crate::{Decision, EnvTypeRole, Inputs, PolicySet, Question, SubjectView};

/// Asks on behalf of one subject.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    /// The policies that are asked.
    pub set: &'a PolicySet,
    /// The operations that they are asked about.
    pub catalogue: &'a Catalogue,
    /// Who would ask, with all roles.
    pub subject: &'a Subject,
    /// What would come with each request.
    pub inputs: Inputs<'a>,
}

impl<'a> Matrix<'a> {
    /// Returns what would come of each operation that is about such objects, on one of them.
    pub fn on<'m>(
        &'m self,
        scope: &'m Scope,
    ) -> impl Iterator<Item = (&'a Arc<Operation>, RecordedOutcome)> + use<'a, 'm> {
        let operations = self.catalogue.operations().iter();
        operations.filter_map(|operation| Some((operation, self.outcome(operation, scope)?)))
    }

    /// Returns what would come of an operation on an object; `None` when it is not about such objects.
    ///
    /// What needs a role on an app and one on an env type is allowed on the app when some env type of the subject
    /// completes it, and on the env type when some app does.
    fn outcome(&self, operation: &Arc<Operation>, scope: &Scope) -> Option<RecordedOutcome> {
        let names: Vec<&str> = operation.parameter_names().collect();
        let of_app = names.contains(&"appId");
        let of_env_type = names.iter().any(|name| matches!(*name, "envTypeId" | "envType"));
        let concerns_env_types = operation.env_types != EnvTypes::None;
        match scope {
            Scope::Org { .. } => (!of_app && !of_env_type).then(|| self.ask(operation, None, None, &[])),
            Scope::App { app, .. } if of_app && concerns_env_types => {
                let env_types = self.env_types().chain([ANY]);
                most_favourable(env_types.map(|env_type| self.ask(operation, Some(app), None, &[env_type])))
            }
            Scope::App { app, .. } => of_app.then(|| self.ask(operation, Some(app), None, &[])),
            Scope::EnvType { env_type, .. } if of_app && concerns_env_types => {
                let apps = self.apps().chain([ANY]);
                most_favourable(apps.map(|app| self.ask(operation, Some(app), None, &[env_type])))
            }
            Scope::EnvType { env_type, .. } => of_env_type.then(|| self.ask(operation, None, Some(env_type), &[])),
        }
    }

    fn ask(
        &self,
        operation: &Arc<Operation>,
        app: Option<&str>,
        env_type: Option<&str>,
        env_types: &[&str],
    ) -> RecordedOutcome {
        let value = |name: &str| match name {
            "orgId" => self.subject.org.as_str(),
            "appId" => app.unwrap_or(ANY),
            "envTypeId" | "envType" => env_type.unwrap_or(ANY),
            _ => ANY,
        };
        let values: Vec<&str> = operation.parameter_names().map(value).collect();
        // Every grammar admits what stands for the parameters.
        let Some(matched) = Matched::from_values(operation, &values) else {
            return RecordedOutcome::NotAllowed;
        };
        self.decide(&matched, env_types, |decision| RecordedOutcome::from(&decision.outcome))
    }

    /// Decides as a gateway would, and reads the decision. Env types are those that the operation concerns.
    pub fn decide<T>(&self, operation: &Matched<'_>, env_types: &[&str], read: impl FnOnce(&Decision<'_>) -> T) -> T {
        let subject = self.subject;
        let env_types: Vec<EnvTypeRole<'_>> = env_types
            .iter()
            .map(|env_type| (*env_type, role_on(subject, &Scope::env_type(&subject.org, env_type))))
            .collect();
        let app = operation.app();
        let question = Question {
            subject: SubjectView {
                id: &subject.id,
                kind: subject.kind,
                org: &subject.org,
                org_role: role_on(subject, &Scope::org(&subject.org)),
                app_role: app.and_then(|app| role_on(subject, &Scope::app(&subject.org, app))),
                env_types: &env_types,
            },
            operation,
            inputs: self.inputs,
        };
        read(&self.set.decide(&question))
    }

    fn apps(&self) -> impl Iterator<Item = &'a str> {
        self.subject.roles.iter().filter_map(|held| match &held.scope {
            Scope::App { app, .. } => Some(app.as_str()),
            Scope::Org { .. } | Scope::EnvType { .. } => None,
        })
    }

    fn env_types(&self) -> impl Iterator<Item = &'a str> {
        self.subject.roles.iter().filter_map(|held| match &held.scope {
            Scope::EnvType { env_type, .. } => Some(env_type.as_str()),
            Scope::Org { .. } | Scope::App { .. } => None,
        })
    }
}

/// Returns the role that a subject holds on an object.
pub fn role_on<'s>(subject: &'s Subject, scope: &Scope) -> Option<&'s str> {
    let held = subject.roles.iter().find(|held| held.scope == *scope);
    held.map(|held| held.role.as_str())
}

/// Stands for objects that nobody holds a role on: an identifier like another.
pub const ANY: &str = "any";

/// Returns the first outcome that allows, else the first that is not a mere lack of rights.
fn most_favourable(outcomes: impl Iterator<Item = RecordedOutcome>) -> Option<RecordedOutcome> {
    let mut best: Option<RecordedOutcome> = None;
    for outcome in outcomes {
        if outcome.is_allowed() {
            return Some(outcome);
        }
        if best.as_ref().is_none_or(|best| *best == RecordedOutcome::NotAllowed) {
            best = Some(outcome);
        }
    }
    best
}
