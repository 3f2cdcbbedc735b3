//! Service users and tokens, made through the API.

use serde_json::json;

use super::client::Client;
use super::postern::ORG;

/// A service user with a token, who asks.
#[derive(Clone)]
pub(crate) struct ServiceUser {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) client: Client,
}

/// Roles that a service user gets.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Roles<'a> {
    /// On the organisation; every service user has one.
    pub(crate) org: &'a str,
    /// On apps.
    pub(crate) apps: &'a [(&'a str, &'a str)],
    /// Env types that it may deploy to.
    pub(crate) deploys_to: &'a [&'a str],
}

impl Client {
    /// Creates a service user with a role on the organisation; returns its id.
    pub(crate) fn create_user(&self, name: &str, role: &str) -> String {
        let created = self
            .post(&format!("/orgs/{ORG}/users"), json!({"name": name, "role": role}))
            .ok(200);
        created["id"].as_str().expect("it has an id").to_owned()
    }

    /// Creates a token; returns the secret.
    pub(crate) fn create_token(&self, user: &str, id: &str) -> String {
        let created = self
            .post(&format!("/users/{user}/tokens"), json!({"id": id, "type": "static"}))
            .ok(200);
        created["token"].as_str().expect("it has a secret").to_owned()
    }

    /// Gives a role on an app.
    pub(crate) fn give_app_role(&self, app: &str, user: &str, role: &str) {
        self.post(
            &format!("/orgs/{ORG}/apps/{app}/users"),
            json!({"id": user, "role": role}),
        )
        .ok(200);
    }

    /// Lets a subject deploy to an env type.
    pub(crate) fn give_deployer(&self, env_type: &str, user: &str) {
        let path = format!("/orgs/{ORG}/env-types/{env_type}/users");
        self.post(&path, json!({"id": user, "role": "deployer"})).ok(200);
    }

    /// Creates a service user with roles and a token.
    pub(crate) fn service_user(&self, roles: Roles<'_>) -> ServiceUser {
        let id = self.create_user("a service user", roles.org);
        for (app, role) in roles.apps {
            self.give_app_role(app, &id, role);
        }
        for env_type in roles.deploys_to {
            self.give_deployer(env_type, &id);
        }
        let token = self.create_token(&id, "first");
        let client = Client {
            token: Some(token.clone()),
            ..self.clone()
        };
        ServiceUser { id, token, client }
    }

    /// Creates a service user with a role on the organisation and nothing else.
    pub(crate) fn with_org_role(&self, org: &str) -> ServiceUser {
        self.service_user(Roles {
            org,
            ..Roles::default()
        })
    }
}
