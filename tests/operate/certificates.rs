//! The listener's certificates: which one a caller is shown, and how they are swapped while it serves.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::harness::client::{Request, connect};
use crate::harness::eventually;
use crate::harness::postern::Postern;
use crate::harness::process::{ANY_PORTS, run};
use crate::harness::tls::{Authority, Issued, TlsClient, curl, curl_says, read_until_end, s_client, write};
use crate::harness::upstream::Upstream;

/// A Postern that speaks TLS with one certificate for its address.
struct Serving {
    postern: Postern,
    authority: Authority,
    files: tempfile::TempDir,
    _upstream: Upstream,
}

impl Serving {
    fn start(more: &[&str]) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let authority = Authority::new();
        let (certificate, key) = authority.issue(&["127.0.0.1"]).write(files.path(), "server");
        let upstream = Upstream::answering(200, json!([]));
        let flags = flags(&[(certificate, key)]);
        let flags: Vec<&str> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
        Self {
            postern: Postern::with(&upstream.url(), &flags),
            authority,
            files,
            _upstream: upstream,
        }
    }

    fn administrator(&self) -> TlsClient {
        TlsClient::new(self.postern.administrator(), &self.authority, None)
    }

    /// Returns the certificate that a new connection is shown.
    fn shown(&self) -> Vec<u8> {
        self.administrator().connect().expect("a connection").shown()
    }

    /// Puts other files into the places of the certificate's.
    fn replace(&self, issued: &Issued) {
        issued.write(self.files.path(), "server");
    }

    /// Waits until a series has a value: what ended a connection is counted just behind its end.
    fn wait_for(&self, series: Series, value: f64) {
        eventually(series.0, || (self.metric(series) == value).then_some(()));
    }

    fn metric(&self, (name, label, value): Series) -> f64 {
        self.postern.metric(&format!("{name}{{{label}=\"{value}\"}}"))
    }
}

/// A metric with a label and its value.
type Series = (&'static str, &'static str, &'static str);

/// Flags for pairs of a certificate and a key.
fn flags(pairs: &[(PathBuf, PathBuf)]) -> Vec<String> {
    let list = |paths: Vec<&PathBuf>| {
        let texts: Vec<String> = paths.iter().map(|path| text(path)).collect();
        texts.join(",")
    };
    let (certificates, keys) = pairs.iter().map(|(certificate, key)| (certificate, key)).unzip();
    vec![
        "--tls-certificate-file".to_owned(),
        list(certificates),
        "--tls-key-file".to_owned(),
        list(keys),
        "--files-watch-interval-ms".to_owned(),
        "20".to_owned(),
    ]
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

const LIST: &str = "/orgs/acme/env-types";
const FAILED: Series = ("postern_tls_handshakes_total", "result", "failed");
const TIMEOUT: Series = ("postern_tls_handshakes_total", "result", "timeout");
const APPLIED: Series = ("postern_certificate_reloads_total", "result", "applied");
const REFUSED: Series = ("postern_certificate_reloads_total", "result", "refused");
const ENDS: Series = ("postern_certificate_expiry_seconds", "certificate", "127.0.0.1");

#[test]
fn tls_1_2_and_1_3_are_spoken_and_1_1_is_refused() {
    let serving = Serving::start(&[]);
    let address = serving.postern.address;
    let ca = text(&write(serving.files.path(), "ca.pem", &serving.authority.pem()));
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let told = s_client(address, &["-CAfile", &ca, version]);
        assert!(told.contains("Verify return code: 0 (ok)"), "{told}");
        assert!(told.contains(&format!("New, {name}")), "{told}");
    }
    let old = ["-CAfile", &ca, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"];
    let told = s_client(address, &old);
    assert!(told.contains("SSL alert number"), "{told}");
    serving.wait_for(FAILED, 1.0);
    let told = s_client(address, &["-CAfile", &ca, "-tls1_3", "-alpn", "http/1.1"]);
    assert!(told.contains("ALPN protocol: http/1.1"), "{told}");
    let told = s_client(address, &["-CAfile", &ca, "-tls1_3", "-alpn", "http/1.1,h2"]);
    assert!(told.contains("ALPN protocol: h2"), "{told}");
    let url = format!("https://{address}/.well-known/jwks.json");
    assert_eq!(curl(&["--cacert", &ca, "--http2", &url]), 200);
    assert_eq!(curl(&["--cacert", &ca, "--http1.1", &url]), 200);
    serving.administrator().get(LIST).ok(200);
}

#[test]
fn http_2_is_spoken_when_the_caller_offers_it_and_it_is_not_switched_off() {
    for (flags, agreed, version) in [(&[][..], "h2", "2"), (&["--http2", "false"], "http/1.1", "1.1")] {
        let serving = Serving::start(flags);
        let told = s_client(serving.postern.address, &["-alpn", "h2,http/1.1"]);
        assert!(told.contains(&format!("ALPN protocol: {agreed}")), "{told}");
        let told = s_client(serving.postern.address, &["-alpn", "http/1.1"]);
        assert!(told.contains("ALPN protocol: http/1.1"), "{told}");
        let told = s_client(serving.postern.address, &[]);
        assert!(told.contains("No ALPN negotiated"), "{told}");
        let ca = text(&write(serving.files.path(), "ca.pem", &serving.authority.pem()));
        let url = format!("https://{}/.well-known/jwks.json", serving.postern.address);
        let spoken = ["--write-out", "%{http_version}", "--http2", "--cacert", &ca, &url];
        assert_eq!(curl_says(&spoken), version);
        assert_eq!(curl(&["--http2", "--cacert", &ca, &url]), 200);
    }
}

/// Starts a Postern with certificates for several hosts, the first for its address as well.
fn with_several_certificates(authority: &Authority, files: &Path, upstream: &Upstream) -> Postern {
    let sets: [&[&str]; 3] = [
        &["first.example", "127.0.0.1"],
        &["Api.example", "other.example"],
        &["*.shop.example"],
    ];
    let pairs: Vec<(PathBuf, PathBuf)> = (0..)
        .zip(sets)
        .map(|(number, names)| authority.issue(names).write(files, &format!("certificate-{number}")))
        .collect();
    let flags = flags(&pairs);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    Postern::with(&upstream.url(), &flags)
}

#[test]
fn a_caller_is_shown_the_certificate_of_the_host_it_names_and_else_the_first() {
    let files = tempfile::tempdir().expect("a directory");
    let upstream = Upstream::answering(200, json!([]));
    let postern = with_several_certificates(&Authority::new(), files.path(), &upstream);
    for (name, expected) in [
        (Some("first.example"), "first.example"),
        (Some("api.example"), "Api.example"),
        (Some("OTHER.example"), "Api.example"),
        (Some("a.shop.example"), "*.shop.example"),
        (Some("a.b.shop.example"), "first.example"),
        (Some("unknown.example"), "first.example"),
        (None, "first.example"),
    ] {
        let named = name.map_or(vec!["-noservername"], |name| vec!["-servername", name]);
        let told = s_client(postern.address, &named);
        assert!(told.contains(&format!("subject=CN = {expected}\n")), "{name:?}: {told}");
    }
}

#[test]
fn requests_must_stay_with_the_names_of_the_certificate_that_was_shown() {
    let files = tempfile::tempdir().expect("a directory");
    let (authority, upstream) = (Authority::new(), Upstream::answering(200, json!([])));
    let postern = with_several_certificates(&authority, files.path(), &upstream);
    let ca = text(&write(files.path(), "ca.pem", &authority.pem()));
    let port = postern.address.port();
    let ask_by = |version: &str, server: &str, host: &str| {
        let resolve = format!("{server}:{port}:127.0.0.1");
        let (url, field) = (
            format!("https://{server}:{port}/.well-known/jwks.json"),
            format!("Host: {host}"),
        );
        curl(&[
            version,
            "--cacert",
            &ca,
            "--resolve",
            &resolve,
            "--header",
            &field,
            &url,
        ])
    };
    let ask = |server: &str, host: &str| {
        let statuses = ["--http1.1", "--http2"].map(|version| ask_by(version, server, host));
        assert_eq!(statuses[0], statuses[1], "{server} {host}");
        statuses[0]
    };
    assert_eq!(ask("api.example", "api.example"), 200);
    assert_eq!(ask("api.example", &format!("OTHER.example:{port}")), 200);
    assert_eq!(ask("a.shop.example", "b.shop.example."), 200);
    for (server, host) in [
        ("api.example", "first.example"),
        ("api.example", "a.shop.example"),
        ("a.shop.example", "shop.example"),
        ("a.shop.example", "127.0.0.1"),
    ] {
        assert_eq!(ask(server, host), 421, "{server} {host}");
    }
    let refused = postern.log_line(|line| line["status"] == 421);
    assert_eq!(refused["reason"], "host-unknown");
    // Who names no host in the handshake may ask for any.
    let by_address = TlsClient::new(postern.administrator(), &authority, None);
    by_address.get(LIST).ok(200);
}

#[test]
fn a_new_certificate_is_for_new_connections_and_open_ones_live_on() {
    let serving = Serving::start(&[]);
    let mut open = serving.administrator().connect().expect("a connection");
    let ask = || Request::new("GET", LIST).keeping_the_connection();
    open.try_send(ask()).expect("an answer").ok(200);
    let before = open.shown();
    // 4096-01-01 and 2100-01-01.
    assert_eq!(serving.metric(ENDS), 67_090_118_400.0);

    let issued = serving.authority.issue_with(&["127.0.0.1"], |parameters| {
        parameters.not_after = rcgen::date_time_ymd(2100, 1, 1);
    });
    serving.replace(&issued);
    eventually("the new certificate", || (serving.shown() == issued.der).then_some(()));
    assert_ne!(before, issued.der);
    open.try_send(ask()).expect("an answer").ok(200);
    assert_eq!((serving.metric(APPLIED), serving.metric(REFUSED)), (1.0, 0.0));
    assert_eq!(serving.metric(ENDS), 4_102_444_800.0);
}

#[test]
fn many_swaps_under_load_fail_no_request() {
    let serving = Serving::start(&[]);
    let done = AtomicBool::new(false);
    let ask = || Request::new("GET", LIST).keeping_the_connection();
    let client = || {
        let client = serving.administrator();
        let mut answered = 0;
        while !done.load(Ordering::Relaxed) {
            let mut connection = client.connect().expect("a connection");
            for _ in 0..5 {
                connection.try_send(ask()).expect("an answer").ok(200);
                answered += 1;
            }
        }
        answered
    };
    let answered = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..3).map(|_| scope.spawn(client)).collect();
        for number in 1..=20 {
            serving.replace(&serving.authority.issue(&["127.0.0.1"]));
            serving.wait_for(APPLIED, f64::from(number));
        }
        done.store(true, Ordering::Relaxed);
        let answered = clients.into_iter().map(|client| client.join().expect("nothing failed"));
        answered.sum::<u64>()
    });
    assert!(answered > 60, "{answered}");
    assert_eq!(serving.metric(FAILED), 0.0);
}

#[test]
fn a_certificate_behind_a_symbolic_link_is_swapped_when_the_link_turns() {
    let authority = Authority::new();
    let files = tempfile::tempdir().expect("a directory");
    let turn = |to: &str| {
        let aside = files.path().join("aside");
        std::os::unix::fs::symlink(to, &aside).expect("a link");
        std::fs::rename(aside, files.path().join("current")).expect("it turns");
    };
    let issued = ["one", "two"].map(|name| {
        let directory = files.path().join(name);
        std::fs::create_dir(&directory).expect("a directory");
        let issued = authority.issue(&["127.0.0.1"]);
        issued.write(&directory, "tls");
        issued
    });
    turn("one");
    let current = files.path().join("current");
    let upstream = Upstream::answering(200, json!([]));
    let flags = flags(&[(current.join("tls.pem"), current.join("tls.key"))]);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let postern = Postern::with(&upstream.url(), &flags);
    let client = TlsClient::new(postern.administrator(), &authority, None);
    let shown = || client.connect().expect("a connection").shown();
    assert_eq!(shown(), issued[0].der);
    turn("two");
    eventually("the other certificate", || (shown() == issued[1].der).then_some(()));
}

#[test]
fn a_replacement_that_cannot_be_used_is_told_once_and_the_old_certificate_stays() {
    let serving = Serving::start(&[]);
    let before = serving.shown();
    let good = serving.authority.issue(&["127.0.0.1"]);
    let half = Issued {
        pem: good.pem[..good.pem.len() / 2].to_owned(),
        ..good.clone()
    };
    let mismatched = Issued {
        key_pem: serving.authority.issue(&["127.0.0.1"]).key_pem,
        ..good.clone()
    };
    let early = serving.authority.issue_with(&["127.0.0.1"], |parameters| {
        parameters.not_before = rcgen::date_time_ymd(4000, 1, 1);
    });
    let nameless = serving.authority.issue(&[]);
    let expired = serving.authority.issue_expired(&["127.0.0.1"]);
    let told = |what: &str| {
        let line = |line: &str| line.contains(what).then(|| line.contains("the old ones stay"));
        assert!(serving.postern.process.stderr.line(what, line), "{what}");
    };
    for (bad, what) in [
        (&half, "server.pem: a section of its PEM"),
        (&mismatched, "server.key: it is not the key of"),
        (&early, "server.pem: the certificate is not valid before 4000-01-01"),
        (&nameless, "server.pem: the certificate names no host"),
        (&expired, "server.pem: the certificate expired at 2020-01-01"),
    ] {
        let refused = serving.metric(REFUSED);
        serving.replace(bad);
        told(what);
        assert!(serving.metric(REFUSED) > refused, "{what}");
        assert_eq!(serving.shown(), before);
    }
    let refused = serving.metric(REFUSED);
    std::fs::remove_file(serving.files.path().join("server.pem")).expect("it is there");
    told("server.pem cannot be read");
    serving.wait_for(REFUSED, refused + 1.0);
    assert_eq!((serving.shown(), serving.metric(APPLIED)), (before, 0.0));
    serving.replace(&good);
    eventually("the good one", || (serving.shown() == good.der).then_some(()));
    assert_eq!(serving.metric(APPLIED), 1.0);
}

#[test]
fn certificates_that_cannot_be_used_stop_the_start_with_a_word_on_each() {
    let authority = Authority::new();
    let good = authority.issue(&["127.0.0.1"]);
    let mismatched = Issued {
        key_pem: authority.issue(&["127.0.0.1"]).key_pem,
        ..good.clone()
    };
    let keyless = Issued {
        key_pem: "nothing".to_owned(),
        ..good
    };
    for (issued, code, told) in [
        (
            authority.issue_expired(&["127.0.0.1"]),
            65,
            "server.pem: the certificate expired at 2020-01-01",
        ),
        (mismatched, 65, "server.key: it is not the key of"),
        (keyless, 65, "server.key: it holds no private key in PEM"),
    ] {
        let files = tempfile::tempdir().expect("a directory");
        let flags = flags(&[issued.write(files.path(), "server")]);
        let ended = start_and_end(files.path(), &flags);
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert!(ended.stderr.contains(told), "{}", ended.stderr);
    }
    let files = tempfile::tempdir().expect("a directory");
    let ended = start_and_end(
        files.path(),
        &flags(&[(files.path().join("a"), files.path().join("b"))]),
    );
    assert_eq!(ended.code, Some(74), "{}", ended.stderr);
    assert!(ended.stderr.contains("cannot be read"), "{}", ended.stderr);
}

fn start_and_end(directory: &Path, flags: &[String]) -> crate::harness::process::Ended {
    let data = text(&directory.join("data"));
    let own = ["serve", "--upstream", "http://127.0.0.1:1", "--data", &data];
    run(own
        .iter()
        .chain(ANY_PORTS)
        .copied()
        .chain(flags.iter().map(String::as_str)))
}

#[test]
fn plain_http_where_tls_is_spoken_and_tls_where_plain_http_is_end_at_once() {
    let serving = Serving::start(&[]);
    let mut plain = connect(serving.postern.address);
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("it is written");
    // A record of type alert, RFC 8446 §5.1.
    assert_eq!(read_until_end(plain).first(), Some(&21));
    serving.wait_for(FAILED, 1.0);
    serving.administrator().get(LIST).ok(200);

    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let client = TlsClient::new(postern.administrator(), &serving.authority, None);
    assert!(client.connect().is_err());
    postern.administrator().get(LIST).ok(200);
}

#[test]
fn a_handshake_that_does_not_come_to_an_end_is_cut_off() {
    let serving = Serving::start(&["--handshake-timeout-ms", "100"]);
    let silent = connect(serving.postern.address);
    assert_eq!(read_until_end(silent), b"");
    serving.wait_for(TIMEOUT, 1.0);
}
