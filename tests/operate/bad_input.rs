//! Bad input: a clear error, a documented exit code, and nothing damaged.

use std::net::TcpListener;
use std::path::Path;

use sqlx::{Connection as _, SqliteConnection};

use crate::harness::postern::Postern;
use crate::harness::process::{ANY_PORTS, Ended, Process, run};

/// Runs `postern serve`, which is to fail.
fn serve(data: &Path, flags: &[&str]) -> Ended {
    let data = data.display().to_string();
    let own = ["serve", "--data", &data, "--upstream", "http://127.0.0.1:9"];
    let given = |name: &str| flags.contains(&name);
    let addresses = ANY_PORTS.chunks(2).filter(|pair| !given(pair[0])).flatten();
    run(own.iter().chain(addresses).chain(flags))
}

#[track_caller]
fn assert_failed(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "{word} is not told:\n{}", ended.stderr);
    }
}

/// Every file of a directory with its content.
fn contents(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(directory).expect("it is a directory");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("it can be read").path())
        .map(|path| {
            (
                path.display().to_string(),
                std::fs::read(&path).expect("it can be read"),
            )
        })
        .collect();
    files.sort();
    files
}

/// Returns the files that are not what they were. SQLite may have put empty files of its own beside its database.
fn changed(before: &[(String, Vec<u8>)], directory: &Path) -> Vec<String> {
    let now = contents(directory);
    let changed = before.iter().filter(|file| !now.contains(file));
    changed.map(|(path, _)| path.clone()).collect()
}

/// Returns a data directory with a store in it that was closed in an orderly way.
fn used_data_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().display().to_string();
    let flags = ["serve", "--data", &data, "--upstream", "http://127.0.0.1:9"];
    let process = Process::start(flags.iter().chain(ANY_PORTS));
    process.logged("listening");
    process.terminate();
    assert_eq!(process.ended().code, Some(0));
    directory
}

fn execute(data: &Path, statement: &'static str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let url = format!("sqlite://{}", data.join("postern.db").display());
        let mut connection = SqliteConnection::connect(&url).await.expect("it is a database");
        sqlx::query(statement)
            .execute(&mut connection)
            .await
            .expect("it is done");
        connection.close().await.expect("it is closed");
    });
}

#[test]
fn all_errors_of_the_configuration_are_told_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("postern.toml");
    let config =
        "nonsense = 1\nworkers = \"many\"\nhosts = 1.5\n[[operations]]\nmethod = \"GET\"\npath = \"/x\"\nid = \"x\"\n";
    std::fs::write(&file, config).expect("it is written");
    let data = directory.path().join("data");
    let file = file.display().to_string();
    let flags = [
        "--config",
        &file,
        "--listen",
        "nowhere",
        "--body-timeout-ms",
        "soon",
        "--header-timeout-ms",
        "0",
        "--org",
        "Not An Org",
        "--forwarded-fields",
        "a b",
    ];
    let ended = serve(&data, &flags);
    let words = [
        "nonsense",
        "workers",
        "hosts",
        "listen",
        "body_timeout_ms",
        "header_timeout_ms",
        "org",
        "forwarded_fields",
        "operation x",
    ];
    assert_failed(&ended, 64, &words);
    assert!(!data.exists(), "nothing is made");
}

#[test]
fn a_configuration_file_that_cannot_be_read_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("postern.toml");
    let path = file.display().to_string();
    assert_failed(&serve(directory.path(), &["--config", &path]), 64, &["postern.toml"]);
    std::fs::write(&file, "upstream = [").expect("it is written");
    assert_failed(&serve(directory.path(), &["--config", &path]), 64, &["postern.toml"]);
}

#[test]
fn what_the_command_line_does_not_know_is_told() {
    assert_failed(&run(["serve", "--nonsense"]), 64, &["--nonsense"]);
    assert_failed(&run(["nonsense"]), 64, &["nonsense"]);
    assert_failed(&run(["serve"]), 64, &["upstream"]);
    assert_failed(&run(["user", "create"]), 64, &["NAME"]);
}

#[test]
fn an_upstream_that_is_no_url_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    for url in [
        "example.com",
        "ftp://example.com",
        "http://user:secret@example.com",
        "http://example.com/?a=b",
        "",
    ] {
        let ended = serve(&data, &["--upstream", url]);
        assert_failed(&ended, 64, &["upstream"]);
        assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
        assert!(!data.exists(), "{url}: nothing is made");
    }
}

#[test]
fn a_field_that_is_never_forwarded_cannot_be_put_on_the_list() {
    let directory = tempfile::tempdir().expect("a directory");
    for field in [
        "Authorization",
        "From",
        "Postern-Identity",
        "X-Forwarded-For",
        "Connection",
        "Cookie",
    ] {
        assert_failed(
            &serve(directory.path(), &["--forwarded-fields", field]),
            64,
            &[&field.to_lowercase()],
        );
    }
}

#[test]
fn a_data_directory_whose_parent_is_missing_is_not_made() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("no").join("data");
    assert_failed(&serve(&data, &[]), 73, &[&data.display().to_string()]);
    assert!(!directory.path().join("no").exists());
    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("it is written");
    assert_failed(&serve(&file, &[]), 73, &["file"]);
}

#[test]
fn a_secret_file_that_is_missing_or_holds_no_secret_is_told_without_its_content() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("credential");
    let path = file.display().to_string();
    let data = directory.path().join("data");
    assert_failed(&serve(&data, &["--upstream-token-file", &path]), 74, &["credential"]);
    for content in ["", "two words", "two\nlines"] {
        std::fs::write(&file, content).expect("it is written");
        let ended = serve(&data, &["--upstream-token-file", &path]);
        assert_failed(&ended, 64, &["credential"]);
        assert!(
            content.is_empty() || !ended.stderr.contains(content),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn a_port_in_use_is_told_whoever_uses_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let foreign = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let postern = Postern::start("http://127.0.0.1:9");
    let used = [
        foreign.local_addr().expect("it is bound"),
        postern.address,
        postern.admin_address,
    ];
    for address in used.map(|address| address.to_string()) {
        for flag in ["--listen", "--admin-listen"] {
            let ended = serve(&directory.path().join("data"), &[flag, &address]);
            assert_failed(&ended, 69, &[&address]);
        }
    }
    assert_eq!(postern.operator().get("/readyz").status, 200, "the first goes on");
}

#[test]
fn a_data_directory_in_use_is_told() {
    let postern = Postern::start("http://127.0.0.1:9");
    assert_failed(&serve(&postern.data(), &[]), 69, &["another process"]);
    postern.administrator().get("/current-user").ok(200);
}

#[test]
fn a_corrupt_store_is_refused_and_left_as_it_is() {
    let whole = used_data_directory();
    let store = std::fs::read(whole.path().join("postern.db")).expect("it is there");
    let mut scribbled = store.clone();
    scribbled[4096..8192].fill(0x55);
    let mut beheaded = store.clone();
    beheaded[..16].copy_from_slice(b"not a database!!");
    let damaged = [
        b"nonsense".to_vec(),
        store[..store.len() / 2].to_vec(),
        scribbled,
        beheaded,
    ];
    for (number, content) in damaged.into_iter().enumerate() {
        let directory = tempfile::tempdir().expect("a directory");
        for (path, content) in contents(whole.path()) {
            let name = Path::new(&path).file_name().expect("a name");
            std::fs::write(directory.path().join(name), content).expect("it is written");
        }
        std::fs::write(directory.path().join("postern.db"), content).expect("it is written");
        let before = contents(directory.path());
        let ended = serve(directory.path(), &[]);
        assert_eq!(ended.code, Some(65), "damage {number}: {}", ended.stderr);
        assert!(ended.stderr.contains("postern.db"), "{}", ended.stderr);
        assert_eq!(changed(&before, directory.path()), [""; 0], "damage {number}");
    }
}

#[test]
fn another_programs_database_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("postern.db"), "").expect("it is written");
    execute(directory.path(), "CREATE TABLE songs (title TEXT)");
    let before = std::fs::read(directory.path().join("postern.db")).expect("it is there");
    assert_failed(&serve(directory.path(), &[]), 65, &["another program"]);
    assert_eq!(
        std::fs::read(directory.path().join("postern.db")).expect("it is there"),
        before
    );
}

#[test]
fn a_store_of_a_newer_postern_is_refused_and_left_as_it_is() {
    let directory = used_data_directory();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (4711, 'from the future', TRUE, x'00', 0)";
    execute(directory.path(), newer);
    let before = contents(directory.path());
    assert_failed(&serve(directory.path(), &[]), 65, &["4711"]);
    assert_eq!(changed(&before, directory.path()), [""; 0]);
}

#[test]
fn a_signing_key_that_is_none_is_refused_and_left_as_it_is() {
    let directory = used_data_directory();
    let key = directory.path().join("identity-key");
    std::fs::write(&key, "nonsense").expect("it is written");
    assert_failed(&serve(directory.path(), &[]), 65, &["identity-key"]);
    assert_eq!(std::fs::read(&key).expect("it is there"), b"nonsense");
}

#[test]
fn an_access_log_that_cannot_be_written_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("no").join("access.log").display().to_string();
    assert_failed(
        &serve(&directory.path().join("data"), &["--access-log", &file]),
        74,
        &["access log"],
    );
}

#[test]
fn a_store_url_that_cannot_be_used_is_refused_without_being_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let missing = directory.path().join("missing").display().to_string();
    for (flags, word) in [
        (
            vec!["--store-url", "postgres://me:hunter2@db.example.com/postern"],
            "password",
        ),
        (
            vec!["--store-url", "postgres://me@db.example.com/postern?sslmode=prefer"],
            "sslmode",
        ),
        (vec!["--store-url", "mysql://me@db.example.com/postern"], "postgres://"),
        (vec!["--store-password-file", "hunter2"], "store_url"),
        (
            vec![
                "--store-url",
                "postgres://me@db.example.com/postern",
                "--store-password-file",
                &missing,
            ],
            "cannot be read",
        ),
    ] {
        let ended = run(["admin", "--admin-listen", "127.0.0.1:0", "--console-listen", ""]
            .iter()
            .chain(&flags));
        assert_eq!(ended.code, Some(64), "{}", ended.stderr);
        assert!(ended.stderr.contains(word), "{word}: {}", ended.stderr);
        assert!(!ended.stderr.contains("me:hunter2"), "{}", ended.stderr);
    }
}
