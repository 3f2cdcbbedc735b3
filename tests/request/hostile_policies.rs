//! Policies that do harm when they run: their own decisions are refused, and nobody else notices.

use serde_json::json;

use crate::harness::caller::ServiceUser;
use crate::harness::client::Client;
use crate::harness::load::Load;
use crate::harness::policies::Masked;
use crate::harness::postern::Postern;
use crate::harness::upstream::Upstream;

const POLICY: &str = "acts-as-set";
const TARGET: &str = "/orgs/acme/env-types";

/// What the policy can be told to do, the fault that comes of it, and a word of it in the log.
const ACTS: [(&str, &str, &str); 5] = [
    ("loop", "out-of-fuel", "fuel"),
    ("recursion", "trapped", "trapped"),
    ("memory", "memory-exceeded", "memory"),
    ("fill", "out-of-fuel", "fuel"),
    ("trap", "trapped", "trapped"),
];

/// Publishes the policy, and returns somebody whose role it is.
fn somebody_with_it(administrator: &Client) -> ServiceUser {
    administrator.publish_guests(&["acts_as_set"]);
    let caller = administrator.with_org_role(POLICY);
    caller.client.get(TARGET).ok(200);
    caller
}

fn tell(administrator: &Client, act: &str) {
    administrator.change_policy(POLICY, json!({"settings": {"act": act}}));
}

#[test]
fn a_policy_that_does_harm_refuses_its_own_decisions_and_nobody_elses() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::with(&upstream.url(), &["--workers", "1"]);
    let administrator = postern.administrator();
    let harmed = somebody_with_it(&administrator);
    let other = administrator.with_org_role("member");
    let load = Load::start(&other.client, TARGET, 2);
    for (act, fault, word) in ACTS {
        tell(&administrator, act);
        let series = format!("postern_policy_faults_total{{fault=\"{fault}\"}}");
        let before = postern.metric(&series);
        postern.assert_refused(&harmed.client.get(TARGET), "policy-fault");
        assert_eq!(postern.metric(&series), before + 1.0, "{act}");
        let line = postern.log_line(|line| {
            line["reason"] == "policy-fault" && line["detail"].as_str().is_some_and(|detail| detail.contains(word))
        });
        assert!(
            line["detail"].as_str().is_some_and(|detail| detail.contains(POLICY)),
            "{line}"
        );
        load.go_on(50);
    }
    let (_, failures) = load.end();
    assert!(failures.is_empty(), "{failures:?}");
    tell(&administrator, "none");
    harmed.client.get(TARGET).ok(200);
}

#[test]
fn a_policy_that_keeps_failing_is_put_aside_and_named() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::with(&upstream.url(), &["--workers", "1"]);
    let administrator = postern.administrator();
    let harmed = somebody_with_it(&administrator);
    tell(&administrator, "trap");
    for _ in 0..15 {
        postern.assert_refused(&harmed.client.get(TARGET), "policy-fault");
    }
    assert_eq!(postern.metric("postern_policy_faults_total{fault=\"trapped\"}"), 10.0);
    assert_eq!(postern.metric("postern_policy_faults_total{fault=\"put-aside\"}"), 5.0);
    postern.wait_for_metric(&format!("postern_policy_put_aside{{policy=\"{POLICY}\"}}"), 1.0);
    // Other settings are another policy: it begins anew.
    tell(&administrator, "none");
    harmed.client.get(TARGET).ok(200);
    postern.wait_for_metric(&format!("postern_policy_put_aside{{policy=\"{POLICY}\"}}"), 0.0);
}

#[test]
fn what_a_custom_role_allows_is_enforced_from_its_publication_on_and_ends_with_it() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let first = Masked {
        policy: 0,
        version: 0,
        mask: 0b0001,
    };
    let second = Masked {
        policy: 0,
        version: 1,
        mask: 0b1000,
    };
    let name = Masked::role_name(0);
    administrator.publish(&first.role()).ok(201);
    let ci = administrator.with_org_role(&name);
    ci.client.get("/orgs/acme/env-types").ok(200);
    postern.assert_refused(&ci.client.get("/orgs/acme/agents"), "not-allowed");
    administrator.publish_in_force(&second.role());
    postern.assert_refused(&ci.client.get("/orgs/acme/env-types"), "not-allowed");
    ci.client.get("/orgs/acme/agents").ok(200);
    administrator.change_policy(&name, json!({"active": "previous"}));
    ci.client.get("/orgs/acme/env-types").ok(200);
    let in_use = administrator.delete(&format!("/orgs/acme/policies/{name}"));
    assert_eq!(in_use.refusal(), (409, "role-in-use".to_owned()));
    administrator
        .delete(&format!("/orgs/acme/policies/{name}?bindings=member"))
        .ok(204);
    let user = administrator.get(&format!("/orgs/acme/users/{}", ci.id)).ok(200);
    assert_eq!(user["role"], "member");
}
