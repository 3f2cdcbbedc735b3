//! Who may do what: the permissions that the built-in roles grant, as two tables.
//!
//! One table is for operations inside an app, one for all others; a permission that is in neither is granted by no role,
//! not even administrator. The roles themselves hold no list of their own.

#![no_std]

use postern_policy::{Request, RoleVerdict};

use OrgRole::{Administrator, ArtefactContributor, Manager, Member, OrgViewer};

/// A role on an organisation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum OrgRole {
    /// May do everything.
    Administrator,
    /// A member who also manages users, roles on env types and tokens, and creates apps.
    Manager,
    /// A member who also adds artefact versions; for service users.
    ArtefactContributor,
    /// Reaches the apps on which it holds a role.
    Member,
    /// Reads everything but secrets and the audit log.
    OrgViewer,
}

/// A role on an app; each can do what those before it can.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AppRole {
    /// Reads.
    Viewer,
    /// Changes configuration and values.
    Developer,
    /// Also manages the app's members, webhooks and pipelines.
    Owner,
}

/// Returns what a role on the organisation answers.
pub fn of_org_role(role: OrgRole, request: &Request) -> RoleVerdict {
    let permission = request.operation.permission.as_str();
    let granted = if is_in_app(request) {
        IN_APP
            .iter()
            .any(|g| g.org_roles.contains(&role) && g.permissions.contains(&permission))
    } else {
        let by_table = OUTSIDE_APPS
            .iter()
            .any(|g| g.org_roles.contains(&role) && g.permissions.contains(&permission));
        by_table || (OF_ONESELF.contains(&permission) && request.parameter("userId") == Some(&request.subject.id))
    };
    RoleVerdict::allow_if(granted)
}

/// Returns what a role on the app answers. What needs role `deployer` besides is left to that role's policy.
pub fn of_app_role(role: AppRole, request: &Request) -> RoleVerdict {
    let concerns_env_types = !request.subject.env_type_roles.is_empty();
    RoleVerdict::allow_if(least_app_role(request).is_some_and(|(least, deployer)| {
        role >= least
            && match deployer {
                Deployer::NotNeeded => true,
                Deployer::OnEnvTypesConcerned => !concerns_env_types,
                Deployer::Needed => false,
            }
    }))
}

/// Returns what role `deployer` answers: it grants what only env types were in the way of.
pub fn of_deployer(request: &Request) -> RoleVerdict {
    let subject = &request.subject;
    let role = match subject.app_role.as_deref() {
        Some("owner") => AppRole::Owner,
        Some("developer") => AppRole::Developer,
        _ => return RoleVerdict::Abstain,
    };
    let concerns_env_types = !subject.env_type_roles.is_empty();
    let on_each = subject
        .env_type_roles
        .iter()
        .all(|own| own.role.as_deref() == Some("deployer"));
    RoleVerdict::allow_if(
        concerns_env_types
            && on_each
            && least_app_role(request)
                .is_some_and(|(least, deployer)| role >= least && deployer != Deployer::NotNeeded),
    )
}

fn is_in_app(request: &Request) -> bool {
    request.parameter("appId").is_some()
}

fn least_app_role(request: &Request) -> Option<(AppRole, Deployer)> {
    let permission = request.operation.permission.as_str();
    let group = IN_APP.iter().find(|group| group.permissions.contains(&permission))?;
    is_in_app(request).then_some((group.least, group.deployer))
}

/// Permissions granted to the same roles on the organisation.
struct OrgGroup {
    org_roles: &'static [OrgRole],
    permissions: &'static [&'static str],
}

/// Permissions in an app that are granted to the same roles.
struct AppGroup {
    /// Roles on the organisation that suffice, whatever the role on the app.
    org_roles: &'static [OrgRole],
    /// The least role on the app that suffices.
    least: AppRole,
    /// Whether that role suffices alone.
    deployer: Deployer,
    permissions: &'static [&'static str],
}

/// Whether role `deployer` is needed on each env type that the operation concerns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deployer {
    NotNeeded,
    /// Needed if the operation concerns any: an app without environments can be deleted, a pipeline that names none run.
    OnEnvTypesConcerned,
    /// Needed, and the operation always concerns one.
    Needed,
}

/// Granted by any role on the organisation if the parameter `userId` is the subject itself.
const OF_ONESELF: &[&str] = &["org.user.perms.read", "org.user.read"];

const OUTSIDE_APPS: &[OrgGroup] = &[
    OrgGroup {
        org_roles: &[Administrator],
        permissions: &[
            "agent.write",
            "artefact.delete",
            "audit.read",
            "cluster.check",
            "envtype.write",
            "fleet.read",
            "fleet.write",
            "guard.write",
            "key.write",
            "policy.write",
            "registry.write",
            "resource.account.write",
            "resource.write",
            "secretstore.write",
            "serviceuser.token.release",
            "workloadprofile.write",
        ],
    },
    OrgGroup {
        org_roles: &[Administrator, OrgViewer],
        permissions: &["agent.read", "key.read", "resource.account.read", "secretstore.read"],
    },
    OrgGroup {
        org_roles: &[Administrator, Manager],
        permissions: &[
            "app.create",
            "artefactversion.archive",
            "decision.read",
            "envtype.user.write",
            "group.create",
            "org.invite.create",
            "org.invite.list",
            "org.user.remove",
            "org.user.update",
            "serviceuser.create",
            "serviceuser.token.create",
            "serviceuser.token.read",
            "serviceuser.token.revoke",
        ],
    },
    OrgGroup {
        org_roles: &[Administrator, Manager, OrgViewer],
        permissions: &[
            "envtype.user.read",
            "group.users.list",
            "guard.read",
            "org.user.list",
            "org.user.perms.read",
            "org.user.read",
            "policy.read",
            "registry.read",
        ],
    },
    OrgGroup {
        org_roles: &[Administrator, Manager, ArtefactContributor],
        permissions: &["artefactversion.create", "registry.creds.read"],
    },
    OrgGroup {
        org_roles: &[Administrator, Manager, ArtefactContributor, Member, OrgViewer],
        permissions: &[
            "app.list",
            "artefact.read",
            "envtype.read",
            "event.read",
            "humanitec-key.read",
            "org.list",
            "org.read",
            "pipeline.read",
            "pipeline.schema.read",
            "resource.read",
            "score.convert",
            "self.read",
            "self.update",
            "workloadprofile.read",
        ],
    },
];

const IN_APP: &[AppGroup] = &[
    AppGroup {
        org_roles: &[Administrator, OrgViewer],
        least: AppRole::Viewer,
        deployer: Deployer::NotNeeded,
        permissions: &[
            "activeresource.read",
            "app.read",
            "app.user.read",
            "delta.read",
            "deployment.read",
            "env.logs.read",
            "env.read",
            "pipeline.read",
            "resourcegraph.query",
            "rule.read",
            "runtime.read",
            "set.read",
            "value.read",
        ],
    },
    AppGroup {
        org_roles: &[Administrator],
        least: AppRole::Developer,
        deployer: Deployer::NotNeeded,
        permissions: &[
            "delta.write",
            "env.update",
            "pipeline.run.control",
            "resourcegraph.create",
            "set.write",
            "value.write",
        ],
    },
    AppGroup {
        org_roles: &[Administrator],
        least: AppRole::Developer,
        deployer: Deployer::OnEnvTypesConcerned,
        permissions: &["pipeline.run"],
    },
    AppGroup {
        org_roles: &[Administrator],
        least: AppRole::Developer,
        deployer: Deployer::Needed,
        permissions: &[
            "activeresource.write",
            "deployment.create",
            "env.create",
            "env.delete",
            "env.rebase",
            "pipeline.approve",
            "rule.write",
            "runtime.write",
        ],
    },
    AppGroup {
        // Headers and payloads of webhooks may hold secrets: viewers and developers of the app don't read them.
        org_roles: &[Administrator, OrgViewer],
        least: AppRole::Owner,
        deployer: Deployer::NotNeeded,
        permissions: &["webhook.read"],
    },
    AppGroup {
        org_roles: &[Administrator],
        least: AppRole::Owner,
        deployer: Deployer::NotNeeded,
        permissions: &["app.update", "app.user.write", "pipeline.write", "webhook.write"],
    },
    AppGroup {
        org_roles: &[Administrator],
        least: AppRole::Owner,
        deployer: Deployer::OnEnvTypesConcerned,
        permissions: &["app.delete"],
    },
];
