//! What a new sandbox holds, so that there is something to read and something to deploy to.

use std::collections::BTreeMap;

use super::Settings;
use super::apps::App;
use super::artefacts::Artefacts;
use super::deploys;
use super::env_types::EnvType;
use super::envs::Env;
use super::pipelines::Pipelines;
use super::problem::Problem;
use super::registries::{self, Registry};
use super::request::{InEnv, Stamp};
use super::store::Store;

impl Store {
    /// Returns the store of a new sandbox.
    pub(super) fn seeded(settings: &Settings) -> Self {
        let stamp = Stamp::own(settings.clock.unix_ms());
        let env_types = ENV_TYPES.map(|(id, description)| {
            let description = description.to_owned();
            (id.to_owned(), EnvType { description })
        });
        let mut store = Self {
            started: stamp.clone(),
            apps: BTreeMap::new(),
            env_types: BTreeMap::from(env_types),
            artefacts: Artefacts::default(),
            images: BTreeMap::new(),
            registries: BTreeMap::from([(registries::BUILT_IN.to_owned(), Registry::built_in(stamp.clone()))]),
        };
        store
            .add_sample_app(&settings.org, &stamp)
            .expect("the app and its environments are made by this call");
        store
    }

    fn add_sample_app(&mut self, org: &str, stamp: &Stamp) -> Result<(), Problem> {
        let mut app = App::new("Sample app".to_owned(), stamp.clone());
        for (id, name) in [("development", "Development"), ("production", "Production")] {
            let env = Env::new(name.to_owned(), id.to_owned(), stamp.clone());
            app.envs.insert(id.to_owned(), env);
        }
        let production = InEnv {
            app: SAMPLE_APP.to_owned(),
            env: "production".to_owned(),
        };
        app.pipelines = Pipelines::sample(org, &production, stamp);
        self.apps.insert(SAMPLE_APP.to_owned(), app);
        let development = InEnv {
            app: SAMPLE_APP.to_owned(),
            env: "development".to_owned(),
        };
        for env in [development, production] {
            deploys::deploy_empty_set(self, &env, stamp.clone())?;
        }
        Ok(())
    }
}

const SAMPLE_APP: &str = "sample-app";

const ENV_TYPES: [(&str, &str); 3] = [
    ("development", "Environments to try things in"),
    ("staging", "Environments that look like production"),
    ("production", "Environments that people depend on"),
];
