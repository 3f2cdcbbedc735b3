//! What was acknowledged is there after the process was killed, at whatever moment that was.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use serde_json::json;

use crate::harness::client::{Client, Request};
use crate::harness::cluster::Cluster;
use crate::harness::eventually;
use crate::harness::postern::Postern;
use crate::harness::process::run;
use crate::harness::upstream::Upstream;

/// What one writer was told before the process was killed.
#[derive(Default)]
struct Told {
    /// Secrets of tokens that were created and not revoked.
    valid: Vec<String>,
    /// Secrets of tokens that were revoked.
    revoked: Vec<String>,
}

/// How often the process is killed, unless the variable [`ROUNDS`] says otherwise.
const ROUNDS_OTHERWISE: usize = 4;

/// Most tokens of each kind that are looked at after a kill.
const LOOKED_AT_MAX: usize = 300;

const ROUNDS: &str = "POSTERN_TEST_KILLS";

/// Returns how many operations are acknowledged before a kill: every kill comes at another moment.
fn enough(round: usize) -> usize {
    7 + round * 29 % 101
}

/// Creates tokens and revokes every other one, until nobody answers.
fn write(administrator: Client, user: String, name: String, acknowledged: Arc<AtomicUsize>) -> JoinHandle<Told> {
    std::thread::spawn(move || {
        let mut told = Told::default();
        let tokens = format!("/users/{user}/tokens");
        for number in 0.. {
            let id = format!("{name}-{number}");
            let create = Request::new("POST", &tokens).json(&json!({"id": id, "type": "static"}));
            let Some(answer) = administrator.try_send(create) else {
                break;
            };
            let secret = answer.ok(200)["token"].as_str().expect("a secret").to_owned();
            acknowledged.fetch_add(1, Ordering::Relaxed);
            if number % 2 == 0 {
                told.valid.push(secret);
                continue;
            }
            let Some(answer) = administrator.try_send(Request::new("DELETE", &format!("{tokens}/{id}"))) else {
                // Nobody told whether it was revoked: either is right.
                break;
            };
            answer.ok(204);
            acknowledged.fetch_add(1, Ordering::Relaxed);
            told.revoked.push(secret);
        }
        told
    })
}

#[test]
fn nothing_that_was_acknowledged_is_lost_when_the_process_is_killed() {
    killed_again_and_again(&[]);
}

#[test]
fn nothing_that_was_acknowledged_is_lost_when_a_process_with_its_store_in_postgresql_is_killed() {
    let cluster = Cluster::start();
    let url = cluster.database("postern");
    let migrated = run(["admin", "migrate", "--store-url", &url]);
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    killed_again_and_again(&["--store-url", &url]);
    // What was begun and not acknowledged is wholly there or wholly absent.
    let agree = "SELECT (SELECT revision FROM store) = (SELECT count(*) FROM audit_entries)
                    AND (SELECT revision FROM store) = (SELECT count(*) FROM changes)";
    assert_eq!(Cluster::sql(&cluster.socket(), "postern", agree), "t");
}

fn killed_again_and_again(flags: &[&str]) {
    let upstream = Upstream::answering(200, json!([]));
    // Revoked tokens are shown again and again, by one source.
    let flags = [flags, &["--invalid-credentials-burst", "1000"]].concat();
    let mut postern = Postern::with(&upstream.url(), &flags);
    let rounds = std::env::var(ROUNDS).map_or(ROUNDS_OTHERWISE, |text| text.parse().expect("a number of rounds"));
    let mut all = Told::default();
    for round in 0..rounds {
        // Of its own: a user has a thousand tokens at most.
        let user = postern.administrator().create_user("ci", "member");
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let name = format!("{round}-{writer}");
                write(postern.administrator(), user.clone(), name, Arc::clone(&acknowledged))
            })
            .collect();
        eventually("enough operations", || {
            (acknowledged.load(Ordering::Relaxed) >= enough(round)).then_some(())
        });
        postern = postern.kill_and_restart();
        for writer in writers {
            let told = writer.join().expect("a writer ends when nobody answers");
            all.valid.extend(told.valid);
            all.revoked.extend(told.revoked);
        }
        // Of many rounds, the last ones: a killed process loses what it did not write, not what it wrote long ago.
        let newest = |secrets: &[String]| secrets[secrets.len().saturating_sub(LOOKED_AT_MAX)..].to_vec();
        for secret in &newest(&all.valid) {
            assert_eq!(
                postern.with_token(secret).get("/orgs/acme/env-types").status,
                200,
                "round {round}"
            );
        }
        for secret in &newest(&all.revoked) {
            assert_eq!(
                postern.with_token(secret).get("/orgs/acme/env-types").status,
                401,
                "round {round}"
            );
        }
    }
    assert!(!all.valid.is_empty() && !all.revoked.is_empty());
}

#[test]
fn everything_is_as_it_was_after_an_orderly_restart() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let ci = administrator.with_org_role("member");
    administrator.give_app_role("shop", &ci.id, "viewer");
    let before = administrator.get("/orgs/acme/users").ok(200);
    let postern = postern.restart();
    assert_eq!(postern.administrator().get("/orgs/acme/users").ok(200), before);
    postern.with_token(&ci.token).get("/orgs/acme/apps/shop").ok(200);
}
