//! Decisions that gateways report: kept, found again, bounded, and nobody else's to see.

use serde_json::{Value, json};

use crate::harness::{Answer, ORG, Plane, on_postgres};

#[tokio::test]
async fn decisions_are_found_again_by_who_asked_for_what_and_what_came_of_it() {
    let plane = Plane::start().await;
    let rows = [
        decision(
            1,
            "s-1",
            "getApplication",
            json!({"outcome": "allowed", "role": "viewer"}),
        ),
        decision(2, "s-1", "deleteApplication", json!({"outcome": "not-allowed"})),
        decision(3, "s-2", "deleteApplication", json!({"outcome": "not-allowed"})),
        decision(
            4,
            "s-2",
            "getApplication",
            json!({"outcome": "denied", "guard": "freeze", "reason": "frozen"}),
        ),
    ];
    report(&plane, &json!(rows)).await;
    // Reported again, they are there once.
    report(&plane, &json!(rows[..2])).await;
    let table = [
        ("", vec![4, 3, 2, 1]),
        ("?limit=2", vec![4, 3]),
        ("?subject=s-1", vec![2, 1]),
        ("?operation=deleteApplication", vec![3, 2]),
        ("?outcome=denied", vec![4]),
        ("?subject=s-2&outcome=not-allowed", vec![3]),
        ("?subject=s-3", vec![]),
    ];
    for (query, expected) in table {
        let answer = list(&plane, query).await;
        answer.assert_ok();
        let expected: Vec<&Value> = expected.into_iter().map(|number: usize| &rows[number - 1]).collect();
        assert_eq!(answer.body, json!(expected), "{query}");
    }
    let one = plane
        .ask(&plane.root, "GET", &format!("/orgs/{ORG}/decisions/{}", id(4)))
        .await;
    one.assert_ok();
    assert_eq!(one.body, rows[3]);
}

#[tokio::test]
async fn decisions_outlive_a_restart() {
    let plane = Plane::start().await;
    report(
        &plane,
        &json!([decision(1, "s-1", "getApplication", json!({"outcome": "not-allowed"}))]),
    )
    .await;
    let plane = Plane::start_in(plane.stop().await).await.expect("it opens again");
    assert_eq!(list(&plane, "").await.body[0]["id"], id(1));
    if on_postgres() {
        return;
    }
    let file = std::fs::metadata(plane.file(admin::DECISIONS_FILE)).expect("it is there");
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn another_organisations_decisions_are_not_told() {
    let plane = Plane::start().await;
    let stranger = plane.foreign_administrator().await;
    report(
        &plane,
        &json!([decision(1, "s-1", "getApplication", json!({"outcome": "not-allowed"}))]),
    )
    .await;
    let theirs = plane.ask(&stranger, "GET", "/orgs/their-org/decisions").await;
    assert_eq!(theirs.body, json!([]));
    for path in [
        format!("/orgs/{ORG}/decisions"),
        format!("/orgs/{ORG}/decisions/{}", id(1)),
        format!("/orgs/their-org/decisions/{}", id(1)),
    ] {
        plane
            .ask(&stranger, "GET", &path)
            .await
            .assert_refused(404, "not-found");
    }
}

#[tokio::test]
async fn a_question_that_cannot_be_answered_is_refused() {
    let plane = Plane::start().await;
    for query in ["?limit=0", "?limit=1001", "?limit=many", "?outcome=forwarded"] {
        list(&plane, query).await.assert_refused(400, "invalid-field");
    }
    let absent = plane
        .ask(&plane.root, "GET", &format!("/orgs/{ORG}/decisions/{}", id(1)))
        .await;
    absent.assert_refused(404, "not-found");
}

#[tokio::test]
async fn a_report_that_is_none_or_too_long_is_refused_and_only_gateways_report() {
    let plane = Plane::start().await;
    for body in ["{}", "[{}]", "x"] {
        let answer = plane.request("POST", "/decisions", body.to_owned(), &[]).await;
        answer.assert_refused(400, "malformed-body");
    }
    let one = decision(1, "s-1", "getApplication", json!({"outcome": "not-allowed"}));
    let many = json!(vec![one; 1001]);
    let answer = plane.request("POST", "/decisions", many.to_string(), &[]).await;
    answer.assert_refused(413, "body-too-large");
    let answer = plane.raw("POST", "/decisions", "[]".to_owned(), &[]).await;
    answer.assert_refused(401, "unauthenticated");
    assert_eq!(list(&plane, "").await.body, json!([]));
}

#[tokio::test]
async fn the_oldest_decisions_make_room() {
    let plane = Plane::start().await;
    report(
        &plane,
        &json!([decision(1, "s-1", "getApplication", json!({"outcome": "not-allowed"}))]),
    )
    .await;
    // As if many had come.
    shift(&plane, 1, 100_000).await;
    report(
        &plane,
        &json!([decision(2, "s-1", "getApplication", json!({"outcome": "not-allowed"}))]),
    )
    .await;
    assert_eq!(list(&plane, "").await.body.as_array().map(Vec::len), Some(2));
    shift(&plane, 100_002, 100_000).await;
    report(
        &plane,
        &json!([decision(3, "s-1", "getApplication", json!({"outcome": "not-allowed"}))]),
    )
    .await;
    let kept = list(&plane, "").await;
    let kept: Vec<&Value> = kept
        .body
        .as_array()
        .expect("an array")
        .iter()
        .map(|kept| &kept["id"])
        .collect();
    assert_eq!(kept, [&json!(id(3)), &json!(id(2))]);
}

/// Moves the decision of a number, and what comes after it.
async fn shift(plane: &Plane, number: u64, by: u64) {
    let mut database = plane.decisions_database().await;
    let moved = format!("UPDATE decisions SET number = number + {by} WHERE number = {number}");
    database.run(&moved).await.expect("it is moved");
    if on_postgres() {
        let next = format!(
            "SELECT setval(pg_get_serial_sequence('decisions', 'number'), {})",
            number + by
        );
        database.run(&next).await.expect("the next number follows it");
    }
}

async fn report(plane: &Plane, decisions: &Value) {
    let answer = plane.request("POST", "/decisions", decisions.to_string(), &[]).await;
    assert_eq!(answer.status, 204, "{}", answer.body);
}

async fn list(plane: &Plane, query: &str) -> Answer {
    plane
        .ask(&plane.root, "GET", &format!("/orgs/{ORG}/decisions{query}"))
        .await
}

fn decision(number: u8, subject: &str, operation: &str, outcome: Value) -> Value {
    json!({
        "id": id(number), "at_ms": 1000 + i64::from(number), "gateway": "edge-1", "revision": 7, "token": "main",
        "question": {
            "subject": {"id": subject, "type": "service-user", "org": ORG, "org_role": "member"},
            "operation": operation, "parameters": {"appId": "web", "orgId": ORG},
        },
        "outcome": outcome,
        "answers": [{"asked": "role", "role": "member", "held_on": "org", "verdict": "abstain"}],
    })
}

fn id(number: u8) -> String {
    format!("{number:032x}")
}
