//! A new process in the place of an old one, while requests go on.

use std::os::unix::net::UnixDatagram;
use std::process::Command;

use serde_json::json;

use crate::harness::PATIENCE;
use crate::harness::held::Held;
use crate::harness::load::Load;
use crate::harness::postern::{Halves, Postern};
use crate::harness::process::{ANY_PORTS, Process, postern};
use crate::harness::upstream::Upstream;

#[test]
fn a_restart_behind_sockets_that_are_held_fails_no_request() {
    let upstream = Upstream::answering(200, json!([]));
    let held = Held::bind(&["requests", "admin"]);
    let mut postern = Postern::handed(held, &upstream.url(), &["--workers", "2"]);
    let (address, admin_address) = (postern.address, postern.admin_address);
    let load = Load::start(&postern.administrator(), "/orgs/acme/env-types", 8);
    for _ in 0..3 {
        postern = postern.restart();
        load.go_on(100);
    }
    assert_eq!((postern.address, postern.admin_address), (address, admin_address));
    let (answered, failures) = load.end();
    assert!(failures.is_empty(), "{failures:?} of {answered}");
}

#[test]
fn a_gateway_that_follows_another_on_a_shared_address_fails_no_request() {
    let upstream = Upstream::answering(200, json!([]));
    let mut halves = Halves::start(&upstream.url(), &["--listen-share", "true"]);
    let load = Load::start(&halves.administrator(), "/orgs/acme/env-types", 8);
    for _ in 0..3 {
        let old = halves.succeed_gateway();
        load.go_on(100);
        old.terminate();
        let ended = old.ended();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        load.go_on(100);
    }
    let (answered, failures) = load.end();
    assert!(failures.is_empty(), "{failures:?} of {answered}");
}

#[test]
fn a_socket_of_an_unknown_name_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let held = Held::bind(&["requests", "metrics"]);
    let mut command: Command = postern(["serve", "--upstream", "http://127.0.0.1:1", "--data"]);
    command.arg(directory.path().join("data"));
    let ended = Process::spawn(held.hand_to(&command)).ended();
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
    assert!(ended.stderr.contains("\"metrics\""), "{}", ended.stderr);
    assert!(!directory.path().join("data").exists());
}

#[test]
fn a_service_manager_is_told_of_start_reload_and_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let manager = UnixDatagram::bind(directory.path().join("notify")).expect("it is bound");
    manager.set_read_timeout(Some(PATIENCE)).expect("a time can be set");
    let told = || {
        let mut message = [0; 256];
        let length = manager.recv(&mut message).expect("a message comes");
        String::from_utf8(message[..length].to_vec()).expect("UTF-8")
    };
    let mut command: Command = postern(["serve", "--upstream", "http://127.0.0.1:1", "--data"]);
    command.arg(directory.path().join("data"));
    command.args(ANY_PORTS);
    command.env("NOTIFY_SOCKET", directory.path().join("notify"));
    let process = Process::spawn(command);
    assert_eq!(told().trim(), "READY=1");
    process.hang_up();
    let reloading = told();
    assert!(
        reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="),
        "{reloading}"
    );
    assert_eq!(told().trim(), "READY=1");
    process.terminate();
    assert_eq!(told().trim(), "STOPPING=1");
    assert_eq!(process.ended().code, Some(0));
}
