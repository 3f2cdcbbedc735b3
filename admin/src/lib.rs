//! The control plane: who may do what is kept in a store, changed through an API and told to gateways by a feed.
//!
//! The path of a change: `api` → `store` → `feed_api`. Everything here stands behind the gateway, which has
//! decided by the role policies whether the caller may do what they ask; what is added here is what only the store's
//! owner can know. The crate does not listen on sockets, and runs policies only to vet them and to tell what they allow.
//!
//! # Layout
//! - `api`: what clients ask, by path; its rules are checked inside the transaction that they guard.
//! - `store`: the rows, the audit entries and the change log, in one transaction for each change.
//! - `console`: the API as people see it, in a browser.
//! - `feed_api`: what gateways are told and what they report.
//! - `trust`, `fleet`, `identity`, `gateways`: whose word is taken.
//! - `open`, `bootstrap`, `data_dir`: the start.
//! - `transfer`: moving a store, and coming back to an earlier state of it.
//! - `evaluator`: the engine, and the policies that it has loaded; `manifest`: what they say of themselves.
//! - `roles`, `random`, `body`, `error`: parts of the above.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use catalogue::Catalogue;
use feed::Clock;
use feed::key::SigningKey;

mod api;
mod body;
mod bootstrap;
mod console;
mod data_dir;
mod error;
mod evaluator;
mod feed_api;
mod fleet;
mod gateways;
mod identity;
mod manifest;
mod open;
mod random;
mod roles;
mod store;
mod transfer;
mod trust;

pub use console::{ConsoleCounts, InvalidOrigin, Origin};
pub use data_dir::{
    BOOTSTRAP_TOKEN_FILE, CONSOLE_KEY_FILE, DECISIONS_FILE, FEED_KEY_FILE, FEED_PUBLIC_KEY_FILE,
    GATEWAY_CREDENTIAL_FILE, STORE_FILE,
};
pub use gateways::{GatewayStatus, SILENT_AFTER_MS};
pub use open::{OpenError, open};
pub use random::Random;
pub use store::moving::Restored;
pub use store::transfer::TransferError;
pub use store::{Counts, InvalidUrl, PostgresPlace, StoreHealth};

pub use transfer::{MoveError, ReplacedStore, StorePlace};

use data_dir::DataDirectory;
use evaluator::Evaluator;
use feed_api::{Announcer, FeedApi, Feeds};
use fleet::Fleet;
use gateways::Gateways;
use store::Store;
use store::decisions::Decisions;
use trust::Trust;

/// What the control plane needs.
pub struct Settings {
    /// The data directory, which must exist.
    pub data: PathBuf,
    /// The PostgreSQL database that holds the store; `None`: a file of the data directory does.
    pub postgres: Option<PostgresPlace>,
    /// The organisation that an empty store gets; `None`: `default`.
    pub org: Option<String>,
    /// The private key that signs the feed, which replicas share; `None`: one of the data directory.
    pub feed_key_file: Option<PathBuf>,
    /// The time.
    pub clock: Clock,
    /// Where tokens and ids come from.
    pub random: Random,
    /// The operations that permissions are told of.
    pub catalogue: Arc<Catalogue>,
    /// What compiles policies.
    pub compiler: engine::Compiler,
    /// Keys of those who may sign policies; none: policies need not be signed.
    pub trusted_keys: engine::signature::TrustedKeys,
}

/// A running control plane.
pub struct Admin {
    store: Arc<Store>,
    gateways: Arc<Gateways>,
    feeds: Arc<Feeds>,
    decisions: Arc<Decisions>,
    evaluator: Arc<Evaluator>,
    router: Router,
    api: api::Api,
    console: Arc<console::Counting>,
    bootstrapped: bool,
    directory: DataDirectory,
}

/// What opening has made of the settings.
struct Parts {
    fleet: Arc<Fleet>,
    decisions: Decisions,
    evaluator: Evaluator,
    directory: DataDirectory,
    feed_key: SigningKey,
}

/// The control plane could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("the store cannot be read")]
pub struct Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>);

impl Admin {
    /// Returns the routes of the API and of the feed. Whoever serves them adds limits on connections and headers.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Returns the routes of the console, for browsers that find it at an origin. A key is written to the data directory,
    /// in the place of an earlier one, with which the command line asks for links to sign in.
    ///
    /// # Errors
    /// [`OpenError::Io`] when the key cannot be made or written.
    pub fn console(&self, origin: Origin, gateway_url: &str) -> Result<Router, OpenError> {
        let key = self.directory.console_key(&self.api.random)?;
        let counts = Arc::clone(&self.console);
        let console = console::Console::new(self.api.clone(), (origin, gateway_url), key, counts);
        Ok(console.routes())
    }

    /// Returns what has come of requests to the console.
    pub fn console_counts(&self) -> ConsoleCounts {
        self.console.counts()
    }

    /// Returns the newest revision.
    pub fn revision(&self) -> u64 {
        *self.store.newest().borrow()
    }

    /// Returns the store's identity, as the feed tells it.
    pub fn store_name(&self) -> String {
        self.store.name().to_owned()
    }

    /// Returns whether this start found an empty store and wrote the first administrator's token.
    pub fn bootstrapped(&self) -> bool {
        self.bootstrapped
    }

    /// Returns what each gateway last reported, ordered by name.
    pub fn gateways(&self) -> Vec<GatewayStatus> {
        self.gateways.statuses()
    }

    /// Returns how the store fares.
    pub fn store_health(&self) -> StoreHealth {
        self.store.health()
    }

    /// Counts the feeds that are open.
    pub fn open_feeds(&self) -> usize {
        self.feeds.count()
    }

    /// Counts what the store holds; reads the whole of an index, so not for every request.
    ///
    /// # Errors
    /// [`Unavailable`] when the store cannot be read.
    pub async fn counts(&self) -> Result<Counts, Unavailable> {
        let counts = self.store.counts().await;
        counts.map_err(|error| Unavailable(Box::new(error)))
    }

    /// Puts another catalogue in the place of the one in [`Settings`], for permissions that are told from now on.
    pub fn replace_catalogue(&self, catalogue: Arc<Catalogue>) {
        self.evaluator.replace_catalogue(catalogue);
    }

    /// Ends all feeds, waits for running transactions and closes the store. Requests that come later fail.
    pub async fn close(&self) {
        self.feeds.close().await;
        self.store.close().await;
        self.decisions.close().await;
    }

    fn new(settings: Settings, parts: Parts, bootstrapped: bool) -> Self {
        let fleet = parts.fleet;
        let (store, gateways, feeds) = (
            Arc::clone(&fleet.store),
            Arc::clone(&fleet.gateways),
            Arc::clone(&fleet.feeds),
        );
        let decisions = Arc::new(parts.decisions);
        let evaluator = Arc::new(parts.evaluator);
        let roles = Arc::new(evaluator.roles());
        let announcer = Announcer::start(&store, &settings.clock, parts.feed_key, (&fleet, &feeds));
        let feed_api = FeedApi {
            announcer: Arc::clone(&announcer),
            store: Arc::clone(&store),
            decisions: Arc::clone(&decisions),
            clock: settings.clock.clone(),
            roles: Arc::clone(&roles),
            gateways: Arc::clone(&gateways),
            feeds: Arc::clone(&feeds),
            fleet: Arc::clone(&fleet),
        };
        let api = api::Api {
            store: Arc::clone(&store),
            decisions: Arc::clone(&decisions),
            clock: settings.clock.clone(),
            random: settings.random,
            roles,
            evaluator: Arc::clone(&evaluator),
            gateways: Arc::clone(&gateways),
            fleet: Arc::clone(&fleet),
            feed_public_key: announcer.public_key().into(),
        };
        let trust = Arc::new(Trust {
            fleet: Arc::clone(&fleet),
            gateways: Arc::clone(&gateways),
            clock: settings.clock,
        });
        let router = api::routes(api.clone())
            .layer(from_fn_with_state(Arc::clone(&trust), trust::require_identity))
            .merge(feed_api::routes(feed_api.clone()))
            .fallback(async || error::ApiError::NotFound)
            .method_not_allowed_fallback(async || error::ApiError::MethodNotAllowed)
            .layer(from_fn_with_state(trust, trust::require_gateway))
            .merge(feed_api::enrolment_routes(feed_api));
        Self {
            store,
            gateways,
            feeds,
            decisions,
            evaluator,
            router,
            api,
            console: Arc::default(),
            bootstrapped,
            directory: parts.directory,
        }
    }
}
