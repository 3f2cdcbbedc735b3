//! What a loss of power, a full disk and a writer that is overtaken leave behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gateway::cache::Cache;
use gateway::kept::Book;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::model::{Gateway, STORE, Store, key};

#[test]
fn power_that_is_lost_at_any_moment_takes_back_nothing_that_was_confirmed() {
    let mut random = StdRng::seed_from_u64(3);
    let mut taken_up = 0;
    for operations in 0..60 {
        for _ in 0..20 {
            let (mut store, mut gateway) = (Store::new(), Gateway::new());
            gateway.disk.lose_power_after(operations);
            while !gateway.disk.is_off() {
                store.change(&mut random);
                gateway.hear(&store, store.revision());
                gateway.recorder.record();
            }
            let confirmed = gateway.confirmed();
            gateway.disk.restart(|left| random.random_range(0..=left));
            let found = gateway.start_again();
            taken_up += u32::from(found);
            if found {
                assert!(gateway.cache.revision() >= confirmed, "after {operations} operations");
                store.assert_held(&gateway.cache);
            }
            gateway.hear(&store, store.revision());
            store.assert_held(&gateway.cache);
        }
    }
    assert!(taken_up > 600, "too little comes back to be of use: {taken_up}");
}

#[test]
fn with_a_full_disk_a_gateway_serves_on_confirms_on_and_keeps_again_when_there_is_room() {
    let mut random = StdRng::seed_from_u64(4);
    let (mut store, mut gateway) = (Store::new(), Gateway::new());
    gateway.hear(&store, 1);
    gateway.recorder.record();
    assert!(gateway.disk.get("state").is_some());
    gateway.disk.fill(true);
    for _ in 0..5 {
        store.change(&mut random);
        gateway.hear(&store, store.revision());
        gateway.recorder.record();
        store.assert_held(&gateway.cache);
        assert_eq!(gateway.confirmed(), store.revision());
    }
    assert!(gateway.disk.get("state").is_none(), "nothing old is left to start from");
    gateway.disk.fill(false);
    gateway.clock.advance_ms(10_000);
    gateway.hear(&store, store.revision());
    gateway.recorder.record();
    assert!(gateway.start_again());
    assert_eq!(gateway.cache.revision(), store.revision());
}

#[test]
fn a_state_that_is_written_while_changes_arrive_is_what_the_store_held() {
    let mut random = StdRng::seed_from_u64(5);
    let mut store = Store::new();
    (0..CHANGES).for_each(|_| store.change(&mut random));
    let cache = Arc::new(Cache::new());
    let first = Cache::begin_snapshot(STORE.to_owned(), 1);
    cache.replace(first).expect("the first");
    let written = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for revision in 2..=CHANGES {
                cache.apply(revision, store.records(revision)).expect("the next");
                // Some changes for each state, so that there is always one under way.
                let enough = || revision <= (written.load(Ordering::Relaxed) + 1) * CHANGES / STATES;
                eventually(enough);
            }
        });
        while cache.revision() < CHANGES {
            let mut gateway = Gateway::new();
            let before = cache.revision();
            let fresh = Book::write(&gateway.disk, &key(), &cache).expect("there is room");
            let until = (cache.revision() + 1).min(CHANGES);
            let since: Vec<_> = (before + 1..=until)
                .map(|revision| (revision, store.records(revision)))
                .collect();
            let lacks_some = written.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
            let since = if lacks_some { &[] } else { &since[..] };
            let mut book = Book::new(gateway.disk.clone(), key());
            let adopted = book.adopt(fresh.expect("there is something"), since);
            adopted.expect("there is room");
            gateway.confirm(&mut book);
            // What lacks changes that it may hold in part is refused, or is whole.
            match gateway.find().state {
                Err(refused) => assert!(lacks_some, "{refused}"),
                Ok(_) => {
                    assert!(gateway.start_again());
                    store.assert_held(&gateway.cache);
                }
            }
        }
    });
    assert!(written.into_inner() >= STATES - 1);
}

/// Waits, but not for whoever has failed.
fn eventually(holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() && began.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

const CHANGES: u64 = 20_000;
const STATES: u64 = 100;
