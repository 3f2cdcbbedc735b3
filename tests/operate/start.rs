//! The first start and the next ones.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::harness::postern::Postern;
use crate::harness::process::{ANY_PORTS, Process, postern, run};

#[test]
fn the_first_start_writes_an_administrators_token_once_and_for_its_owner_alone() {
    let postern = Postern::start("http://127.0.0.1:9");
    let file = postern.data().join("bootstrap-token");
    let token = std::fs::read_to_string(&file).expect("it is there");
    assert_eq!(
        std::fs::metadata(&file).expect("it is there").permissions().mode() & 0o777,
        0o600
    );
    let own = postern.administrator().get("/current-user").ok(200);
    assert_eq!(own["roles"], json!({"/orgs/acme": "administrator"}));
    let postern = postern.restart();
    assert_eq!(std::fs::read_to_string(&file).expect("it is there"), token);
    assert_eq!(postern.administrator().get("/current-user").ok(200), own);
}

#[test]
fn a_bootstrap_token_that_was_removed_is_not_written_again_and_the_revoked_one_stays_revoked() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let second = administrator.with_org_role("administrator");
    let own = administrator.get("/current-user").ok(200);
    let own = own["id"].as_str().expect("an id");
    second.client.delete(&format!("/users/{own}/tokens/bootstrap")).ok(204);
    let file = postern.data().join("bootstrap-token");
    std::fs::remove_file(&file).expect("it was there");
    let postern = postern.restart();
    assert!(!file.exists());
    let revoked = postern
        .with_token(&administrator.token.expect("it has one"))
        .get("/current-user");
    postern.assert_refused(&revoked, "token-unknown");
    postern.with_token(&second.token).get("/current-user").ok(200);
}

#[test]
fn an_upstream_that_cannot_be_reached_does_not_keep_postern_from_starting() {
    let postern = Postern::start("http://127.0.0.1:9");
    assert_eq!(postern.operator().get("/readyz").status, 200);
    postern.assert_refused(
        &postern.administrator().get("/orgs/acme/env-types"),
        "upstream-unreachable",
    );
}

#[test]
fn health_is_told_on_the_admin_listener_and_not_where_requests_come_in() {
    let postern = Postern::start("http://127.0.0.1:9");
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(postern.operator().get(path).status, 200, "{path}");
        postern.assert_refused(&postern.anybody().get(path), "token-missing");
    }
}

#[test]
fn help_teaches_every_command() {
    let help = run(["--help"]);
    assert_eq!(help.code, Some(0));
    for command in ["demo", "serve", "gateway", "admin", "user", "role", "token"] {
        assert!(
            help.stdout.contains(&format!("  {command} ")),
            "{command}: {}",
            help.stdout
        );
        let help = run([command, "--help"]);
        assert_eq!(help.code, Some(0), "{command}");
        assert!(help.stdout.contains("Usage: postern"), "{command}: {}", help.stdout);
    }
}

#[test]
fn a_missing_last_part_of_the_data_directory_is_made() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let own = ["serve", "--upstream", "http://127.0.0.1:9", "--data"];
    let mut command = postern(own);
    command.arg(&data).args(ANY_PORTS);
    let process = Process::spawn(command);
    process.logged("listening");
    assert!(data.join("postern.db").exists());
}

#[test]
fn the_limit_of_open_files_is_raised_as_far_as_it_may_be_and_too_low_a_one_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut limited = std::process::Command::new("bash");
    limited.args(["-c", "ulimit -S -n 256; ulimit -H -n 1024; exec \"$@\"", "bash"]);
    let command = postern(["serve", "--upstream", "http://127.0.0.1:1", "--data"]);
    limited.arg(command.get_program()).args(command.get_args());
    limited.arg(directory.path().join("data"));
    limited.args(ANY_PORTS);
    limited.args(["--connections-max", "10000"]);
    let process = Process::spawn(limited);
    let told = process.logged("the limit of open files is below connections_max");
    assert_eq!(
        (&told["limit"], &told["needed"]),
        (&json!(1024), &json!(20256)),
        "{told}"
    );
    process.logged("listening");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).expect("it runs");
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .expect("a limit");
    let words: Vec<&str> = files.split_whitespace().collect();
    assert_eq!(words[3..5], ["1024", "1024"], "{files}");
}
