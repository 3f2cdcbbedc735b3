//! Several admin services on one PostgreSQL database: one order of changes, whoever makes them, and no acknowledged change lost
//! when the database goes away.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use serde_json::json;

use crate::harness::client::{Client, Request};
use crate::harness::cluster::Cluster;
use crate::harness::eventually;
use crate::harness::postern::Postern;
use crate::harness::process::run;
use crate::harness::upstream::Upstream;

/// What one writer was told.
#[derive(Debug, Default)]
struct Told {
    valid: Vec<String>,
    revoked: Vec<String>,
    revisions: Vec<u64>,
    /// Answers that said that nothing was changed, or that nobody knows.
    unavailable: usize,
}

/// Creates tokens of a user and revokes every other one, until told to stop.
fn write(
    administrator: Client,
    user: String,
    name: String,
    stop: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
) -> JoinHandle<Told> {
    std::thread::spawn(move || {
        let mut told = Told::default();
        let tokens = format!("/users/{user}/tokens");
        for number in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let id = format!("{name}-{number}");
            let create = Request::new("POST", &tokens).json(&json!({"id": id, "type": "static"}));
            let answer = administrator.send(create);
            if answer.status == 503 {
                told.unavailable += 1;
                continue;
            }
            let secret = answer.ok(200)["token"].as_str().expect("a secret").to_owned();
            told.revisions.extend(
                answer
                    .field("postern-revision")
                    .map(|text| text.parse::<u64>().expect("a number")),
            );
            made.fetch_add(1, Ordering::Relaxed);
            if number % 2 == 0 {
                told.valid.push(secret);
                continue;
            }
            let answer = administrator.delete(&format!("{tokens}/{id}"));
            if answer.status == 503 {
                told.unavailable += 1;
                continue;
            }
            answer.ok(204);
            told.revisions.extend(
                answer
                    .field("postern-revision")
                    .map(|text| text.parse::<u64>().expect("a number")),
            );
            told.revoked.push(secret);
        }
        told
    })
}

/// Two of them on one database, each with a gateway of its own, and who administers both.
struct Pair {
    one: Postern,
    other: Postern,
    token: String,
}

impl Pair {
    fn start(cluster: &Cluster, upstream: &Upstream) -> Self {
        let url = cluster.database("postern");
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data").display().to_string();
        let refused = run([
            "admin",
            "--store-url",
            &url,
            "--admin-listen",
            "127.0.0.1:0",
            "--console-listen",
            "",
            "--data",
            &data,
        ]);
        assert_eq!(refused.code, Some(65), "{}", refused.stderr);
        assert!(refused.stderr.contains("postern admin migrate"), "{}", refused.stderr);
        let migrated = run(["admin", "migrate", "--store-url", &url]);
        assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
        // All tokens that were revoked are tried at once.
        let unlimited = ["--invalid-credentials-burst", "1000000"];
        let flags = [&["--store-url", url.as_str()], &unlimited[..]].concat();
        let one = Postern::with(&upstream.url(), &flags);
        let token = std::fs::read_to_string(one.data().join("bootstrap-token")).expect("a token");
        let other = Postern::with(&upstream.url(), &flags);
        assert!(!other.data().join("bootstrap-token").exists());
        Self {
            one,
            other,
            token: token.trim_end().to_owned(),
        }
    }

    fn administrators(&self) -> [Client; 2] {
        [self.one.with_token(&self.token), self.other.with_token(&self.token)]
    }

    /// Waits until both gateways have all changes, and returns the revision.
    fn settled(&self) -> f64 {
        eventually("one revision everywhere", || {
            let revisions = [&self.one, &self.other]
                .map(|postern| ["postern_store_revision", "postern_revision"].map(|series| postern.metric(series)));
            let [[first, ..], ..] = revisions;
            revisions
                .as_flattened()
                .iter()
                .all(|revision| *revision == first)
                .then_some(first)
        })
    }

    fn assert_holds(&self, told: &Told) {
        for postern in [&self.one, &self.other] {
            for secret in &told.valid {
                assert_eq!(postern.with_token(secret).get("/orgs/acme/env-types").status, 200);
            }
            for secret in &told.revoked {
                assert_eq!(postern.with_token(secret).get("/orgs/acme/env-types").status, 401);
            }
        }
    }
}

#[test]
fn what_one_admin_service_changes_counts_at_the_gateways_of_another() {
    let upstream = Upstream::answering(200, json!([]));
    let cluster = Cluster::start();
    let pair = Pair::start(&cluster, &upstream);
    let [first, second] = pair.administrators();
    let user = first.create_user("ci", "member");
    for round in 0..20 {
        let (here, there, gateway) = match round % 2 {
            0 => (&first, &second, &pair.other),
            _ => (&second, &first, &pair.one),
        };
        let secret = eventually("the other gateway knows the user", || {
            let body = json!({"id": "ci", "type": "static"});
            let answer = here.post(&format!("/users/{user}/tokens"), body);
            (answer.status == 200).then(|| answer.json()["token"].as_str().expect("a secret").to_owned())
        });
        let caller = gateway.with_token(&secret);
        eventually("the token is known", || {
            (caller.get("/orgs/acme/env-types").status == 200).then_some(())
        });
        there.delete(&format!("/users/{user}/tokens/ci")).ok(204);
        assert_eq!(caller.get("/orgs/acme/env-types").status, 401, "round {round}");
        let elsewhere = if round % 2 == 0 { &pair.one } else { &pair.other };
        let caller = elsewhere.with_token(&secret);
        eventually("the token is gone", || {
            (caller.get("/orgs/acme/env-types").status == 401).then_some(())
        });
    }
}

#[test]
fn changes_through_two_admin_services_at_once_are_in_one_order_without_gaps() {
    let upstream = Upstream::answering(200, json!([]));
    let cluster = Cluster::start();
    let pair = Pair::start(&cluster, &upstream);
    let (told, _) = written_through_both(&pair, || {}, 200);
    let revision = pair.settled();
    let mut revisions: Vec<u64> = told.iter().flat_map(|told| told.revisions.clone()).collect();
    let distinct: BTreeSet<u64> = revisions.iter().copied().collect();
    revisions.sort_unstable();
    assert_eq!(distinct.into_iter().collect::<Vec<_>>(), revisions, "no revision twice");
    let agree = "SELECT (SELECT revision FROM store) || ' ' || count(*) || ' ' || max(a.revision)
                 FROM audit_entries a JOIN changes c ON c.revision = a.revision";
    let found = Cluster::sql(&cluster.socket(), "postern", agree);
    assert_eq!(found, format!("{revision} {revision} {revision}"));
    for told in &told {
        assert_eq!(told.unavailable, 0);
        pair.assert_holds(told);
    }
}

#[test]
fn nothing_that_was_acknowledged_is_lost_when_the_database_crashes_and_comes_back() {
    let upstream = Upstream::answering(200, json!([]));
    let mut cluster = Cluster::start();
    let pair = Pair::start(&cluster, &upstream);
    let crash = || {
        cluster.crash();
        // Decisions go on without the store; changes are refused, and nobody waits long for that.
        let [administrator, _] = pair.administrators();
        assert_eq!(administrator.get("/orgs/acme/env-types").status, 200);
        let body = json!({"name": "nobody", "role": "member"});
        eventually("a refusal", || {
            let answer = administrator.post("/orgs/acme/users", body.clone());
            (answer.refusal() == (503, "store-unreachable".to_owned())).then_some(())
        });
        // Nobody can tell now that nothing has changed.
        eventually("data that grows old", || {
            (pair.one.metric("postern_feed_age_milliseconds") > 3000.0).then_some(())
        });
        cluster.launch();
    };
    let (told, more) = written_through_both(&pair, crash, 60);
    pair.settled();
    assert!(more > 0, "changes are made again");
    assert!(told.iter().any(|told| told.unavailable > 0), "some were refused");
    told.iter().for_each(|told| pair.assert_holds(told));
    for postern in [&pair.one, &pair.other] {
        assert!(postern.metric("postern_store_failures_total") > 0.0);
    }
}

/// Has two writers on each admin service; when enough was made, something happens; when as much again was made, they stop.
/// Returns what they were told, and how much was made after it.
fn written_through_both(pair: &Pair, happens: impl FnOnce(), enough: usize) -> (Vec<Told>, usize) {
    let [first, second] = pair.administrators();
    let user = first.create_user("ci", "member");
    pair.settled();
    let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writers: Vec<_> = [&first, &first, &second, &second]
        .into_iter()
        .enumerate()
        .map(|(number, administrator)| {
            let name = format!("writer-{number}");
            write(
                administrator.clone(),
                user.clone(),
                name,
                Arc::clone(&stop),
                Arc::clone(&made),
            )
        })
        .collect();
    let wait_for = |count: usize| {
        eventually("enough changes", || {
            (made.load(Ordering::Relaxed) >= count).then_some(())
        })
    };
    wait_for(enough);
    happens();
    let before = made.load(Ordering::Relaxed);
    wait_for(before + enough);
    stop.store(true, Ordering::Relaxed);
    let told = writers.into_iter().map(|writer| writer.join().expect("a writer ends"));
    let told: Vec<Told> = told.collect();
    (told, made.load(Ordering::Relaxed) - before)
}
