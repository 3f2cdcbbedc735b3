//! The whole of this suite once more, with the store in PostgreSQL.

use std::process::Command;

use admin::PostgresPlace;

use crate::cluster::Cluster;
use crate::harness::{SOCKET, TEMPLATE, on_postgres};

#[tokio::test]
async fn everything_else_in_this_suite_holds_on_postgresql_too() {
    if on_postgres() {
        return;
    }
    let cluster = Cluster::start();
    let socket = cluster.socket();
    let place = PostgresPlace::parse(&cluster.database(TEMPLATE), None).expect("a place");
    assert_eq!(place.migrate().await.expect("it is migrated").0, 0);
    let program = std::env::current_exe().expect("this program");
    let ran = Command::new(program).env(SOCKET, &socket).output().expect("it runs");
    assert!(
        ran.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
}
