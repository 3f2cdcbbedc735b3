//! The kept state: what a gateway knew when it last ran, so that it can start while the admin service is away.
//!
//! It is sealed with the gateway's credential, and written by a thread of its own. Whoever can write to the disk can destroy
//! it and cannot change it; an older one is refused once a newer revision was confirmed, and each is refused when it is older
//! than data may be. So the one thing that is gained by putting back an old copy of all files is what a gateway that was cut
//! off at that moment would serve now.
//!
//! # Layout
//! - [`arrivals`]: from the cache to the thread; [`writer`]: the thread.
//! - [`book`]: the files, and the order in which they are written; [`disk`]: where they are.
//! - [`seal`]: their octets. What those say is in `gateway/src/cache/image.rs`.
//! - [`components`]: components of policies, which need no seal, as they are known by digest.

mod arrivals;
mod book;
mod components;
mod disk;
mod seal;
mod writer;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use feed::Clock;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

pub use arrivals::Arrivals;
pub use book::{Book, Confirmed, Found, Moment, Refused, Restored, State};
pub use disk::{Directory, Disk, Growing};
pub use seal::{Key, NotSealed};

pub(crate) use components::KeptComponents;
pub use writer::{Recorder, Recording, Whole};

use writer::KeptCounts;

use crate::cache::{Cache, Stale};
use crate::policies::Keeper;
use crate::settings::Settings;

/// What is kept, before anything is served.
pub(crate) struct Kept {
    pub(crate) restored: Option<Restored>,
    pub(crate) components: KeptComponents,
    recorder: Recorder<Directory>,
    arrivals: Arc<Arrivals>,
    now: Moment,
}

/// What is kept, while it is written.
pub(crate) struct Keeping {
    arrivals: Arc<Arrivals>,
    thread: JoinHandle<()>,
}

/// What is told of the kept state.
#[derive(Clone)]
pub(crate) struct KeptMetrics {
    counts: Arc<KeptCounts>,
}

impl Kept {
    /// Begins to open what is kept, if anything is: while policies are compiled, as either takes a while.
    pub(crate) fn start_opening(settings: &Settings, cache: &Arc<Cache>) -> Option<JoinHandle<io::Result<Self>>> {
        let key = settings.keep.clone()?;
        let (settings, cache) = (settings.clone(), Arc::clone(cache));
        Some(std::thread::spawn(move || Self::open(&settings, key, cache)))
    }

    /// Opens what is kept in the data directory. What is refused is told, and put aside.
    fn open(settings: &Settings, key: Key, cache: Arc<Cache>) -> io::Result<Self> {
        let started = Instant::now();
        let clock = settings.clock.clone();
        let age_max = settings.limits.data_age.reads_max;
        let directory = Directory::open(settings.data.join("kept-state"))?;
        // Without it no two moments are known to be of one life of the machine, and the time of day alone counts.
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot = boot.trim().to_owned();
        let now = Moment::now(&clock, &boot);
        let age_ms_max = i64::try_from(age_max.as_millis()).unwrap_or(i64::MAX);
        let book = Book::new(directory.clone(), key.clone());
        let Found { confirmed, state } = book.find(&now, age_ms_max);
        if let Some(Confirmed { store, revision, .. }) = confirmed {
            cache.set_floor(store, revision);
        }
        let restored = state.unwrap_or_else(|refused| {
            tell_refused(&book, &refused);
            None
        });
        if let Some(restored) = &restored {
            let (tokens, subjects) = restored.snapshot.sizes();
            let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            let (revision, age_ms) = (restored.snapshot.revision(), restored.age_ms);
            tracing::info!(revision, age_ms, tokens, subjects, took_ms, "the kept state was read");
        }
        let arrivals = Arc::<Arrivals>::default();
        cache.keep(Arc::clone(&arrivals));
        Ok(Self {
            restored,
            components: KeptComponents::open(&directory)?,
            arrivals: Arc::clone(&arrivals),
            recorder: Recorder::new(Recording {
                cache,
                arrivals,
                clock,
                boot,
                disk: directory,
                key,
                whole: Whole::Aside,
            }),
            now,
        })
    }

    /// Starts to write.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(self) -> io::Result<(Keeping, KeptMetrics, Option<TakenUp>)> {
        let Self {
            restored,
            recorder,
            arrivals,
            now,
            ..
        } = self;
        let metrics = KeptMetrics {
            counts: recorder.counts(),
        };
        let thread = std::thread::Builder::new().name("postern-kept".to_owned());
        let thread = thread.spawn(move || recorder.run())?;
        let restored = restored.map(|restored| TakenUp { restored, now });
        Ok((Keeping { arrivals, thread }, metrics, restored))
    }
}

/// A state that is to be served from.
pub(crate) struct TakenUp {
    restored: Restored,
    now: Moment,
}

impl TakenUp {
    /// Serves from it, as from a snapshot that the feed told.
    pub(crate) async fn serve(self, cache: &Cache, policies: &Keeper, clock: &Clock) -> Result<(), Stale> {
        let Restored {
            snapshot,
            age_ms,
            unix_ms,
        } = self.restored;
        policies.put_in_force(snapshot.policies(), snapshot.revision()).await;
        cache.replace(snapshot)?;
        let passed_ms = clock.elapsed_ms().saturating_sub(self.now.elapsed_ms);
        let freshness = cache.freshness();
        freshness.time_was_told(clock, unix_ms.saturating_add(passed_ms));
        freshness.heard_at(self.now.elapsed_ms.saturating_sub(age_ms));
        let revision = cache.revision();
        tracing::info!(
            revision,
            age_ms,
            "requests are decided on the kept state until the feed is heard"
        );
        Ok(())
    }
}

impl Keeping {
    /// Ends it, so that another process on the directory can begin. What is applied from now on is not confirmed.
    pub(crate) fn end(&self) {
        self.arrivals.end();
    }

    /// Waits for its end. Blocks.
    pub(crate) fn join(self) {
        self.end();
        if self.thread.join().is_err() {
            tracing::error!("the thread of the kept state panicked");
        }
    }
}

impl KeptMetrics {
    /// Returns whether the last attempt to write failed.
    pub(crate) fn is_failing(&self) -> bool {
        self.counts.failing.load(Ordering::Relaxed)
    }

    pub(crate) fn encode(&self, encoder: &mut DescriptorEncoder) -> std::fmt::Result {
        let KeptCounts { revision, bytes, .. } = &*self.counts;
        let gauge =
            |value: &AtomicU64| ConstGauge::new(i64::try_from(value.load(Ordering::Relaxed)).unwrap_or(i64::MAX));
        let help = "Revision that the state on the disk reaches; 0 while there is none.";
        let family = encoder.encode_descriptor("postern_kept_state_revision", help, None, MetricType::Gauge)?;
        gauge(revision).encode(family)?;
        let help = "Size of the state on the disk.";
        let family = encoder.encode_descriptor("postern_kept_state_octets", help, None, MetricType::Gauge)?;
        gauge(bytes).encode(family)?;
        let help = "Times that the state could not be written.";
        let family = encoder.encode_descriptor("postern_kept_state_failures", help, None, MetricType::Counter)?;
        ConstCounter::new(self.counts.failures.load(Ordering::Relaxed)).encode(family)
    }
}

fn tell_refused(book: &Book<Directory>, refused: &Refused) {
    match book.put_aside(refused) {
        Ok(true) => {
            tracing::error!(error = %refused, "the kept state is refused and was put aside: this gateway waits for the feed");
        }
        Ok(false) => tracing::warn!(error = %refused, "the kept state is refused: this gateway waits for the feed"),
        Err(error) => {
            tracing::error!(refused = %refused, %error, "the kept state is refused and cannot be put aside: this gateway waits for the feed");
        }
    }
}
