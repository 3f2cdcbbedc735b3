//! Publishing: what becomes a version of a policy, and what does not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::signature::{Signer, Statement, TrustedKeys};
use feed::{Clock, PolicyDigest};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::components::{freeze, replaced, role};
use crate::harness::{Answer, ORG, Plane, START_MS, assert_timestamp, settings};

#[tokio::test]
async fn a_first_version_is_in_force_at_once_and_a_later_one_is_published_beside_it() {
    let plane = Plane::start().await;
    let component = role("viewer", "tester", "1.0.0");
    let first = plane.publish(&component).await;
    assert_eq!(first.status, 201, "{}", first.body);
    assert_eq!(first.revision(), plane.admin.revision());
    let mut active = first.body["active"].clone();
    assert_timestamp(&active["published_at"]);
    active["published_at"].take();
    let expected = json!({
        "version": "1.0.0", "digest": PolicyDigest::of(&component), "class": "small", "size_bytes": component.len(),
        "published_at": null, "published_by": plane.root.subject,
        "manifest": {"scopes": ["app"], "subject_kinds": ["service-user", "member", "group"], "inputs": []},
    });
    assert_eq!(active, expected);
    let policy = &first.body;
    let rest = json!([
        policy["name"],
        policy["type"],
        policy["builtin"],
        policy["previous"],
        policy["fallback"]
    ]);
    assert_eq!(rest, json!(["tester", "role", false, null, false]));
    assert_eq!(policy["holders"], 0);
    assert_eq!(policy["versions"], json!([policy["active"]]));

    let second = plane.publish(&role("viewer", "tester", "1.1.0")).await;
    assert_eq!(second.status, 201, "{}", second.body);
    let versions = second.body["versions"].as_array().expect("an array");
    let versions: Vec<&Value> = versions.iter().map(|version| &version["version"]).collect();
    assert_eq!(versions, ["1.1.0", "1.0.0"]);
    assert_eq!(second.body["active"]["version"], "1.0.0");

    let body = json!({"component": STANDARD.encode(role("viewer", "tester", "1.2.0")), "activate": true});
    let third = send(&plane, body).await;
    assert_eq!(third.body["active"]["version"], "1.2.0");
    assert_eq!(third.body["previous"], "1.0.0");
    assert_eq!(plane.policy("tester").await, third.without_readiness());
}

#[tokio::test]
async fn the_same_component_again_changes_nothing() {
    let plane = Plane::start().await;
    let component = role("viewer", "tester", "1.0.0");
    let first = plane.publish(&component).await;
    let revision = plane.admin.revision();
    let again = plane.publish(&component).await;
    again.assert_ok();
    assert_eq!(again.body, first.without_readiness());
    assert_eq!(plane.admin.revision(), revision);
}

#[tokio::test]
async fn a_version_is_taken_once_and_only_grows() {
    let plane = Plane::start().await;
    assert_eq!(plane.publish(&role("viewer", "tester", "1.0.5")).await.status, 201);
    let other = plane.publish(&role("member", "tester", "1.0.5")).await;
    other.assert_refused(409, "version-taken");
    for older in ["1.0.4", "0.9.9"] {
        let answer = plane.publish(&role("viewer", "tester", older)).await;
        answer.assert_refused(409, "version-not-newer");
        assert_eq!(answer.body["details"], json!({"newest": "1.0.5"}));
    }
}

#[tokio::test]
async fn a_name_is_that_of_a_role_or_of_a_guard_for_good() {
    let plane = Plane::start().await;
    assert_eq!(plane.publish(&freeze("1.0.0")).await.status, 201);
    let role = plane.publish(&role("viewer", "freeze", "1.1.0")).await;
    role.assert_refused(409, "policy-kind-differs");
}

#[tokio::test]
async fn what_is_no_policy_is_refused_with_all_that_is_wrong() {
    let plane = Plane::start().await;
    let revision = plane.admin.revision();
    let built_in = engine::builtin::COMPONENTS[0];
    for component in [b"not a component".as_slice(), b"", built_in] {
        let answer = plane.publish(component).await;
        answer.assert_refused(400, "component-refused");
        let problems = answer.body["details"]["problems"].as_array().expect("an array");
        assert!(
            !problems.is_empty() && problems.iter().all(Value::is_string),
            "{problems:?}"
        );
    }
    for body in [
        json!({}),
        json!({"component": "%"}),
        json!({"component": null, "activate": true}),
    ] {
        send(&plane, body).await.assert_refused(400, "invalid-field");
    }
    send(&plane, json!([])).await.assert_refused(400, "malformed-body");
    assert_eq!(plane.admin.revision(), revision);
    assert_eq!(plane.number("SELECT count(*) FROM components").await, 0);
}

#[tokio::test]
async fn a_body_over_48_mib_is_refused() {
    let plane = Plane::start().await;
    let body = json!({"component": "A".repeat(48 << 20)});
    send(&plane, body).await.assert_refused(413, "body-too-large");
}

#[tokio::test]
async fn nobody_publishes_for_another_organisation() {
    let plane = Plane::start().await;
    let stranger = plane.foreign_administrator().await;
    let body = json!({"component": STANDARD.encode(role("viewer", "tester", "1.0.0"))});
    let path = format!("/orgs/{ORG}/policies");
    let answer = plane.send(&stranger, "POST", &path, body).await;
    answer.assert_refused(404, "not-found");
}

#[tokio::test]
async fn of_two_components_that_are_published_at_once_with_one_version_one_is() {
    let plane = Plane::start().await;
    let (one, other) = (role("viewer", "tester", "1.0.0"), role("member", "tester", "1.0.0"));
    let answers: [Answer; 2] = tokio::join!(plane.publish(&one), plane.publish(&other)).into();
    let mut statuses = answers.each_ref().map(|answer| answer.status.as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    assert_eq!(plane.number("SELECT count(*) FROM policy_versions").await, 1);
    assert_eq!(plane.number("SELECT count(*) FROM components").await, 1);
}

#[tokio::test]
async fn no_more_than_two_components_are_read_and_vetted_at_once() {
    let plane = Plane::start().await;
    let identity = plane.signer.sign(&plane.identity(&plane.root));
    let head = format!(
        "POST /orgs/{ORG}/policies HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n{}: {identity}\r\n\
         Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n",
        plane.credential,
        feed::frame::IDENTITY_FIELD,
    );
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut connection = tokio::net::TcpStream::connect(plane.authority())
            .await
            .expect("a connection");
        connection.write_all(head.as_bytes()).await.expect("it is written");
        // RFC 9110 §10.1.1: the server says so when it begins to read the body.
        let mut told = [0; 25];
        connection.read_exact(&mut told).await.expect("an answer");
        assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
        held.push(connection);
    }
    let component = role("viewer", "tester", "1.0.0");
    let refused = plane.publish(&component).await;
    refused.assert_refused(503, "busy");
    drop(held);
    let mut answer = plane.publish(&component).await;
    while answer.status == 503 {
        answer = plane.publish(&component).await;
    }
    assert!(answer.status.is_success(), "{}", answer.body);
}

#[tokio::test]
async fn only_the_newest_versions_and_those_in_use_are_kept() {
    let plane = Plane::start().await;
    assert_eq!(plane.publish(&role("viewer", "tester", "1.0.0")).await.status, 201);
    // As if many had been published since.
    let many = "WITH RECURSIVE numbers (n) AS (SELECT 10 UNION ALL SELECT n + 1 FROM numbers WHERE n < 61)
        INSERT INTO policy_versions
        SELECT org, policy, '1.0.' || n, digest, class, size_bytes, manifest, NULL, NULL, published_ms, published_by
        FROM policy_versions, numbers";
    plane.sql(many).await.expect("they are inserted");
    let answer = plane.publish(&role("viewer", "tester", "1.1.0")).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let versions = answer.body["versions"].as_array().expect("an array");
    let named = |at: usize| versions[at]["version"].as_str().expect("a version");
    assert_eq!(versions.len(), 50);
    assert_eq!(
        [named(0), named(1), named(48), named(49)],
        ["1.1.0", "1.0.61", "1.0.14", "1.0.0"]
    );
    assert_eq!(plane.policy("tester").await, answer.body);
    assert_eq!(plane.number("SELECT count(*) FROM components").await, 2);
}

#[tokio::test]
async fn where_keys_are_trusted_only_what_they_have_signed_is_published() {
    let signer = |name: &str| Signer::from_pem(name, &Signer::generate_pem().expect("a key")).expect("a key");
    let (ann, ben) = (signer("ann"), signer("ben"));
    let directory = tempfile::tempdir().expect("a directory");
    let mut settings = settings(directory.path(), &Clock::manual(START_MS));
    settings.trusted_keys = TrustedKeys::parse(&ann.trusted()).expect("a key");
    let plane = Plane::start_with(directory, settings).await.expect("it opens");
    let component = role("viewer", "tester", "1.0.0");
    plane.publish(&component).await.assert_refused(400, "policy-unsigned");
    let statement = Statement {
        org: ORG,
        name: "tester",
        version: "1.0.0",
        digest: PolicyDigest::of(&component),
    };
    let elsewhere = Statement {
        org: "their-org",
        ..statement
    };
    for signature in [ben.sign(&statement), ann.sign(&elsewhere)] {
        let body = json!({"component": STANDARD.encode(&component), "signature": signature});
        send(&plane, body).await.assert_refused(400, "policy-signature-invalid");
    }
    let signature = ann.sign(&statement);
    let body = json!({"component": STANDARD.encode(&component), "signature": signature});
    let answer = send(&plane, body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(answer.body["active"]["signed_by"], "ann");
    let (_, records) = plane.feed("").await.snapshot().await;
    let told = records.into_iter().find_map(|record| match record {
        feed::Record::Policy(policy) => policy.active.signature,
        feed::Record::PolicyRemoved { .. }
        | feed::Record::Subject(_)
        | feed::Record::SubjectRemoved { .. }
        | feed::Record::Token(_)
        | feed::Record::TokenRemoved { .. }
        | feed::Record::Guard(_)
        | feed::Record::GuardRemoved { .. } => None,
    });
    assert_eq!(told, Some(signature));
}

#[tokio::test]
async fn a_component_is_given_to_who_may_read_it_and_to_gateways() {
    let plane = Plane::start().await;
    let component = freeze("1.0.0");
    assert_eq!(plane.publish(&component).await.status, 201);
    let path = format!("/orgs/{ORG}/policies/freeze/versions/1.0.0/component");
    let (status, headers, octets) = plane.octets(Some(&plane.root), &path).await;
    assert_eq!(
        (status.as_u16(), &headers["content-type"]),
        (200, &"application/wasm".parse().expect("a value"))
    );
    assert_eq!(octets, component);
    let digest = PolicyDigest::of(&component);
    let (_, _, octets) = plane.octets(None, &format!("/policies/{digest}")).await;
    assert_eq!(octets, component);

    let viewer = format!("/orgs/{ORG}/policies/viewer/versions/1.1.0/component");
    let (_, _, octets) = plane.octets(Some(&plane.root), &viewer).await;
    assert!(replaced(&octets, "viewer1.1.0", "tester1.1.0").is_some());

    let stranger = plane.foreign_administrator().await;
    plane
        .ask(&stranger, "GET", &path)
        .await
        .assert_refused(404, "not-found");
    let absent = format!("/orgs/{ORG}/policies/freeze/versions/1.0.1/component");
    plane
        .ask(&plane.root, "GET", &absent)
        .await
        .assert_refused(404, "not-found");
    for digest in [PolicyDigest::of(b"other").to_string(), "x".to_owned()] {
        let answer = plane
            .request("GET", &format!("/policies/{digest}"), String::new(), &[])
            .await;
        answer.assert_refused(404, "not-found");
    }
    let answer = plane
        .raw("GET", &format!("/policies/{digest}"), String::new(), &[])
        .await;
    answer.assert_refused(401, "unauthenticated");
}

async fn send(plane: &Plane, body: Value) -> Answer {
    plane
        .send(&plane.root, "POST", &format!("/orgs/{ORG}/policies"), body)
        .await
}
