//! `postern fleet`, and what `token revoke --wait` tells of the gateways.

use serde_json::{Value, json};

use super::Stub;

const CI: &str = "s-d35b0d0e-8a53-40e9-a329-64e48b7e92e0";

#[tokio::test]
async fn gateways_are_a_table_of_how_far_each_is() {
    let stub = Stub::start().await;
    let live = json!({
        "name": "edge-1", "state": "live", "enrolled": true, "version": "0.1.0", "revision": 4711, "lag_revisions": 13,
        "lag_ms": 25_312, "policies": 3, "address": "10.0.0.11:8080", "last_contact": "2026-11-30T19:20:18.704Z",
        "refuses_after_ms": 900_000,
    });
    let awaited = json!({"name": "paris-1", "state": "awaited", "enrolled": false});
    stub.on("GET /orgs/acme/gateways", 200, json!([live, awaited]));
    let listed = stub.run("fleet list").await.expect("an answer").out;
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    let expected = [
        "edge-1",
        "live",
        "0.1.0",
        "4711",
        "13",
        "25.3",
        "3",
        "10.0.0.11:8080",
        "2026-11-30T19:20:18.704Z",
    ];
    assert_eq!(rows[1], expected);
    assert_eq!(rows[2], ["paris-1", "awaited"]);
    let printed = stub.run("fleet list --json").await.expect("an answer").out;
    assert_eq!(
        serde_json::from_str::<Value>(&printed).expect("JSON"),
        json!([live, awaited])
    );
}

#[tokio::test]
async fn an_enrolment_token_is_alone_on_standard_output() {
    let stub = Stub::start().await;
    let answer = json!({"name": "edge-1", "enrolment_token": "pste_x.y", "expires_at": "2026-11-30T19:35:00Z"});
    stub.on("POST /orgs/acme/gateways", 200, &answer);
    let enrolled = stub.run("fleet enrol edge-1").await.expect("an answer");
    assert_eq!(enrolled.out, "pste_x.y\n");
    assert!(
        enrolled.advice.contains("--enrolment-token-file"),
        "{}",
        enrolled.advice
    );
    assert_eq!(stub.asked()[0].body, json!({"name": "edge-1"}));
    stub.on("POST /orgs/acme/gateways", 200, json!({"name": "edge-1"}));
    let (_, message) = stub.fail("fleet enrol edge-1").await;
    assert!(message.contains("no enrolment token"), "{message}");
}

#[tokio::test]
async fn gateways_are_renamed_and_removed_by_name() {
    let stub = Stub::start().await;
    stub.on("PATCH /orgs/acme/gateways/edge-1", 200, json!({"name": "paris-1"}));
    stub.on("DELETE /orgs/acme/gateways/edge%201", 204, "");
    let renamed = stub.run("fleet rename edge-1 paris-1").await.expect("an answer").out;
    assert_eq!(renamed, "edge-1 is paris-1 now\n");
    assert_eq!(stub.asked()[0].body, json!({"name": "paris-1"}));
    let removed = stub.run_words(&["fleet", "remove", "edge 1", "--org", "acme"]).await;
    assert_eq!(removed.expect("an answer").out, "removed edge 1\n");
}

#[tokio::test]
async fn whoever_waits_for_a_revocation_is_told_who_refuses_and_until_when_the_others_may_not() {
    let stub = Stub::start().await;
    let receipt = json!({
        "revision": 7, "committed_at": "2026-11-30T19:20:18.704Z",
        "refused_by": [{"gateway": "edge-1", "after_ms": 4}],
        "not_heard_from": [
            {"gateway": "edge-3", "last_contact": "2026-11-30T19:05:10.030Z", "refuses_by": "2026-11-30T19:35:18.704Z"},
            {"gateway": "edge-4", "last_contact": null, "refuses_by": null},
        ],
        "all_refuse_by": null,
    });
    stub.on(&format!("DELETE /users/{CI}/tokens/first?wait=2s"), 200, &receipt);
    let told = stub
        .run(&format!("token revoke {CI} first --wait 2s"))
        .await
        .expect("an answer");
    let expected = format!(
        "revoked first of {CI}\n\
         edge-1 refuses it: said so after 4 ms\n\
         edge-3 has not said so; last heard from 2026-11-30T19:05:10.030Z. If it lives it refuses everything from 2026-11-30T19:35:18.704Z on\n\
         edge-4 has not said so, nor anything since the admin service began\n"
    );
    assert_eq!(told.out, expected);
    let printed = stub
        .run(&format!("token revoke {CI} first --wait 2s --json"))
        .await
        .expect("an answer")
        .out;
    assert_eq!(serde_json::from_str::<Value>(&printed).expect("JSON"), receipt);
}
