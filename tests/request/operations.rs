//! Every operation of the catalogue over the wire: refused to whoever may not, forwarded for whoever may.
//!
//! What is right stands in `tests/golden/roles.txt`, which was reviewed; here it is held against the whole system.

use std::collections::BTreeMap;
use std::sync::Arc;

use catalogue::{Catalogue, EnvTypes, Operation, Server};
use serde_json::json;

use crate::harness::caller::{Roles, ServiceUser};
use crate::harness::client::{Answer, Client, Request};
use crate::harness::postern::Postern;
use crate::harness::upstream::{Received, Reply, Upstream};

const GOLDEN: &str = include_str!("../golden/roles.txt");

/// Columns of the golden table, in their order, by their heads.
const COLUMNS: [&str; 15] = [
    "A", "M", "C", "B", "V", "B=", "v", "d", "o", "+", "v+", "d+", "o+", "d-", "o-",
];

const ABSENT_GROUP: &str = "g-00000000-0000-4000-8000-000000000000";

/// Version of the built-in roles.
const BUILT_IN_VERSION: &str = "1.1.0";

/// Operations about what somebody has to publish, attach or report first. That they are served is shown where that is
/// done: `admin/tests/control_plane`.
const ABOUT_THE_ABSENT: [&str; 9] = [
    "getPolicyShadow",
    "getGuard",
    "updateGuard",
    "detachGuard",
    "getDecision",
    "getGateway",
    "getRoleAccess",
    "removeGateway",
    "renameGateway",
];

fn catalogue() -> Catalogue {
    Catalogue::parse(catalogue::OPERATIONS).expect("the shipped table is good")
}

/// Whether a column of the golden table allows an operation, by method and path.
fn golden() -> BTreeMap<(String, &'static str), bool> {
    let mut allowed = BTreeMap::new();
    let head = GOLDEN
        .lines()
        .find(|line| line.starts_with("A M C"))
        .expect("it has a head");
    let heads: Vec<&str> = head.split_whitespace().filter(|word| *word != "|").collect();
    assert_eq!(heads, COLUMNS.into_iter().chain(["operation"]).collect::<Vec<_>>());
    for line in GOLDEN
        .lines()
        .filter(|line| line.starts_with("x ") || line.starts_with(". "))
    {
        let words: Vec<&str> = line.split_whitespace().filter(|word| *word != "|").collect();
        let (marks, operation) = words.split_at(COLUMNS.len());
        for (column, mark) in COLUMNS.into_iter().zip(marks) {
            allowed.insert((format!("{} {}", operation[0], operation[1]), column), *mark == "x");
        }
    }
    allowed
}

/// An orchestrator that answers questions for facts, and everything else with a status that means nothing.
fn orchestrator() -> Upstream {
    Upstream::start(|received| {
        if is_forwarded(received) {
            return Reply::json(418, &json!({}));
        }
        match received.target.rsplit('/').next() {
            Some("dev") => Reply::json(200, &json!({"id": "dev", "type": "development"})),
            Some("envs") => Reply::json(200, &json!([{"type": "development"}, {"type": "production"}])),
            _ => Reply::json(200, &json!({"id": "a1", "env_id": "dev"})),
        }
    })
}

/// Questions of ours carry nobody's identity.
fn is_forwarded(received: &Received) -> bool {
    !received.values("postern-identity").is_empty()
}

/// A request for an operation, about some user where it is about one.
fn request(operation: &Operation, user: &str) -> Request {
    let segments = operation.path.split('/').map(|segment| match segment {
        "{orgId}" => "acme",
        "{appId}" => "shop",
        "{envId}" => "dev",
        "{userId}" => user,
        "{envTypeId}" | "{envType}" => "development",
        "{groupId}" => ABSENT_GROUP,
        "{policyId}" => "viewer",
        "{versionId}" => BUILT_IN_VERSION,
        parameter if parameter.starts_with('{') => "a1",
        literal => literal,
    });
    let target = segments.collect::<Vec<_>>().join("/");
    let request = Request::new(&operation.method, &target);
    match operation.env_types {
        EnvTypes::BodyType => request.json(&json!({"id": "new", "name": "x", "type": "development"})),
        EnvTypes::BodyEnvironment => request.json(&json!({"env_id": "dev"})),
        EnvTypes::None | EnvTypes::Path | EnvTypes::App | EnvTypes::Approval if operation.method == "GET" => request,
        EnvTypes::None | EnvTypes::Path | EnvTypes::App | EnvTypes::Approval => request.json(&json!({})),
    }
}

/// Returns whether the gateway refused for want of rights; the admin service has words of its own for that.
fn is_refused(answer: &Answer) -> bool {
    answer.refusal() == (403, "not-allowed".to_owned())
}

/// One column over the wire.
struct Column<'a> {
    head: &'static str,
    caller: ServiceUser,
    administrator: &'a Client,
    upstream: &'a Upstream,
}

impl Column<'_> {
    /// Asks for every operation, and returns those that went otherwise than expected.
    fn differences(&self, expected: impl Fn(&str) -> bool) -> Vec<String> {
        let mut differences = Vec::new();
        let mut somebody = self.administrator.create_user("somebody", "member");
        for operation in catalogue().operations() {
            let named = format!("{} {}", operation.method, operation.path);
            // Asking whether one may delete oneself is answered by being gone.
            if self.head == "B=" && operation.method == "DELETE" && operation.server == Server::Admin {
                continue;
            }
            let user = if self.head == "B=" { &self.caller.id } else { &somebody };
            let before = self.forwarded();
            let answer = self.caller.client.send(request(operation, user));
            let forwarded = self.forwarded() - before;
            let allowed = match operation.server {
                Server::Orchestrator => answer.status == 418 && forwarded == 1,
                Server::Admin => !is_refused(&answer) && answer.status != 401 && answer.status < 500,
            };
            let right = if expected(&named) {
                allowed
            } else {
                is_refused(&answer) && forwarded == 0
            };
            if !right {
                differences.push(format!(
                    "{}: {named}: {} {:?}",
                    self.head,
                    answer.status,
                    answer.refusal()
                ));
            }
            if operation.server == Server::Admin && operation.method == "DELETE" {
                somebody = self.administrator.create_user("somebody", "member");
            }
        }
        differences
    }

    fn forwarded(&self) -> usize {
        self.upstream
            .received()
            .iter()
            .filter(|received| is_forwarded(received))
            .count()
    }
}

/// Holds columns of the golden table against the whole system.
fn check(columns: &[(&'static str, Roles<'_>)]) {
    let golden = golden();
    let allows = |operation: &str, head: &'static str| {
        *golden
            .get(&(operation.to_owned(), head))
            .unwrap_or_else(|| panic!("{operation} is not in the table"))
    };
    let upstream = orchestrator();
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let mut differences = Vec::new();
    for (head, roles) in columns {
        let caller = administrator.service_user(*roles);
        let column = Column {
            head,
            caller,
            administrator: &administrator,
            upstream: &upstream,
        };
        let of_org = ["A", "M", "C", "B", "V", "B="].contains(head);
        // Over the wire everybody has a role on the organisation; beside roles on apps it is `member`.
        differences.extend(column.differences(|named| allows(named, head) || (!of_org && allows(named, "B"))));
    }
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

#[test]
fn every_operation_is_decided_for_roles_on_the_organisation_as_the_table_says() {
    let org = |org| Roles {
        org,
        ..Roles::default()
    };
    check(&[
        ("A", org("administrator")),
        ("M", org("manager")),
        ("C", org("artefactContributor")),
        ("B", org("member")),
        ("V", org("orgViewer")),
        ("B=", org("member")),
    ]);
}

#[test]
fn every_operation_is_decided_for_roles_on_apps_and_env_types_as_the_table_says() {
    let both: &[&str] = &["development", "production"];
    let other: &[&str] = &["production"];
    let on = |apps, deploys_to| Roles {
        org: "member",
        apps,
        deploys_to,
    };
    check(&[
        ("v", on(&[("shop", "viewer")], &[])),
        ("d", on(&[("shop", "developer")], &[])),
        ("o", on(&[("shop", "owner")], &[])),
        ("+", on(&[], both)),
        ("v+", on(&[("shop", "viewer")], both)),
        ("d+", on(&[("shop", "developer")], both)),
        ("o+", on(&[("shop", "owner")], both)),
        ("d-", on(&[("shop", "developer")], other)),
        ("o-", on(&[("shop", "owner")], other)),
    ]);
}

#[test]
fn every_operation_is_refused_without_a_token() {
    let upstream = orchestrator();
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let somebody = administrator.with_org_role("member");
    let catalogue = catalogue();
    assert!(catalogue.operations().len() >= 238, "{}", catalogue.operations().len());
    for operation in catalogue.operations() {
        let answer = postern.anybody().send(request(operation, &somebody.id));
        assert_eq!(
            answer.refusal(),
            (401, "unauthenticated".to_owned()),
            "{}",
            operation.id
        );
    }
    assert_eq!(upstream.received().len(), 0);
}

#[test]
fn every_operation_of_the_admin_service_is_served() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let catalogue = catalogue();
    let own: Vec<&Arc<Operation>> = catalogue
        .operations()
        .iter()
        .filter(|o| o.server == Server::Admin)
        .collect();
    assert!(own.len() >= 43, "{}", own.len());
    let group = json!({"group_id": "team", "idp_id": "default", "role": "member"});
    let group = administrator.post("/orgs/acme/groups", group).ok(200);
    let group = group["id"].as_str().expect("it has an id");
    for operation in own {
        let on = Roles {
            org: "member",
            apps: &[("shop", "viewer")],
            deploys_to: &["development"],
        };
        let user = administrator.service_user(on).id;
        administrator.create_token(&user, "a1");
        let request = if operation.path.contains("{groupId}") {
            Request::new("GET", &format!("/orgs/acme/groups/{group}/users"))
        } else {
            request(operation, &user)
        };
        let answer = administrator.send(request);
        // Everything named in the path is there, but for those: only a route that was forgotten would be 404 or 405.
        let absent = answer.status == 404 && ABOUT_THE_ABSENT.contains(&&*operation.id);
        assert!(
            absent || matches!(answer.status, 200 | 204 | 400),
            "{}: {}",
            operation.id,
            answer.shown()
        );
    }
}
