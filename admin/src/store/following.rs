//! Following: how a process learns of the changes that others make in the same PostgreSQL database.
//!
//! Notifications only wake. What is believed is the number in the table, which is also looked at again and again, for when
//! notifications are lost, or the server has none.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::Postgres;
use sqlx::pool::Pool;
use sqlx::postgres::PgListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::health::Health;
use super::{StoreError, unsigned};

/// Follows until it is ended or dropped.
#[derive(Debug)]
pub(super) struct Following {
    seen: Arc<Seen>,
    teller: Teller,
    tasks: Mutex<JoinSet<()>>,
}

/// Tells other processes that there is something new. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Teller(Arc<Notify>);

/// What the last looks saw.
#[derive(Debug)]
struct Seen {
    began: Instant,
    /// When the last look that succeeded was begun: milliseconds since `began`.
    looked_ms: AtomicU64,
    replaced: AtomicBool,
}

impl Following {
    /// Follows the database that these connections reach; needs [`CONNECTIONS`] of them.
    pub(super) fn start(
        pool: &Pool<Postgres>,
        incarnation: u64,
        newest: &Arc<watch::Sender<u64>>,
        health: &Health,
    ) -> Self {
        let seen = Arc::new(Seen {
            began: Instant::now(),
            looked_ms: AtomicU64::new(0),
            replaced: AtomicBool::new(false),
        });
        let teller = Teller(Arc::new(Notify::new()));
        let woken = Arc::new(Notify::new());
        let look = Look {
            pool: pool.clone(),
            incarnation,
            newest: Arc::clone(newest),
            seen: Arc::clone(&seen),
            health: health.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(pool.clone(), Arc::clone(&woken)));
        tasks.spawn(notify(pool.clone(), teller.clone()));
        tasks.spawn(look.again_and_again(woken));
        Self {
            seen,
            teller,
            tasks: Mutex::new(tasks),
        }
    }

    pub(super) fn teller(&self) -> Teller {
        self.teller.clone()
    }

    /// Returns whether the newest revision was looked at a moment ago.
    pub(super) fn is_current(&self) -> bool {
        self.check().is_ok() && self.seen.age() <= CURRENT_MAX
    }

    /// Refuses a database that has not answered for a while, without keeping anybody waiting, or that is another one.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.seen.replaced.load(Ordering::Acquire) {
            return Err(StoreError::Replaced);
        }
        if self.seen.age() > SILENCE_MAX {
            return Err(StoreError::Unreachable);
        }
        Ok(())
    }

    pub(super) async fn end(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
    }
}

impl Teller {
    /// Tells others, soon; many calls may become one.
    pub(super) fn tell(&self) {
        self.0.notify_one();
    }
}

impl Seen {
    fn age(&self) -> Duration {
        let looked = Duration::from_millis(self.looked_ms.load(Ordering::Acquire));
        self.began.elapsed().saturating_sub(looked)
    }
}

struct Look {
    pool: Pool<Postgres>,
    incarnation: u64,
    newest: Arc<watch::Sender<u64>>,
    seen: Arc<Seen>,
    health: Health,
}

impl Look {
    async fn again_and_again(self, woken: Arc<Notify>) {
        let mut answers = true;
        loop {
            // Woken or not.
            timeout(LOOK_INTERVAL, woken.notified()).await.ok();
            match timeout(LOOK_MAX, self.look()).await {
                Ok(Ok(())) => {
                    if !answers {
                        tracing::info!("the store's database answers again");
                    }
                    answers = true;
                }
                failed => {
                    self.health.failed();
                    if answers {
                        tracing::warn!(error = ?failed, "the store's database does not answer");
                    }
                    answers = false;
                }
            }
        }
    }

    async fn look(&self) -> Result<(), StoreError> {
        let began = Instant::now();
        // Before the table is read: what this process commits meanwhile may be newer than what is read.
        let known = *self.newest.borrow();
        let (revision, incarnation): (i64, i64) = sqlx::query_as("SELECT revision, incarnation FROM store")
            .fetch_one(&self.pool)
            .await?;
        let (revision, incarnation) = (unsigned(revision)?, unsigned(incarnation)?);
        if incarnation != self.incarnation || revision < known {
            if !self.seen.replaced.swap(true, Ordering::AcqRel) {
                tracing::error!(
                    revision,
                    incarnation,
                    known,
                    "the database is not what it was: a backup was restored, or confirmed changes were lost; start again"
                );
            }
            return Ok(());
        }
        let looked = began.duration_since(self.seen.began).as_millis();
        let looked = u64::try_from(looked).unwrap_or(u64::MAX);
        self.seen.looked_ms.fetch_max(looked, Ordering::AcqRel);
        self.newest.send_if_modified(|newest| {
            let newer = revision > *newest;
            *newest = revision.max(*newest);
            newer
        });
        Ok(())
    }
}

async fn listen(pool: Pool<Postgres>, woken: Arc<Notify>) {
    loop {
        let Err(error) = hear(&pool, &woken).await;
        tracing::debug!(%error, "notifications cannot be heard");
        sleep(LISTEN_PAUSE).await;
    }
}

async fn hear(pool: &Pool<Postgres>, woken: &Notify) -> Result<std::convert::Infallible, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        listener.recv().await?;
        woken.notify_one();
    }
}

async fn notify(pool: Pool<Postgres>, teller: Teller) {
    loop {
        teller.0.notified().await;
        // Whoever does not hear it looks for itself, a little later.
        if let Err(error) = sqlx::query(NOTIFY).execute(&pool).await {
            tracing::debug!(%error, "others could not be notified");
        }
    }
}

/// Connections that following needs: one that hears, one that tells, one that looks.
pub(super) const CONNECTIONS: u32 = 3;

const CHANNEL: &str = "postern_revision";

const NOTIFY: &str = "NOTIFY postern_revision";

/// Longest time between two looks at the newest revision.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Longest time of a look.
const LOOK_MAX: Duration = Duration::from_secs(2);

/// For how long what was seen counts as the present: less than gateways take a second of silence for.
const CURRENT_MAX: Duration = Duration::from_millis(900);

/// How long the database may be silent before requests are refused at once.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// How long after a loss listening begins again.
const LISTEN_PAUSE: Duration = Duration::from_secs(1);
