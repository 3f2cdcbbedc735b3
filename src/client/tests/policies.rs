//! What the commands about policies send and print.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use feed::{Clock, PolicyDigest};
use serde_json::{Value, json};

use super::{Any, Stub, TOKEN, parse, policy, variables};

const CI: &str = "s-d35b0d0e-8a53-40e9-a329-64e48b7e92e0";
const DECISION: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn version(version: &str, component: &[u8]) -> Value {
    json!({
        "version": version, "digest": PolicyDigest::of(component).to_string(), "class": "small",
        "size_bytes": component.len(), "published_at": "2026-11-24T10:00:00.000Z", "published_by": CI, "signed_by": "ci",
        "manifest": {
            "scopes": ["org", "app"], "subject_kinds": ["service-user"], "inputs": ["time"],
            "settings_schema": {"type": "object"},
        },
    })
}

fn freeze() -> Value {
    json!({
        "name": "freeze", "type": "guard", "builtin": false, "active": version("1.1.0", b"b"), "previous": "1.0.0",
        "versions": [version("1.2.0", b"c"), version("1.1.0", b"b"), version("1.0.0", b"a")], "fallback": true,
        "shadow": {"version": "1.2.0", "percent": 20}, "holders": 2,
    })
}

fn flip() -> Value {
    json!({
        "operation": "createDeployment", "subject": CI, "from": "allowed", "to": "denied", "count": 3,
        "first_at": "2026-11-24T10:00:00.000Z", "last_at": "2026-11-24T11:00:00.000Z", "decision_id": DECISION,
    })
}

fn recorded() -> Value {
    json!({
        "id": DECISION, "at_ms": 1_700_000_000_000_i64, "gateway": "edge-1", "revision": 7, "token": "github",
        "question": {
            "subject": {
                "id": CI, "type": "service-user", "org": "acme", "app_role": "owner",
                "env_types": [{"id": "production", "role": "deployer"}],
            },
            "operation": "createDeployment", "parameters": {"appId": "shop", "orgId": "acme"},
            "inputs": {"time_ms": 1_700_000_000_000_i64},
        },
        "outcome": {"outcome": "denied", "guard": "freeze", "reason": "closed until\u{1b}[2J Monday"},
        "answers": [
            {"asked": "role", "role": "owner", "held_on": "app", "policy": PolicyDigest::of(b"a").to_string(), "verdict": "allow"},
            {"asked": "guard", "guard": "freeze", "scope": "/orgs/acme", "settings": "{}", "verdict": "deny"},
        ],
    })
}

fn file(directory: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, content).expect("it is written");
    path
}

#[tokio::test]
async fn a_component_of_a_file_is_published_whole_and_the_next_step_is_told() {
    let stub = Stub::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let component = file(directory.path(), "freeze.wasm", b"c").display().to_string();
    stub.on("POST /orgs/acme/policies", 201, freeze());
    let published = stub
        .run(&format!("policy publish {component}"))
        .await
        .expect("an answer");
    assert!(
        published.out.contains("1.1.0") && published.out.contains("1.2.0 (20 %)"),
        "{}",
        published.out
    );
    assert!(
        published.advice.contains("postern policy promote freeze 1.2.0"),
        "{}",
        published.advice
    );
    assert_eq!(stub.asked()[0].body, json!({"component": STANDARD.encode(b"c")}));
    let line = format!("policy publish {component} --activate --json");
    let published = stub.run(&line).await.expect("an answer");
    assert_eq!(serde_json::from_str::<Value>(&published.out).expect("JSON"), freeze());
    assert_eq!(stub.asked()[1].body["activate"], true);
}

#[tokio::test]
async fn a_signature_beside_a_component_goes_with_it() {
    let stub = Stub::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let component = file(directory.path(), "freeze.wasm", b"c").display().to_string();
    let signature = json!({"key": "ci", "signature": "AAAA"});
    let beside = file(directory.path(), "freeze.wasm.sig", signature.to_string());
    stub.on("POST /orgs/acme/policies", 201, freeze());
    let line = format!("policy publish {component}");
    stub.run(&line).await.expect("an answer");
    assert_eq!(stub.asked()[0].body["signature"], signature);
    let elsewhere = file(directory.path(), "other", r#"{"key": "ops", "signature": "BBBB"}"#);
    stub.run(&format!("{line} --signature {}", elsewhere.display()))
        .await
        .expect("an answer");
    assert_eq!(stub.asked()[1].body["signature"]["key"], "ops");
    std::fs::write(&beside, "no signature").expect("it is written");
    assert_eq!(stub.fail(&line).await.0, 65);
}

#[tokio::test]
async fn what_a_component_is_refused_for_is_told_line_by_line() {
    let stub = Stub::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let component = file(directory.path(), "freeze.wasm", b"c").display().to_string();
    let details = json!({"problems": ["it imports a\u{1b}[2J function", format!("you sent {TOKEN}")]});
    let body = json!({"error": "component-refused", "message": "m", "details": details});
    stub.on("POST /orgs/acme/policies", 400, body);
    let (code, told) = stub.fail(&format!("policy publish {component}")).await;
    let expected = "refused (400 component-refused): m\n  it imports a\\u{1b}[2J function\n  you sent (your token)\n";
    assert!(
        code == 1 && told.starts_with(expected) && told.contains("postern policy check"),
        "{told}"
    );
    let (code, told) = stub.fail("policy publish no-such-file.wasm").await;
    assert_eq!((code, told.as_str()), (74, "failed to read no-such-file.wasm"));
}

#[tokio::test]
async fn policies_are_listed_and_one_is_shown_with_its_versions() {
    let stub = Stub::start().await;
    let builtin = json!({
        "name": "developer", "type": "role", "builtin": true, "active": version("1.0.0", b"d"), "holders": 7,
        "versions": [version("1.0.0", b"d")], "previous": null, "fallback": false,
    });
    stub.on("GET /orgs/acme/policies", 200, json!([builtin, freeze()]));
    stub.on("GET /orgs/acme/policies/freeze", 200, freeze());
    let listed = stub.run("policy list").await.expect("an answer").out;
    let rows: Vec<Vec<_>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1], ["developer", "role", "built-in", "7"]);
    assert_eq!(
        rows[2],
        [
            "freeze", "guard", "1.1.0", "3", "1.2.0", "(20", "%)", "asks", "1.0.0", "2"
        ]
    );
    let shown = stub.run("policy inspect freeze").await.expect("an answer").out;
    let row = |version: &str| {
        let line = shown.lines().find(|line| line.starts_with(version));
        line.unwrap_or_else(|| panic!("{version}: {shown}")).to_owned()
    };
    assert!(row("1.1.0").contains("in force") && row("1.0.0").contains("previous") && row("1.2.0").contains("shadow"));
    assert!(row("1.1.0").contains(&PolicyDigest::of(b"b").to_string()) && row("1.1.0").contains("org, app"));
    assert!(shown.contains("{\"type\":\"object\"}"), "{shown}");
}

#[tokio::test]
async fn a_policy_is_changed_by_the_one_field_that_a_command_is_about() {
    let stub = Stub::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let settings = file(directory.path(), "settings.json", r#"{"until": 3}"#)
        .display()
        .to_string();
    stub.on("PATCH /orgs/acme/policies/freeze", 200, freeze());
    for (line, body) in [
        ("promote freeze 1.2.0", json!({"active": "1.2.0"})),
        (
            "promote freeze 1.2.0 --evaluations-min 9",
            json!({"active": "1.2.0", "evaluations_min": 9}),
        ),
        ("rollback freeze", json!({"active": "previous"})),
        ("fallback freeze on", json!({"fallback": true})),
        ("fallback freeze off", json!({"fallback": false})),
        (
            "shadow freeze 1.2.0",
            json!({"shadow": {"version": "1.2.0", "percent": 100}}),
        ),
        (
            "shadow freeze 1.2.0 --percent 5",
            json!({"shadow": {"version": "1.2.0", "percent": 5}}),
        ),
        ("shadow freeze --off", json!({"shadow": null})),
        (
            &format!("settings freeze {settings}"),
            json!({"settings": {"until": 3}}),
        ),
        ("settings freeze --none", json!({"settings": null})),
    ] {
        let done = stub.run(&format!("policy {line}")).await;
        assert!(done.expect("an answer").out.contains("freeze"), "{line}");
        assert_eq!(stub.asked().last().expect("a request").body, body, "{line}");
    }
    for line in [
        "shadow freeze",
        "shadow freeze --off --report",
        "shadow freeze 1.2.0 --percent 0",
        "shadow freeze --off --percent 5",
        "settings freeze",
        "settings freeze a.json --none",
    ] {
        let words: Vec<_> = ["policy"].into_iter().chain(line.split(' ')).collect();
        assert!(parse(&words).is_err(), "{line}");
    }
}

#[tokio::test]
async fn a_shadow_reports_its_flips_and_the_report_is_what_promotion_expects() {
    let stub = Stub::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let report = json!({
        "policy": "freeze", "version": "1.2.0", "active": "1.1.0", "percent": 100, "since": "2026-11-24T10:00:00.000Z",
        "evaluations": 1000, "dropped": 1, "flips": [flip()],
    });
    stub.on("GET /orgs/acme/policies/freeze/shadow", 200, &report);
    let shown = stub.run("policy shadow freeze --report").await.expect("an answer");
    for word in [
        "1000 decisions watched",
        "1 left out",
        "createDeployment",
        "denied",
        DECISION,
    ] {
        assert!(shown.out.contains(word), "{word}: {}", shown.out);
    }
    let written = stub
        .run("policy shadow freeze --report --json")
        .await
        .expect("an answer")
        .out;
    let expected = file(directory.path(), "expected.json", written).display().to_string();
    stub.on("PATCH /orgs/acme/policies/freeze", 200, freeze());
    let promote = format!("policy promote freeze 1.2.0 --only-flips {expected}");
    stub.run(&promote).await.expect("an answer");
    let flips = json!([{"operation": "createDeployment", "subject": CI, "from": "allowed", "to": "denied"}]);
    assert_eq!(stub.asked().last().expect("a request").body["expected_flips"], flips);

    let refusal = json!({"error": "unexpected-flips", "message": "m", "details": {"flips": [flip()]}});
    stub.on("PATCH /orgs/acme/policies/freeze", 409, refusal);
    let (code, told) = stub.fail(&promote).await;
    assert!(
        code == 1 && told.contains("createDeployment") && told.contains(DECISION),
        "{told}"
    );
    for unusable in ["no JSON", "{}", r#"[{"operation": "a"}]"#] {
        file(directory.path(), "expected.json", unusable);
        assert_eq!(stub.fail(&promote).await.0, 65, "{unusable}");
    }
}

#[tokio::test]
async fn a_policy_is_removed_with_what_its_bindings_become() {
    let stub = Stub::start().await;
    let path = "DELETE /orgs/acme/policies/deployer-plus";
    let refusal = json!({"error": "role-in-use", "message": "m", "details": {"holders": 3}});
    stub.on(path, 409, refusal);
    stub.on(&format!("{path}?bindings=remove"), 204, "");
    let (code, told) = stub.fail("policy remove deployer-plus").await;
    assert!(
        code == 1 && told.contains("3 hold it") && told.contains("--bindings remove"),
        "{told}"
    );
    let removed = stub
        .run("policy remove deployer-plus --bindings remove")
        .await
        .expect("an answer");
    assert_eq!(removed.out, "removed deployer-plus\n");
}

#[tokio::test]
async fn guards_are_attached_listed_changed_and_detached() {
    let stub = Stub::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let settings = file(directory.path(), "settings.json", r#"{"until": 3}"#)
        .display()
        .to_string();
    let guard =
        json!({"id": "g 1", "policy": "freeze", "scope": "/orgs/acme", "position": 100, "settings": {"until": 3}});
    stub.on("POST /orgs/acme/guards", 201, &guard);
    stub.on("GET /orgs/acme/guards", 200, json!([guard]));
    stub.on("PATCH /orgs/acme/guards/g%201", 200, &guard);
    stub.on("DELETE /orgs/acme/guards/g%201", 204, "");
    for (line, body) in [
        ("attach freeze", json!({"policy": "freeze", "scope": "/orgs/acme"})),
        (
            "attach freeze --app shop --id f --position 7",
            json!({"policy": "freeze", "scope": "/orgs/acme/apps/shop", "id": "f", "position": 7}),
        ),
        (
            &format!("attach freeze --installation --settings {settings}"),
            json!({"policy": "freeze", "scope": "installation", "settings": {"until": 3}}),
        ),
    ] {
        let attached = stub.run(&format!("policy {line}")).await.expect("an answer").out;
        assert!(attached.contains(r#"{"until":3}"#), "{attached}");
        assert_eq!(stub.asked().last().expect("a request").body, body, "{line}");
    }
    assert!(
        stub.run("policy guards")
            .await
            .expect("an answer")
            .out
            .contains("/orgs/acme")
    );
    let words = ["policy", "settings", "--guard", "g 1", &settings, "--org", "acme"];
    stub.run_words(&words).await.expect("an answer");
    assert_eq!(
        stub.asked().last().expect("a request").body,
        json!({"settings": {"until": 3}})
    );
    let detached = stub.run_words(&["policy", "detach", "g 1", "--org", "acme"]).await;
    assert_eq!(detached.expect("an answer").out, "detached g 1\n");
}

fn access(revision: u64, outcomes: [&str; 3]) -> Value {
    let row = |operation: &str, outcome: &str| {
        json!({
            "operation": operation, "permission": "p", "method": "GET", "path": "/a", "object": "/orgs/acme/apps/shop",
            "outcome": outcome, "by": "owner",
        })
    };
    let [a, b, c] = outcomes;
    json!({"subject": CI, "revision": revision, "rows": [row("readA", a), row("readB", b), row("readC", c)]})
}

#[tokio::test]
async fn access_shows_what_a_subject_may_do_and_diff_what_a_change_makes_of_it() {
    let stub = Stub::start().await;
    let path = format!("GET /orgs/acme/users/{CI}/access");
    stub.on(&path, 200, access(7, ["allowed", "not-allowed", "denied"]));
    let shown = stub.run(&format!("policy access {CI}")).await.expect("an answer");
    assert!(shown.out.contains("readA") && !shown.out.contains("readB") && shown.out.contains("readC"));
    assert!(
        shown.advice.starts_with("1 of 3 allowed, at revision 7"),
        "{}",
        shown.advice
    );
    let all = stub.run(&format!("policy access {CI} --all")).await.expect("an answer");
    assert!(all.out.contains("readB"), "{}", all.out);

    let candidate = format!("{path}?policy=plus&version=1.2.0&revision=7");
    stub.on(&candidate, 200, access(7, ["not-allowed", "allowed", "allowed"]));
    let diff = stub
        .run(&format!("policy diff {CI} --policy plus --version 1.2.0"))
        .await;
    let diff = diff.expect("an answer").out;
    let summary = format!("this change gives {CI} 2 more operations, and takes 1 operation from {CI}\n");
    assert!(diff.starts_with(&summary), "{diff}");
    let signs: Vec<_> = diff.lines().skip(2).map(|line| &line[..1]).collect();
    assert_eq!(signs, ["-", "+", "+"], "{diff}");
}

#[tokio::test]
async fn diff_compares_two_revisions_and_says_when_nothing_changed() {
    let stub = Stub::start().await;
    let path = format!("GET /orgs/acme/users/{CI}/access");
    let (same, other) = (["allowed", "denied", "denied"], ["allowed", "undecided", "denied"]);
    stub.on(&format!("{path}?revision=3"), 200, access(3, same));
    stub.on(&format!("{path}?revision=5"), 200, access(5, other));
    stub.on(&path, 200, access(9, same));
    let diff = stub
        .run(&format!("policy diff {CI} --from 3"))
        .await
        .expect("an answer")
        .out;
    assert_eq!(diff, format!("this change makes no difference to {CI}\n"));
    let diff = stub
        .run(&format!("policy diff {CI} --from 3 --to 5 --json"))
        .await
        .expect("an answer");
    let diff: Value = serde_json::from_str(&diff.out).expect("JSON");
    assert_eq!((&diff["from"], &diff["to"]), (&json!(3), &json!(5)));
    assert_eq!(diff["changes"].as_array().map(Vec::len), Some(1));
    assert_eq!(diff["changes"][0]["change"], "~");
}

#[tokio::test]
async fn a_decision_is_explained_step_by_step() {
    let stub = Stub::start().await;
    stub.on(&format!("GET /orgs/acme/decisions/{DECISION}"), 200, recorded());
    let explained = stub
        .run(&format!("policy explain {DECISION}"))
        .await
        .expect("an answer")
        .out;
    let component = &PolicyDigest::of(b"a").to_string()[..12];
    let expected = format!(
        "decision {DECISION}, 2023-11-14T22:13:20.000Z, at gateway edge-1, revision 7\n\
         token      github\n\
         subject    {CI}, a service user of acme\n\
         operation  createDeployment (appId=shop, orgId=acme)\n\
         roles      none on the organisation\n           owner on the app\n           deployer on env type production\n\
         told       time 2023-11-14T22:13:20.000Z\n\
         asked      role owner, held on the app (component {component}): allow\n           \
         guard freeze, attached to /orgs/acme: deny, settings {{}}\n\
         outcome    denied by guard freeze: closed until\\u{{1b}}[2J Monday\n"
    );
    assert_eq!(explained, expected);
    stub.on(&format!("GET /orgs/acme/decisions/{DECISION}"), 200, "{}");
    assert_eq!(stub.fail(&format!("policy explain {DECISION}")).await.0, 69);
}

#[tokio::test]
async fn a_decision_that_nobody_made_is_explained_from_what_is_asked() {
    let stub = Stub::start().await;
    let mut answer = recorded();
    answer["id"] = json!("0".repeat(32));
    answer["token"] = json!("");
    stub.on("POST /orgs/acme/explanations", 200, answer);
    let line = format!(
        "policy explain --subject {CI} --operation createDeployment --parameter appId=shop --env-type production"
    );
    let explained = stub.run(&line).await.expect("an answer").out;
    assert!(
        explained.starts_with("what would be decided, 2023-11-14T22:13:20.000Z, revision 7\nsubject "),
        "{explained}"
    );
    let body = json!({
        "subject": CI, "operation": "createDeployment", "parameters": {"orgId": "acme", "appId": "shop"},
        "env_types": ["production"],
    });
    assert_eq!(stub.asked()[0].body, body);
    for line in [
        "explain",
        "explain 00 --subject ci --operation a",
        "explain --subject ci",
        "explain --operation a",
    ] {
        let words: Vec<_> = ["policy"].into_iter().chain(line.split(' ')).collect();
        assert!(parse(&words).is_err(), "{line}");
    }
}

#[tokio::test]
async fn decisions_are_listed_the_latest_last_and_one_is_recorded_as_a_line() {
    let stub = Stub::start().await;
    let mut older = recorded();
    older["id"] = json!("00");
    older["at_ms"] = json!(1_600_000_000_000_i64);
    let path = format!("GET /orgs/acme/decisions?subject={CI}&outcome=not-allowed&limit=50");
    stub.on(&path, 200, json!([recorded(), older]));
    let listed = stub
        .run(&format!("policy decisions --subject {CI} --outcome not-allowed"))
        .await;
    let listed = listed.expect("an answer").out;
    let lines: Vec<_> = listed.lines().collect();
    assert!(
        lines[1].contains("00") && lines[2].contains(DECISION) && lines[2].contains("freeze"),
        "{listed}"
    );
    stub.on(&format!("GET /orgs/acme/decisions/{DECISION}"), 200, recorded());
    let line = stub
        .run(&format!("policy record {DECISION}"))
        .await
        .expect("an answer")
        .out;
    assert_eq!(line.lines().count(), 1);
    assert_eq!(serde_json::from_str::<Value>(&line).expect("JSON"), recorded());
}

/// What a command has printed so far.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl io::Write for Printed {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Printed {
    async fn until(&self, word: &str) -> String {
        loop {
            let text = String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("a text");
            if text.contains(word) {
                return text;
            }
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn decisions_are_followed_and_none_is_told_twice() {
    let stub = Stub::start().await;
    let path = "GET /orgs/acme/decisions?limit=50";
    stub.on(path, 200, json!([recorded()]));
    let line = ["policy", "decisions", "--follow", "--org", "acme", "--url", &stub.base];
    let Any::Policy(command) = parse(&line).expect("a command line") else {
        panic!("it is about policies");
    };
    let printed = Printed::default();
    let (mut out, clock) = (printed.clone(), Clock::manual(0));
    let following = policy::answer(*command, &variables, &clock, &mut out);
    let watching = async {
        printed.until(DECISION).await;
        let mut newer = recorded();
        newer["id"] = json!("ffff");
        newer["at_ms"] = json!(1_800_000_000_000_i64);
        stub.on(path, 200, json!([newer, recorded()]));
        let text = printed.until("ffff").await;
        assert_eq!(text.matches(DECISION).count(), 1, "{text}");
        stub.on(path, 503, "");
    };
    let (ended, ()) = tokio::join!(following, watching);
    assert_eq!(ended.err().map(|error| error.exit_code()), Some(1));
}

#[tokio::test]
async fn components_are_downloaded_once_and_only_with_their_digest() {
    let stub = Stub::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let folder = directory.path().join("components").display().to_string();
    let builtin = json!({"name": "developer", "builtin": true, "versions": [version("1.0.0", b"d")]});
    stub.on("GET /orgs/acme/policies", 200, json!([builtin, freeze()]));
    for (version, component) in [("1.0.0", "a"), ("1.1.0", "b"), ("1.2.0", "wrong")] {
        stub.on(
            &format!("GET /orgs/acme/policies/freeze/versions/{version}/component"),
            200,
            component,
        );
    }
    let line = format!("policy components {folder}");
    assert_eq!(stub.fail(&line).await.0, 69);
    stub.on("GET /orgs/acme/policies/freeze/versions/1.2.0/component", 200, "c");
    stub.run(&line).await.expect("an answer");
    for component in [b"a", b"b", b"c"] {
        let file = format!("{folder}/{}.wasm", PolicyDigest::of(component));
        assert_eq!(std::fs::read(file).expect("it is there"), component);
    }
    assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 3);
    let again = stub.run(&line).await.expect("an answer");
    assert_eq!(again.advice, "0 downloaded, 3 were there\n");
}
