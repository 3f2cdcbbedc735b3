//! curl over TLS, with HTTP/1.1 and HTTP/2: what it sends arrives whole, and what it waits for comes when it is there.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::harness::PATIENCE;
use crate::harness::client::Client;
use crate::harness::postern::Postern;
use crate::harness::tls::{Authority, write};
use crate::harness::upstream::{Reply, Upstream};

const UPLOAD: &str = "/orgs/acme/artefact-versions";
const LOGS: &str = "/orgs/acme/apps/shop/envs/dev/logs";
const ENV_TYPES: &str = "/orgs/acme/env-types";

const VERSIONS: [&str; 2] = ["--http1.1", "--http2"];

/// Octets of a body: more than any buffer on the way, and not a multiple of one.
const BODY_BYTES: usize = 3 * 1024 * 1024 + 1;

/// A Postern that speaks TLS, and what curl needs to believe it.
struct Serving {
    postern: Postern,
    directory: TempDir,
}

/// What curl has printed.
struct Told {
    stdout: Vec<u8>,
    stderr: String,
}

impl Serving {
    fn start(upstream: &Upstream) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let authority = Authority::new();
        write(directory.path(), "ca.pem", &authority.pem());
        let (certificate, key) = authority.issue(&["127.0.0.1"]).write(directory.path(), "server");
        let files = [certificate, key].map(|path| path.display().to_string());
        let flags = ["--tls-certificate-file", &files[0], "--tls-key-file", &files[1]];
        Self {
            postern: Postern::with(&upstream.url(), &flags),
            directory,
        }
    }

    /// Starts curl as somebody, for a target.
    fn curl(&self, caller: &Client, target: &str, arguments: &[&str]) -> Child {
        let mut curl = Command::new("curl");
        let patience = PATIENCE.as_secs().to_string();
        curl.args(["--silent", "--show-error", "--max-time", &patience, "--cacert"]);
        curl.arg(self.directory.path().join("ca.pem")).args(arguments);
        if let Some(token) = &caller.token {
            curl.args(["--header", &format!("Authorization: Bearer {token}")]);
        }
        curl.arg(format!("https://{}{target}", self.postern.address));
        let curl = curl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        curl.spawn().expect("these tests need curl (apt-get install curl)")
    }

    /// Runs curl to its end with octets on its standard input.
    fn whole(&self, caller: &Client, target: &str, arguments: &[&str], input: &[u8]) -> Told {
        let mut child = self.curl(caller, target, arguments);
        let mut stdin = child.stdin.take().expect("it is piped");
        let output = std::thread::scope(|scope| {
            // Curl need not read what it does not send.
            scope.spawn(move || drop(stdin.write_all(input)));
            child.wait_with_output().expect("it ends")
        });
        Told {
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn body() -> Vec<u8> {
    (0..BODY_BYTES).map(|at| (at % 251) as u8).collect()
}

#[test]
fn an_upload_of_unknown_length_arrives_whole() {
    let upstream = Upstream::answering(200, json!({}));
    let serving = Serving::start(&upstream);
    let administrator = serving.postern.administrator();
    let sends: [&[&str]; 2] = [
        &["--header", "Transfer-Encoding: chunked", "--data-binary", "@-"],
        &["--request", "POST", "--upload-file", "-"],
    ];
    for version in VERSIONS {
        for send in sends {
            let asked = [&[version, "--output", "/dev/null", "--write-out", "%{http_code}"], send].concat();
            let told = serving.whole(&administrator, UPLOAD, &asked, &body());
            assert_eq!(told.stdout, b"200", "{version} {send:?}: {}", told.stderr);
        }
    }
    let received = upstream.received();
    assert_eq!(received.len(), VERSIONS.len() * sends.len());
    for received in received {
        assert_eq!(received.body_sha256, <[u8; 32]>::from(Sha256::digest(body())));
    }
}

#[test]
fn a_download_arrives_as_it_was_sent() {
    let upstream = Upstream::start(|_| Reply::Answer(200, Vec::new(), body()));
    let serving = Serving::start(&upstream);
    for version in VERSIONS {
        let told = serving.whole(&serving.postern.administrator(), ENV_TYPES, &[version], b"");
        assert!(told.stdout == body(), "{version}: {} octets", told.stdout.len());
    }
    for received in upstream.received() {
        assert!(received.values("accept-encoding").is_empty(), "{received:?}");
    }
}

#[test]
fn a_body_that_is_waited_with_is_asked_for_and_one_of_a_refused_request_is_not() {
    let upstream = Upstream::answering(200, json!({}));
    let serving = Serving::start(&upstream);
    // Over HTTP/2 it is not asked for, and curl sends it when it has waited: it is what a client must do anyway. A refusal
    // is an answer and a reset behind it (`tests/request/http2.rs`), of which curl before 8 tells the reset alone.
    for (version, wait_s) in [("--http1.1", "60"), ("--http2", "0.1")] {
        let ask = |caller: &Client, wait_s: &str| {
            let wait = ["--expect100-timeout", wait_s, "--header", "Expect: 100-continue"];
            let told = ["--output", "/dev/null", "--write-out", "%{http_code} %{size_upload}"];
            let asked = [&[version], &wait[..], &told, &["--data-binary", "@-"]].concat();
            let told = serving.whole(caller, UPLOAD, &asked, &body());
            (String::from_utf8_lossy(&told.stdout).into_owned(), told.stderr)
        };
        let (sent, stderr) = ask(&serving.postern.administrator(), wait_s);
        assert_eq!(sent, format!("200 {BODY_BYTES}"), "{version} {stderr}");
        let (refused, stderr) = ask(&serving.postern.anybody(), "60");
        let expected: &[&str] = if version == "--http2" {
            &["401 0", "000 0"]
        } else {
            &["401 0"]
        };
        assert!(expected.contains(&&*refused), "{version} {refused} {stderr}");
    }
    assert_eq!(upstream.received().len(), VERSIONS.len());
}

/// An orchestrator whose answers are events, each sent when a test says so.
fn telling() -> (Upstream, Sender<&'static str>) {
    let (tell, told) = channel::<&str>();
    let told = Arc::new(Mutex::new(told));
    let upstream = Upstream::start(move |_| {
        let told = Arc::clone(&told);
        Reply::Raw(Box::new(move |stream| {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
            stream.write_all(head.as_bytes()).expect("it is listened to");
            let told = told.lock().expect("one answer at a time");
            for event in told.iter().take_while(|event| !event.is_empty()) {
                let event = format!("data: {event}\n\n");
                stream.write_all(event.as_bytes()).expect("it is listened to");
            }
        }))
    });
    (upstream, tell)
}

#[test]
fn events_arrive_one_by_one() {
    let (upstream, tell) = telling();
    let serving = Serving::start(&upstream);
    let administrator = serving.postern.administrator();
    for version in VERSIONS {
        let mut curl = serving.curl(&administrator, LOGS, &[version, "--no-buffer"]);
        let mut lines = BufReader::new(curl.stdout.take().expect("it is piped")).lines();
        for event in ["one", "two", "three"] {
            // The next one is not sent before this one has been read.
            tell.send(event).expect("the orchestrator runs");
            let line = lines.next().expect("curl goes on").expect("UTF-8");
            assert_eq!(line, format!("data: {event}"), "{version}");
            assert_eq!(lines.next().expect("curl goes on").expect("UTF-8"), "");
        }
        tell.send("").expect("the orchestrator runs");
        assert!(lines.next().is_none() && curl.wait().expect("it ends").success());
    }
}
