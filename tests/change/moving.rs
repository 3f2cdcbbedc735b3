//! Moving a store and restoring a backup, as an operator does.

use serde_json::json;

use crate::harness::cluster::Cluster;
use crate::harness::eventually;
use crate::harness::postern::{Halves, Postern};
use crate::harness::process::run;
use crate::harness::upstream::Upstream;

#[test]
fn a_store_is_moved_from_a_file_to_postgresql() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let ci = postern.administrator().with_org_role("member");
    let token = std::fs::read_to_string(postern.data().join("bootstrap-token")).expect("a token");
    let revision = postern.metric("postern_store_revision");
    let (process, directory) = postern.into_process();
    process.terminate();
    assert_eq!(process.ended().code, Some(0));

    let cluster = Cluster::start();
    let url = cluster.database("postern");
    let (old, new) = (directory.path().join("data"), directory.path().join("new"));
    let (old, new) = (old.to_str().expect("text"), new.to_str().expect("text"));
    let file = directory.path().join("store.jsonl");
    let file = file.to_str().expect("text");
    done(&["admin", "export", file, "--data", old]);
    done(&["admin", "migrate", "--store-url", &url]);
    let said = done(&["admin", "import", file, "--store-url", &url, "--data", new]);
    assert_eq!(said, format!("the store is at revision {revision}"));
    let again = run(["admin", "import", file, "--store-url", &url, "--data", new]);
    assert_eq!(again.code, Some(64), "{}", again.stderr);
    let postern = Postern::with(&upstream.url(), &["--store-url", &url]);
    postern.with_token(&ci.token).get("/orgs/acme/env-types").ok(200);
    postern.with_token(token.trim_end()).create_user("another", "member");
}

#[test]
fn a_token_that_was_revoked_stays_out_when_an_older_backup_is_restored_under_a_running_gateway() {
    let upstream = Upstream::answering(200, json!([]));
    let halves = Halves::start(&upstream.url(), &[]);
    let administrator = halves.administrator();
    let (revoked, kept) = (
        administrator.with_org_role("member"),
        administrator.with_org_role("member"),
    );
    let data = halves.admin_data();
    let (backup, old) = (data.with_file_name("backup.jsonl"), data.with_file_name("old"));
    let [backup, data, old] = [&backup, &data, &old].map(|path| path.to_str().expect("text").to_owned());
    done(&["admin", "backup", &backup, "--data", &data]);
    administrator
        .delete(&format!("/users/{}/tokens/first", revoked.id))
        .ok(204);
    let seen = halves.metric("postern_revision");
    let halves = halves.kill_admin();
    std::fs::rename(&data, &old).expect("it is moved away");
    let replaced = format!("{old}/postern.db");
    let said = done(&["admin", "restore", &backup, "--data", &data, "--replaces", &replaced]);
    assert!(said.contains("2 are good, 1 are held"), "{said}");
    for known_to_gateways in ["gateway-credential", "feed-key", "feed-key.pub"] {
        let [from, to] = [&old, &data].map(|directory| format!("{directory}/{known_to_gateways}"));
        std::fs::copy(from, to).expect("it is copied");
    }
    let halves = halves.start_admin();
    eventually("the gateway takes the restored store", || {
        (halves.metric("postern_revision") > seen).then_some(())
    });
    let path = "/orgs/acme/env-types";
    assert_eq!(halves.with_token(&revoked.token).get(path).status, 401);
    assert_eq!(halves.with_token(&kept.token).get(path).status, 200);
    let administrator = halves.administrator();
    administrator
        .post(&format!("/users/{}/tokens/first/release", revoked.id), json!({}))
        .ok(200);
    eventually("the released token", || {
        (halves.with_token(&revoked.token).get(path).status == 200).then_some(())
    });
}

/// Runs the binary and returns what it says.
fn done(arguments: &[&str]) -> String {
    let ended = run(arguments);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
    ended.stdout
}
