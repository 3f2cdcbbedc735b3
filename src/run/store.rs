//! Work on the store, while no admin service need run.

use crate::cli::StoreCommand;
use crate::config::{ADMIN, Given};
use crate::exit::{Failure, USAGE};

/// Does what was asked.
pub(super) async fn run(command: StoreCommand) -> Result<(), Failure> {
    super::start_log("warn");
    match command {
        StoreCommand::Migrate(given) => migrate(given).await,
    }
}

async fn migrate(given: Given<ADMIN>) -> Result<(), Failure> {
    let mut reading = given.read();
    let place = reading.postgres();
    reading.finish().map_err(|errors| Failure::new(USAGE, &errors))?;
    let Some(place) = place else {
        let reason = "store_url is not set: a store in a file is migrated whenever it is opened";
        return Err(Failure::said(USAGE, reason));
    };
    let migrated = place.migrate().await;
    let (found, now) = migrated.map_err(|error| super::control::failure(&error))?;
    match found {
        0 => println!("made the tables of schema version {now}"),
        found if found == now => println!("nothing to do: the schema has version {now}"),
        found => println!("brought the schema from version {found} to {now}"),
    }
    Ok(())
}
