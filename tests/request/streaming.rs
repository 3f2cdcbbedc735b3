//! Large and endless bodies pass at constant memory.

use std::io::{BufWriter, Read as _, Write};
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::mpsc;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::harness::caller::Roles;
use crate::harness::client::{Request, Streaming, connect};
use crate::harness::postern::Postern;
use crate::harness::upstream::{Reply, Upstream};

/// Octets of the large body, and what the process may grow by while they pass.
const LARGE_BYTES: u64 = 1 << 30;
const GROWTH_KIB_MAX: u64 = 16 * 1024;

/// A part of a large body; each is another.
fn part(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(8192)
}

#[test]
fn a_large_upload_passes_whole_at_constant_memory() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    administrator.post("/orgs/acme/artefact-versions", json!({})).ok(200);
    let before = postern.process.resident_kib();
    let request =
        Request::new("POST", "/orgs/acme/artefact-versions").field("Content-Length", &LARGE_BYTES.to_string());
    let mut stream = connect(postern.address);
    stream
        .write_all(&administrator.octets(request))
        .expect("it takes requests");
    let mut digest = Sha256::new();
    let mut most = 0;
    for number in 0..LARGE_BYTES / 65536 {
        let part = part(number);
        digest.update(&part);
        stream.write_all(&part).expect("it takes the body");
        if number % 256 == 0 {
            most = most.max(postern.process.resident_kib());
        }
    }
    assert_eq!(Streaming::read(stream).whole().status, 200);
    let received = upstream.received().pop().expect("it arrived");
    assert_eq!(received.body_bytes, LARGE_BYTES);
    assert_eq!(received.body_sha256, <[u8; 32]>::from(digest.finalize()));
    assert!(most < before + GROWTH_KIB_MAX, "grew from {before} to {most} KiB");
}

#[test]
fn a_large_download_to_a_slow_reader_passes_whole_at_constant_memory() {
    let upstream = Upstream::start(|_| {
        Reply::Raw(Box::new(|stream| {
            let mut stream = BufWriter::new(stream);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE_BYTES}\r\n\r\n");
            drop(stream.write_all(head.as_bytes()));
            for number in 0..LARGE_BYTES / 65536 {
                drop(stream.write_all(&part(number)));
            }
        }))
    });
    let postern = Postern::start(&upstream.url());
    let before = postern.process.resident_kib();
    let answer = postern
        .administrator()
        .begin(Request::new("GET", "/orgs/acme/env-types"));
    let mut most = 0;
    let digest = answer.digest_in_parts(|_| most = most.max(postern.process.resident_kib()));
    let mut expected = Sha256::new();
    (0..LARGE_BYTES / 65536).for_each(|number| expected.update(part(number)));
    assert_eq!(digest, <[u8; 32]>::from(expected.finalize()));
    assert!(most < before + GROWTH_KIB_MAX, "grew from {before} to {most} KiB");
}

#[test]
fn a_part_of_an_upload_reaches_the_orchestrator_before_the_next_one_exists() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let postern = Postern::start(&format!("http://{}", listener.local_addr().expect("it is bound")));
    let request = Request::new("POST", "/orgs/acme/artefact-versions").field("Content-Length", "80");
    let mut caller = connect(postern.address);
    caller
        .write_all(&postern.administrator().octets(request))
        .expect("it takes requests");
    let mut upstream = None;
    for number in 0..10 {
        let part = format!("part {number:03}");
        caller.write_all(part.as_bytes()).expect("it takes a part");
        let stream = upstream.get_or_insert_with(|| {
            let (mut stream, _) = listener.accept().expect("it connects");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut octet = [0];
                stream.read_exact(&mut octet).expect("a head comes");
                head.push(octet[0]);
            }
            stream
        });
        let mut arrived = [0; 8];
        stream.read_exact(&mut arrived).expect("a part comes");
        assert_eq!(arrived, part.as_bytes());
    }
    let answered = upstream.expect("it was asked").write_all(b"HTTP/1.1 204 Done\r\n\r\n");
    answered.expect("it is taken");
    assert_eq!(Streaming::read(caller).whole().status, 204);
}

#[test]
fn an_event_reaches_the_caller_before_the_next_one_exists() {
    let (produce, produced) = mpsc::channel::<String>();
    let produced = Mutex::new(Some(produced));
    let upstream = Upstream::start(move |_| {
        let produced = produced.lock().expect("one asks").take().expect("one asks once");
        Reply::Raw(Box::new(move |stream| {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            drop(stream.write_all(head.as_bytes()));
            for event in produced {
                drop(stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()));
            }
            drop(stream.write_all(b"0\r\n\r\n"));
        }))
    });
    let postern = Postern::start(&upstream.url());
    let roles = Roles {
        org: "member",
        apps: &[("shop", "developer")],
        deploys_to: &[],
    };
    let developer = postern.administrator().service_user(roles);
    let request = Request::new("GET", "/orgs/acme/apps/shop/envs/dev/logs").field("Accept", "text/event-stream");
    let mut stream = developer.client.begin(request);
    assert_eq!(
        (stream.head.status, stream.head.field("content-type")),
        (200, Some("text/event-stream"))
    );
    for number in 0..20 {
        let event = format!("data: {number}\n\n");
        produce.send(event.clone()).expect("the orchestrator waits");
        assert_eq!(stream.chunk().as_deref(), Some(event.as_bytes()));
    }
    drop(produce);
    assert_eq!(stream.chunk(), None);
}
