//! Client certificates: who may come in, and tokens that are good for nothing without the right one.

use std::path::{Path, PathBuf};

use rcgen::SerialNumber;
use rustls::version::{TLS12, TLS13};
use serde_json::json;

use crate::harness::client::Request;
use crate::harness::eventually;
use crate::harness::postern::Postern;
use crate::harness::process::run;
use crate::harness::tls::{Authority, Issued, TlsClient, curl, in_seconds, s_client, write};
use crate::harness::upstream::Upstream;

/// A Postern that asks callers for certificates, and who vouches for whom.
struct Asking {
    postern: Postern,
    servers: Authority,
    clients: Authority,
    files: tempfile::TempDir,
    _upstream: Upstream,
}

impl Asking {
    fn start(asked: &str, more: &[&str]) -> Self {
        Self::with_clients(asked, Authority::new(), more)
    }

    fn with_clients(asked: &str, clients: Authority, more: &[&str]) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let servers = Authority::new();
        let (certificate, key) = servers.issue(&["127.0.0.1"]).write(files.path(), "server");
        let ca = write(files.path(), "clients.pem", &clients.pem());
        let upstream = Upstream::answering(200, json!([]));
        let (certificate, key, ca) = (text(&certificate), text(&key), text(&ca));
        let own = ["--tls-certificate-file", &certificate, "--tls-key-file", &key];
        let asks = ["--tls-client-ca-file", &ca, "--tls-client-certificates", asked];
        let watch = ["--files-watch-interval-ms", "20"];
        let postern = Postern::with(&upstream.url(), &[&own[..], &asks, &watch, more].concat());
        Self {
            postern,
            servers,
            clients,
            files,
            _upstream: upstream,
        }
    }

    /// Returns somebody with a certificate or none, without a token.
    fn client(&self, own: Option<&Issued>) -> TlsClient {
        TlsClient::new(self.postern.anybody(), &self.servers, own)
    }

    /// Returns the administrator, with a certificate or none.
    fn administrator(&self, own: Option<&Issued>) -> TlsClient {
        let token = self.postern.administrator().token.expect("it has one");
        self.client(own).with_token(&token)
    }

    /// Returns the path of a file beside the server's.
    fn file(&self, name: &str) -> String {
        text(&self.files.path().join(name))
    }

    /// Waits for a number of callers who were refused for their certificates: they are counted just behind their end.
    fn wait_for_refused(&self, holds: impl Fn(f64) -> bool) {
        let series = r#"postern_tls_handshakes_total{result="client-certificate"}"#;
        let refused = || self.postern.metric(series);
        eventually("the count of refused handshakes", || holds(refused()).then_some(()));
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

const LIST: &str = "/orgs/acme/env-types";

#[test]
fn a_bound_token_is_good_with_its_certificate_and_with_no_other_and_without_one() {
    let asking = Asking::start("optional", &[]);
    let (own, other) = (asking.clients.issue(&["ci"]), asking.clients.issue(&["ci"]));
    let administrator = asking.administrator(None);
    let body = json!({"name": "ci", "role": "member"});
    let user = administrator.post("/orgs/acme/users", &body).ok(200)["id"].clone();
    let tokens = format!("/users/{}/tokens", user.as_str().expect("an id"));
    let create = |body| {
        let created = administrator.post(&tokens, &body).ok(200);
        created["token"].as_str().expect("a secret").to_owned()
    };
    let bound = create(json!({"id": "bound", "type": "static", "cnf": {"x5t#S256": own.thumbprint()}}));
    let unbound = create(json!({"id": "unbound", "type": "static"}));
    let listed = administrator.get(&tokens).ok(200);
    assert_eq!(listed[0]["cnf"], json!({"x5t#S256": own.thumbprint()}));
    assert!(listed[1].get("cnf").is_none(), "{listed}");

    for _ in 0..2 {
        asking.client(Some(&own)).with_token(&bound).get(LIST).ok(200);
        for with in [Some(&other), None] {
            let answer = asking.client(with).with_token(&bound).get(LIST);
            asking.postern.assert_refused(&answer, "certificate-mismatch");
        }
    }
    for with in [Some(&own), Some(&other), None] {
        asking.client(with).with_token(&unbound).get(LIST).ok(200);
    }
}

#[test]
fn a_resumed_session_still_has_the_certificate_of_its_beginning() {
    let asking = Asking::start("optional", &[]);
    let own = asking.clients.issue(&["ci"]);
    let user = json!({"name": "ci", "role": "member"});
    let user = asking.administrator(None).post("/orgs/acme/users", &user).ok(200)["id"].clone();
    let bound = json!({"id": "bound", "type": "static", "cnf": {"x5t#S256": own.thumbprint()}});
    let tokens = format!("/users/{}/tokens", user.as_str().expect("an id"));
    let bound = asking.administrator(None).post(&tokens, &bound).ok(200)["token"].clone();
    for version in [&TLS12, &TLS13] {
        let anybody = asking.postern.anybody();
        let client = TlsClient::speaking(&[version], anybody, &asking.servers, Some(&own));
        let client = client.with_token(bound.as_str().expect("a secret"));
        client.get(LIST).ok(200);
        let mut again = client.connect().expect("a connection");
        assert!(again.is_resumed(), "{version:?}");
        again.try_send(Request::new("GET", LIST)).expect("an answer").ok(200);
    }
}

#[test]
fn a_session_is_not_resumed_with_a_certificate_that_has_expired_since() {
    let asking = Asking::start("required", &[]);
    let own = asking
        .clients
        .issue_with(&["ci"], |parameters| in_seconds(parameters, 3));
    let administrator = asking.administrator(Some(&own));
    let mut resumed = 0;
    eventually("the end of the certificate", || {
        // Each connection brings a new ticket, so that there is always one to resume with.
        let mut connection = administrator.connect().ok()?;
        let answer = connection.try_send(Request::new("GET", LIST));
        resumed += u32::from(connection.is_resumed());
        answer.is_err().then(|| assert!(connection.is_resumed()))
    });
    assert!(resumed > 1, "it was resumed while it was good");
    asking.wait_for_refused(|count| count > 0.0);
}

#[test]
fn who_must_have_a_certificate_comes_in_with_a_good_one_only() {
    let asking = Asking::start("required", &[]);
    let good = asking.clients.issue(&["ci"]);
    asking.administrator(Some(&good)).get(LIST).ok(200);
    let foreign = Authority::new().issue(&["ci"]);
    let expired = asking.clients.issue_expired(&["ci"]);
    for (bad, refused) in [(None, 1.0), (Some(&foreign), 2.0), (Some(&expired), 3.0)] {
        let answer = asking.administrator(bad).try_send(Request::new("GET", LIST));
        assert!(answer.is_err(), "{answer:?}");
        asking.wait_for_refused(|count| count == refused);
    }

    // As openssl and curl see it.
    let address = asking.postern.address;
    let (certificate, key) = good.write(asking.files.path(), "good");
    let (certificate, key) = (text(&certificate), text(&key));
    let ca = text(&write(asking.files.path(), "servers.pem", &asking.servers.pem()));
    for version in ["-tls1_2", "-tls1_3"] {
        let arguments = ["-CAfile", &ca, "-cert", &certificate, "-key", &key, version];
        let told = s_client(address, &arguments);
        assert!(told.contains("Verify return code: 0 (ok)"), "{told}");
    }
    let told = s_client(address, &["-CAfile", &ca, "-tls1_2"]);
    assert!(told.contains("alert"), "{told}");
    let url = format!("https://{address}/.well-known/jwks.json");
    assert_eq!(
        curl(&["--cacert", &ca, "--cert", &certificate, "--key", &key, &url]),
        200
    );
    assert_eq!(curl(&["--cacert", &ca, &url]), 0);
}

#[test]
fn who_may_have_a_certificate_comes_in_without_one_and_not_with_a_bad_one() {
    let asking = Asking::start("optional", &[]);
    asking.administrator(None).get(LIST).ok(200);
    let foreign = Authority::new().issue(&["ci"]);
    let answer = asking.administrator(Some(&foreign)).try_send(Request::new("GET", LIST));
    assert!(answer.is_err(), "{answer:?}");
    asking.wait_for_refused(|count| count == 1.0);
}

#[test]
fn a_revoked_certificate_is_refused_as_soon_as_the_list_says_so_even_for_a_session_that_began_before() {
    let clients = Authority::new();
    let directory = tempfile::tempdir().expect("a directory");
    let serial =
        |number: u64| move |p: &mut rcgen::CertificateParams| p.serial_number = Some(SerialNumber::from(number));
    let (one, two) = (
        clients.issue_with(&["one"], serial(1)),
        clients.issue_with(&["two"], serial(2)),
    );
    let list = write(directory.path(), "revoked.pem", &clients.revoking(&[1]));
    let asking = Asking::with_clients("required", clients, &["--tls-client-crl-file", &text(&list)]);
    let ask = |client: &TlsClient| client.try_send(Request::new("GET", LIST));
    assert!(ask(&asking.administrator(Some(&one))).is_err());
    let second = asking.administrator(Some(&two));
    ask(&second).expect("an answer").ok(200);
    write(directory.path(), "revoked.pem", &asking.clients.revoking(&[1, 2]));
    eventually("the new list", || ask(&second).err());
    asking.wait_for_refused(|count| count >= 2.0);

    // A list that is out of date is not taken: what it does not have may have been revoked since.
    write(
        directory.path(),
        "revoked.pem",
        &asking.clients.revoking_until(&[1], 2021),
    );
    let series = r#"postern_certificate_reloads_total{result="refused"}"#;
    asking.postern.wait_for_metric(series, 1.0);
    assert!(ask(&asking.administrator(Some(&two))).is_err());
}

#[test]
fn the_command_line_shows_a_certificate_and_binds_a_token_to_the_one_of_a_file() {
    let asking = Asking::start("required", &[]);
    let own = asking.clients.issue(&["ci"]);
    let (certificate, key) = own.write(asking.files.path(), "own");
    let (certificate, key): (String, String) = (text(&certificate), text(&key));
    let ca = text(&write(asking.files.path(), "servers.pem", &asking.servers.pem()));
    let url = format!("https://{}", asking.postern.address);
    let bootstrap: PathBuf = asking.postern.data().join("bootstrap-token");
    let bootstrap = text(&bootstrap);
    let tls = [
        "--ca-file",
        &ca,
        "--client-certificate-file",
        &certificate,
        "--client-key-file",
        &key,
    ];
    let command = |words: &[&str]| {
        let common = ["--url", &url, "--org", "acme", "--token-file", &bootstrap];
        let ended = run([words, &common, &tls].concat());
        assert_eq!(ended.code, Some(0), "{words:?}: {}", ended.stderr);
        ended.stdout.trim().to_owned()
    };
    command(&["user", "create", "ci", "--role", "member"]);
    let token = command(&["token", "create", "ci", "deploys", "--certificate", &certificate]);
    assert!(command(&["token", "list", "ci"]).contains(&own.thumbprint()));

    let config = asking.file("curl");
    std::fs::write(&config, format!("header = \"Authorization: Bearer {token}\"\n")).expect("it is written");
    let target = format!("{url}{LIST}");
    let common = ["--config", &config, "--cacert", &ca, &target];
    let (other, other_key) = asking.clients.issue(&["other"]).write(asking.files.path(), "other");
    let other = ["--cert", &text(&other), "--key", &text(&other_key)];
    assert_eq!(
        curl(&[&common[..], &["--cert", &certificate, "--key", &key]].concat()),
        200
    );
    assert_eq!(curl(&[&common[..], &other].concat()), 401);
}
