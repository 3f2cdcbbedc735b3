//! Opening what cannot be opened: a reason each, and nothing is damaged.

use std::path::Path;

use admin::{OpenError, STORE_FILE};
use feed::Clock;

use crate::harness::{Plane, START_MS, database, on_postgres, settings};

#[tokio::test]
async fn a_missing_data_directory_is_refused_and_not_made() {
    let directory = tempfile::tempdir().expect("a directory");
    let missing = directory.path().join("missing");
    assert!(matches!(refusal(&missing).await, OpenError::NoDirectory { .. }));
    assert!(!missing.exists());
    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("a file");
    assert!(matches!(refusal(&file).await, OpenError::NoDirectory { .. }));
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_written_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    // Stands for missing rights, which do not hold for every user that runs tests.
    std::fs::create_dir(directory.path().join("postern.lock")).expect("it is in the way");
    assert!(matches!(refusal(directory.path()).await, OpenError::Unwritable { .. }));
}

#[tokio::test]
async fn a_data_directory_in_use_is_refused() {
    let plane = Plane::start().await;
    let path = plane.file("");
    assert!(matches!(refusal(&path).await, OpenError::InUse { .. }));
    plane.ask(&plane.root, "GET", "/current-user").await.assert_ok();
}

#[tokio::test]
async fn a_damaged_store_is_refused_and_left_as_it_is() {
    if on_postgres() {
        return;
    }
    let damages: [(&str, Damage); 4] = [
        ("cut off", |file| file.truncate(file.len() / 2)),
        ("no database", |file| file.fill(0xA5)),
        ("a page overwritten", |file| file[8192..12288].fill(0xA5)),
        ("a header overwritten", |file| file[..64].fill(0)),
    ];
    for (damage, apply) in damages {
        let directory = Plane::start().await.stop().await;
        let path = directory.path().join(STORE_FILE);
        let mut file = std::fs::read(&path).expect("a store");
        assert!(file.len() > 12288);
        apply(&mut file);
        std::fs::write(&path, &file).expect("it is damaged");
        let refused = refusal(directory.path()).await;
        assert!(matches!(refused, OpenError::Corrupt { .. }), "{damage}: {refused:?}");
        assert_eq!(std::fs::read(&path).expect("a store"), file, "{damage}");
    }
}

#[tokio::test]
async fn a_store_whose_logs_are_out_of_step_is_refused() {
    let directory = Plane::start().await.stop().await;
    change(directory.path(), "DELETE FROM changes").await;
    assert!(matches!(refusal(directory.path()).await, OpenError::Corrupt { .. }));
}

#[tokio::test]
async fn another_programs_database_is_refused() {
    if on_postgres() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join(STORE_FILE), "").expect("a file");
    change(directory.path(), "CREATE TABLE songs (title TEXT)").await;
    let path = directory.path().join(STORE_FILE);
    let before = std::fs::read(&path).expect("a database");
    assert!(matches!(refusal(directory.path()).await, OpenError::Corrupt { .. }));
    assert_eq!(std::fs::read(&path).expect("a database"), before);
}

#[tokio::test]
async fn a_store_whose_process_was_killed_holds_all_that_was_acknowledged() {
    if on_postgres() {
        return;
    }
    let plane = Plane::start().await;
    let robot = plane.service_user("member").await;
    // What a killed process leaves: the file and its log, which was never written back.
    let left = tempfile::tempdir().expect("a directory");
    for name in [STORE_FILE, "postern.db-wal", admin::GATEWAY_CREDENTIAL_FILE] {
        std::fs::copy(plane.file(name), left.path().join(name)).expect("it is copied");
    }
    let revision = plane.admin.revision();
    drop(plane);
    let plane = Plane::start_in(left).await.expect("it opens");
    assert!(!plane.admin.bootstrapped());
    assert_eq!(plane.admin.revision(), revision);
    plane.ask(&robot, "GET", "/current-user").await.assert_ok();
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused_and_left_as_it_is() {
    let directory = Plane::start().await.stop().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (99, 'from the future', true, '', 0)";
    change(directory.path(), newer).await;
    let path = directory.path().join(STORE_FILE);
    let before = std::fs::read(&path).ok();
    let refused = refusal(directory.path()).await;
    let OpenError::NewerSchema { found, known, .. } = &refused else {
        panic!("{refused:?}");
    };
    assert!(*found == 99 && *known < 99);
    assert!(refused.to_string().contains("99"), "{refused}");
    assert_eq!(std::fs::read(&path).ok(), before);
}

#[tokio::test]
async fn a_store_of_the_first_version_is_migrated_and_keeps_its_tokens() {
    if on_postgres() {
        return;
    }
    let plane = Plane::start().await;
    let user = plane.service_user("member").await.subject;
    let first_version = "ALTER TABLE store DROP COLUMN incarnation;
                         ALTER TABLE changes DROP COLUMN attempt;
                         ALTER TABLE tokens DROP COLUMN held;
                         DROP TRIGGER token_certificates_never_change;
                         ALTER TABLE tokens DROP COLUMN certificate;
                         DELETE FROM _sqlx_migrations WHERE version IN (2, 4)";
    plane.sql(first_version).await.expect("it is undone");
    let plane = Plane::start_in(plane.stop().await).await.expect("it opens");
    let tokens = plane
        .text(&format!(
            "SELECT group_concat(id || certificate IS NULL AND held = 0) FROM tokens WHERE subject = '{user}'"
        ))
        .await;
    assert_eq!(tokens, "1");
}

/// Breaks a file.
type Damage = fn(&mut Vec<u8>);

async fn refusal(directory: &Path) -> OpenError {
    let clock = Clock::manual(START_MS);
    let refused = admin::open(settings(directory, &clock)).await.err();
    refused.expect("it is refused")
}

async fn change(directory: &Path, statement: &str) {
    let mut connection = database(directory).await;
    connection.run(statement).await.expect("it is changed");
    connection.close().await;
}
