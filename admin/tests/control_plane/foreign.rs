//! A foreign organisation looks absent: the same answer as for one that does not exist.

use serde_json::{Value, json};

use crate::harness::{ORG, Plane};

#[tokio::test]
async fn everything_of_a_foreign_organisation_is_answered_like_what_does_not_exist() {
    let plane = Plane::start().await;
    let foreign = plane.foreign_administrator().await.subject;
    let absent = "s-00000000-0000-4000-8000-00000000ffff";
    let body = json!({"id": "x", "name": "x", "email": "x@example.com", "role": "member", "type": "static",
                      "group_id": "x", "idp_id": "my-idp"});
    let role_on_app = json!({"id": plane.root.subject, "role": "viewer"});
    let routes: &[(&str, &str, Option<&Value>)] = &[
        ("GET", "/orgs/{org}/users", None),
        ("POST", "/orgs/{org}/users", Some(&body)),
        ("GET", "/orgs/{org}/users/{user}", None),
        ("PATCH", "/orgs/{org}/users/{user}", Some(&body)),
        ("DELETE", "/orgs/{org}/users/{user}", None),
        ("GET", "/orgs/{org}/users/{user}/groups", None),
        ("GET", "/orgs/{org}/users/{user}/perms", None),
        ("POST", "/orgs/{org}/groups", Some(&body)),
        ("GET", "/orgs/{org}/groups/{user}/users", None),
        ("GET", "/orgs/{org}/invitations", None),
        ("POST", "/orgs/{org}/invitations", Some(&body)),
        ("GET", "/orgs/{org}/apps/web/users", None),
        ("POST", "/orgs/{org}/apps/web/users", Some(&role_on_app)),
        ("GET", "/orgs/{org}/apps/web/users/{user}", None),
        ("PATCH", "/orgs/{org}/apps/web/users/{user}", Some(&body)),
        ("DELETE", "/orgs/{org}/apps/web/users/{user}", None),
        ("GET", "/orgs/{org}/env-types/production/users", None),
        ("POST", "/orgs/{org}/env-types/production/users", Some(&role_on_app)),
        ("GET", "/orgs/{org}/env-types/production/users/{user}", None),
        ("PATCH", "/orgs/{org}/env-types/production/users/{user}", Some(&body)),
        ("DELETE", "/orgs/{org}/env-types/production/users/{user}", None),
        ("GET", "/users/{user}/tokens", None),
        ("POST", "/users/{user}/tokens", Some(&body)),
        ("GET", "/users/{user}/tokens/main", None),
        ("DELETE", "/users/{user}/tokens/main", None),
    ];
    let revision = plane.admin.revision();
    for (method, template, body) in routes {
        let ask = |org: &str, user: &str| {
            let path = template.replace("{org}", org).replace("{user}", user);
            let body = body.map(ToString::to_string).unwrap_or_default();
            let identity = plane.signer.sign(&plane.identity(&plane.root));
            let plane = &plane;
            async move {
                let fields = [(feed::frame::IDENTITY_FIELD, identity.as_str())];
                plane.request(method, &path, body, &fields).await
            }
        };
        let theirs = ask("their-org", &foreign).await;
        let nobodys = ask("no-org", absent).await;
        theirs.assert_refused(404, "not-found");
        assert_eq!(
            (theirs.status, theirs.body),
            (nobodys.status, nobodys.body),
            "{method} {template}"
        );
        // Their subject under the caller's own organisation.
        if template.contains("{user}") {
            ask(ORG, &foreign).await.assert_refused(404, "not-found");
        }
    }
    let smuggled = json!({"id": foreign, "role": "viewer"});
    let answer = plane
        .send(&plane.root, "POST", &format!("/orgs/{ORG}/apps/web/users"), smuggled)
        .await;
    answer.assert_refused(404, "not-found");
    assert_eq!(plane.admin.revision(), revision, "nothing was changed");
}
