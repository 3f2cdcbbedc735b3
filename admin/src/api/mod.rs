//! The API: users, roles, tokens, groups and invitations, as clients of the orchestrator know them; policies and guards.
//!
//! A request comes here after a gateway has decided that the caller's roles allow it. Each handler opens a [`Reading`]
//! or a [`Writing`], which proves that the caller belongs to the organisation, checks the rules that only the store's
//! owner can check, and writes. To a caller from elsewhere everything is absent.
//!
//! # Layout
//! - [`users`], [`roles`], [`tokens`], [`current_user`], [`groups`], [`invitations`], [`permissions`]: the routes.
//! - [`policies`], [`publish`], [`promote`], [`policy_removal`], [`guards`]: the routes of policies.
//! - [`readiness`]: waiting for gateways to have a version before it is in force.
//! - [`service_users`]: lists of service users for people; [`audit`]: who changed what.
//! - [`decisions`], [`access`], [`explanations`]: what was decided, what would be, and why.
//! - [`fleet`], [`enrolment`]: the gateways, and which of them are let in; [`receipt`]: what they refuse by now.
//! - [`rules`]: who may change whom.
//! - [`fields`]: what values may be.
//! - [`answers`], [`policy_answers`]: what is answered.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use feed::{Clock, Scope, SubjectKind};

use crate::error::ApiError;
use crate::evaluator::Evaluator;
use crate::fleet::Fleet;
use crate::gateways::Gateways;
use crate::identity::Caller;
use crate::random::Random;
use crate::roles::RoleCatalogue;
use crate::store::decisions::Decisions;
use crate::store::{Actor, Change, Store, Subject, View};

mod access;
mod answers;
mod audit;
mod current_user;
mod decisions;
mod enrolment;
mod explanations;
mod fields;
mod fleet;
mod groups;
mod guards;
mod invitations;
mod permissions;
pub(crate) mod policies;
mod policy_answers;
mod policy_removal;
mod promote;
mod publish;
mod readiness;
mod receipt;
mod roles;
mod rules;
mod service_users;
mod tokens;
mod users;

pub(crate) use guards::detachment;

/// What the API's handlers need.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub store: Arc<Store>,
    pub clock: Clock,
    pub random: Random,
    pub roles: Arc<RoleCatalogue>,
    pub evaluator: Arc<Evaluator>,
    pub decisions: Arc<Decisions>,
    pub gateways: Arc<Gateways>,
    pub fleet: Arc<Fleet>,
    /// The key that gateways know the feed by, as text.
    pub feed_public_key: Arc<str>,
}

/// A caller who may look at one organisation, and what is there.
struct Reading {
    view: View,
    caller: Subject,
}

/// A caller who may change one organisation, and the change.
struct Writing {
    change: Change,
    caller: Subject,
}

/// Returns the routes of the API.
pub(crate) fn routes(api: Api) -> Router {
    Router::new()
        .route("/orgs/{org}/users", get(users::list).post(users::create))
        .route(
            "/orgs/{org}/users/{user}",
            get(users::read).patch(users::update).delete(users::delete),
        )
        .route("/orgs/{org}/users/{user}/groups", get(groups::of_user))
        .route("/orgs/{org}/users/{user}/perms", get(permissions::read))
        .route("/orgs/{org}/groups", post(groups::create))
        .route("/orgs/{org}/groups/{group}/users", get(groups::users))
        .route(
            "/orgs/{org}/invitations",
            get(invitations::list).post(invitations::create),
        )
        .route("/orgs/{org}/service-users", get(service_users::list))
        .route("/orgs/{org}/service-users/{user}", get(service_users::read))
        .route("/orgs/{org}/token-ends", get(service_users::token_ends))
        .route("/orgs/{org}/audit", get(audit::list))
        .merge(policy_routes())
        .route("/orgs/{org}/gateways", get(fleet::list).post(enrolment::create))
        .route(
            "/orgs/{org}/gateways/{gateway}",
            get(fleet::read).patch(enrolment::rename).delete(enrolment::remove),
        )
        .route("/users/{user}/tokens", get(tokens::list).post(tokens::create))
        .route("/users/{user}/tokens/{token}", get(tokens::read).delete(tokens::delete))
        .route("/users/{user}/tokens/{token}/release", post(tokens::release))
        .route("/current-user", get(current_user::read).patch(current_user::update))
        .merge(roles::routes("/orgs/{org}/apps/{object}/users", roles::Place::App))
        .merge(roles::routes(
            "/orgs/{org}/env-types/{object}/users",
            roles::Place::EnvType,
        ))
        .with_state(api)
}

fn policy_routes() -> Router<Api> {
    Router::new()
        .route("/orgs/{org}/policies", get(policies::list).post(publish::publish))
        .route(
            "/orgs/{org}/policies/{policy}",
            get(policies::read)
                .patch(promote::update)
                .delete(policy_removal::delete),
        )
        .route(
            "/orgs/{org}/policies/{policy}/versions/{version}/component",
            get(policies::component),
        )
        .route("/orgs/{org}/policies/{policy}/shadow", get(policies::shadow))
        .route("/orgs/{org}/guards", get(guards::list).post(guards::attach))
        .route(
            "/orgs/{org}/guards/{guard}",
            get(guards::read).patch(guards::update).delete(guards::detach),
        )
        .route("/orgs/{org}/decisions", get(decisions::list))
        .route("/orgs/{org}/decisions/{decision}", get(decisions::read))
        .route("/orgs/{org}/users/{user}/access", get(access::read))
        .route("/orgs/{org}/roles/{role}/access", get(access::read_role))
        .route("/orgs/{org}/explanations", post(explanations::create))
}

impl Api {
    /// Lets the caller look at an organisation.
    async fn read(&self, caller: &Caller, org: &str) -> Result<Reading, ApiError> {
        let reading = self.read_own(caller).await?;
        belongs(&reading.caller, org)?;
        Ok(reading)
    }

    /// Lets the caller look at their own organisation.
    async fn read_own(&self, caller: &Caller) -> Result<Reading, ApiError> {
        let mut view = self.store.view().await?;
        let caller = self.present(&mut view, caller).await?;
        Ok(Reading { view, caller })
    }

    /// Lets the caller change an organisation.
    async fn write(&self, caller: &Caller, org: &str) -> Result<Writing, ApiError> {
        let writing = self.write_own(caller).await?;
        belongs(&writing.caller, org)?;
        Ok(writing)
    }

    /// Lets the caller change their own organisation.
    async fn write_own(&self, caller: &Caller) -> Result<Writing, ApiError> {
        let actor = Actor::Subject {
            id: caller.subject.clone(),
            token: caller.token.clone(),
        };
        let mut change = self.store.change(actor).await?;
        let caller = self.present(&mut change.view, caller).await?;
        Ok(Writing { change, caller })
    }

    /// Returns the caller as the store knows them now. The gateway may not have heard of the newest changes.
    async fn present(&self, view: &mut View, caller: &Caller) -> Result<Subject, ApiError> {
        let subject = view.caller(&caller.subject).await?.ok_or(ApiError::NotFound)?;
        if subject.kind == SubjectKind::ServiceUser {
            let token = view.token(&subject, &caller.token).await?;
            let now = self.clock.unix_ms();
            let enabled = token.filter(|_| !subject.disabled);
            let valid =
                enabled.is_some_and(|token| !token.held && token.expires_ms.is_none_or(|expires| now < expires));
            if !valid {
                return Err(ApiError::Unauthenticated);
            }
        }
        Ok(subject)
    }
}

impl Reading {
    /// Returns a subject of the caller's organisation, with its role there.
    async fn subject(&mut self, id: &str) -> Result<Subject, ApiError> {
        let scope = Scope::org(&self.caller.org);
        self.view.subject(id, &scope).await?.ok_or(ApiError::NotFound)
    }
}

impl Writing {
    /// Returns a subject of the caller's organisation, with its role there.
    async fn subject(&mut self, id: &str) -> Result<Subject, ApiError> {
        let scope = Scope::org(&self.caller.org);
        self.change.view.subject(id, &scope).await?.ok_or(ApiError::NotFound)
    }
}

/// A foreign organisation looks like one that does not exist.
fn belongs(caller: &Subject, org: &str) -> Result<(), ApiError> {
    if caller.org == org {
        Ok(())
    } else {
        Err(ApiError::NotFound)
    }
}
