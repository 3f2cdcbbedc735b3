//! A store and a gateway under a scheduler that only a seed decides: changes, frames that are late or lost, restarts, losses of
//! power, full disks, clocks that are set, and somebody who puts old files back.
//!
//! Whatever happens: a gateway answers as the store did at the gateway's revision, which is never before one that it has
//! acknowledged; and it never takes its data for younger than it is.
//!
//! `POSTERN_SIMULATION_SEEDS` is how many seeds are run, `POSTERN_SIMULATION_SEED` the first of them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use feed::{Clock, Frame};
use gateway::cache::Cache;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::model::{Gateway, NOW_MS, STORE, Store};

/// Seeds that are run when nothing else is said, and how many things happen in each.
const SEEDS: u64 = 100_000;
const STEPS: u32 = 20;

struct World {
    random: StdRng,
    /// What no clock in the world shows: how much time has passed.
    passed_ms: i64,
    store: Store,
    /// When each revision came to be, by the time that has passed.
    since_ms: Vec<i64>,
    node: Node,
}

struct Node {
    gateway: Gateway,
    /// Frames on their way, each with the time at which it was sent; `None` while there is no connection.
    wire: Option<VecDeque<(i64, Frame)>>,
    /// The revision up to which frames were sent.
    sent: u64,
    snapshot: Option<gateway::cache::Snapshot>,
    /// Whether this connection has told the time.
    time_told: bool,
    /// What the admin service was told.
    acknowledged: u64,
    /// An earlier copy of the state, for whoever puts it back.
    copy: Option<Vec<u8>>,
    boots: u32,
    taken_up: u64,
}

impl Node {
    fn new() -> Self {
        Self {
            gateway: Gateway::new(),
            wire: None,
            sent: 0,
            snapshot: None,
            time_told: false,
            acknowledged: 0,
            copy: None,
            boots: 0,
            taken_up: 0,
        }
    }

    /// Takes the next frame, as `gateway/src/sync.rs` does. One that is refused ends the connection.
    fn take(&mut self, passed_ms: i64) {
        let Some((sent_ms, frame)) = self.wire.as_mut().and_then(VecDeque::pop_front) else {
            return;
        };
        let cache = &self.gateway.cache;
        let taken = match frame {
            Frame::Opening { .. } => true,
            Frame::SnapshotBegin { store, revision } => {
                let snapshot = Cache::begin_snapshot(store, revision);
                let admitted = cache.admits(&snapshot).is_ok();
                self.snapshot = Some(snapshot);
                admitted
            }
            Frame::Record { record } => {
                self.snapshot
                    .iter_mut()
                    .for_each(|snapshot| snapshot.add(record.clone()));
                true
            }
            Frame::SnapshotEnd { .. } => self.snapshot.take().is_some_and(|whole| cache.replace(whole).is_ok()),
            Frame::Change { revision, records } => cache.apply(revision, records).is_ok(),
            Frame::Heartbeat { revision, unix_ms } => {
                let (freshness, clock) = (cache.freshness(), &self.gateway.clock);
                match std::mem::replace(&mut self.time_told, true) {
                    false => freshness.time_was_told(clock, unix_ms),
                    true => freshness.time_went_on(clock, unix_ms),
                }
                if cache.store().is_some() && revision <= cache.revision() {
                    let elapsed_ms = self.gateway.clock.elapsed_ms();
                    cache.freshness().heard_at(elapsed_ms - (passed_ms - sent_ms));
                }
                true
            }
        };
        if !taken {
            self.wire = None;
        }
    }

    fn has_recorded_since_boot(&self) -> bool {
        let confirmed = self.gateway.find().confirmed;
        confirmed.is_some_and(|confirmed| confirmed.heard.boot == self.gateway.boot)
    }

    fn acknowledge(&mut self) {
        self.acknowledged = self.gateway.confirmed().max(self.acknowledged);
    }

    fn restart(&mut self, random: &mut StdRng) {
        if self.gateway.disk.is_off() || random.random_bool(0.3) {
            // The whole machine: it has another life, and the time of day as its hardware has it.
            self.boots += 1;
            self.gateway.boot = format!("boot-{}", self.boots);
        }
        self.gateway.disk.restart(|left| random.random_range(0..=left));
        self.wire = None;
        self.snapshot = None;
    }
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            passed_ms: 0,
            store: Store::new(),
            since_ms: vec![0],
            node: Node::new(),
        }
    }

    fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..24 => self.change(),
            24..44 => {
                // All of it at once, as when nothing is in the way.
                self.send();
                while self.node.wire.as_ref().is_some_and(|wire| !wire.is_empty()) {
                    self.node.take(self.passed_ms);
                }
                self.node.gateway.recorder.record();
                self.node.acknowledge();
            }
            44..50 => self.send(),
            50..56 => {
                let frames = self.random.random_range(1..8);
                (0..frames).for_each(|_| self.node.take(self.passed_ms));
            }
            56..60 => drop(self.node.gateway.recorder.record()),
            60..64 => self.node.acknowledge(),
            64..66 => self.node.wire = None,
            66..72 => self.pass(),
            // Of a clock that is wrong from a machine's start on, until something is written down, nobody could tell.
            72..76 if self.node.has_recorded_since_boot() => {
                let by_ms = self.random.random_range(-100_000..100_000);
                self.node.gateway.clock.step_ms(by_ms);
            }
            76..82 => {
                let operations = self.random.random_range(0..10);
                self.node.gateway.disk.lose_power_after(operations);
            }
            82..84 => {
                let is_full = self.random.random_bool(0.5);
                self.node.gateway.disk.fill(is_full);
            }
            84..87 => self.node.copy = self.node.gateway.disk.get("state"),
            87..90 => {
                if let Some(copy) = self.node.copy.take() {
                    self.node.gateway.disk.put("state", copy);
                    self.restart();
                }
            }
            _ => self.restart(),
        }
        if self.node.gateway.disk.is_off() {
            // What it still told before it fell silent.
            self.node.acknowledge();
            self.restart();
        }
        self.check();
    }

    fn change(&mut self) {
        self.store.change(&mut self.random);
        self.since_ms.push(self.passed_ms);
    }

    /// Lets time pass everywhere.
    fn pass(&mut self) {
        let ms = self.random.random_range(0..200_000);
        self.passed_ms += ms;
        self.node.gateway.clock.advance_ms(ms);
    }

    /// Sends what is new, and a heartbeat; on a new connection from where the gateway is, or a snapshot.
    fn send(&mut self) {
        let (newest, now_ms) = (self.store.revision(), self.passed_ms);
        let whole = self.random.random_bool(0.2);
        let node = &mut self.node;
        let is_new = node.wire.is_none();
        let wire = node.wire.get_or_insert_default();
        if is_new {
            let cache = &node.gateway.cache;
            node.sent = cache.revision();
            node.time_told = false;
            if whole || cache.store().is_none() {
                // A replica may be behind.
                let revision = self.random.random_range(1..=newest);
                let store = STORE.to_owned();
                let records = self.store.at(revision).records();
                let count = records.len() as u64;
                wire.push_back((now_ms, Frame::SnapshotBegin { store, revision }));
                wire.extend(records.into_iter().map(|record| (now_ms, Frame::Record { record })));
                wire.push_back((
                    now_ms,
                    Frame::SnapshotEnd {
                        // Signatures are shown elsewhere.
                        digest: String::new(),
                        revision,
                        records: count,
                    },
                ));
                node.sent = revision;
            }
        }
        for revision in node.sent + 1..=newest {
            let records = self.store.records(revision);
            wire.push_back((now_ms, Frame::Change { revision, records }));
        }
        node.sent = newest;
        let unix_ms = NOW_MS + now_ms;
        wire.push_back((
            now_ms,
            Frame::Heartbeat {
                revision: newest,
                unix_ms,
            },
        ));
    }

    fn restart(&mut self) {
        let node = &mut self.node;
        let boots = node.boots;
        node.restart(&mut self.random);
        if node.boots != boots {
            node.gateway.clock = Clock::manual(NOW_MS + self.passed_ms);
        }
        node.taken_up += u64::from(node.gateway.start_again());
    }

    fn check(&self) {
        let Node {
            gateway, acknowledged, ..
        } = &self.node;
        if gateway.cache.store().is_none() {
            return;
        }
        let revision = gateway.cache.revision();
        assert!(
            revision >= *acknowledged,
            "{revision} is before {acknowledged}, which was acknowledged"
        );
        self.store.assert_held(&gateway.cache);
        let Some(known_ms) = gateway.cache.freshness().age_ms(&gateway.clock) else {
            return;
        };
        // The state was the newest until the revision after it came to be.
        let next = self.since_ms.get(usize::try_from(revision).expect("few revisions"));
        let age_ms = next.map_or(0, |next| self.passed_ms - next);
        assert!(
            known_ms >= age_ms,
            "data that is {age_ms} ms old is taken for {known_ms} ms old"
        );
    }
}

/// Tells the seed of a world in which something went wrong.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("POSTERN_SIMULATION_SEED={}", self.0);
        }
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn no_gateway_goes_back_behind_what_it_has_acknowledged_whatever_happens() {
    let first = number("POSTERN_SIMULATION_SEED", 0);
    let seeds = number("POSTERN_SIMULATION_SEEDS", SEEDS);
    let (next, taken_up) = (AtomicU64::new(first), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    let told = Told(seed);
                    let mut world = World::new(seed);
                    (0..STEPS).for_each(|_| world.step());
                    drop(told);
                    taken_up.fetch_add(world.node.taken_up, Ordering::Relaxed);
                }
            });
        }
    });
    let taken_up = taken_up.into_inner();
    assert!(
        taken_up > seeds / 100,
        "too few states came back to prove anything: {taken_up}"
    );
}
