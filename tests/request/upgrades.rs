//! WebSockets through the gateway: only where the catalogue has them, only behind the orchestrator's 101, and only as long
//! as the caller may.

use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use feed::Clock;
use serde_json::json;
use tempfile::TempDir;
use tungstenite::client::ClientRequestBuilder;
use tungstenite::handshake::client::Response;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{CloseFrame, Role};
use tungstenite::{Message, WebSocket};

use crate::harness::PATIENCE;
use crate::harness::caller::{Roles, ServiceUser};
use crate::harness::client::{Client, Request, Streaming, connect, read_head};
use crate::harness::postern::Postern;
use crate::harness::upstream::{Received, Reply, Upstream};

const EVENTS: &str = "/orgs/acme/apps/shop/events";
const ENV_TYPES: &str = "/orgs/acme/env-types";
const USER_ROLE: &str = "/orgs/acme/apps/shop/users";
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Longest time from the answer to a change to the end of what it ends.
const CUT_TIME_MAX: Duration = Duration::from_secs(1);

const OPERATIONS: &str = r#"
[[operations]]
method = "GET"
path = "/orgs/{orgId}/apps/{appId}/events"
id = "followEvents"
permission = "env.logs.read"
upgrade = ["websocket"]
"#;

/// Starts Postern with an operation that has WebSocket. The directory holds its configuration.
fn start(upstream: &str, flags: &[&str]) -> (Postern, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("postern.toml");
    std::fs::write(&path, OPERATIONS).expect("it is written");
    let path = path.display().to_string();
    let flags: Vec<&str> = ["--config", &path].iter().chain(flags).copied().collect();
    (Postern::with(upstream, &flags), directory)
}

/// What a caller's side of a WebSocket has ended with, as the orchestrator saw it.
type Ended = Result<Option<CloseFrame>, tungstenite::Error>;

/// An orchestrator that says back what it is told, and tells how each connection ended.
fn echo() -> (Upstream, Receiver<Ended>) {
    let (tell, told) = mpsc::channel();
    let upstream = Upstream::start(move |received| {
        let (tell, head) = (tell.clone(), agreement(received));
        Reply::Raw(Box::new(move |stream| {
            stream.write_all(head.as_bytes()).expect("it is taken");
            let stream = stream.try_clone().expect("a stream can be shared");
            let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
            let ended = loop {
                match socket.read() {
                    Ok(Message::Close(close)) => break Ok(close),
                    Ok(message @ (Message::Text(_) | Message::Binary(_))) => socket.send(message).expect("it is taken"),
                    Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                    Err(error) => break Err(error),
                }
            };
            // The answer to a Close goes out with the next look.
            drop(socket.flush());
            let _ = tell.send(ended);
        }))
    });
    (upstream, told)
}

/// The 101 of a server that speaks the first protocol it is offered.
fn agreement(received: &Received) -> String {
    let key = received.values("sec-websocket-key")[0];
    let protocol = received.values("sec-websocket-protocol");
    let protocol = protocol
        .first()
        .map_or_else(String::new, |name| format!("Sec-WebSocket-Protocol: {name}\r\n"));
    format!(
        "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n{protocol}\r\n",
        derive_accept_key(key.as_bytes())
    )
}

fn developer(postern: &Postern) -> ServiceUser {
    postern.administrator().service_user(Roles {
        org: "member",
        apps: &[("shop", "developer")],
        deploys_to: &[],
    })
}

fn open(client: &Client) -> (WebSocket<TcpStream>, Response) {
    let uri = format!("ws://{}{EVENTS}", client.address).parse().expect("a URI");
    let token = client.token.as_ref().expect("a token");
    let request = ClientRequestBuilder::new(uri)
        .with_header("Authorization", format!("Bearer {token}"))
        .with_sub_protocol("events.v1");
    tungstenite::client(request, connect(client.address)).expect("it is upgraded")
}

fn socket(client: &Client) -> WebSocket<TcpStream> {
    open(client).0
}

#[track_caller]
fn assert_lives(socket: &mut WebSocket<TcpStream>) {
    socket.send(Message::text("hello")).expect("it is taken");
    assert_eq!(socket.read().expect("it is said back"), Message::text("hello"));
}

/// Checks that a WebSocket is closed with a code, in time; returns the reason.
#[track_caller]
fn assert_closed(socket: &mut WebSocket<TcpStream>, code: u16, since: Instant) -> String {
    let Message::Close(Some(close)) = socket.read().expect("a Close comes") else {
        panic!("something else came");
    };
    assert_eq!(u16::from(close.code), code, "{close:?}");
    assert!(since.elapsed() < CUT_TIME_MAX, "it took {:?}", since.elapsed());
    close.reason.to_string()
}

fn cut_count(postern: &Postern, reason: &str) -> f64 {
    postern.metric("postern_streams_cut_total", &[("reason", reason)])
}

/// Checks that the orchestrator is told that the caller goes away.
#[track_caller]
fn assert_told_going_away(told: &Receiver<Ended>) {
    let ended = told.recv_timeout(PATIENCE).expect("the orchestrator is told");
    let close = ended.expect("a Close comes").expect("it has a code");
    assert_eq!(u16::from(close.code), 1001, "{close:?}");
}

fn upgrade_request(target: &str) -> Request {
    Request::new("GET", target)
        .field("Connection", "Upgrade")
        .field("Upgrade", "websocket")
        .field("Sec-WebSocket-Key", KEY)
        .field("Sec-WebSocket-Version", "13")
}

#[test]
fn a_websocket_passes_both_ways_and_ends_as_its_sides_end_it() {
    let (upstream, told) = echo();
    let (postern, _directory) = start(&upstream.url(), &[]);
    let ci = developer(&postern);
    let (mut socket, response) = open(&ci.client);
    assert_eq!(response.headers()["sec-websocket-protocol"], "events.v1");
    assert_lives(&mut socket);
    let large = Message::binary((0..300_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
    socket.send(large.clone()).expect("it is taken");
    assert_eq!(socket.read().expect("it is said back"), large);
    assert_eq!(postern.metric("postern_requests_in_flight", &[]), 1.0);
    socket.close(None).expect("it can be closed");
    while socket.read().is_ok() {}
    drop(socket);
    assert!(matches!(told.recv_timeout(PATIENCE), Ok(Ok(None))));
    let line = postern.log_line(|line| line["operation"] == "followEvents");
    assert_eq!(
        (&line["status"], &line["complete"]),
        (&json!(101), &json!(true)),
        "{line}"
    );
    assert!(line["bytes"].as_u64().expect("a number") > 1_200_000, "{line}");
    postern.wait_until_idle();

    let received = upstream.only();
    assert_eq!(received.values("upgrade"), ["websocket"]);
    assert_eq!(received.values("connection"), ["Upgrade"]);
    assert_eq!(received.values("from"), [ci.id.as_str()]);
    assert_eq!(received.values("postern-identity").len(), 1);
    assert!(!received.holds(&ci.token), "the caller's token is ours alone");
}

#[test]
fn a_revoked_token_closes_its_websocket_and_no_other() {
    let (upstream, told) = echo();
    let (postern, _directory) = start(&upstream.url(), &["--workers", "2"]);
    let (revoked, other) = (developer(&postern), developer(&postern));
    let (mut socket, mut lasting) = (socket(&revoked.client), socket(&other.client));
    assert_lives(&mut socket);
    let path = format!("/users/{}/tokens/first", revoked.id);
    postern.administrator().delete(&path).ok(204);
    assert_eq!(assert_closed(&mut socket, 1008, Instant::now()), "unauthenticated");
    assert_told_going_away(&told);
    assert_lives(&mut lasting);
    let line = postern.log_line(|line| line["detail"] == "token-unknown");
    assert_eq!(
        (&line["status"], &line["complete"]),
        (&json!(101), &json!(false)),
        "{line}"
    );
    assert_eq!(cut_count(&postern, "token-unknown"), 1.0);
    drop((socket, lasting));
    postern.wait_until_idle();
}

#[test]
fn an_expired_token_closes_its_websocket() {
    let (upstream, told) = echo();
    let (postern, _directory) = start(&upstream.url(), &[]);
    let ci = developer(&postern);
    let expires_ms = Clock::system().unix_ms() + 1500;
    let soon = chrono::DateTime::from_timestamp_millis(expires_ms).expect("a time");
    let soon = soon.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    let body = json!({"id": "short", "type": "static", "expires_at": soon});
    let made = postern
        .administrator()
        .post(&format!("/users/{}/tokens", ci.id), body)
        .ok(200);
    let mut socket = socket(&postern.with_token(made["token"].as_str().expect("a secret")));
    assert_lives(&mut socket);
    let Ok(Message::Close(Some(close))) = socket.read() else {
        panic!("something else came");
    };
    assert_eq!(u16::from(close.code), 1008);
    let late_ms = Clock::system().unix_ms() - expires_ms;
    assert!((0..1000).contains(&late_ms), "{late_ms} ms after the expiry");
    assert_told_going_away(&told);
}

#[test]
fn a_websocket_lives_as_long_as_a_role_allows_it() {
    let (upstream, told) = echo();
    let (postern, _directory) = start(&upstream.url(), &[]);
    let administrator = postern.administrator();
    let ci = developer(&postern);
    let mut socket = socket(&ci.client);
    for role in ["viewer", "owner", "developer"] {
        administrator
            .patch(&format!("{USER_ROLE}/{}", ci.id), json!({"role": role}))
            .ok(200);
        assert_lives(&mut socket);
    }
    administrator.delete(&format!("{USER_ROLE}/{}", ci.id)).ok(204);
    assert_eq!(assert_closed(&mut socket, 1008, Instant::now()), "not-allowed");
    assert_told_going_away(&told);
    let again = ci.client.send(upgrade_request(EVENTS));
    postern.assert_refused(&again, "not-allowed");
}

#[test]
fn a_close_never_stands_in_the_middle_of_a_frame() {
    let upstream = Upstream::start(|received| {
        let head = agreement(received);
        Reply::Raw(Box::new(move |stream| {
            stream.write_all(head.as_bytes()).expect("it is taken");
            stream
                .write_all(&[0x82, 100, b'h', b'a', b'l', b'f'])
                .expect("it is taken");
            drop(stream.read_to_end(&mut Vec::new()));
        }))
    });
    let (postern, _directory) = start(&upstream.url(), &[]);
    let ci = developer(&postern);
    let mut stream = connect(postern.address);
    stream
        .write_all(&ci.client.octets(upgrade_request(EVENTS)))
        .expect("it takes requests");
    let mut reader = BufReader::new(stream);
    read_101(&mut reader);
    let mut half = [0; 6];
    reader.read_exact(&mut half).expect("half a frame comes");
    let path = format!("/users/{}/tokens/first", ci.id);
    postern.administrator().delete(&path).ok(204);
    let since = Instant::now();
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).expect("it ends");
    assert_eq!(rest, b"", "something was put into a frame");
    assert!(since.elapsed() < CUT_TIME_MAX, "it took {:?}", since.elapsed());
    postern.wait_until_idle();
}

/// Reads the head of a 101, which is an interim answer to other readers.
fn read_101(reader: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        reader.read_exact(&mut octet).expect("a head comes");
        head.push(octet[0]);
    }
    let head = String::from_utf8(head).expect("a text");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    head
}

#[test]
fn a_wish_that_the_operation_does_not_have_is_passed_over() {
    let upstream = Upstream::answering(200, json!([]));
    let (postern, _directory) = start(&upstream.url(), &[]);
    let developer = developer(&postern);
    for request in [
        upgrade_request(ENV_TYPES),
        Request::new("GET", EVENTS).field("Upgrade", "websocket"),
        Request::new("GET", EVENTS)
            .field("Connection", "Upgrade, HTTP2-Settings")
            .field("Upgrade", "h2c")
            .field("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA"),
        upgrade_request(EVENTS).body("a body"),
    ] {
        let answer = developer.client.send(request);
        assert_eq!(answer.status, 200, "{}", answer.shown());
        assert_eq!(answer.field("upgrade"), None);
    }
    for received in upstream.received() {
        for name in [
            "upgrade",
            "http2-settings",
            "sec-websocket-key",
            "sec-websocket-version",
        ] {
            assert_eq!(received.values(name), [""; 0], "{received:?}");
        }
    }
}

#[test]
fn a_wish_that_can_be_understood_in_two_ways_is_refused() {
    let (postern, _directory) = start("http://127.0.0.1:9", &[]);
    let developer = developer(&postern);
    let base = || {
        Request::new("GET", EVENTS)
            .field("Connection", "Upgrade")
            .field("Upgrade", "websocket")
    };
    for request in [
        base(),
        base()
            .field("Sec-WebSocket-Key", KEY)
            .field("Sec-WebSocket-Version", "8"),
        base()
            .field("Sec-WebSocket-Key", "short")
            .field("Sec-WebSocket-Version", "13"),
        upgrade_request(EVENTS).field("Sec-WebSocket-Key", KEY),
    ] {
        postern.assert_refused(&developer.client.send(request), "request-ambiguous");
    }
}

#[test]
fn nothing_is_passed_raw_when_the_orchestrator_does_not_agree() {
    let upstream = Upstream::answering(426, json!({"error": "not now"}));
    let (postern, _directory) = start(&upstream.url(), &[]);
    let ci = developer(&postern);
    let mut octets = ci.client.octets(upgrade_request(EVENTS).keeping_the_connection());
    // Behind the head: what would be a smuggled request if it were passed on as it is.
    let hidden = Request::new("GET", "/orgs/acme/users").field("X-Hidden", "yes");
    octets.extend(ci.client.octets(hidden));
    let mut stream = connect(postern.address);
    stream.write_all(&octets).expect("it takes requests");
    let mut reader = BufReader::new(stream);
    let first = read_head(&mut reader).expect("an answer comes");
    assert_eq!((first.status, first.field("upgrade")), (426, None), "{}", first.shown());
    let mut rest = String::new();
    reader.read_to_string(&mut rest).expect("it ends");
    // It is a request like any other, and was decided as one, if it was read at all.
    assert!(!rest.contains("HTTP/1.1 200"), "{rest}");
    let received = upstream.only();
    assert!(!received.holds("X-Hidden"), "{received:?}");
    postern.wait_until_idle();
}

#[test]
fn what_is_sent_before_the_answer_does_not_reach_the_orchestrator_before_it_has_agreed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let (postern, _directory) = start(&url, &[]);
    let ci = developer(&postern);
    let mut caller = connect(postern.address);
    let octets = ci.client.octets(upgrade_request(EVENTS));
    caller.write_all(&octets).expect("it takes requests");
    caller.write_all(b"EARLY").expect("it takes more");
    let (mut stream, _) = listener.accept().expect("it connects");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        stream.read_exact(&mut octet).expect("a head comes");
        head.push(octet[0]);
    }
    stream
        .set_read_timeout(Some(Duration::from_millis(300)))
        .expect("a time can be set");
    let more = stream.read(&mut [0; 16]).expect_err("nothing more comes");
    assert!(
        matches!(more.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{more}"
    );
    drop(stream);
    postern.assert_refused(&Streaming::read(caller).whole(), "upstream-failed");
    postern.wait_until_idle();
}

#[test]
fn an_orchestrator_that_switches_unasked_or_to_something_else_has_failed() {
    let upstream = Upstream::start(|_| {
        Reply::Raw(Box::new(|stream| {
            drop(
                stream.write_all(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\nraw octets"),
            );
        }))
    });
    let (postern, _directory) = start(&upstream.url(), &[]);
    let ci = developer(&postern);
    for request in [
        upgrade_request(EVENTS),
        Request::new("GET", ENV_TYPES),
        upgrade_request(ENV_TYPES),
    ] {
        postern.assert_refused(&ci.client.send(request), "upstream-failed");
    }
    postern.wait_until_idle();
}

#[test]
fn more_upgraded_connections_than_may_be_are_refused() {
    let (upstream, _told) = echo();
    let (postern, _directory) = start(&upstream.url(), &["--upgrades-max", "1"]);
    let ci = developer(&postern);
    let mut first = socket(&ci.client);
    assert_lives(&mut first);
    postern.assert_refused(&ci.client.send(upgrade_request(EVENTS)), "overloaded");
    ci.client.get("/current-user").ok(200);
    drop(first);
    postern.wait_until_idle();
    assert_lives(&mut socket(&ci.client));
}

#[test]
fn a_websocket_on_which_nothing_moves_is_closed() {
    let (upstream, told) = echo();
    let (postern, _directory) = start(&upstream.url(), &["--upgrade-idle-timeout-ms", "300"]);
    let mut socket = socket(&developer(&postern).client);
    for _ in 0..3 {
        assert_lives(&mut socket);
    }
    assert_closed(&mut socket, 1001, Instant::now());
    assert_told_going_away(&told);
    let line = postern.log_line(|line| line["operation"] == "followEvents");
    assert_eq!(line["complete"], json!(false), "{line}");
}

#[test]
fn a_caller_who_hangs_up_ends_the_websocket_at_the_orchestrator() {
    let (upstream, told) = echo();
    let (postern, _directory) = start(&upstream.url(), &[]);
    let mut socket = socket(&developer(&postern).client);
    assert_lives(&mut socket);
    drop(socket);
    let ended = told.recv_timeout(PATIENCE).expect("the orchestrator is told");
    assert!(ended.is_err(), "{ended:?}");
    postern.wait_until_idle();
}

#[test]
fn a_gateway_that_stops_says_goodbye_at_the_end_of_its_time() {
    let (upstream, told) = echo();
    let (postern, _directory) = start(&upstream.url(), &["--drain-timeout-ms", "2500"]);
    let mut socket = socket(&developer(&postern).client);
    postern.process.terminate();
    postern.process.logged("stopping");
    assert_lives(&mut socket);
    let message = socket.read();
    let Ok(Message::Close(Some(close))) = message else {
        panic!("something else came: {message:?}");
    };
    assert_eq!(u16::from(close.code), 1001, "{close:?}");
    assert_told_going_away(&told);
    let (process, _data) = postern.into_process();
    assert_eq!(process.ended().code, Some(0));
}
