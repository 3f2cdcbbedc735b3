//! Reading the configuration again: applied whole or refused, and no request notices.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc;

use serde_json::{Value, json};

use crate::harness::client::Request;
use crate::harness::eventually;
use crate::harness::load::Load;
use crate::harness::postern::{Halves, Postern};
use crate::harness::process::Process;
use crate::harness::upstream::{Reply, Upstream};

/// A configuration file that is written again and again.
struct File {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl File {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = Self {
            path: directory.path().join("postern.toml"),
            _directory: directory,
        };
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.path, text).expect("it is written");
    }

    fn flags(&self) -> [&str; 2] {
        ["--config", self.path.to_str().expect("UTF-8")]
    }
}

const APPLIED: &str = "the configuration was read again and is in force";
const ERROR: &str = "the configuration that was read again cannot be used";
const REFUSED: &str = "the configuration was read again and is refused";

/// Asks for a reload, and waits until it was applied; returns the line of the log.
fn reload(process: &Process) -> Value {
    let before = process.stderr.count(APPLIED);
    process.hang_up();
    eventually("the reload", || (process.stderr.count(APPLIED) > before).then_some(()));
    let lines = process.stderr.so_far();
    let line = lines
        .lines()
        .rfind(|line| line.contains(APPLIED))
        .expect("it was counted");
    serde_json::from_str(line).expect("JSON")
}

/// Asks for a reload, and returns the errors for which it was refused.
fn refused(process: &Process) -> Vec<String> {
    process.hang_up();
    process.logged(REFUSED);
    let lines = process.stderr.so_far();
    let told = lines.lines().filter(|line| line.contains(ERROR));
    told.map(|line| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(line["level"], "ERROR");
        line["error"].as_str().expect("a text").to_owned()
    })
    .collect()
}

fn metrics(postern: &Postern) -> String {
    String::from_utf8(postern.operator().get("/metrics").body).expect("UTF-8")
}

const MORE: &str =
    "[[operations]]\nmethod = \"GET\"\npath = \"/orgs/{orgId}/more\"\nid = \"listMore\"\npermission = \"app.list\"\n";

#[test]
fn an_operation_that_is_added_is_decided_and_counted_from_then_on() {
    let upstream = Upstream::answering(200, json!([]));
    let file = File::new("");
    let postern = Postern::with(&upstream.url(), &file.flags());
    let administrator = postern.administrator();
    administrator.get("/orgs/acme/env-types").ok(200);
    postern.assert_refused(&administrator.get("/orgs/acme/more"), "operation-unknown");
    file.write(MORE);
    assert_eq!(reload(&postern.process)["changed"], "operations");
    administrator.get("/orgs/acme/more").ok(200);
    administrator.get("/orgs/acme/env-types").ok(200);
    postern.assert_refused(&postern.anybody().get("/orgs/acme/more"), "token-missing");
    let text = metrics(&postern);
    for count in [
        "{operation=\"listMore\",reason=\"forwarded\",status=\"2xx\"} 1\n",
        "{operation=\"listEnvironmentTypes\",reason=\"forwarded\",status=\"2xx\"} 2\n",
        "{operation=\"unknown\",reason=\"operation-unknown\",status=\"4xx\"} 1\n",
        "postern_config_reloads_total{result=\"applied\"} 1\n",
        "postern_config_last_reload_successful 1\n",
    ] {
        assert!(text.contains(count), "{count} in {text}");
    }
    file.write("");
    reload(&postern.process);
    postern.assert_refused(&administrator.get("/orgs/acme/more"), "operation-unknown");
}

#[test]
fn a_request_sees_one_configuration_and_the_next_one_the_other() {
    let (go_on, told) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    let old = Upstream::start(move |_| {
        let _ = told.lock().expect("one waits").recv();
        Reply::json(200, &json!(["old"]))
    });
    let new = Upstream::answering(200, json!(["new"]));
    let upstream = |upstream: &Upstream| format!("upstream = \"{}\"\n", upstream.url());
    let file = File::new(&upstream(&old));
    let [flag, path] = file.flags();
    let postern = Postern::configured(&[flag, path]);
    let waiting = postern
        .administrator()
        .send_later(Request::new("GET", "/orgs/acme/env-types"));
    eventually("the request", || (old.received().len() == 1).then_some(()));
    file.write(&format!("{}hosts = [\"localhost\", \"127.0.0.1\"]\n", upstream(&new)));
    assert_eq!(reload(&postern.process)["changed"], "hosts upstream");
    assert_eq!(
        postern.administrator().get("/orgs/acme/env-types").ok(200),
        json!(["new"])
    );
    go_on.send(()).expect("it waits");
    assert_eq!(waiting.whole().ok(200), json!(["old"]));
    assert_eq!((old.received().len(), new.received().len()), (1, 1));
}

#[test]
fn connections_to_an_orchestrator_that_stays_are_kept_and_its_credential_is_read_again() {
    let upstream = Upstream::answering(200, json!([]));
    let file = File::new("subject_burst = 7\n");
    let postern = Postern::with(&upstream.url(), &file.flags());
    let administrator = postern.administrator();
    administrator.get("/orgs/acme/env-types").ok(200);
    file.write("subject_burst = 8\n");
    reload(&postern.process);
    administrator.get("/orgs/acme/env-types").ok(200);
    std::fs::write(postern.directory().join("upstream-token"), "another-credential").expect("it is written");
    reload(&postern.process);
    eventually("the other credential", || {
        administrator.get("/orgs/acme/env-types").ok(200);
        let last = upstream.received().pop().expect("one came");
        (last.values("authorization") == ["Bearer another-credential"]).then_some(())
    });
    assert!(upstream.received().iter().all(|request| request.connection == 0));
}

#[test]
fn a_configuration_with_errors_is_refused_with_all_of_them_and_nothing_changes() {
    let upstream = Upstream::answering(200, json!([]));
    let file = File::new("");
    let postern = Postern::with(&upstream.url(), &file.flags());
    let wrong = "hosts = [\"elsewhere.example\"]\nname = \"another\"\nupgrades_max = 7\nbody_timeout_ms = \"soon\"\n\
                 forwarded_fields = [\"cookie\"]\nunknown = 1\n";
    file.write(wrong);
    let errors = refused(&postern.process);
    for part in [
        "unknown key unknown",
        "body_timeout_ms",
        "cookie",
        "name has changed, which needs a restart",
        "upgrades_max has changed, which needs a restart",
    ] {
        assert!(errors.iter().any(|error| error.contains(part)), "{part} in {errors:?}");
    }
    assert_eq!(errors.len(), 5, "{errors:?}");
    postern.administrator().get("/orgs/acme/env-types").ok(200);
    let text = metrics(&postern);
    assert!(
        text.contains("postern_config_reloads_total{result=\"refused\"} 1\n"),
        "{text}"
    );
    assert!(text.contains("postern_config_last_reload_successful 0\n"), "{text}");
    file.write("");
    reload(&postern.process);
    assert!(metrics(&postern).contains("postern_config_last_reload_successful 1\n"));
}

#[test]
fn a_file_that_cannot_be_read_is_refused_and_the_old_configuration_stays() {
    let upstream = Upstream::answering(200, json!([]));
    let file = File::new("");
    let postern = Postern::with(&upstream.url(), &file.flags());
    file.write("hosts = [\"elsewhere.example\"]\nupstream_ca_file = \"/not/there\"\n");
    let errors = refused(&postern.process);
    assert!(errors.len() == 1 && errors[0].contains("/not/there"), "{errors:?}");
    postern.administrator().get("/orgs/acme/env-types").ok(200);
}

#[test]
fn the_access_log_goes_on_in_a_new_file_when_the_old_one_was_renamed() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    administrator.get("/orgs/acme/env-types").ok(200);
    postern.log_line(|line| line["operation"] == "listEnvironmentTypes");
    let log = postern.directory().join("access.log");
    std::fs::rename(&log, log.with_extension("1")).expect("it is there");
    reload(&postern.process);
    eventually("the new file", || log.exists().then_some(()));
    administrator.get("/orgs/acme/apps").ok(200);
    postern.log_line(|line| line["operation"] == "listApplications");
    assert_eq!(postern.log_lines().len(), 1);
}

#[test]
fn reloads_under_load_fail_no_request_and_leave_memory_as_it_was() {
    let upstream = Upstream::answering(200, json!([]));
    let file = File::new("");
    let [flag, path] = file.flags();
    let postern = Postern::with(&upstream.url(), &[flag, path, "--workers", "2", "--access-log", "off"]);
    let load = Load::start(&postern.administrator(), "/orgs/acme/env-types", 8);
    let swap = |at: usize| {
        let operations = if at.is_multiple_of(2) { MORE } else { "" };
        file.write(&format!("subject_burst = {}\n{operations}", at + 1));
        reload(&postern.process);
    };
    (0..50).for_each(swap);
    load.go_on(100);
    let before = postern.process.resident_kib();
    (50..250).for_each(swap);
    load.go_on(100);
    let after = postern.process.resident_kib();
    let (answered, failures) = load.end();
    assert!(failures.is_empty(), "{failures:?} of {answered}");
    assert!(after < before + 8 * 1024, "{before} KiB before, {after} KiB after");
    let text = metrics(&postern);
    let counted = format!("{{operation=\"listEnvironmentTypes\",reason=\"forwarded\",status=\"2xx\"}} {answered}\n");
    assert!(text.contains(&counted), "{counted} in {text}");
}

#[test]
fn a_gateway_alone_and_an_admin_service_alone_reload_too() {
    let upstream = Upstream::answering(200, json!([]));
    let file = File::new("");
    let halves = Halves::start(&upstream.url(), &file.flags());
    let administrator = halves.administrator();
    file.write(MORE);
    assert_eq!(reload(&halves.gateway)["changed"], "operations");
    administrator.get("/orgs/acme/more").ok(200);
    file.write("admin_url = \"http://127.0.0.1:1\"\n");
    // A flag wins over the file, also when it is read again.
    assert_eq!(reload(&halves.gateway)["changed"], "operations");
    let admin = halves.admin();
    assert_eq!(reload(admin)["changed"], "");
}
