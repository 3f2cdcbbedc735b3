//! Moving a store, and coming back to an earlier state of it.

use std::path::{Path, PathBuf};

use admin::{BOOTSTRAP_TOKEN_FILE, MoveError, Random, ReplacedStore, Restored, STORE_FILE, StorePlace};
use feed::{Clock, Record, StoreName};
use serde_json::{Value, json};

use crate::components::role;
use crate::consistency::assert_told_alike;
use crate::harness::{ORG, Plane, START_MS, Who, database, on_postgres, place};

#[tokio::test]
async fn an_exported_store_goes_on_elsewhere_with_nothing_lost() {
    let (plane, robot) = lived_in().await;
    let (revision, name, credential) = (
        plane.admin.revision(),
        plane.admin.store_name(),
        plane.credential.clone(),
    );
    let old = plane.stop().await;
    let exported = old.path().join("exported");
    let rows = place(old.path()).export(&exported).await.expect("it is exported");
    assert!(rows > 20, "{rows}");

    // From a file to PostgreSQL, where the suite runs there, and back.
    let new = tempfile::tempdir().expect("a directory");
    assert_eq!(
        place(new.path()).import(&exported).await.expect("it is imported"),
        revision
    );
    let again = old.path().join("exported-again");
    place(new.path()).export(&again).await.expect("it is exported");
    assert_eq!(read(&exported), read(&again));
    let file = StorePlace {
        data: tempfile::tempdir().expect("a directory").keep(),
        postgres: None,
    };
    file.import(&again).await.expect("it is imported");
    let back = old.path().join("exported-from-a-file");
    file.export(&back).await.expect("it is exported");
    assert_eq!(read(&exported), read(&back));
    std::fs::remove_dir_all(&file.data).expect("it is removed");

    std::fs::write(new.path().join(admin::GATEWAY_CREDENTIAL_FILE), credential).expect("it is copied");
    let plane = Plane::start_in(new).await.expect("it opens");
    assert!(!plane.admin.bootstrapped());
    assert_eq!((plane.admin.revision(), plane.admin.store_name()), (revision, name));
    plane.ask(&robot, "GET", "/current-user").await.assert_ok();
    assert_told_alike(&plane).await;
    plane.service_user("member").await;
    assert_eq!(plane.admin.revision(), revision + 2);
    assert_told_alike(&plane).await;
}

#[tokio::test]
async fn an_export_has_every_table_and_column_of_the_schema() {
    let (plane, _) = lived_in().await;
    let directory = plane.stop().await;
    let exported = directory.path().join("exported");
    place(directory.path()).export(&exported).await.expect("it is exported");
    let told: Vec<String> = lines(&exported)
        .iter()
        .filter_map(|line| {
            let table = line.get("table")?.as_str()?.to_owned();
            let columns = line["columns"].as_array()?.iter().filter_map(Value::as_str);
            Some(
                columns
                    .map(move |column| format!("{table}.{column}"))
                    .collect::<Vec<_>>(),
            )
        })
        .flatten()
        .collect();
    // Whoever has signed in to the console signs in anew.
    let columns = if on_postgres() {
        "SELECT table_name || '.' || column_name FROM information_schema.columns
         WHERE table_schema = current_schema() AND is_generated = 'NEVER'
           AND table_name NOT IN ('_sqlx_migrations', 'decisions', 'sessions', 'sign_in_links')"
    } else {
        "SELECT t.name || '.' || c.name FROM sqlite_schema t, pragma_table_info(t.name) c
         WHERE t.type = 'table' AND t.name NOT IN ('_sqlx_migrations', 'sessions', 'sign_in_links')"
    };
    let mut there = database(directory.path()).await.texts(columns).await;
    // The one row of `store` is numbered 1, always.
    there.retain(|column| column != "store.only_row");
    there.sort();
    let mut told = told;
    told.sort();
    assert_eq!(told, there);
}

#[tokio::test]
async fn a_file_that_was_changed_is_refused_and_leaves_the_store_empty() {
    let (plane, _) = lived_in().await;
    let directory = plane.stop().await;
    let exported = directory.path().join("exported");
    place(directory.path()).export(&exported).await.expect("it is exported");
    let text = String::from_utf8(read(&exported)).expect("text");
    let cut = text.len() / 2;
    let without_a_row: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("made at the first"))
        .collect();
    let altered = [
        (String::new(), "ends too early"),
        ("{\"songs\": 3}\n".to_owned(), "not a file of Postern's"),
        (text[..cut].to_owned(), ""),
        (text.replace("administrator", "administratos"), "digest"),
        (without_a_row.join("\n") + "\n", "digest"),
        (text.clone() + "\n", "behind the end"),
        (text.replacen("\"format\":1", "\"format\":9", 1), "format 9"),
        (text.replacen("\n[", "\n[1,", 1), "not a row"),
    ];
    let target = tempfile::tempdir().expect("a directory");
    for (text, problem) in altered {
        let file = directory.path().join("altered");
        std::fs::write(&file, text).expect("it is written");
        let refused = place(target.path()).import(&file).await.expect_err("it is refused");
        let MoveError::File { source, .. } = &refused else {
            panic!("{problem}: {refused:?}");
        };
        assert!(source.to_string().contains(problem), "{problem}: {source}");
    }
    place(target.path()).import(&exported).await.expect("it is empty still");
    let twice = place(target.path()).import(&exported).await;
    assert!(matches!(twice, Err(MoveError::NotEmpty { .. })), "{twice:?}");
    let there = place(target.path()).export(&exported).await;
    assert!(matches!(there, Err(MoveError::Exists { .. })), "{there:?}");
}

#[tokio::test]
async fn a_backup_is_made_while_the_store_is_in_use_and_is_not_imported() {
    let (plane, _) = lived_in().await;
    let file = plane.file("backup");
    place(&plane.file("")).back_up(&file).await.expect("it is backed up");
    assert_eq!(mode(&file), 0o600);
    let target = tempfile::tempdir().expect("a directory");
    let refused = place(target.path()).import(&file).await.expect_err("it is refused");
    assert!(
        matches!(&refused, MoveError::File { source, .. } if source.to_string().contains("backup")),
        "{refused:?}"
    );
    let busy = place(&plane.file("")).export(&plane.file("exported")).await;
    assert!(
        matches!(busy, Err(MoveError::Open(admin::OpenError::InUse { .. }))),
        "{busy:?}"
    );
}

#[tokio::test]
async fn a_restored_backup_brings_no_revoked_token_back() {
    let (plane, robot) = lived_in().await;
    let raised = plane.service_user("administrator").await;
    let revoked = plane.service_user("member").await;
    let backup = plane.file("backup");
    place(&plane.file("")).back_up(&backup).await.expect("it is backed up");
    let backed_up = plane.admin.revision();
    let path = format!("/users/{}/tokens/main", revoked.subject);
    assert_eq!(plane.ask(&plane.root, "DELETE", &path).await.status, 204);
    let lowered = format!("/orgs/{ORG}/users/{}", raised.subject);
    plane
        .send(&plane.root, "PATCH", &lowered, json!({"role": "member"}))
        .await
        .assert_ok();
    let (replaced_at, name) = (plane.admin.revision(), plane.admin.store_name());
    let old = plane.stop().await;

    let new = tempfile::tempdir().expect("a directory");
    let replaced = replaced(old.path());
    let restored = restore(new.path(), &backup, Some(&replaced))
        .await
        .expect("it is restored");
    assert_eq!(restored.revision, replaced_at + 1);
    assert_eq!((restored.held, restored.free), (2, 2));
    let plane = Plane::start_restored(new).await;
    let now = plane.admin.store_name();
    assert_eq!(
        feed::incarnation::compare(&now, &name),
        Some(std::cmp::Ordering::Greater)
    );
    let now: StoreName = now.parse().expect("the name of a store");
    assert_eq!(now.incarnation, restored.revision);
    assert!(backed_up < restored.revision);

    // Good: who was not touched. Held: who was revoked, and who had lost a role that came back.
    plane.ask(&robot, "GET", "/current-user").await.assert_ok();
    for held in [&revoked, &raised] {
        plane
            .ask(held, "GET", "/current-user")
            .await
            .assert_refused(401, "unauthenticated");
        assert!(!told_tokens(&plane).await.contains(&held.subject));
        let path = format!("/users/{}/tokens/main", held.subject);
        let shown = plane.ask(&plane.root, "GET", &path).await;
        assert_eq!(shown.body["held"], true, "{}", shown.body);
    }
    assert!(told_tokens(&plane).await.contains(&robot.subject));
    let release = format!("/users/{}/tokens/main/release", raised.subject);
    let released = plane.ask(&plane.root, "POST", &release).await;
    released.assert_ok();
    assert_eq!(released.body.get("held"), None, "{}", released.body);
    assert_eq!(plane.admin.revision(), restored.revision + 1);
    plane.ask(&raised, "GET", "/current-user").await.assert_ok();
    assert!(told_tokens(&plane).await.contains(&raised.subject));
    plane.ask(&plane.root, "POST", &release).await.assert_ok();
    assert_eq!(plane.admin.revision(), restored.revision + 1);
    let audited = plane
        .text("SELECT string_agg(operation, ' ' ORDER BY revision DESC) FROM audit_entries")
        .await;
    assert!(
        audited.starts_with("releaseUserToken restore createUserToken"),
        "{audited}"
    );
}

#[tokio::test]
async fn without_the_replaced_store_every_token_is_held_and_revisions_are_beyond_all_that_were_seen() {
    let (plane, robot) = lived_in().await;
    let backup = plane.file("backup");
    place(&plane.file("")).back_up(&backup).await.expect("it is backed up");
    let old = plane.stop().await;
    let new = tempfile::tempdir().expect("a directory");
    let restored = restore(new.path(), &backup, None).await.expect("it is restored");
    assert_eq!(restored.free, 0);
    assert!(restored.revision > u64::try_from(START_MS).expect("a time"));
    let plane = Plane::start_restored(new).await;
    plane
        .ask(&robot, "GET", "/current-user")
        .await
        .assert_refused(401, "unauthenticated");
    plane.ask(&plane.root, "GET", "/current-user").await.assert_ok();
    plane.service_user("member").await;
    drop(old);
}

#[tokio::test]
async fn a_backup_takes_the_place_of_its_own_store_only() {
    let (plane, _) = lived_in().await;
    let backup = plane.file("backup");
    place(&plane.file("")).back_up(&backup).await.expect("it is backed up");
    let other = Plane::start().await.stop().await;
    let target = tempfile::tempdir().expect("a directory");
    let refused = restore(target.path(), &backup, Some(&replaced(other.path()))).await;
    assert!(matches!(refused, Err(MoveError::OtherStore)), "{refused:?}");
    assert!(!target.path().join(BOOTSTRAP_TOKEN_FILE).exists());
    let refused = restore(other.path(), &backup, None).await;
    assert!(matches!(refused, Err(MoveError::NotEmpty { .. })), "{refused:?}");
}

/// A control plane with something in every table but that of effects, and a member of it.
async fn lived_in() -> (Plane, Who) {
    let plane = Plane::start().await;
    let robot = plane.service_user("member").await;
    plane.member("jo@example.com", "member").await;
    assert_eq!(plane.publish(&role("viewer", "tester", "1.0.0")).await.status, 201);
    (plane, robot)
}

async fn restore(target: &Path, backup: &Path, replaced: Option<&ReplacedStore>) -> Result<Restored, MoveError> {
    let (clock, random) = (Clock::manual(START_MS), Random::system());
    place(target).restore(backup, replaced, &clock, &random).await
}

fn replaced(directory: &Path) -> ReplacedStore {
    match place(directory).postgres {
        Some(place) => ReplacedStore::Postgres(place),
        None => ReplacedStore::File(directory.join(STORE_FILE)),
    }
}

/// Subjects of the tokens that gateways are told of.
async fn told_tokens(plane: &Plane) -> Vec<String> {
    let (_, records) = plane.feed("").await.snapshot().await;
    let tokens = records.into_iter().filter_map(|record| match record {
        Record::Token(token) => Some(token.subject),
        Record::Subject(_)
        | Record::SubjectRemoved { .. }
        | Record::TokenRemoved { .. }
        | Record::Policy(_)
        | Record::PolicyRemoved { .. }
        | Record::Guard(_)
        | Record::GuardRemoved { .. } => None,
    });
    tokens.collect()
}

fn read(file: &PathBuf) -> Vec<u8> {
    std::fs::read(file).expect("a file")
}

fn lines(file: &PathBuf) -> Vec<Value> {
    let text = String::from_utf8(read(file)).expect("text");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

fn mode(file: &Path) -> u32 {
    let permissions = std::fs::metadata(file).expect("a file").permissions();
    std::os::unix::fs::PermissionsExt::mode(&permissions) & 0o777
}
