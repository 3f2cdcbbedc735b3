//! How old a gateway's data may be: everything is served, then reads, then nothing, and everything again.

use std::io::Write as _;
use std::time::Duration;

use serde_json::json;

use crate::harness::client::{Answer, Client, Request, Streaming, connect};
use crate::harness::eventually;
use crate::harness::postern::Halves;
use crate::harness::refusal::assert_refused;
use crate::harness::upstream::{Reply, Upstream};

const ENV_TYPES: &str = "/orgs/acme/env-types";
const ARTEFACTS: &str = "/orgs/acme/artefact-versions";

/// Time enough between the two for whoever looks.
const AGES: [&str; 4] = ["--data-age-writes-max-ms", "2000", "--data-age-reads-max-ms", "9000"];

#[track_caller]
fn assert_ready(halves: &Halves, path: &str, expected: (u16, &str, &str)) {
    let ready = halves.operator().get(path);
    let body = ready.json();
    let told = |member: &str| body[member].as_str().expect("a text").to_owned();
    let found = (ready.status, told("status"), told("serves"));
    assert_eq!((found.0, &*found.1, &*found.2), expected, "{body}");
    assert!(body["data_age_ms"].is_i64(), "{body}");
}

#[track_caller]
fn assert_tells_age(refused: &Answer, older_than: Duration) {
    let age = refused.field("postern-data-age").expect("an age");
    let age: u64 = age.parse().expect("whole seconds");
    assert!((older_than.as_secs()..60).contains(&age), "{age}");
}

fn served(halves: &Halves) -> Vec<&'static str> {
    let mut kinds = vec!["everything", "reads", "nothing"];
    kinds.retain(|kind| halves.metric(&format!(r#"postern_data_serves{{operations="{kind}"}}"#)) == 1.0);
    kinds
}

/// Waits until something is refused.
fn refused(client: &Client, method: &str, path: &str) -> Answer {
    eventually("a refusal", || {
        let answer = client.send(Request::new(method, path).json(&json!({})));
        (answer.status != 200).then_some(answer)
    })
}

#[test]
fn old_data_serves_reads_then_nothing_and_everything_when_it_is_fresh_again() {
    let upstream = Upstream::answering(200, json!([]));
    let halves = Halves::start(&upstream.url(), &AGES);
    let administrator = halves.administrator();
    administrator.post(ARTEFACTS, json!({})).ok(200);
    assert_ready(&halves, "/readyz", (200, "ready", "everything"));
    assert_eq!(served(&halves), ["everything"]);
    let halves = halves.kill_admin();

    let answer = refused(&administrator, "POST", ARTEFACTS);
    assert_refused(&answer, "data-too-old-to-write");
    assert_tells_age(&answer, Duration::from_secs(2));
    administrator.get(ENV_TYPES).ok(200);
    assert_eq!(administrator.get("/orgs/acme/nothing").status, 404);
    assert_ready(&halves, "/readyz", (200, "degraded", "reads"));
    assert_ready(&halves, "/readyz?serves=reads", (200, "degraded", "reads"));
    assert_ready(&halves, "/readyz?serves=everything", (503, "degraded", "reads"));
    assert_eq!(served(&halves), ["reads"]);

    let answer = refused(&administrator, "GET", ENV_TYPES);
    assert_refused(&answer, "data-too-old");
    assert_tells_age(&answer, Duration::from_secs(9));
    assert_refused(&administrator.post(ARTEFACTS, json!({})), "data-too-old");
    assert_ready(&halves, "/readyz", (503, "not-ready", "nothing"));
    assert_eq!(served(&halves), ["nothing"]);

    let halves = halves.start_admin();
    halves.wait_until_ready();
    administrator.post(ARTEFACTS, json!({})).ok(200);
    assert_ready(&halves, "/readyz?serves=everything", (200, "ready", "everything"));
}

#[test]
fn what_is_under_way_ends_when_the_data_is_too_old_for_it() {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n";
    let upstream = Upstream::start(move |_| {
        Reply::Raw(Box::new(move |stream| {
            drop(stream.write_all(head));
            drop(std::io::copy(stream, &mut std::io::sink()));
        }))
    });
    let halves = Halves::start(&upstream.url(), &AGES);
    let administrator = halves.administrator();
    let mut reading = administrator.begin(Request::new("GET", ENV_TYPES));
    assert_eq!(reading.chunk().as_deref(), Some(&b"hi"[..]));
    let mut writing = connect(halves.address);
    let request = Request::new("POST", ARTEFACTS)
        .field("Content-Length", "1000000")
        .body("{");
    let octets = administrator.octets(request);
    writing.write_all(&octets).expect("it takes octets");
    let halves = halves.kill_admin();

    assert_refused(&Streaming::read(writing).whole(), "data-too-old-to-write");
    assert!(broke_off(&mut reading));
    assert_refused(&administrator.get(ENV_TYPES), "data-too-old");
    for reason in ["data-too-old", "data-too-old-to-write"] {
        let cut = halves.metric(&format!(r#"postern_streams_cut_total{{reason="{reason}"}}"#));
        assert_eq!(cut, 1.0, "{reason}");
    }
}

/// Reads an answer to its end; returns whether that came too early.
fn broke_off(stream: &mut Streaming) -> bool {
    loop {
        match stream.try_chunk() {
            Ok(Some(_)) => {}
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}
