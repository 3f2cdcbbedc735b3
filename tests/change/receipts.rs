//! Receipts: which gateways refuse a revoked token, as the one who revokes it is told.

use serde_json::json;

use crate::harness::client::Client;
use crate::harness::eventually;
use crate::harness::postern::Halves;
use crate::harness::refusal::assert_refused;
use crate::harness::upstream::Upstream;

const ENV_TYPES: &str = "/orgs/acme/env-types";

#[test]
fn whoever_revokes_a_token_is_told_which_gateways_refuse_it_and_they_do() {
    let upstream = Upstream::answering(200, json!([]));
    let halves = Halves::start(&upstream.url(), &[]);
    let (second, address) = halves.another_gateway("edge-2");
    let administrator = halves.administrator();
    eventually("both gateways to be known", || {
        let gateways = administrator.get("/orgs/acme/gateways").ok(200);
        let gateways = gateways.as_array().expect("a list");
        (gateways.len() == 2 && gateways.iter().all(|gateway| gateway["state"] == "live")).then_some(())
    });
    let ci = administrator.with_org_role("member");
    let elsewhere = Client {
        address,
        ..ci.client.clone()
    };
    let token = format!("/users/{}/tokens/first", ci.id);
    let receipt = administrator.delete(&format!("{token}?wait=20s")).ok(200);
    let named: Vec<&str> = receipt["refused_by"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["gateway"].as_str().expect("a name"))
        .collect();
    assert_eq!(named, ["edge-1", "edge-2"], "{receipt}");
    assert_eq!(receipt["not_heard_from"], json!([]));
    assert_refused(&ci.client.get(ENV_TYPES), "token-unknown");
    assert_refused(&elsewhere.get(ENV_TYPES), "token-unknown");

    second.kill();
    let ci = administrator.with_org_role("member");
    let user = format!("/orgs/acme/users/{}?wait=100ms", ci.id);
    let receipt = administrator.delete(&user).ok(200);
    assert_eq!(receipt["not_heard_from"][0]["gateway"], "edge-2", "{receipt}");
    let time = |field: &str| {
        let text = receipt[field].as_str().expect("a time");
        chrono::DateTime::parse_from_rfc3339(text).expect("a time")
    };
    let minutes = (time("all_refuse_by") - time("committed_at")).num_minutes();
    assert_eq!(minutes, 15, "data_age_reads_max_ms");
    assert_refused(&ci.client.get(ENV_TYPES), "token-unknown");
}
