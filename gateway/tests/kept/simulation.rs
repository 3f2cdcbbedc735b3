//! A store and gateways under a scheduler that only a seed decides: changes, frames that are late or lost, restarts, losses of
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
const STEPS: u32 = 24;

const GATEWAYS: usize = 2;

struct World {
    random: StdRng,
    /// What no clock in the world shows: how much time has passed.
    passed_ms: i64,
    store: Store,
    /// When each revision came to be, by the time that has passed.
    since_ms: Vec<i64>,
    nodes: Vec<Node>,
}

struct Node {
    gateway: Gateway,
    /// Frames on their way, each with the time at which it was sent; `None` while there is no connection.
    wire: Option<VecDeque<(i64, Frame)>>,
    /// The revision up to which frames were sent.
    sent: u64,
    snapshot: Option<gateway::cache::Snapshot>,
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
            Frame::Heartbeat { revision, .. } => {
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
            nodes: (0..GATEWAYS).map(|_| Node::new()).collect(),
        }
    }

    fn step(&mut self) {
        let at = self.random.random_range(0..GATEWAYS);
        match self.random.random_range(0..100) {
            0..22 => self.change(),
            22..40 => self.send(at),
            40..62 => {
                let frames = self.random.random_range(1..8);
                (0..frames).for_each(|_| self.nodes[at].take(self.passed_ms));
            }
            62..74 => drop(self.nodes[at].gateway.recorder.record()),
            74..80 => self.nodes[at].acknowledged = self.nodes[at].gateway.confirmed().max(self.nodes[at].acknowledged),
            80..82 => self.nodes[at].wire = None,
            82..88 => self.pass(),
            88..90 => {
                let by_ms = self.random.random_range(-100_000..100_000);
                self.nodes[at].gateway.clock.step_ms(by_ms);
            }
            90..92 => {
                let operations = self.random.random_range(0..8);
                self.nodes[at].gateway.disk.lose_power_after(operations);
            }
            92..93 => {
                let is_full = self.random.random_bool(0.5);
                self.nodes[at].gateway.disk.fill(is_full);
            }
            93..95 => self.nodes[at].copy = self.nodes[at].gateway.disk.get("state"),
            95..96 => {
                if let Some(copy) = self.nodes[at].copy.take() {
                    self.nodes[at].gateway.disk.put("state", copy);
                    self.restart(at);
                }
            }
            _ => self.restart(at),
        }
        if self.nodes[at].gateway.disk.is_off() {
            self.restart(at);
        }
        self.check(at);
    }

    fn change(&mut self) {
        self.store.change(&mut self.random);
        self.since_ms.push(self.passed_ms);
    }

    /// Lets time pass everywhere.
    fn pass(&mut self) {
        let ms = self.random.random_range(0..200_000);
        self.passed_ms += ms;
        self.nodes.iter().for_each(|node| node.gateway.clock.advance_ms(ms));
    }

    /// Sends what is new, and a heartbeat; on a new connection from where the gateway is, or a snapshot.
    fn send(&mut self, at: usize) {
        let (newest, now_ms) = (self.store.revision(), self.passed_ms);
        let whole = self.random.random_bool(0.2);
        let node = &mut self.nodes[at];
        let is_new = node.wire.is_none();
        let wire = node.wire.get_or_insert_default();
        if is_new {
            let cache = &node.gateway.cache;
            node.sent = cache.revision();
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

    fn restart(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let boots = node.boots;
        node.restart(&mut self.random);
        if node.boots != boots {
            node.gateway.clock = Clock::manual(NOW_MS + self.passed_ms);
        }
        node.taken_up += u64::from(node.gateway.start_again());
    }

    fn check(&self, at: usize) {
        let Node {
            gateway, acknowledged, ..
        } = &self.nodes[at];
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
                    let own: u64 = world.nodes.iter().map(|node| node.taken_up).sum();
                    taken_up.fetch_add(own, Ordering::Relaxed);
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
