//! The thread that writes: each change, what may be confirmed, and now and then everything anew.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use feed::{Clock, Record};

use super::arrivals::{Arrivals, Arrived};
use super::book::{Book, Confirmed, Moment, State};
use super::disk::{Directory, Disk};
use super::seal::Key;
use crate::cache::Cache;

/// What is told of the kept state.
#[derive(Debug, Default)]
pub(crate) struct KeptCounts {
    /// The revision that the state on the disk reaches; 0 while there is none.
    pub(crate) revision: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) failures: AtomicU64,
    /// Whether the last attempt to write failed.
    pub(crate) failing: AtomicBool,
}

/// Writes what a cache takes to a disk, and says what may be confirmed.
pub struct Recorder<D: Disk> {
    settings: Recording<D>,
    book: Book<D>,
    fresh: Option<Fresh<D>>,
    /// When the feed had been heard, the last time that it was written down, by the clock that nobody can set.
    heard_ms: i64,
    /// Nothing is begun anew before that, by the same clock.
    retry_ms: i64,
    counts: Arc<KeptCounts>,
}

/// What is recorded, and where.
pub struct Recording<D: Disk> {
    /// What is recorded.
    pub cache: Arc<Cache>,
    /// What it takes.
    pub arrivals: Arc<Arrivals>,
    /// The time.
    pub clock: Clock,
    /// Which life of the machine it is.
    pub boot: String,
    /// Where it is written.
    pub disk: D,
    /// With what it is sealed.
    pub key: Key,
    /// Who writes everything anew.
    pub whole: Whole,
}

/// Who writes everything anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    /// A thread of its own, while changes are written on.
    Aside,
    /// Whoever writes the changes.
    AtOnce,
}

/// A state on its way to the disk, beside the one that is there.
struct Fresh<D: Disk> {
    writing: Written<D>,
    /// Changes since it was begun.
    since: Vec<(u64, Vec<Record>)>,
    /// How many records those are.
    records: usize,
    /// Whether it will not do, as everything was replaced meanwhile.
    is_stale: bool,
}

enum Written<D: Disk> {
    Soon(JoinHandle<io::Result<Option<State<D>>>>),
    Now(io::Result<Option<State<D>>>),
}

impl Recorder<Directory> {
    /// Writes until nothing more comes. While another process on the directory writes, it waits, and nothing that this one
    /// applies may be confirmed: what that one leaves could be older.
    pub(crate) fn run(mut self) {
        let mut waiting = false;
        let _lock = loop {
            match self.settings.disk.lock() {
                Ok(Some(lock)) => break lock,
                Ok(None) if waiting => {}
                Ok(None) => {
                    tracing::warn!(
                        "another process keeps its state in this data directory: nothing is confirmed until it ends"
                    );
                }
                Err(error) if waiting => tracing::debug!(%error, "the kept state cannot be locked"),
                Err(error) => tracing::error!(%error, "the kept state cannot be locked: nothing is confirmed"),
            }
            waiting = true;
            if self.settings.arrivals.is_over_within(LOCK_PAUSE) {
                return;
            }
        };
        loop {
            self.settings.arrivals.wait(match self.fresh {
                Some(_) => FRESH_PAUSE,
                None => HEARD_PAUSE,
            });
            if !self.record() {
                return;
            }
        }
    }
}

impl<D: Disk> Recorder<D> {
    /// Returns one that has written nothing.
    pub fn new(settings: Recording<D>) -> Self {
        Self {
            book: Book::new(settings.disk.clone(), settings.key.clone()),
            settings,
            fresh: None,
            heard_ms: i64::MIN,
            retry_ms: i64::MIN,
            counts: Arc::default(),
        }
    }

    pub(crate) fn counts(&self) -> Arc<KeptCounts> {
        Arc::clone(&self.counts)
    }

    /// Writes what has come; returns whether more may come.
    pub fn record(&mut self) -> bool {
        // Before what came is taken: of a later moment, changes might count as heard that are not written.
        let heard = self.heard();
        let arrived = self.settings.arrivals.take();
        let (is_over, revision) = (arrived.is_over, arrived.revision);
        if revision == 0 {
            return !is_over;
        }
        let changed = arrived.is_whole || !arrived.changes.is_empty();
        let kept = self.keep(arrived);
        if kept.is_err() {
            self.give_up_state();
        }
        let confirmed = self.confirm(revision, heard, changed);
        self.tell(kept, confirmed);
        self.counts
            .revision
            .store(self.book.revision().unwrap_or(0), Ordering::Relaxed);
        self.counts.bytes.store(self.book.bytes(), Ordering::Relaxed);
        !is_over
    }

    /// When the data was last known to be what the store holds, as far as was heard by now.
    fn heard(&self) -> Option<Moment> {
        let Recording { cache, clock, boot, .. } = &self.settings;
        let age_ms = cache.freshness().age_ms(clock)?;
        Some(Moment {
            // A machine's clock that is ahead now and right at the next start would make it younger.
            unix_ms: cache.freshness().told_unix_ms(clock).saturating_sub(age_ms),
            elapsed_ms: clock.elapsed_ms().saturating_sub(age_ms),
            boot: boot.clone(),
        })
    }

    /// Adds changes to the state, and begins or ends a new one.
    fn keep(&mut self, arrived: Arrived) -> io::Result<()> {
        let Arrived {
            is_whole,
            changes,
            is_over,
            ..
        } = arrived;
        for (revision, records) in changes.iter().filter(|_| !is_whole) {
            self.book.append(*revision, records)?;
        }
        if let Some(fresh) = &mut self.fresh {
            fresh.is_stale |= is_whole;
            fresh.take(changes);
        }
        let due = is_whole || self.book.revision().is_none() || self.book.is_long();
        let now_ms = self.settings.clock.elapsed_ms();
        if due && !is_over && self.fresh.is_none() && now_ms >= self.retry_ms {
            self.begin_fresh()?;
        }
        self.book.sync()?;
        self.finish_fresh(is_over)
    }

    /// Writes down what may be confirmed; only then it may be.
    fn confirm(&mut self, revision: u64, heard: Option<Moment>, changed: bool) -> io::Result<()> {
        let is_behind = *self.settings.cache.confirmable().borrow() < revision;
        let news = changed || is_behind || heard.as_ref().is_some_and(|heard| heard.elapsed_ms > self.heard_ms);
        if let Some((store, heard)) = self.settings.cache.store().zip(heard).filter(|_| news) {
            let heard_ms = heard.elapsed_ms;
            self.book.confirm(&Confirmed { store, revision, heard })?;
            self.heard_ms = heard_ms;
            self.settings.cache.may_confirm(revision);
        }
        Ok(())
    }

    fn begin_fresh(&mut self) -> io::Result<()> {
        let (disk, key) = (self.settings.disk.clone(), self.settings.key.clone());
        let cache = Arc::clone(&self.settings.cache);
        let write = move || Book::write(&disk, &key, &cache);
        let writing = match self.settings.whole {
            Whole::AtOnce => Written::Now(write()),
            Whole::Aside => {
                let thread = std::thread::Builder::new().name("postern-kept-whole".to_owned());
                Written::Soon(thread.spawn(write)?)
            }
        };
        self.fresh = Some(Fresh {
            writing,
            since: Vec::new(),
            records: 0,
            is_stale: false,
        });
        Ok(())
    }

    /// Puts a state that is whole in the place of the one before. `is_over`: waits until it is whole.
    fn finish_fresh(&mut self, is_over: bool) -> io::Result<()> {
        let whole = self.fresh.take_if(|fresh| is_over || fresh.writing.is_there());
        let Some(fresh) = whole else { return Ok(()) };
        match fresh.writing.wait()? {
            Some(state) if !fresh.is_stale => self.book.adopt(state, &fresh.since),
            Some(_) | None => Ok(()),
        }
    }

    /// Goes on without a state on the disk, for a while.
    fn give_up_state(&mut self) {
        self.retry_ms = self.settings.clock.elapsed_ms() + RETRY_PAUSE_MS;
        self.fresh.iter_mut().for_each(|fresh| fresh.is_stale = true);
        if let Err(error) = self.book.forget() {
            // It takes room, and is older than what will be confirmed.
            tracing::debug!(%error, "a state that is not written on cannot be removed");
        }
    }

    /// Tells the log when something cannot be written, and when all can again.
    fn tell(&self, kept: io::Result<()>, confirmed: io::Result<()>) {
        let failures = u64::from(kept.is_err()) + u64::from(confirmed.is_err());
        self.counts.failures.fetch_add(failures, Ordering::Relaxed);
        if failures == 0 && self.book.revision().is_none() {
            return;
        }
        let failed_before = self.counts.failing.swap(failures > 0, Ordering::Relaxed);
        if failed_before && failures == 0 {
            tracing::info!("the kept state can be written again");
        }
        if failed_before {
            return;
        }
        if let Err(error) = kept {
            tracing::error!(%error, "the kept state cannot be written: this gateway serves on, but could not start without the admin service");
        }
        if let Err(error) = confirmed {
            tracing::error!(%error, "the kept state cannot be written: this gateway serves on, and acknowledges nothing newer");
        }
    }
}

impl<D: Disk> Fresh<D> {
    /// Takes changes that were made while it is written.
    fn take(&mut self, changes: Vec<(u64, Vec<Record>)>) {
        self.records += changes.iter().map(|(_, records)| records.len() + 1).sum::<usize>();
        self.is_stale |= self.records > SINCE_MAX;
        if self.is_stale {
            self.since = Vec::new();
        } else {
            self.since.extend(changes);
        }
    }
}

impl<D: Disk> Written<D> {
    fn is_there(&self) -> bool {
        match self {
            Self::Soon(thread) => thread.is_finished(),
            Self::Now(_) => true,
        }
    }

    fn wait(self) -> io::Result<Option<State<D>>> {
        match self {
            Self::Soon(thread) => {
                let written = thread.join();
                written.unwrap_or_else(|_panicked| Err(io::Error::other("the writer panicked")))
            }
            Self::Now(written) => written,
        }
    }
}

/// How often it is written down that the feed was heard: a state is taken for so much older at most.
const HEARD_PAUSE: Duration = Duration::from_secs(5);

/// How often it is looked whether a new state is whole.
const FRESH_PAUSE: Duration = Duration::from_millis(20);

/// How often it is looked whether another process on the directory has ended.
const LOCK_PAUSE: Duration = Duration::from_millis(250);

/// How long it is left at that when something could not be written.
const RETRY_PAUSE_MS: i64 = 10_000;

/// Records of changes that are held while a new state is written; with more, it is begun again.
const SINCE_MAX: usize = 100_000;
