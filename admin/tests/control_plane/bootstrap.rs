//! The first start, and starts that are cut short.

use std::os::unix::fs::PermissionsExt;

use admin::{BOOTSTRAP_TOKEN_FILE, GATEWAY_CREDENTIAL_FILE, OpenError, STORE_FILE};
use feed::token::Kind;
use feed::{Clock, Digest};
use serde_json::json;

use crate::harness::{ORG, Plane, START_MS, database, on_postgres, settings};

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
        .text(&format!(
            "SELECT {} FROM tokens WHERE id = 'bootstrap'",
            Plane::hex("digest")
        ))
        .await;
    let told: String = digest.as_bytes().iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(kept, told);
    let secrets = [BOOTSTRAP_TOKEN_FILE, GATEWAY_CREDENTIAL_FILE];
    let of_the_store = [STORE_FILE, "postern.db-wal"];
    let of_the_store = of_the_store.into_iter().filter(|_| !on_postgres());
    for name in secrets.into_iter().chain(of_the_store) {
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
        plane.admin.store_name(),
        plane.credential.clone(),
    );
    let directory = plane.stop().await;
    std::fs::remove_file(directory.path().join(BOOTSTRAP_TOKEN_FILE)).expect("the operator has taken it");
    let plane = Plane::start_in(directory).await.expect("it opens");
    assert!(!plane.admin.bootstrapped());
    assert_eq!((plane.admin.revision(), plane.admin.store_name()), (revision, store));
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
    let left = "SELECT (SELECT count(*) FROM subjects) + (SELECT revision FROM store)";
    assert_eq!(connection.number(left).await, 0);
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
    assert_eq!(connection.texts("SELECT id FROM organisations").await, ["default"]);
}
