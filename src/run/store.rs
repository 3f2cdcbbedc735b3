//! Work on the store, instead of serving from it.

use std::path::PathBuf;

use admin::{MoveError, PostgresPlace, Random, ReplacedStore, StorePlace, TransferError};
use feed::Clock;

use crate::cli::{DetachArgs, RestoreArgs, StoreCommand};
use crate::config::{ADMIN, Given};
use crate::exit::{CANNOT_CREATE, DATA, Failure, INPUT_OUTPUT, USAGE};

/// Does what was asked.
pub(super) async fn run(command: StoreCommand) -> Result<(), Failure> {
    super::start_log("warn");
    match command {
        StoreCommand::Migrate(given) => migrate(given).await,
        StoreCommand::Export(args) => {
            let rows = place(args.given)?.export(&args.file).await;
            println!("wrote {} rows", rows.map_err(|error| failure(&error))?);
            Ok(())
        }
        StoreCommand::Backup(args) => {
            let rows = place(args.given)?.back_up(&args.file).await;
            println!("wrote {} rows", rows.map_err(|error| failure(&error))?);
            Ok(())
        }
        StoreCommand::Import(args) => {
            let place = place(args.given)?;
            super::data_directory(&place.data)?;
            let revision = place.import(&args.file).await;
            println!(
                "the store is at revision {}",
                revision.map_err(|error| failure(&error))?
            );
            Ok(())
        }
        StoreCommand::Restore(args) => restore(args).await,
        StoreCommand::Detach(args) => detach(args).await,
    }
}

async fn migrate(given: Given<ADMIN>) -> Result<(), Failure> {
    let Some(place) = place(given)?.postgres else {
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

async fn restore(args: RestoreArgs) -> Result<(), Failure> {
    let mut reading = args.given.read();
    let place = place_of(&mut reading);
    let password = reading.store_password();
    reading.finish().map_err(|errors| Failure::new(USAGE, &errors))?;
    super::data_directory(&place.data)?;
    let replaced = match args.replaces {
        None => None,
        Some(text) if text.contains("://") => {
            let parsed = PostgresPlace::parse(&text, password.as_deref());
            let parsed = parsed.map_err(|error| Failure::said(USAGE, format!("--replaces: {error}")))?;
            Some(ReplacedStore::Postgres(parsed))
        }
        Some(path) => Some(ReplacedStore::File(PathBuf::from(path))),
    };
    let (clock, random) = (Clock::system(), Random::system());
    let restored = place.restore(&args.file, replaced.as_ref(), &clock, &random).await;
    let restored = restored.map_err(|error| failure(&error))?;
    let token = place.data.join(admin::BOOTSTRAP_TOKEN_FILE);
    println!("the store is at revision {}, in a life of its own", restored.revision);
    println!(
        "tokens: {} are good, {} are held: `postern token release`",
        restored.free, restored.held
    );
    println!("an administrator's token is in {}", token.display());
    Ok(())
}

async fn detach(args: DetachArgs) -> Result<(), Failure> {
    let mut reading = args.given.read();
    let place = place_of(&mut reading);
    let org = reading.text("org");
    reading.finish().map_err(|errors| Failure::new(USAGE, &errors))?;
    let (clock, random) = (Clock::system(), Random::system());
    let detached = place.detach_guard((&org, &args.guard), &clock, &random).await;
    let revision = detached.map_err(|error| failure(&error))?;
    println!("detached {}, at revision {revision}", args.guard);
    Ok(())
}

fn place(given: Given<ADMIN>) -> Result<StorePlace, Failure> {
    let mut reading = given.read();
    let place = place_of(&mut reading);
    reading.finish().map_err(|errors| Failure::new(USAGE, &errors))?;
    Ok(place)
}

fn place_of(reading: &mut crate::config::Reading) -> StorePlace {
    StorePlace {
        data: PathBuf::from(reading.text("data")),
        postgres: reading.postgres(),
    }
}

fn failure(error: &MoveError) -> Failure {
    let code = match error {
        MoveError::Open(error) => return super::control::failure(error),
        MoveError::Exists { .. } => CANNOT_CREATE,
        MoveError::File {
            source: TransferError::Io(_),
            ..
        } => INPUT_OUTPUT,
        MoveError::File { .. } | MoveError::OtherStore => DATA,
        MoveError::NotEmpty { .. } | MoveError::NoSuchGuard { .. } => USAGE,
    };
    Failure::new(code, error)
}
