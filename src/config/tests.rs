//! Values from their sources, and all errors at once.

use super::*;

fn errors(given: Given<SERVE>) -> Vec<String> {
    let mut reading = given.read();
    reading.edge();
    reading.address("admin_listen");
    reading.org();
    reading.finish().err().map_or_else(Vec::new, |errors| errors.0)
}

fn file(text: &str) -> (tempfile::NamedTempFile, Given<SERVE>) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    let given = Given::default().with(CONFIG, file.path().display().to_string());
    (file, given)
}

#[test]
fn all_errors_are_told_at_once() {
    let (_file, given) = file(
        "listen = \"nonsense\"\nunknown = 1\nworkers = \"many\"\n[[operations]]\nmethod=\"get\"\npath=\"/x\"\nid=\"x\"\npermission=\"x.read\"\n",
    );
    let given = given.with("org", "Not An Org").with("upstream", "ftp://x");
    let errors = errors(given);
    for part in [
        "unknown key unknown",
        "listen",
        "workers",
        "ftp://x",
        "org",
        "upper-case",
    ] {
        assert!(errors.iter().any(|error| error.contains(part)), "{part} in {errors:?}");
    }
}

#[test]
fn flags_win_over_the_file_and_the_file_over_defaults() {
    let (_file, given) = file("listen = \"127.0.0.1:1\"\nworkers = 3\nhosts = [\"A.example\", \"b.example\"]\n");
    let given = given
        .with("listen", "127.0.0.1:2")
        .with("upstream", "http://127.0.0.1:9");
    let mut reading = given.read();
    let edge = reading.edge();
    reading.finish().expect("no errors");
    assert_eq!(edge.listen.port(), 2);
    assert_eq!(edge.workers, 3);
    assert_eq!(
        edge.hosts,
        Hosts::These(vec!["a.example".to_owned(), "b.example".to_owned()])
    );
    assert_eq!(edge.limits, Limits::default());
}

#[test]
fn an_operator_can_add_operations_and_public_paths() {
    let (_file, given) = file(
        "[[operations]]\nmethod = \"POST\"\npath = \"/auth/device\"\nid = \"deviceLogin\"\npublic = true\n\
         [[operations]]\nmethod = \"GET\"\npath = \"/orgs/{orgId}/action-pipelines\"\nid = \"listActionPipelines\"\npermission = \"pipeline.read\"\n",
    );
    let mut reading = given.with("upstream", "http://127.0.0.1:9").read();
    let edge = reading.edge();
    reading.finish().expect("no errors");
    assert!(
        edge.catalogue
            .identify("POST", "/auth/device")
            .expect("known")
            .operation
            .public
    );
    let added = edge
        .catalogue
        .identify("GET", "/orgs/my-org/action-pipelines")
        .expect("known");
    assert_eq!(
        (added.operation.permission.as_str(), added.operation.public),
        ("pipeline.read", false)
    );
}

#[test]
fn an_upgrade_is_refused_where_requests_could_be_hidden_in_it() {
    let operation = |method: &str, upgrade: &str| {
        let (_file, given) = file(&format!(
            "[[operations]]\nmethod = \"{method}\"\npath = \"/orgs/{{orgId}}/live\"\nid = \"events\"\n\
             permission = \"env.logs.read\"\nupgrade = {upgrade}\n",
        ));
        errors(given.with("upstream", "http://127.0.0.1:9"))
    };
    assert_eq!(operation("GET", r#"["WebSocket", "spdy/3.1"]"#), [""; 0]);
    for (method, upgrade) in [
        ("POST", r#"["websocket"]"#),
        ("GET", r#"["websocket", "h2c"]"#),
        ("GET", r#"["TLS/1.3"]"#),
        ("GET", r#"["HTTP/2.0"]"#),
        ("GET", r#"["web socket"]"#),
        ("GET", r#"[""]"#),
    ] {
        let errors = operation(method, upgrade);
        assert!(
            matches!(&errors[..], [error] if error.contains("upgrade")),
            "{method} {upgrade}: {errors:?}"
        );
    }
}

#[test]
fn a_key_that_was_replaced_is_refused_and_what_replaced_it_is_told() {
    let told = "data_age_max_ms: replaced by data_age_writes_max_ms and data_age_reads_max_ms";
    let (_file, given) = file("data_age_max_ms = 1000\n");
    let of_flag = Given::default().with("data_age_max_ms", "1000");
    for given in [given, of_flag] {
        let errors = errors(given.with("upstream", "http://127.0.0.1:9"));
        assert!(errors.len() == 1 && errors[0].ends_with(told), "{errors:?}");
    }
}

#[test]
fn data_may_not_be_older_for_writes_than_for_reads() {
    let given = Given::default().with("upstream", "http://127.0.0.1:9");
    let errors = errors(given.with("data_age_reads_max_ms", "59999"));
    assert_eq!(
        errors,
        ["data_age_writes_max_ms: 60000 is more than data_age_reads_max_ms, 59999"]
    );
}
