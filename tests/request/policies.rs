//! Published roles: in force from their revision on, whole, without a request lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::harness::caller::{Roles, ServiceUser};
use crate::harness::eventually;
use crate::harness::postern::{Halves, Postern};
use crate::harness::refusal::assert_refused;
use crate::harness::upstream::Upstream;

const APP: &str = "/orgs/acme/apps/shop";

const READER: Roles<'_> = Roles {
    org: "member",
    apps: &[("shop", "reader")],
    deploys_to: &[],
};

fn update(reader: &ServiceUser) -> u16 {
    reader.client.patch(APP, json!({"name": "x"})).status
}

#[test]
fn a_published_role_allows_what_its_version_in_force_allows() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    administrator.publish_guests(&["reader_one", "reader_two"]);
    let reader = administrator.service_user(READER);
    reader.client.get(APP).ok(200);
    assert_eq!(update(&reader), 403);
    for (version, status) in [("2.0.0", 200), ("previous", 403), ("previous", 200)] {
        administrator.change_policy("reader", json!({"active": version}));
        assert_eq!(update(&reader), status, "{version}");
    }
    let line = postern.log_line(|line| line["role"] == "reader");
    assert_eq!(line["reason"], "forwarded", "{line}");
    assert_eq!(postern.metric("postern_policies{state=\"there\"}"), 2.0);
    let removed = administrator.delete("/orgs/acme/policies/reader?bindings=remove");
    assert_eq!(removed.status, 204, "{}", removed.shown());
    postern.assert_refused(&reader.client.get(APP), "not-allowed");
    postern.wait_for_metric("postern_policies{state=\"there\"}", 0.0);
}

#[test]
fn each_decision_is_made_by_the_version_of_its_revision_and_none_is_lost() {
    let upstream = Upstream::answering(200, json!({}));
    let flags = ["--decision-log-allowed-percent", "100", "--workers", "2"];
    let postern = Postern::with(&upstream.url(), &flags);
    let administrator = postern.administrator();
    administrator.publish_guests(&["reader_one", "reader_two"]);
    let reader = administrator.service_user(READER);
    let ended = AtomicBool::new(false);
    let statuses = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut statuses: BTreeMap<u16, u32> = BTreeMap::new();
                    while !ended.load(Ordering::Relaxed) {
                        *statuses.entry(update(&reader)).or_default() += 1;
                    }
                    statuses
                })
            })
            .collect();
        for version in ["2.0.0", "1.0.0"].into_iter().cycle().take(40) {
            administrator.change_policy("reader", json!({"active": version}));
        }
        ended.store(true, Ordering::Relaxed);
        let joined = asking.into_iter().map(|thread| thread.join().expect("it ends"));
        joined.collect::<Vec<_>>()
    });
    let asked: u32 = statuses.iter().flat_map(BTreeMap::values).sum();
    assert!(
        statuses
            .iter()
            .flat_map(BTreeMap::keys)
            .all(|status| [200, 403].contains(status)),
        "{statuses:?}"
    );
    let decisions = eventually("the log of all decisions", || {
        let decisions = logged(&postern, "patchApplication");
        // One that was under way when its right ended has been decided twice.
        let ids: BTreeSet<String> = decisions.iter().map(|decision| decision["id"].to_string()).collect();
        (ids.len() == asked as usize).then_some(decisions)
    });
    // Each revision from the first change on is one of version 2, then one of version 1, and so on.
    let mut digests: BTreeMap<u64, (String, String)> = BTreeMap::new();
    for decision in decisions {
        let revision = decision["revision"].as_u64().expect("a number");
        let answer = decision["answers"]
            .as_array()
            .expect("a list")
            .iter()
            .find(|answer| answer["role"] == "reader");
        let digest = answer.expect("the role was asked")["policy"]
            .as_str()
            .expect("a digest")
            .to_owned();
        let outcome = decision["outcome"]["outcome"].as_str().expect("a word").to_owned();
        let made = (digest, outcome);
        assert_eq!(
            digests.entry(revision).or_insert_with(|| made.clone()),
            &made,
            "at {revision}"
        );
    }
    let by_parity = |parity: u64| {
        let mut of_parity: Vec<_> = digests
            .iter()
            .filter(|(revision, _)| **revision % 2 == parity)
            .collect();
        of_parity.dedup_by_key(|(_, made)| made.clone());
        of_parity.len()
    };
    assert!(digests.len() >= 4, "{digests:?}");
    assert_eq!((by_parity(0), by_parity(1)), (1, 1), "{digests:?}");
}

#[test]
fn a_policy_that_nobody_trusted_has_signed_decides_nothing() {
    let upstream = Upstream::answering(200, json!({}));
    let key = "author=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let halves = Halves::start(&upstream.url(), &["--policy-trusted-keys", key]);
    let administrator = halves.administrator();
    // The admin service of this test has no keys: it takes what the gateway must not.
    administrator.publish_guests(&["reader_one"]);
    let reader = administrator.service_user(READER);
    assert_refused(&reader.client.get(APP), "policy-fault");
    assert_eq!(upstream.received().len(), 0);
}

/// Returns the decisions on an operation that the decision log holds by now.
fn logged(postern: &Postern, operation: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(postern.data().join("decisions.log")).expect("it is there");
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"));
    lines
        .filter(|decision: &Value| decision["question"]["operation"] == operation)
        .collect()
}
