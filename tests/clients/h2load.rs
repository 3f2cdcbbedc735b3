//! `h2load` of nghttp2: many streams at once on few connections, without TLS and with it.

use std::process::Command;

use serde_json::json;

use crate::harness::postern::Postern;
use crate::harness::tls::Authority;
use crate::harness::upstream::Upstream;

const ENV_TYPES: &str = "/orgs/acme/env-types";

/// Sends 1,000 requests, 10 at once on each of 10 connections; returns what was printed.
fn load(postern: &Postern, scheme: &str) -> String {
    let token = postern.administrator().token.expect("it has one");
    let mut h2load = Command::new("h2load");
    h2load.args(["--requests=1000", "--clients=10", "--max-concurrent-streams=10"]);
    h2load.arg(format!("--header=authorization: Bearer {token}"));
    let output = h2load
        .arg(format!("{scheme}://{}{ENV_TYPES}", postern.address))
        .output();
    let output = output.expect("this test needs h2load (apt-get install nghttp2-client)");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_thousand_requests_at_once_on_ten_connections_all_succeed() {
    let upstream = Upstream::answering(200, json!([]));
    let directory = tempfile::tempdir().expect("a directory");
    let (certificate, key) = Authority::new().issue(&["127.0.0.1"]).write(directory.path(), "server");
    let files = [certificate, key].map(|path| path.display().to_string());
    let cleartext: &[&str] = &["--http2-cleartext", "true"];
    let tls = ["--tls-certificate-file", &files[0], "--tls-key-file", &files[1]];
    for (scheme, flags, protocol) in [("http", cleartext, "h2c"), ("https", &tls, "h2")] {
        let postern = Postern::with(&upstream.url(), flags);
        let told = load(&postern, scheme);
        for line in [
            &format!("Application protocol: {protocol}\n"),
            "1000 succeeded, 0 failed, 0 errored, 0 timeout\n",
            "status codes: 1000 2xx, 0 3xx, 0 4xx, 0 5xx\n",
        ] {
            assert!(told.contains(line), "{line} is not in: {told}");
        }
    }
    assert_eq!(upstream.received().len(), 2_000);
}
