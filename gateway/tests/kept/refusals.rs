//! What is refused: whatever was altered, is of somebody else, is older than it may be.

use feed::Clock;
use gateway::kept::{Book, Confirmed, Found, Key, Moment, NotSealed, Refused};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::memory::Memory;
use crate::model::{AGE_MS_MAX, Gateway, NOW_MS, STORE, Store, digest, find, key};

const HOUR_MS: i64 = 3_600_000;

/// A gateway that has confirmed a revision, with changes behind the state on its disk, and the store that it followed.
fn kept() -> (Store, Gateway) {
    let (mut store, gateway) = (Store::new(), &mut Gateway::new());
    let mut random = StdRng::seed_from_u64(1);
    (0..20).for_each(|_| store.change(&mut random));
    gateway.hear(&store, 10);
    gateway.recorder.record();
    for revision in 11..=14 {
        gateway.hear(&store, revision);
        gateway.recorder.record();
    }
    assert_eq!(gateway.confirmed(), 14);
    (store, std::mem::replace(gateway, Gateway::new()))
}

#[track_caller]
fn refused(found: Found) -> Refused {
    found.state.err().expect("it is refused")
}

#[test]
fn a_state_comes_back_as_it_was_with_its_age() {
    let (store, mut gateway) = kept();
    gateway.clock.advance_ms(70_000);
    assert!(gateway.start_again());
    assert_eq!(gateway.cache.revision(), 14);
    store.assert_held(&gateway.cache);
    assert_eq!(gateway.cache.freshness().age_ms(&gateway.clock), Some(70_000));
    gateway.hear(&store, 20);
    store.assert_held(&gateway.cache);
}

#[test]
fn an_octet_that_was_altered_anywhere_is_refused_or_takes_back_nothing_that_was_confirmed() {
    let (store, gateway) = kept();
    for name in ["state", "confirmed"] {
        let written = gateway.disk.get(name).expect("it is there");
        for at in 0..written.len() {
            let mut altered = written.clone();
            altered[at] ^= 0x20;
            gateway.disk.put(name, altered);
            let found = gateway.find();
            assert!(found.state.is_err(), "octet {at} of {name}");
            assert_eq!(found.confirmed.is_some(), name == "state", "octet {at} of {name}");
        }
        gateway.disk.put(name, written);
    }
    let mut whole = gateway;
    assert!(whole.start_again());
    store.assert_held(&whole.cache);
}

#[test]
fn a_file_that_was_cut_anywhere_or_made_longer_is_refused_or_takes_back_nothing_that_was_confirmed() {
    let (_, gateway) = kept();
    for name in ["state", "confirmed"] {
        let written = gateway.disk.get(name).expect("it is there");
        for length in 0..written.len() {
            gateway.disk.put(name, written[..length].to_vec());
            assert!(gateway.find().state.is_err(), "{name} cut to {length} octets");
        }
        gateway.disk.put(name, written);
    }
    // What a crash in the middle of a change leaves behind it.
    let written = gateway.disk.get("state").expect("it is there");
    gateway
        .disk
        .put("state", [&written[..], &[200, 0, 0, 0, 1, 2, 3]].concat());
    let restored = gateway.find().state.expect("it is taken").expect("it is there");
    assert_eq!(restored.snapshot.revision(), 14);
    // What nobody but us could have sealed.
    gateway
        .disk
        .put("state", [&written[..], &[17, 0, 0, 0], &[7; 17]].concat());
    assert!(gateway.find().state.is_err());
}

#[test]
fn an_earlier_copy_is_refused_and_so_is_a_state_without_what_was_confirmed() {
    let (store, gateway) = kept();
    let earlier = gateway.disk.get("state").expect("it is there");
    let mut gateway = gateway;
    gateway.hear(&store, 15);
    gateway.recorder.record();
    gateway.disk.put("state", earlier);
    let found = refused(gateway.find());
    assert!(
        matches!(
            found,
            Refused::Older {
                confirmed: 15,
                found: 14
            }
        ),
        "{found}"
    );
    let (_, gateway) = kept();
    gateway.disk.take("confirmed");
    let found = refused(gateway.find());
    assert!(matches!(found, Refused::Unconfirmed), "{found}");
}

#[test]
fn a_gateway_that_starts_without_its_state_takes_no_snapshot_older_than_it_has_confirmed() {
    let (store, mut gateway) = kept();
    gateway.disk.take("state");
    assert!(!gateway.start_again());
    assert!(!gateway.take_snapshot(&store, 13));
    assert!(gateway.take_snapshot(&store, 14));
    store.assert_held(&gateway.cache);
}

#[test]
fn another_credential_opens_nothing_and_what_it_refuses_is_put_aside() {
    let (_, gateway) = kept();
    let other = Book::new(gateway.disk.clone(), Key::of_credential("pstg_another"));
    let now = Moment::now(&gateway.clock, &gateway.boot);
    let found = refused(other.find(&now, AGE_MS_MAX));
    assert!(
        matches!(found, Refused::NotSealed("confirmed", NotSealed::OtherCredential)),
        "{found}"
    );
    assert!(other.put_aside(&found).expect("there is room"));
    assert!(matches!(other.find(&now, AGE_MS_MAX).state, Ok(None)));
    assert!(gateway.disk.get("state.refused").is_some());
    assert!(gateway.disk.get("confirmed.refused").is_some());
}

#[test]
fn a_state_of_another_store_is_refused() {
    let (_, gateway) = kept();
    let mut book = Book::new(gateway.disk.clone(), key());
    let heard = Moment::now(&gateway.clock, &gateway.boot);
    let store = "another".to_owned();
    let confirmed = Confirmed {
        store,
        revision: 1,
        heard,
    };
    book.confirm(&confirmed).expect("there is room");
    let found = refused(gateway.find());
    assert!(
        matches!(&found, Refused::OtherStore { found, .. } if found == STORE),
        "{found}"
    );
}

/// Returns the age of what was heard just now, as somebody finds it after a while.
fn found_after(pass: impl FnOnce(&Clock), boot: &str) -> Result<i64, Refused> {
    let (_, gateway) = kept();
    pass(&gateway.clock);
    let found = find(&gateway.disk, &gateway.clock, boot).state;
    found.map(|restored| restored.expect("it is there").age_ms)
}

#[test]
fn an_age_is_the_longer_one_of_both_clocks_and_never_less_than_it_is() {
    let too_old = |found| matches!(found, Err(Refused::TooOld { .. }));
    let limit = |clock: &Clock| clock.advance_ms(AGE_MS_MAX);
    assert_eq!(found_after(limit, "a-boot").ok(), Some(AGE_MS_MAX));
    assert!(too_old(found_after(|clock| clock.advance_ms(AGE_MS_MAX + 1), "a-boot")));
    assert!(too_old(found_after(
        |clock| clock.advance_ms(AGE_MS_MAX + 1),
        "another"
    )));
    let set_back = |clock: &Clock| {
        clock.advance_ms(50_000);
        clock.step_ms(-HOUR_MS);
    };
    assert_eq!(found_after(set_back, "a-boot").ok(), Some(50_000));
    assert!(too_old(found_after(|clock| clock.step_ms(HOUR_MS), "a-boot")));
}

#[test]
fn a_machine_that_was_started_since_and_whose_clock_went_back_serves_nothing_old() {
    let set_back = |by_ms: i64| found_after(|clock: &Clock| clock.step_ms(-by_ms), "another");
    assert_eq!(set_back(5_000).ok(), Some(0), "as far as clocks are set right");
    assert!(matches!(set_back(5_001), Err(Refused::ClockBefore { by_ms: 5_001 })));
}

#[test]
fn what_expired_before_a_start_stays_expired_though_the_clock_was_set_back() {
    let (_, mut gateway) = kept();
    gateway.clock.advance_ms(60_000);
    gateway.clock.step_ms(-HOUR_MS);
    assert!(gateway.start_again());
    let now_ms = gateway.cache.freshness().unix_ms(&gateway.clock);
    assert_eq!(now_ms, NOW_MS + 60_000);
}

#[test]
fn time_alone_puts_nothing_aside() {
    let (_, gateway) = kept();
    let book = Book::new(gateway.disk.clone(), key());
    gateway.clock.step_ms(HOUR_MS);
    let found = refused(gateway.find());
    assert!(!book.put_aside(&found).expect("nothing to be done"));
    gateway.clock.step_ms(-HOUR_MS);
    assert!(gateway.find().state.is_ok());
}

#[test]
fn nothing_that_is_kept_shows_a_digest() {
    let (store, gateway) = kept();
    let octets = gateway.disk.get("state").expect("it is there");
    let known = (0..6).filter(|token| store.at(14).role(*token).is_some());
    for token in known {
        let digest = digest(token);
        assert!(!octets.windows(32).any(|window| window == digest.as_bytes()));
    }
    let empty = find(&Memory::default(), &gateway.clock, "a-boot");
    assert!(matches!(empty.state, Ok(None)));
}
