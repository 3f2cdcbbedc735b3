//! Whether they may: the roles a subject holds at this moment, on this object, and nothing else.

use serde_json::json;

use crate::harness::caller::Roles;
use crate::harness::postern::Postern;
use crate::harness::upstream::Upstream;

#[test]
fn a_role_on_one_app_gives_nothing_on_its_neighbours() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let roles = Roles {
        org: "member",
        apps: &[("shop", "owner")],
        deploys_to: &[],
    };
    let owner = postern.administrator().service_user(roles);
    owner.client.get("/orgs/acme/apps/shop").ok(200);
    for app in ["shop2", "sho", "shop-2", "bank"] {
        postern.assert_refused(&owner.client.get(&format!("/orgs/acme/apps/{app}")), "not-allowed");
    }
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn a_foreign_organisation_is_refused_like_one_that_does_not_exist() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    for target in [
        "/orgs/other",
        "/orgs/other/apps",
        "/orgs/acme2/apps",
        "/orgs/acm/users",
        "/orgs/other/env-types",
    ] {
        postern.assert_refused(&administrator.get(target), "not-allowed");
    }
    let stranger = "/users/s-00000000-0000-4000-8000-000000000000/tokens";
    postern.assert_refused(&administrator.get(stranger), "not-allowed");
    assert_eq!(upstream.received().len(), 0);
}

#[test]
fn verdicts_are_the_same_whether_they_are_remembered_or_not() {
    for remember in ["true", "false"] {
        let upstream = Upstream::answering(200, json!({}));
        let postern = Postern::with(&upstream.url(), &["--remember-verdicts", remember]);
        let roles = Roles {
            org: "member",
            apps: &[("shop", "viewer")],
            deploys_to: &[],
        };
        let viewer = postern.administrator().service_user(roles);
        for _ in 0..3 {
            viewer.client.get("/orgs/acme/apps/shop").ok(200);
            let write = viewer.client.patch("/orgs/acme/apps/shop", json!({"name": "x"}));
            postern.assert_refused(&write, "not-allowed");
        }
    }
}

#[test]
fn the_decision_and_the_role_that_made_it_are_logged() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let roles = Roles {
        org: "member",
        apps: &[("shop", "viewer")],
        deploys_to: &[],
    };
    let viewer = postern.administrator().service_user(roles);
    viewer.client.get("/orgs/acme/apps/shop").ok(200);
    let line = postern.log_line(|line| line["operation"] == "getApplication");
    assert_eq!(
        (&line["role"], &line["reason"]),
        (&json!("viewer"), &json!("forwarded")),
        "{line}"
    );
    assert_eq!(
        (&line["subject"], &line["token_id"]),
        (&json!(viewer.id), &json!("first")),
        "{line}"
    );
    assert!(
        line["revision"].as_u64().is_some_and(|revision| revision >= 4),
        "{line}"
    );
}
