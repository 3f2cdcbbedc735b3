//! Somebody between a gateway and its admin service.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use super::client::{Client, Request};
use super::upstream::{Received, Reply, Upstream};

/// Makes what the gateway gets of a line of the feed: any number of lines. Lines come with the number of their feed, from 0.
type Alter = dyn Fn(usize, &str) -> Vec<String> + Send + Sync;

/// Passes everything on to the admin service, and its feed as it likes.
pub(crate) fn in_the_middle(
    admin: SocketAddr,
    alter: impl Fn(usize, &str) -> Vec<String> + Send + Sync + 'static,
) -> Upstream {
    start(admin, alter, |_| false)
}

/// Passes everything on, and keeps some of the answers to itself.
pub(crate) fn losing_answers(admin: SocketAddr, lost: impl Fn(&Received) -> bool + Send + Sync + 'static) -> Upstream {
    start(admin, |_, line| vec![line.to_owned()], lost)
}

fn start(
    admin: SocketAddr,
    alter: impl Fn(usize, &str) -> Vec<String> + Send + Sync + 'static,
    lost: impl Fn(&Received) -> bool + Send + Sync + 'static,
) -> Upstream {
    let alter: Arc<Alter> = Arc::new(alter);
    let feeds = Mutex::new(0);
    Upstream::start(move |received| {
        let token = received.values("authorization")[0]
            .trim_start_matches("Bearer ")
            .to_owned();
        let client = Client {
            address: admin,
            token: Some(token),
        };
        if received.target.starts_with("/feed?") {
            let mut feeds = feeds.lock().expect("no test holds it");
            let number = *feeds;
            *feeds += 1;
            return pass_on(&client, received, (number, Arc::clone(&alter)));
        }
        let request = Request::new(&received.method, &received.target).body(received.body.clone());
        let passed = ["content-type", "postern-identity"];
        let request = passed.iter().fold(request, |request, name| {
            let values = received.values(name);
            values.iter().fold(request, |request, value| request.field(name, value))
        });
        let answer = client.send(request);
        if lost(received) {
            return Reply::Close;
        }
        Reply::Answer(answer.status, Vec::new(), answer.body)
    })
}

fn pass_on(client: &Client, received: &Received, (number, alter): (usize, Arc<Alter>)) -> Reply {
    let mut feed = client.begin(Request::new("GET", &received.target));
    Reply::Raw(Box::new(move |gateway| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n";
        let mut taken = gateway.write_all(head.as_bytes()).is_ok();
        let mut unread = Vec::new();
        while taken && let Some(chunk) = feed.chunk() {
            unread.extend(chunk);
            while let Some(end) = unread.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = unread.drain(..=end).collect();
                let line = String::from_utf8(line).expect("lines are text");
                for line in alter(number, line.trim_end()) {
                    taken &= writeln!(gateway, "{line}").is_ok();
                }
            }
        }
    }))
}
