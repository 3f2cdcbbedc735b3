//! A secret exists where it is made and in the request that carries it, and nowhere else.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::harness::client::Request;
use crate::harness::postern::{Postern, UPSTREAM_CREDENTIAL};
use crate::harness::upstream::Upstream;

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("it is a directory");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    paths
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

fn holds(text: &[u8], secret: &str) -> bool {
    text.windows(secret.len()).any(|window| window == secret.as_bytes())
}

#[test]
fn a_token_is_in_no_store_log_metric_answer_or_forwarded_request() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let ci = administrator.with_org_role("member");
    let secret = &ci.token;
    let mut answers = vec![
        ci.client.get("/orgs/acme/env-types"),
        ci.client.get("/orgs/acme/users"),
        ci.client.get(&format!("/orgs/acme/env-types?x={secret}")),
        ci.client.get(&format!("/users/{}/tokens/{secret}", ci.id)),
        ci.client.get(&format!("/{secret}")),
        ci.client
            .send(Request::new("GET", "/orgs/acme/env-types").field("X-Extra", secret)),
        ci.client
            .send(Request::new("GET", "/orgs/acme/env-types").field("User-Agent", "no secret")),
        administrator.get(&format!("/users/{}/tokens", ci.id)),
        administrator.get(&format!("/users/{}/tokens/first", ci.id)),
        postern.operator().get("/metrics"),
        postern.operator().get("/readyz"),
    ];
    administrator.delete(&format!("/users/{}/tokens/first", ci.id)).ok(204);
    answers.push(ci.client.get("/orgs/acme/env-types"));
    let last = answers.last().expect("some").json()["details"]["decision_id"].clone();
    postern.log_line(|line| line["decision_id"] == last);
    for answer in answers {
        assert!(!answer.shown().contains(secret.as_str()), "{}", answer.shown());
        assert!(!answer.shown().contains(UPSTREAM_CREDENTIAL), "{}", answer.shown());
    }
    for received in upstream.received() {
        assert!(!received.holds(secret), "{received:?}");
    }
    let bootstrap = administrator.token.expect("it has one");
    let gateway = std::fs::read_to_string(postern.data().join("gateway-credential")).expect("it is there");
    for path in files(postern.directory()) {
        let content = std::fs::read(&path).expect("it can be read");
        let own = |name: &str| path.file_name().is_some_and(|file| file == name);
        assert!(!holds(&content, secret), "{}", path.display());
        assert!(
            own("bootstrap-token") || !holds(&content, &bootstrap),
            "{}",
            path.display()
        );
        assert!(
            own("gateway-credential") || !holds(&content, gateway.trim()),
            "{}",
            path.display()
        );
        assert!(
            own("upstream-token") || !holds(&content, UPSTREAM_CREDENTIAL),
            "{}",
            path.display()
        );
    }
    let printed = [postern.process.stdout.so_far(), postern.process.stderr.so_far()].concat();
    for secret in [secret, &bootstrap, gateway.trim(), UPSTREAM_CREDENTIAL] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[test]
fn files_with_secrets_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let postern = Postern::start("http://127.0.0.1:9");
    for path in files(&postern.data()) {
        let mode = std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
    }
}
