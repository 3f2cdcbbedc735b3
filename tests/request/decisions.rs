//! Decisions on record: every refusal can be looked up, decided anew, and what a shadow would have decided is told.

use std::collections::BTreeSet;
use std::sync::Arc;

use catalogue::Catalogue;
use engine::replay::replay;
use engine::{Engine, Limits};
use feed::RecordedDecision;
use feed::decision::RecordedOutcome;
use serde_json::{Value, json};

use crate::harness::caller::{Roles, ServiceUser};
use crate::harness::client::Client;
use crate::harness::components::guest;
use crate::harness::eventually;
use crate::harness::postern::Postern;
use crate::harness::refusal::assert_refused;
use crate::harness::upstream::Upstream;

const APP: &str = "/orgs/acme/apps/shop";

fn reader(administrator: &Client) -> ServiceUser {
    administrator.service_user(Roles {
        org: "member",
        apps: &[("shop", "reader")],
        deploys_to: &[],
    })
}

/// Returns what the decision log holds by now.
fn logged(postern: &Postern) -> Vec<RecordedDecision> {
    let text = std::fs::read_to_string(postern.data().join("decisions.log")).expect("it is there");
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("each line is a decision")
}

#[test]
fn every_refusal_after_authentication_can_be_looked_up_by_the_id_that_the_caller_was_told() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    administrator.publish_guests(&["reader_one", "looks_at_request"]);
    let reader = reader(&administrator);
    administrator.attach("looks", APP, &Value::Null);
    let wish = |wish: &str| crate::harness::client::Request::new("GET", APP).field("X-Wish", wish);
    let refusals = [
        ("not-allowed", "not-allowed", reader.client.patch(APP, json!({}))),
        ("not-allowed", "not-allowed", reader.client.get("/orgs/other/apps/shop")),
        (
            "not-allowed",
            "not-allowed",
            reader.client.delete("/orgs/acme/apps/bank/envs/dev"),
        ),
        ("guard-denied", "denied", reader.client.send(wish("deny"))),
        ("policy-fault", "undecided", reader.client.send(wish("trap"))),
    ];
    for (reason, outcome, refused) in refusals {
        let id = assert_refused(&refused, reason);
        let told = eventually("the decision", || {
            let answer = administrator.get(&format!("/orgs/acme/decisions/{id}"));
            (answer.status == 200).then(|| answer.json())
        });
        assert_eq!(told["outcome"]["outcome"], outcome, "{told}");
        assert_eq!(told["question"]["subject"]["id"], *reader.id, "{told}");
        assert_eq!(told["token"], "first", "{told}");
        assert!(logged(&postern).iter().any(|decision| decision.id == id), "{told}");
    }
    let denied = logged(&postern);
    let denied = denied
        .iter()
        .find(|decision| matches!(decision.outcome, RecordedOutcome::Denied { .. }));
    let inputs = &denied.expect("one was denied").question.inputs;
    assert_eq!(inputs.headers, [("x-wish".to_owned(), "deny".to_owned())]);
    // Only what was asked for is kept, and no secret ever.
    let text = std::fs::read_to_string(postern.data().join("decisions.log")).expect("it is there");
    assert!(!text.contains(&reader.token));
}

#[test]
fn what_was_decided_just_before_an_end_can_be_looked_up_after_it() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let member = postern.administrator().service_user(Roles {
        org: "member",
        apps: &[],
        deploys_to: &[],
    });
    let id = assert_refused(&member.client.get("/orgs/acme/agents"), "not-allowed");
    let postern = postern.restart();
    let told = postern.administrator().get(&format!("/orgs/acme/decisions/{id}"));
    assert_eq!(told.ok(200)["outcome"]["outcome"], "not-allowed");
}

#[test]
fn as_much_of_what_is_allowed_is_kept_as_is_wished() {
    for (percent, least, most) in [("0", 0, 0), ("50", 30, 70), ("100", 100, 100)] {
        let upstream = Upstream::answering(200, json!({}));
        let postern = Postern::with(&upstream.url(), &["--decision-log-allowed-percent", percent]);
        let administrator = postern.administrator();
        for _ in 0..100 {
            administrator.get(APP).ok(200);
        }
        administrator.get("/orgs/other/apps/shop");
        // The last comes last.
        let decisions = eventually("the refusal", || {
            let decisions = logged(&postern);
            decisions
                .iter()
                .any(|decision| !decision.outcome.is_allowed())
                .then_some(decisions)
        });
        let kept = decisions
            .iter()
            .filter(|decision| decision.question.operation == "getApplication");
        let kept = kept.filter(|decision| decision.outcome.is_allowed()).count();
        assert!((least..=most).contains(&kept), "{percent}: {kept}");
    }
}

#[test]
fn what_was_decided_is_decided_again_from_the_record_alone() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::with(&upstream.url(), &["--decision-log-allowed-percent", "100"]);
    let administrator = postern.administrator();
    let guests = ["reader_one", "obeys_settings", "looks_at_request"];
    administrator.publish_guests(&guests);
    administrator.attach("freeze", "/orgs/acme", &json!({"permission": "env.read"}));
    administrator.attach("looks", "/orgs/acme/apps/shop", &Value::Null);
    let reader = reader(&administrator);
    for target in [
        APP,
        "/orgs/acme/apps/shop/envs",
        "/orgs/acme/apps/shop?a=b",
        "/orgs/acme/apps",
        "/orgs/acme/apps/bank",
    ] {
        for wish in ["deny", "pass", "trap"] {
            let request = crate::harness::client::Request::new("GET", target).field("X-Wish", wish);
            reader.client.send(request);
        }
        administrator.get(target);
    }
    let decisions = eventually("all decisions", || {
        let decisions = logged(&postern);
        let asked = decisions.iter().filter(|decision| {
            decision.question.operation.starts_with("get")
                || decision.question.operation.starts_with("listE")
                || decision.question.operation == "listApplications"
        });
        (asked.count() >= 20).then_some(decisions)
    });
    let engine = Engine::new(&Limits::small()).expect("an engine");
    let components = engine::builtin::COMPONENTS.iter().map(|component| component.to_vec());
    let policies: Vec<_> = components
        .chain(guests.iter().map(|name| guest(name)))
        .map(|component| Arc::new(engine.load(&component).expect("a policy")))
        .collect();
    let find = |digest| policies.iter().find(|policy| policy.digest() == digest).map(Arc::clone);
    let catalogue = Catalogue::parse(catalogue::OPERATIONS).expect("it is valid");
    let mut outcomes = BTreeSet::new();
    for decision in &decisions {
        let again = replay(decision, &catalogue, &find).expect("a question");
        assert_eq!(again, decision.outcome, "{decision:?}");
        outcomes.insert(serde_json::to_value(&again).expect("JSON")["outcome"].to_string());
    }
    assert_eq!(outcomes.len(), 4, "{outcomes:?}");
}

#[test]
fn a_shadow_changes_no_answer_and_its_flips_are_told_exactly() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    administrator.publish_guests(&["reader_one", "reader_two"]);
    let reader = reader(&administrator);
    administrator.change_policy("reader", json!({"shadow": {"version": "2.0.0", "percent": 100}}));
    // What is decided before the shadow is compiled is not counted.
    eventually("the shadow", || {
        reader.client.get(APP).ok(200);
        (postern.metric("postern_shadow_evaluations_total") > 0.0).then_some(())
    });
    for _ in 0..5 {
        reader.client.get(APP).ok(200);
        assert_refused(&reader.client.patch(APP, json!({})), "not-allowed");
        assert_refused(&reader.client.post(&format!("{APP}/deltas"), json!({})), "not-allowed");
    }
    let shadow = eventually("all evaluations", || {
        let shadow = administrator.get("/orgs/acme/policies/reader/shadow").ok(200);
        let told = shadow["evaluations"].as_f64()? == postern.metric("postern_shadow_evaluations_total");
        (told && shadow["flips"][0]["count"] == 5).then_some(shadow)
    });
    assert!(shadow["evaluations"].as_u64() >= Some(16), "{shadow}");
    assert_eq!(shadow["dropped"], 0, "{shadow}");
    let flips = shadow["flips"].as_array().expect("a list");
    assert_eq!(flips.len(), 1, "{shadow}");
    let flip = &flips[0];
    assert_eq!(
        (&flip["operation"], &flip["subject"], &flip["count"]),
        (&json!("patchApplication"), &json!(reader.id), &json!(5)),
        "{flip}"
    );
    assert_eq!(
        (&flip["from"], &flip["to"]),
        (&json!("not-allowed"), &json!("allowed")),
        "{flip}"
    );
    assert_eq!(postern.metric("postern_shadow_flips_total"), 5.0);
}
