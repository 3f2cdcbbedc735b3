//! What the sandbox keeps, and how handlers find an app or an environment in it.
//!
//! The state of each family of resources is defined beside its handlers; this is where they come together.

use std::collections::BTreeMap;

use super::apps::App;
use super::artefacts::Artefacts;
use super::env_types::EnvType;
use super::envs::Env;
use super::images::Image;
use super::problem::Problem;
use super::registries::Registry;
use super::request::Stamp;

/// Everything the sandbox knows. Apps, env types, images and registries are keyed by id.
pub(super) struct Store {
    pub(super) started: Stamp,
    pub(super) apps: BTreeMap<String, App>,
    pub(super) env_types: BTreeMap<String, EnvType>,
    pub(super) artefacts: Artefacts,
    pub(super) images: BTreeMap<String, Image>,
    pub(super) registries: BTreeMap<String, Registry>,
}

impl Store {
    /// Returns an app.
    ///
    /// # Errors
    /// [`Problem::Missing`].
    pub(super) fn app(&self, app: &str) -> Result<&App, Problem> {
        self.apps.get(app).ok_or(NO_APP)
    }

    /// Returns an app, to be changed.
    ///
    /// # Errors
    /// [`Problem::Missing`].
    pub(super) fn app_mut(&mut self, app: &str) -> Result<&mut App, Problem> {
        self.apps.get_mut(app).ok_or(NO_APP)
    }

    /// Returns an environment.
    ///
    /// # Errors
    /// [`Problem::Missing`].
    pub(super) fn env(&self, app: &str, env: &str) -> Result<&Env, Problem> {
        self.app(app)?.envs.get(env).ok_or(NO_ENV)
    }

    /// Returns an environment, to be changed.
    ///
    /// # Errors
    /// [`Problem::Missing`].
    pub(super) fn env_mut(&mut self, app: &str, env: &str) -> Result<&mut Env, Problem> {
        self.app_mut(app)?.envs.get_mut(env).ok_or(NO_ENV)
    }

    /// Counts a look at an app; one that is looked at for the last time goes away.
    ///
    /// # Errors
    /// [`Problem::Missing`].
    pub(super) fn look_at_app(&mut self, app: &str) -> Result<&mut App, Problem> {
        if self.app_mut(app)?.status.is_over_at_this_look() {
            self.apps.remove(app);
        }
        self.app_mut(app)
    }

    /// Counts a look at an environment; one that is looked at for the last time goes away.
    ///
    /// # Errors
    /// [`Problem::Missing`].
    pub(super) fn look_at_env(&mut self, app: &str, env: &str) -> Result<&mut Env, Problem> {
        if self.env_mut(app, env)?.status.is_over_at_this_look() {
            self.app_mut(app)?.envs.remove(env);
        }
        self.env_mut(app, env)
    }
}

const NO_APP: Problem = Problem::Missing("application");
const NO_ENV: Problem = Problem::Missing("environment");
