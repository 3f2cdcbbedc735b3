//! The first start, and starts that are cut short.

use std::os::unix::fs::PermissionsExt;

use admin::{BOOTSTRAP_TOKEN_FILE, GATEWAY_CREDENTIAL_FILE, OpenError, STORE_FILE};
use feed::token::Kind;
use feed::{Clock, Digest};
use serde_json::json;

use crate::harness::{ORG, Plane, START_MS, database, settings};

#[tokio::test]
async fn the_first_start_makes_an_organisation_an_administrator_and_a_token() {
    let plane = Plane::start().await;
    assert!(plane.admin.bootstrapped());
    assert_eq!(plane.admin.revision(), 1);
    let own = plane.ask(&plane.root, "GET", "/current-user").await;
    assert_eq!(own.body["name"], "bootstrap-administrator");
    assert_eq!(own.body["type"], "service");
    assert_eq!(own.body["roles"], json!({format!("/orgs/{ORG}"): "administrator"}));
    let token = std::fs::read_to_string(plane.file(BOOTSTRAP_TOKEN_FILE)).expect("a token");
    let digest = Digest::of_presented(Kind::Token, token.trim_end().as_bytes()).expect("a token");
    let kept = plane
        .text("SELECT lower(hex(digest)) FROM tokens WHERE id = 'bootstrap'")
        .await;
    let told: String = digest.as_bytes().iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(kept, told);
    for name in [
        BOOTSTRAP_TOKEN_FILE,
        GATEWAY_CREDENTIAL_FILE,
        STORE_FILE,
        "postern.db-wal",
    ] {
        let mode = std::fs::metadata(plane.file(name))
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn later_starts_find_everything_as_it_was() {
    let plane = Plane::start().await;
    let robot = plane.service_user("member").await;
    let (revision, store, credential) = (
        plane.admin.revision(),
        plane.admin.store_id().to_owned(),
        plane.credential.clone(),
    );
    let directory = plane.stop().await;
    std::fs::remove_file(directory.path().join(BOOTSTRAP_TOKEN_FILE)).expect("the operator has taken it");
    let plane = Plane::start_in(directory).await.expect("it opens");
    assert!(!plane.admin.bootstrapped());
    assert_eq!(
        (plane.admin.revision(), plane.admin.store_id()),
        (revision, store.as_str())
    );
    assert_eq!(plane.credential, credential);
    assert!(!plane.file(BOOTSTRAP_TOKEN_FILE).exists());
    plane.ask(&robot, "GET", "/current-user").await.assert_ok();
}

#[tokio::test]
async fn a_first_start_that_cannot_write_the_token_leaves_an_empty_store() {
    let directory = tempfile::tempdir().expect("a directory");
    let in_the_way = directory.path().join(format!("{BOOTSTRAP_TOKEN_FILE}.new"));
    std::fs::create_dir(&in_the_way).expect("it is in the way");
    let clock = Clock::manual(START_MS);
    let refused = admin::open(settings(directory.path(), &clock)).await.err();
    assert!(matches!(refused, Some(OpenError::Io { .. })), "{refused:?}");
    let mut connection = database(directory.path()).await;
    let left: i64 = sqlx::query_scalar("SELECT (SELECT count(*) FROM subjects) + (SELECT revision FROM store)")
        .fetch_one(&mut connection)
        .await
        .expect("a count");
    assert_eq!(left, 0);
    drop(connection);
    std::fs::remove_dir(&in_the_way).expect("it is out of the way");
    let plane = Plane::start_in(directory).await.expect("it opens");
    assert!(plane.admin.bootstrapped());
}

#[tokio::test]
async fn a_token_file_that_no_store_knows_is_replaced() {
    let directory = tempfile::tempdir().expect("a directory");
    let stale = directory.path().join(BOOTSTRAP_TOKEN_FILE);
    std::fs::write(&stale, "left by a start that was cut short").expect("it is written");
    let plane = Plane::start_in(directory).await.expect("it opens");
    assert!(plane.admin.bootstrapped());
    let token = std::fs::read_to_string(stale).expect("a token");
    Digest::of_presented(Kind::Token, token.trim_end().as_bytes()).expect("a token");
}

#[tokio::test]
async fn the_organisation_is_default_unless_another_is_asked_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(START_MS);
    let mut bad = settings(directory.path(), &clock);
    bad.org = Some("My Org".to_owned());
    assert!(matches!(admin::open(bad).await.err(), Some(OpenError::InvalidOrg(_))));
    let mut unnamed = settings(directory.path(), &clock);
    unnamed.org = None;
    admin::open(unnamed).await.expect("it opens").close().await;
    let mut connection = database(directory.path()).await;
    let org: String = sqlx::query_scalar("SELECT id FROM organisations")
        .fetch_one(&mut connection)
        .await
        .expect("an organisation");
    assert_eq!(org, "default");
}
