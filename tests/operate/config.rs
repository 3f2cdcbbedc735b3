//! Where a value comes from: flags win over variables, variables over the file, the file over defaults.

use std::process::Command;

use crate::harness::process::{ANY_PORTS, Process, postern, run};

/// Returns the configuration in force of a Postern that is started with a file, variables and flags.
fn in_force(file: &str, variables: &[(&str, &str)], flags: &[&str]) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("postern.toml");
    std::fs::write(&config, file).expect("it is written");
    let data = directory.path().join("data");
    let mut command: Command = postern(["serve", "--data"]);
    command.arg(data).arg("--config").arg(config).args(flags);
    command.args(ANY_PORTS);
    command.envs(variables.iter().copied());
    let process = Process::spawn(command);
    let line = process.logged("configuration in force");
    process.logged("listening");
    line["config"].as_str().expect("a text").to_owned()
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let file = "upstream = \"http://127.0.0.1:1\"\nsubject_burst = 1\ndrain_timeout_ms = 1\nbody_timeout_ms = 1\n";
    let variables = [("POSTERN_DRAIN_TIMEOUT_MS", "2"), ("POSTERN_BODY_TIMEOUT_MS", "2")];
    let config = in_force(file, &variables, &["--body-timeout-ms", "3"]);
    let words: Vec<&str> = config.split(' ').collect();
    for word in [
        "subject_burst=1",
        "drain_timeout_ms=2",
        "body_timeout_ms=3",
        "header_timeout_ms=10000",
    ] {
        assert!(words.contains(&word), "{word} in {config}");
    }
}

#[test]
fn a_file_may_serve_several_commands_and_holds_lists() {
    let file = "upstream = \"http://127.0.0.1:1\"\nadmin_url = \"http://10.0.0.1:8081\"\nops_listen = \"127.0.0.1:1\"\n\
                hosts = [\"a.example\", \"b.example\"]\nremember_verdicts = false\n";
    let config = in_force(file, &[], &[]);
    assert!(
        config.contains("hosts=a.example,b.example") && config.contains("remember_verdicts=false"),
        "{config}"
    );
    assert!(!config.contains("admin_url"), "{config}");
}

#[test]
fn an_operation_of_the_file_is_decided_like_the_others() {
    use crate::harness::postern::Postern;
    use crate::harness::upstream::Upstream;
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("postern.toml");
    let operation = "[[operations]]\nmethod = \"GET\"\npath = \"/orgs/{orgId}/more\"\nid = \"listMore\"\npermission = \"app.list\"\n";
    std::fs::write(&config, operation).expect("it is written");
    let upstream = Upstream::answering(200, serde_json::json!([]));
    let postern = Postern::with(&upstream.url(), &["--config", config.to_str().expect("UTF-8")]);
    postern.assert_refused(&postern.anybody().get("/orgs/acme/more"), "token-missing");
    postern.administrator().get("/orgs/acme/more").ok(200);
    postern.assert_refused(&postern.administrator().get("/orgs/other/more"), "not-allowed");
}

#[test]
fn every_key_is_in_the_help_with_its_default() {
    let help = run(["serve", "--help"]);
    for text in [
        "--upstream-first-byte-timeout-ms",
        "--read-body-bytes-max",
        "POSTERN_UPSTREAM",
        "default: 127.0.0.1:8080",
    ] {
        assert!(help.stdout.contains(text), "{text}: {}", help.stdout);
    }
}

#[test]
fn the_example_in_the_documents_is_the_one_that_is_printed_and_can_be_used() {
    let printed = run(["config", "example"]).stdout;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/config.example.toml");
    let documented = std::fs::read_to_string(path).expect("it is there");
    assert!(
        printed.trim_end() == documented.trim_end(),
        "write the output of `postern config example` to docs/config.example.toml:\n{printed}"
    );
    // Everything that has a default, as if it had been written down.
    let files = "gateway_credential_file = \"/dev/null\"\nfeed_public_key_file = \"/dev/null\"\n";
    let mut in_force = format!("upstream = \"http://127.0.0.1:1\"\n{files}");
    let mut lines = printed.lines().peekable();
    while let Some(line) = lines.next() {
        if line.contains("Default: ") {
            in_force.push_str(lines.next().and_then(|line| line.strip_prefix('#')).expect("a key"));
            in_force.push('\n');
        }
    }
    assert!(in_force.contains("drain_timeout_ms = 30000\n"), "{in_force}");
    for command in ["serve", "gateway", "admin"] {
        let (code, errors) = check(&in_force, command);
        assert_eq!(code, Some(0), "{errors}");
    }
}

#[test]
fn a_check_tells_every_error_of_a_file_and_of_the_files_that_it_names() {
    let (code, errors) = check("workers = \"many\"\nunknown = 1\n", "serve");
    assert_eq!(code, Some(64));
    for part in ["upstream is needed", "workers", "unknown key unknown"] {
        assert!(errors.contains(part), "{part} in {errors}");
    }
    let file = "upstream = \"http://127.0.0.1:1\"\nupstream_token_file = \"/not/there\"\n";
    let (code, errors) = check(file, "serve");
    assert!(code == Some(64) && errors.contains("/not/there"), "{errors}");
}

/// Checks a file; returns the exit code and what was said.
fn check(file: &str, command: &str) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("postern.toml");
    std::fs::write(&path, file).expect("it is written");
    let path = path.to_str().expect("UTF-8");
    let ended = run(["config", "check", "--config", path, "--for", command]);
    (ended.code, ended.stderr)
}
