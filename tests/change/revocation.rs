//! A change counts from the next request on: nobody waits, nothing is cached past it.

use serde_json::json;

use crate::harness::caller::Roles;
use crate::harness::postern::Postern;
use crate::harness::upstream::Upstream;

/// How often each change is made: what is a race shows itself in some of them.
const ROUNDS: usize = 50;

#[test]
fn a_token_works_on_the_request_after_its_creation_and_not_on_the_one_after_its_revocation() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::with(&upstream.url(), &["--workers", "2"]);
    let administrator = postern.administrator();
    let id = administrator.create_user("ci", "member");
    for round in 0..ROUNDS {
        let caller = postern.with_token(&administrator.create_token(&id, "ci"));
        assert_eq!(caller.get("/orgs/acme/env-types").status, 200, "round {round}");
        administrator.delete(&format!("/users/{id}/tokens/ci")).ok(204);
        assert_eq!(caller.get("/orgs/acme/env-types").status, 401, "round {round}");
    }
    assert_eq!(upstream.received().len(), ROUNDS);
}

#[test]
fn a_change_of_roles_counts_on_the_next_request() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::with(&upstream.url(), &["--workers", "2"]);
    let administrator = postern.administrator();
    let ci = administrator.with_org_role("member");
    let held = format!("/orgs/acme/apps/shop/users/{}", ci.id);
    for round in 0..ROUNDS {
        assert_eq!(ci.client.get("/orgs/acme/apps/shop").status, 403, "round {round}");
        administrator.give_app_role("shop", &ci.id, "viewer");
        assert_eq!(ci.client.get("/orgs/acme/apps/shop").status, 200, "round {round}");
        assert_eq!(
            ci.client.patch("/orgs/acme/apps/shop", json!({})).status,
            403,
            "round {round}"
        );
        administrator.patch(&held, json!({"role": "owner"})).ok(200);
        assert_eq!(
            ci.client.patch("/orgs/acme/apps/shop", json!({})).status,
            200,
            "round {round}"
        );
        administrator.delete(&held).ok(204);
    }
}

#[test]
fn a_role_on_the_organisation_that_was_lowered_counts_on_the_next_request() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let ci = administrator.with_org_role("member");
    let user = format!("/orgs/acme/users/{}", ci.id);
    for round in 0..ROUNDS {
        assert_eq!(ci.client.get("/orgs/acme/users").status, 403, "round {round}");
        administrator.patch(&user, json!({"role": "manager"})).ok(200);
        assert_eq!(ci.client.get("/orgs/acme/users").status, 200, "round {round}");
        administrator.patch(&user, json!({"role": "member"})).ok(200);
    }
}

#[test]
fn all_tokens_of_a_deleted_service_user_end_on_the_next_request() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    for round in 0..10 {
        let ci = administrator.with_org_role("member");
        let second = postern.with_token(&administrator.create_token(&ci.id, "second"));
        assert_eq!(second.get("/orgs/acme/env-types").status, 200, "round {round}");
        administrator.delete(&format!("/orgs/acme/users/{}", ci.id)).ok(204);
        for caller in [&ci.client, &second] {
            postern.assert_refused(&caller.get("/orgs/acme/env-types"), "token-unknown");
        }
    }
}

#[test]
fn a_service_user_that_deletes_its_own_token_or_itself_is_out() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let manager = administrator.with_org_role("manager");
    let second = postern.with_token(&administrator.create_token(&manager.id, "second"));
    second.delete(&format!("/users/{}/tokens/second", manager.id)).ok(204);
    postern.assert_refused(&second.get("/current-user"), "token-unknown");
    manager
        .client
        .delete(&format!("/orgs/acme/users/{}", manager.id))
        .ok(204);
    postern.assert_refused(&manager.client.get("/current-user"), "token-unknown");
}

#[test]
fn roles_do_not_come_back_with_a_new_service_user_or_a_new_app() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let roles = Roles {
        org: "member",
        apps: &[("shop", "owner")],
        deploys_to: &[],
    };
    let first = administrator.service_user(roles);
    administrator.delete(&format!("/orgs/acme/users/{}", first.id)).ok(204);
    assert_eq!(administrator.get("/orgs/acme/apps/shop/users").ok(200), json!([]));
    let second = administrator.with_org_role("member");
    postern.assert_refused(&second.client.get("/orgs/acme/apps/shop"), "not-allowed");
}
