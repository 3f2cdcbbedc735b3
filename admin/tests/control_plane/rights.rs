//! Who may change whom: the rules that only the store's owner can check.

use serde_json::{Value, json};

use crate::harness::{Answer, ORG, Plane, Who};

#[tokio::test]
async fn the_last_administrator_can_be_neither_demoted_nor_deleted() {
    let plane = Plane::start().await;
    let root = format!("/orgs/{ORG}/users/{}", plane.root.subject);
    let demoted = plane
        .send(&plane.root, "PATCH", &root, json!({"role": "manager"}))
        .await;
    demoted.assert_refused(403, "last-administrator");
    plane
        .ask(&plane.root, "DELETE", &root)
        .await
        .assert_refused(403, "last-administrator");
    // Neither a group nor somebody who has not come yet could take over.
    let group = json!({"group_id": "admins", "idp_id": "my-idp", "role": "administrator"});
    plane
        .send(&plane.root, "POST", &format!("/orgs/{ORG}/groups"), group)
        .await
        .assert_ok();
    let invited = json!({"email": "jo@example.com", "role": "administrator"});
    plane
        .send(&plane.root, "POST", &format!("/orgs/{ORG}/invitations"), invited)
        .await
        .assert_ok();
    plane
        .ask(&plane.root, "DELETE", &root)
        .await
        .assert_refused(403, "last-administrator");
    plane
        .send(&plane.root, "PATCH", &root, json!({"role": "administrator"}))
        .await
        .assert_ok();

    let second = plane.service_user("administrator").await;
    plane
        .send(&plane.root, "PATCH", &root, json!({"role": "manager"}))
        .await
        .assert_ok();
    let second_path = format!("/orgs/{ORG}/users/{}", second.subject);
    plane
        .ask(&second, "DELETE", &second_path)
        .await
        .assert_refused(403, "last-administrator");
    assert_eq!(plane.ask(&second, "DELETE", &root).await.status, 204);
}

#[tokio::test]
async fn a_member_who_has_come_can_take_over_as_administrator() {
    let plane = Plane::start().await;
    let person = plane.member("jo@example.com", "administrator").await;
    let root = format!("/orgs/{ORG}/users/{}", plane.root.subject);
    assert_eq!(plane.ask(&person, "DELETE", &root).await.status, 204);
}

#[tokio::test]
async fn nobody_gives_a_role_above_their_own() {
    let plane = Plane::start().await;
    let manager = plane.service_user("manager").await;
    let rows = [
        ("administrator", false),
        ("manager", true),
        ("member", true),
        ("artefactContributor", true),
        ("orgViewer", false),
    ];
    for (role, may) in rows {
        let subject = plane.service_user("member").await.subject;
        let mut answers = vec![
            give(&plane, &manager, "POST", "users", json!({"name": "x", "role": role})).await,
            give(
                &plane,
                &manager,
                "PATCH",
                &format!("users/{subject}"),
                json!({"role": role}),
            )
            .await,
        ];
        if role != "artefactContributor" {
            let invitation = json!({"email": format!("{role}@example.com"), "role": role});
            answers.push(give(&plane, &manager, "POST", "invitations", invitation).await);
            let group = json!({"group_id": role, "idp_id": "my-idp", "role": role});
            answers.push(give(&plane, &manager, "POST", "groups", group).await);
        }
        for answer in answers {
            if may {
                answer.assert_ok();
            } else {
                answer.assert_refused(403, "above-your-role");
            }
        }
    }
}

#[tokio::test]
async fn nobody_changes_removes_or_speaks_for_a_subject_above_them() {
    let plane = Plane::start().await;
    let manager = plane.service_user("manager").await;
    for role in ["administrator", "orgViewer"] {
        let above = plane.service_user(role).await.subject;
        let user = format!("/orgs/{ORG}/users/{above}");
        let tokens = format!("/users/{above}/tokens");
        let answers = [
            plane.send(&manager, "PATCH", &user, json!({"role": "member"})).await,
            plane.ask(&manager, "DELETE", &user).await,
            plane
                .send(&manager, "POST", &tokens, json!({"id": "mine", "type": "static"}))
                .await,
            plane.ask(&manager, "GET", &tokens).await,
            plane.ask(&manager, "GET", &format!("{tokens}/main")).await,
            plane.ask(&manager, "DELETE", &format!("{tokens}/main")).await,
        ];
        for answer in answers {
            answer.assert_refused(403, "above-your-role");
        }
    }
    let below = plane.service_user("member").await.subject;
    let tokens = format!("/users/{below}/tokens");
    plane
        .send(&manager, "POST", &tokens, json!({"id": "mine", "type": "static"}))
        .await
        .assert_ok();
    plane.ask(&manager, "GET", &tokens).await.assert_ok();
    assert_eq!(
        plane.ask(&manager, "DELETE", &format!("{tokens}/mine")).await.status,
        204
    );
    assert_eq!(
        plane
            .ask(&manager, "DELETE", &format!("/orgs/{ORG}/users/{below}"))
            .await
            .status,
        204
    );
}

#[tokio::test]
async fn a_manager_may_step_down_but_not_up() {
    let plane = Plane::start().await;
    let manager = plane.service_user("manager").await;
    let own = format!("users/{}", manager.subject);
    let up = give(&plane, &manager, "PATCH", &own, json!({"role": "administrator"})).await;
    up.assert_refused(403, "above-your-role");
    give(&plane, &manager, "PATCH", &own, json!({"role": "member"}))
        .await
        .assert_ok();
    let back = give(&plane, &manager, "PATCH", &own, json!({"role": "manager"})).await;
    back.assert_refused(403, "above-your-role");
}

#[tokio::test]
async fn what_an_identity_says_of_roles_is_not_believed() {
    let plane = Plane::start().await;
    let member = plane.service_user("member").await;
    let mut identity = plane.identity(&member);
    identity
        .roles
        .insert(format!("/orgs/{ORG}"), "administrator".to_owned());
    let jwt = plane.signer.sign(&identity);
    let body = json!({"name": "x", "role": "administrator"}).to_string();
    let fields = [(feed::frame::IDENTITY_FIELD, jwt.as_str())];
    let answer = plane
        .request("POST", &format!("/orgs/{ORG}/users"), body, &fields)
        .await;
    answer.assert_refused(403, "above-your-role");
}

#[tokio::test]
async fn artefact_contributor_is_for_service_users_only() {
    let plane = Plane::start().await;
    let role = json!("artefactContributor");
    let person = plane.member("jo@example.com", "member").await.subject;
    let group = json!({"group_id": "engineers", "idp_id": "my-idp", "role": "member"});
    let group = give(&plane, &plane.root, "POST", "groups", group).await;
    let group = group.body["id"].as_str().expect("an id");
    let refused = [
        (
            "POST",
            "invitations".to_owned(),
            json!({"email": "al@example.com", "role": role}),
        ),
        (
            "POST",
            "groups".to_owned(),
            json!({"group_id": "others", "idp_id": "my-idp", "role": role}),
        ),
        ("PATCH", format!("users/{person}"), json!({"role": role})),
        ("PATCH", format!("users/{group}"), json!({"role": role})),
        ("POST", "apps/web/users".to_owned(), json!({"id": person, "role": role})),
    ];
    for (method, path, body) in refused {
        give(&plane, &plane.root, method, &path, body)
            .await
            .assert_refused(400, "unknown-role");
    }
}

#[tokio::test]
async fn the_database_itself_refuses_what_must_never_be() {
    let plane = Plane::start().await;
    let person = plane.member("jo@example.com", "member").await.subject;
    let robot = plane.service_user("member").await.subject;
    let binding = |subject: &str, kind: &str, scope: &str, role: &str| {
        format!(
            "INSERT INTO role_bindings (subject, subject_kind, org, scope, role, created_ms, created_by)
             VALUES ('{subject}', '{kind}', '{ORG}', '{scope}', '{role}', 0, 'x')"
        )
    };
    let refused = [
        format!("UPDATE role_bindings SET role = 'artefactContributor' WHERE subject = '{person}'"),
        binding(&person, "service-user", "/orgs/my-org/apps/a", "artefactContributor"),
        binding(&person, "member", "/orgs/my-org/apps/a", "artefactContributor"),
        binding(&person, "member", "/orgs/their-org", "member"),
        binding(&person, "member", "/orgs/my-organisation", "member"),
        format!("UPDATE subjects SET kind = 'member', invite = 'accepted' WHERE id = '{robot}'"),
        format!(
            "INSERT INTO tokens (number, subject, org, id, digest, description, created_ms, created_by)
             VALUES (1000, '{person}', '{ORG}', 'x', {}, '', 0, 'x')",
            Plane::random_octets()
        ),
        "UPDATE audit_entries SET actor_subject = 'somebody else'".to_owned(),
        "DELETE FROM audit_entries".to_owned(),
    ];
    for statement in refused {
        assert!(plane.sql(&statement).await.is_err(), "{statement}");
    }
    let accepted = binding(&robot, "service-user", "/orgs/my-org/apps/a", "artefactContributor");
    plane.sql(&accepted).await.expect("a service user may hold it");
}

async fn give(plane: &Plane, who: &Who, method: &str, path: &str, body: Value) -> Answer {
    plane.send(who, method, &format!("/orgs/{ORG}/{path}"), body).await
}
