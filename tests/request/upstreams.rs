//! Several endpoints, their faults, and what is shown to them: no caller should notice more than has to be.

use std::collections::HashSet;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Instant;

use http::Version;
use serde_json::json;

use crate::harness::client::{Request, connect};
use crate::harness::eventually;
use crate::harness::held::Refusing;
use crate::harness::link::Link;
use crate::harness::postern::{Postern, UPSTREAM_CREDENTIAL};
use crate::harness::process::{ANY_PORTS, run};
use crate::harness::secure::{Secure, Speech};
use crate::harness::tls::Authority;
use crate::harness::upstream::{Reply, Upstream};

const ENV_TYPES: &str = "/orgs/acme/env-types";
const VERSIONS: &str = "/orgs/acme/artefact-versions";

fn connections(address: impl std::fmt::Display, state: &str) -> String {
    format!("postern_upstream_connections{{endpoint=\"{address}\",state=\"{state}\"}}")
}

#[test]
fn endpoints_share_the_requests() {
    let endpoints = [(); 3].map(|()| Upstream::answering(200, json!([])));
    let urls = endpoints.each_ref().map(Upstream::url).join(",");
    let postern = Postern::start(&urls);
    let administrator = postern.administrator();
    for _ in 0..60 {
        administrator.get(ENV_TYPES).ok(200);
    }
    for endpoint in &endpoints {
        let received = endpoint.received();
        assert!(received.len() >= 5, "one of three got {} of 60", received.len());
        for request in received {
            assert_eq!(request.values("host"), [endpoint.address.to_string()]);
        }
    }
}

#[test]
fn an_endpoint_that_dies_takes_no_request_along_and_is_used_again_when_it_is_back() {
    let (steady, other) = (Upstream::answering(200, json!([])), Upstream::answering(200, json!([])));
    let link = Link::cut_off();
    link.connect(other.address);
    let urls = format!("{},http://{}", steady.url(), link.address);
    let flags = ["--upstream-failures-max", "2", "--upstream-ejection-ms", "300"];
    let postern = Postern::with(&urls, &flags);
    let administrator = postern.administrator();
    let ask_until = |what: &str, done: &dyn Fn() -> bool| {
        eventually(what, || {
            administrator.get(ENV_TYPES).ok(200);
            done().then_some(())
        });
    };
    ask_until("both to be used", &|| {
        !steady.received().is_empty() && !other.received().is_empty()
    });
    link.cut();
    let ejections = format!("postern_upstream_ejections_total{{endpoint=\"{}\"}}", link.address);
    ask_until("its ejection", &|| postern.metric(&ejections) >= 1.0);
    let healthy = format!("postern_upstream_healthy{{endpoint=\"{}\"}}", link.address);
    link.connect(other.address);
    let before = other.received().len();
    ask_until("its return", &|| other.received().len() > before);
    postern.wait_for_metric(&healthy, 1.0);
}

#[test]
fn a_request_that_no_endpoint_has_seen_goes_to_another_whatever_it_is() {
    let (gone, there) = (Refusing::bind(), Upstream::answering(200, json!({})));
    let postern = Postern::with(
        &format!("{},{}", gone.url(), there.url()),
        &["--upstream-ejection-ms", "600000"],
    );
    let administrator = postern.administrator();
    for _ in 0..40 {
        administrator.post(VERSIONS, json!({"a": 1})).ok(200);
    }
    assert_eq!(there.received().len(), 40, "each arrives once");
    assert!(there.received().iter().all(|request| request.body == br#"{"a":1}"#));
    let gone = gone.address;
    assert_eq!(
        postern.metric(&format!("postern_upstream_healthy{{endpoint=\"{gone}\"}}")),
        0.0
    );
    assert_eq!(
        postern.metric(&format!("postern_upstream_ejections_total{{endpoint=\"{gone}\"}}")),
        1.0
    );
}

#[test]
fn only_an_idempotent_request_without_a_body_is_sent_again_and_only_when_nothing_was_answered() {
    let known = Mutex::new(HashSet::new());
    let upstream = Upstream::start(move |received| {
        let first = known
            .lock()
            .expect("no test holds it")
            .insert((received.method.clone(), received.target.clone()));
        match (first, received.target.ends_with("half")) {
            (true, true) => Reply::Raw(Box::new(|stream| drop(stream.write_all(b"HTTP/1.1 200 OK\r\nCon")))),
            (true, false) => Reply::Close,
            (false, _) => Reply::json(200, &json!([])),
        }
    });
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    administrator.get(ENV_TYPES).ok(200);
    administrator.delete("/orgs/acme/env-types/test").ok(200);
    assert_eq!(
        postern.metric("postern_upstream_retries_total{result=\"succeeded\"}"),
        2.0
    );
    let refused = [
        ("POST", VERSIONS, "{}"),
        ("POST", "/orgs/acme/artefact-versions?empty", ""),
        ("PATCH", "/orgs/acme/apps/shop", "{}"),
        ("GET", "/orgs/acme/env-types?body", "{}"),
        ("GET", "/orgs/acme/env-types?half", ""),
    ];
    for (method, target, body) in refused {
        let request = Request::new(method, target).field("Content-Type", "application/json");
        let answer = administrator.send(request.body(body));
        postern.assert_refused(&answer, "upstream-failed");
        assert_eq!(upstream.count(method, target), 1, "{method} {target}");
    }
}

#[test]
fn retries_stay_within_their_budget() {
    let upstream = Upstream::start(|_| Reply::Close);
    let flags = ["--upstream-retries-max", "5", "--upstream-retry-budget-percent", "0"];
    let postern = Postern::with(&upstream.url(), &flags);
    let (administrator, begin) = (postern.administrator(), Instant::now());
    for _ in 0..30 {
        postern.assert_refused(&administrator.get(ENV_TYPES), "upstream-failed");
    }
    let seconds = begin.elapsed().as_secs() as usize + 2;
    let retries = upstream.received().len() - 30;
    assert!(retries <= 3 * seconds && retries > 0, "{retries} in {seconds} s");
    assert!(postern.metric("postern_upstream_retries_total{result=\"over-budget\"}") > 0.0);
    assert_eq!(
        postern.metric("postern_upstream_retries_total{result=\"succeeded\"}"),
        0.0
    );
}

#[test]
fn an_endpoint_that_fails_its_checks_gets_no_requests_until_it_passes_one() {
    let well = Arc::new(AtomicBool::new(false));
    let checked = Arc::clone(&well);
    let doubtful = Upstream::start(
        move |received| match (&*received.target, checked.load(Ordering::Relaxed)) {
            ("/healthz", false) => Reply::empty(500),
            _ => Reply::json(200, &json!([])),
        },
    );
    let steady = Upstream::answering(200, json!([]));
    let flags = [
        "--upstream-health-path",
        "/healthz",
        "--upstream-health-interval-ms",
        "20",
    ];
    let postern = Postern::with(&format!("{},{}", doubtful.url(), steady.url()), &flags);
    let healthy = format!("postern_upstream_healthy{{endpoint=\"{}\"}}", doubtful.address);
    postern.wait_for_metric(&healthy, 0.0);
    let administrator = postern.administrator();
    let before = doubtful.count("GET", ENV_TYPES);
    for _ in 0..20 {
        administrator.get(ENV_TYPES).ok(200);
    }
    assert_eq!(doubtful.count("GET", ENV_TYPES), before);
    well.store(true, Ordering::Relaxed);
    postern.wait_for_metric(&healthy, 1.0);
    eventually("a request", || {
        administrator.get(ENV_TYPES).ok(200);
        (doubtful.count("GET", ENV_TYPES) > before).then_some(())
    });
    let received = doubtful.received();
    let check = received.iter().find(|received| received.target == "/healthz");
    assert!(
        check.is_some_and(|check| check.values("authorization").is_empty()),
        "{check:?}"
    );
}

#[test]
fn an_address_that_no_upstream_has_is_not_connected_to_and_the_log_names_the_key() {
    for url in [
        "http://169.254.169.254",
        "http://[::ffff:169.254.169.254]:80",
        "http://0.0.0.0:1",
    ] {
        let postern = Postern::start(url);
        let answer = postern.administrator().get(ENV_TYPES);
        postern.assert_refused(&answer, "upstream-unreachable");
        let line = postern.log_line(|line| line["reason"] == "upstream-unreachable");
        let detail = line["detail"].as_str().expect("a detail");
        assert!(detail.contains("upstream_addresses"), "{detail}");
    }
}

#[test]
fn a_listed_address_may_be_connected_to() {
    let upstream = Upstream::answering(200, json!([]));
    let url = format!("http://0.0.0.0:{}", upstream.address.port());
    let postern = Postern::with(&url, &["--upstream-addresses", "10.0.0.0/8,0.0.0.0/32"]);
    postern.administrator().get(ENV_TYPES).ok(200);
}

#[test]
fn a_credential_file_is_taken_up_when_it_changes_and_an_empty_one_is_not() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::with(&upstream.url(), &["--files-watch-interval-ms", "20"]);
    let (administrator, file) = (postern.administrator(), postern.directory().join("upstream-token"));
    let last = || {
        administrator.get(ENV_TYPES).ok(200);
        let received = upstream.received();
        received.last().map(|request| request.values("authorization").concat())
    };
    assert_eq!(last(), Some(format!("Bearer {UPSTREAM_CREDENTIAL}")));
    std::fs::write(&file, "another\n").expect("it is written");
    eventually("the new credential", || (last()? == "Bearer another").then_some(()));
    assert_eq!(
        postern.metric("postern_upstream_credential_reloads_total{result=\"replaced\"}"),
        1.0
    );
    for unusable in ["", "two words"] {
        std::fs::write(&file, unusable).expect("it is written");
        postern.wait_for_metric("postern_upstream_credential_reloads_total{result=\"failed\"}", 1.0);
        assert_eq!(last().as_deref(), Some("Bearer another"));
    }
    std::fs::write(&file, "a-third").expect("it is written");
    eventually("the third credential", || (last()? == "Bearer a-third").then_some(()));
}

#[test]
fn a_command_makes_the_credential_and_is_run_again_when_the_orchestrator_refuses_it() {
    let accepted = Arc::new(Mutex::new("first"));
    let accepts = Arc::clone(&accepted);
    let upstream = Upstream::start(move |received| {
        let accepted = format!("Bearer {}", accepts.lock().expect("no test holds it"));
        let status = if received.values("authorization") == [accepted] {
            200
        } else {
            401
        };
        Reply::json(status, &json!([]))
    });
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("made");
    std::fs::write(&file, "first").expect("it is written");
    let command = format!("cat {}", file.display());
    // The harness' file would be a second source.
    let flags = ["--upstream-token-file", "", "--upstream-token-command", &command];
    let postern = Postern::with(&upstream.url(), &flags);
    let administrator = postern.administrator();
    administrator.get(ENV_TYPES).ok(200);
    std::fs::write(&file, "second").expect("it is written");
    *accepted.lock().expect("no test holds it") = "second";
    eventually("the second credential", || {
        (administrator.get(ENV_TYPES).status == 200).then_some(())
    });
    assert_eq!(
        postern.metric("postern_upstream_credential_reloads_total{result=\"replaced\"}"),
        1.0
    );
}

#[test]
fn a_command_that_fails_at_the_start_is_an_error_and_nothing_runs_without_a_credential() {
    let arguments = ["serve", "--upstream", "http://127.0.0.1:9", "--upstream-token-command"];
    for (command, told) in [("exit 3", "exit status: 3"), ("echo", "one secret")] {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data").display().to_string();
        let more = [command, "--data", &data];
        let ended = run(arguments.iter().chain(&more).chain(ANY_PORTS));
        assert_ne!(ended.code, Some(0));
        assert!(ended.stderr.contains(told), "{}", ended.stderr);
    }
}

#[test]
fn an_orchestrator_that_asks_for_a_certificate_is_shown_ours_and_the_new_one_when_it_changes() {
    let (servers, callers) = (Authority::new(), Authority::new());
    let upstream = Secure::start(&Speech::Tls(&servers, &["http/1.1"], Some(&callers)));
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str| directory.path().join(name).display().to_string();
    let (ca, chain, key) = (file("ca.pem"), file("chain.pem"), file("key.pem"));
    let write = |path: &str, text: &str| std::fs::write(path, text).expect("it is written");
    let (first, second) = (callers.issue(&["edge-1"]), callers.issue(&["edge-1"]));
    write(&ca, &servers.pem());
    write(&chain, &first.pem);
    write(&key, &first.key_pem);
    let url = format!("https://localhost:{}", upstream.address.port());
    let flags = ["--upstream-ca-file", &ca, "--upstream-client-certificate-file", &chain];
    let flags = [
        &flags[..],
        &["--upstream-client-key-file", &key, "--files-watch-interval-ms", "20"],
    ]
    .concat();
    let postern = Postern::with(&url, &flags);
    let administrator = postern.administrator();
    let shown = || {
        administrator.get(ENV_TYPES).ok(200);
        upstream.seen().last().and_then(|seen| seen.certificate.clone())
    };
    assert_eq!(shown(), Some(first.der));
    // Half of the change: the old pair stays.
    write(&chain, &second.pem);
    postern.wait_for_metric("postern_upstream_credential_reloads_total{result=\"failed\"}", 1.0);
    administrator.get(ENV_TYPES).ok(200);
    write(&key, &second.key_pem);
    postern.wait_for_metric("postern_upstream_credential_reloads_total{result=\"replaced\"}", 1.0);
    let fresh = Postern::with(&url, &flags);
    fresh.administrator().get(ENV_TYPES).ok(200);
    let last = upstream.seen().last().and_then(|seen| seen.certificate.clone());
    assert_eq!(last, Some(second.der));
    let without = Postern::with(&url, &["--upstream-ca-file", &ca]);
    let answer = without.administrator().get(ENV_TYPES);
    assert!(matches!(answer.status, 502), "{}", answer.shown());
}

#[test]
fn http_2_is_spoken_where_tls_agrees_on_it_and_not_when_it_is_switched_off() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().expect("a directory");
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).expect("it is written");
    let ca = ca.to_str().expect("UTF-8");
    let cases: [(&[&str], &str, Version); 3] = [
        (&["h2", "http/1.1"], "auto", Version::HTTP_2),
        (&["h2", "http/1.1"], "off", Version::HTTP_11),
        (&["http/1.1"], "auto", Version::HTTP_11),
    ];
    for (offered, http2, version) in cases {
        let upstream = Secure::start(&Speech::Tls(&authority, offered, None));
        let host = format!("localhost:{}", upstream.address.port());
        let flags = ["--upstream-ca-file", ca, "--upstream-http2", http2];
        let postern = Postern::with(&format!("https://{host}/api"), &flags);
        for _ in 0..3 {
            assert_eq!(postern.administrator().get(ENV_TYPES).ok(200), json!([]));
        }
        for seen in upstream.seen() {
            assert_eq!((seen.version, seen.connection), (version, 0));
            let (uri, named) = if version == Version::HTTP_2 {
                (format!("https://{host}/api{ENV_TYPES}"), None)
            } else {
                (format!("/api{ENV_TYPES}"), Some(host.as_bytes()))
            };
            assert_eq!(seen.uri, uri);
            assert_eq!(seen.fields.get("host").map(|host| host.as_bytes()), named);
            assert!(seen.fields.get("te").is_none(), "{seen:?}");
        }
    }
}

#[test]
fn http_2_without_tls_carries_grpc_and_a_full_connection_is_joined_by_another() {
    let upstream = Secure::start(&Speech::Cleartext(2));
    let flags = ["--upstream-http2", "prior-knowledge"];
    let postern = Postern::with(&format!("http://{}", upstream.address), &flags);
    let administrator = postern.administrator();
    let call = Request::new("POST", VERSIONS).field("Content-Type", "application/grpc+proto");
    administrator.send(call.field("TE", "trailers").body("x")).ok(200);
    let seen = upstream.seen();
    assert_eq!(seen[0].fields["te"], "trailers");
    assert!(!seen[0].fields.contains_key("connection") && !seen[0].fields.contains_key("host"));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| administrator.get(&format!("{ENV_TYPES}?hold")).ok(200));
        }
        eventually("all of them at once", || (upstream.seen().len() == 7).then_some(()));
        postern.wait_for_metric(&connections(upstream.address, "used"), 3.0);
        upstream.release(6);
    });
    let used: HashSet<usize> = upstream.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(used.len(), 3, "{:?}", upstream.seen());
    postern.wait_for_metric(&connections(upstream.address, "used"), 0.0);
    postern.wait_for_metric(&connections(upstream.address, "idle"), 3.0);
}

#[test]
fn a_stream_that_is_reset_is_sent_again_where_that_is_safe_and_takes_no_other_along() {
    let upstream = Secure::start(&Speech::Cleartext(100));
    let flags = ["--upstream-http2", "prior-knowledge"];
    let postern = Postern::with(&format!("http://{}", upstream.address), &flags);
    let administrator = postern.administrator();
    std::thread::scope(|scope| {
        scope.spawn(|| administrator.get(&format!("{ENV_TYPES}?hold")).ok(200));
        eventually("it to be held", || (upstream.seen().len() == 1).then_some(()));
        administrator.get(&format!("{ENV_TYPES}?reset")).ok(200);
        let unsafe_one = administrator.post(&format!("{VERSIONS}?reset"), json!({}));
        postern.assert_refused(&unsafe_one, "upstream-failed");
        upstream.release(1);
    });
    let seen = upstream.seen();
    let count = |path: &str| {
        seen.iter()
            .filter(|seen| seen.uri.ends_with(&format!("{path}?reset")))
            .count()
    };
    assert_eq!((count(ENV_TYPES), count(VERSIONS)), (2, 1), "{seen:?}");
}

#[test]
fn connections_are_counted_while_they_are_used_and_while_they_wait_and_not_when_they_have_ended() {
    let (go, told) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    let upstream = Upstream::start(move |_| {
        let _ = told.lock().expect("one asks").recv();
        Reply::json(200, &json!([]))
    });
    let link = Link::cut_off();
    link.connect(upstream.address);
    let postern = Postern::start(&format!("http://{}", link.address));
    std::thread::scope(|scope| {
        scope.spawn(|| postern.administrator().get(ENV_TYPES).ok(200));
        postern.wait_for_metric(&connections(link.address, "used"), 1.0);
        go.send(()).expect("it waits");
    });
    postern.wait_for_metric(&connections(link.address, "used"), 0.0);
    postern.wait_for_metric(&connections(link.address, "idle"), 1.0);
    link.cut();
    postern.wait_for_metric(&connections(link.address, "idle"), 0.0);
}

#[test]
fn an_upload_that_stops_is_the_callers_fault_and_one_that_is_not_taken_is_the_orchestrators() {
    let (never, told) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}", silent.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        // Connections are held open and nothing is read of them.
        let held: Vec<_> = silent.incoming().take(2).collect();
        let _ = told.lock().expect("one asks").recv();
        drop(held);
    });
    let flags = [
        "--body-idle-timeout-ms",
        "200",
        "--upstream-write-first-byte-timeout-ms",
        "1500",
    ];
    let postern = Postern::with(&url, &flags);
    let administrator = postern.administrator();
    let begun = Request::new("POST", VERSIONS)
        .field("Content-Length", "10")
        .body("half");
    postern.assert_refused(&administrator.send(begun), "body-timeout");
    let length = 1 << 30;
    let head = Request::new("POST", VERSIONS).field("Content-Length", &length.to_string());
    let mut stream = connect(postern.address);
    stream
        .write_all(&administrator.octets(head))
        .expect("it takes requests");
    let mut writer = stream.try_clone().expect("a stream can be shared");
    // Ends when the answer comes and the connection is closed.
    std::thread::spawn(move || while writer.write_all(&[0; 1 << 16]).is_ok() {});
    let answer = crate::harness::client::Streaming::read(stream);
    assert_eq!(answer.head.status, 504, "{:?}", answer.head);
    drop(never);
}
