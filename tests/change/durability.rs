//! What was acknowledged is there after the process was killed, at whatever moment that was.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use serde_json::json;

use crate::harness::client::{Client, Request};
use crate::harness::eventually;
use crate::harness::postern::Postern;
use crate::harness::upstream::Upstream;

/// What one writer was told before the process was killed.
#[derive(Default)]
struct Told {
    /// Secrets of tokens that were created and not revoked.
    valid: Vec<String>,
    /// Secrets of tokens that were revoked.
    revoked: Vec<String>,
}

/// Operations that are acknowledged before each kill; odd numbers, so that every kill comes at another moment.
const ROUNDS: [usize; 4] = [7, 31, 64, 101];

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
    let upstream = Upstream::answering(200, json!([]));
    let mut postern = Postern::start(&upstream.url());
    let user = postern.administrator().create_user("ci", "member");
    let mut all = Told::default();
    for (round, enough) in ROUNDS.into_iter().enumerate() {
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let name = format!("{round}-{writer}");
                write(postern.administrator(), user.clone(), name, Arc::clone(&acknowledged))
            })
            .collect();
        eventually("enough operations", || {
            (acknowledged.load(Ordering::Relaxed) >= enough).then_some(())
        });
        postern = postern.kill_and_restart();
        for writer in writers {
            let told = writer.join().expect("a writer ends when nobody answers");
            all.valid.extend(told.valid);
            all.revoked.extend(told.revoked);
        }
        for secret in &all.valid {
            assert_eq!(
                postern.with_token(secret).get("/orgs/acme/env-types").status,
                200,
                "round {round}"
            );
        }
        for secret in &all.revoked {
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
