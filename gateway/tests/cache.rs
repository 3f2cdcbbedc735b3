//! The cache against a model: whatever is read while changes arrive was the truth at one revision.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use feed::{Digest, Record, RoleBinding, Scope, Subject, SubjectKind, Thumbprint, Token};
use gateway::cache::{Cache, NoCaller, Stale};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// What the store holds: tokens with their subjects, subjects with their roles.
#[derive(Debug, Clone, Default)]
struct Model {
    tokens: BTreeMap<usize, usize>,
    subjects: BTreeMap<usize, &'static str>,
}

const TOKENS: usize = 6;
const SUBJECTS: usize = 3;
const ROLES: [&str; 3] = ["administrator", "manager", "member"];
const CHANGES: u64 = 30_000;
const STORE: &str = "store";

fn digest(token: usize) -> Digest {
    Digest::from_bytes([u8::try_from(token).expect("few tokens"); 32])
}

fn subject(number: usize, role: &str) -> Record {
    Record::Subject(Subject {
        id: format!("s-{number}"),
        kind: SubjectKind::ServiceUser,
        org: "org".to_owned(),
        roles: vec![RoleBinding {
            scope: Scope::org("org"),
            role: role.to_owned(),
        }],
    })
}

fn token(number: usize, of: usize) -> Record {
    Record::Token(Token {
        digest: digest(number),
        id: format!("t-{number}"),
        subject: format!("s-{of}"),
        expires_ms: None,
        certificate: None,
    })
}

impl Model {
    /// Changes something, and returns the records that tell it. A change may touch several things at once.
    fn change(&mut self, random: &mut StdRng) -> Vec<Record> {
        let mut records = Vec::new();
        for _ in 0..random.random_range(1..4) {
            let number = random.random_range(0..SUBJECTS);
            let of_number = random.random_range(0..TOKENS);
            match random.random_range(0..5) {
                0 | 1 => {
                    let role = ROLES[random.random_range(0..ROLES.len())];
                    self.subjects.insert(number, role);
                    records.push(subject(number, role));
                }
                2 if self.subjects.contains_key(&number) => {
                    self.tokens.insert(of_number, number);
                    records.push(token(of_number, number));
                }
                3 if self.tokens.remove(&of_number).is_some() => {
                    records.push(Record::TokenRemoved {
                        digest: digest(of_number),
                    });
                }
                4 if self.subjects.remove(&number).is_some() => {
                    let ended: Vec<usize> = self
                        .tokens
                        .iter()
                        .filter(|(_, of)| **of == number)
                        .map(|(token, _)| *token)
                        .collect();
                    for token in ended {
                        self.tokens.remove(&token);
                        records.push(Record::TokenRemoved { digest: digest(token) });
                    }
                    records.push(Record::SubjectRemoved {
                        id: format!("s-{number}"),
                    });
                }
                _ => {}
            }
        }
        records
    }

    /// The role that a token gives.
    fn role(&self, token: usize) -> Option<&'static str> {
        self.tokens.get(&token).and_then(|of| self.subjects.get(of)).copied()
    }

    fn snapshot(&self, cache: &Cache, revision: u64) {
        let mut snapshot = Cache::begin_snapshot(STORE.to_owned(), revision);
        for (number, role) in &self.subjects {
            snapshot.add(subject(*number, role));
        }
        for (number, of) in &self.tokens {
            snapshot.add(token(*number, *of));
        }
        cache.replace(snapshot).expect("it is newer");
    }
}

#[test]
fn a_right_that_existed_at_no_revision_is_never_granted_while_changes_arrive() {
    let mut random = StdRng::seed_from_u64(7);
    let mut model = Model::default();
    let mut history = vec![model.clone()];
    let mut changes = Vec::new();
    for _ in 0..CHANGES {
        changes.push(model.change(&mut random));
        history.push(model.clone());
    }
    let cache = Cache::new();
    Model::default().snapshot(&cache, 0);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|seed| {
                let (cache, history, ended) = (&cache, &history, &ended);
                scope.spawn(move || read(cache, history, ended, seed))
            })
            .collect();
        for (revision, records) in (1..).zip(changes) {
            if revision % 1000 == 0 {
                history[usize::try_from(revision).expect("small")].snapshot(&cache, revision);
            } else {
                cache.apply(revision, records).expect("it follows");
            }
        }
        ended.store(true, Ordering::SeqCst);
        let granted: usize = readers
            .into_iter()
            .map(|reader| reader.join().expect("no reader fails"))
            .sum();
        assert!(
            granted > 1000,
            "the readers saw too little to prove anything: {granted}"
        );
    });
}

/// Reads until told to end; returns how often a right was granted.
fn read(cache: &Cache, history: &[Model], ended: &AtomicBool, seed: u64) -> usize {
    let mut random = StdRng::seed_from_u64(seed);
    let mut granted = 0;
    let mut last = 0;
    while !ended.load(Ordering::SeqCst) {
        let number = random.random_range(0..TOKENS);
        if let Ok(caller) = cache.caller(&digest(number), 0) {
            let then = &history[usize::try_from(caller.revision).expect("small")];
            assert_eq!(
                caller.subject.org_role.as_deref(),
                then.role(number),
                "token {number} at {}",
                caller.revision
            );
            assert!(caller.revision >= last, "revisions go forward");
            last = caller.revision;
            granted += 1;
        }
    }
    granted
}

#[test]
fn the_cache_never_goes_back_and_never_leaves_a_revision_out() {
    let cache = Cache::new();
    assert_eq!(cache.caller(&digest(1), 0).err(), Some(NoCaller::NoData));
    assert_eq!(
        cache.apply(1, Vec::new()),
        Err(Stale::Revision { own: 0, found: 1 }),
        "a change before any snapshot"
    );
    cache
        .replace(Cache::begin_snapshot(STORE.to_owned(), 5))
        .expect("the first");
    cache
        .apply(6, vec![subject(1, "member"), token(1, 1)])
        .expect("the next");
    assert_eq!(cache.apply(8, Vec::new()), Err(Stale::Revision { own: 6, found: 8 }));
    assert_eq!(
        cache.apply(6, vec![Record::TokenRemoved { digest: digest(1) }]),
        Ok(()),
        "passed over"
    );
    assert!(cache.caller(&digest(1), 0).is_ok());
    let older = cache.replace(Cache::begin_snapshot(STORE.to_owned(), 5));
    assert_eq!(older, Err(Stale::Revision { own: 6, found: 5 }));
    let other = cache.replace(Cache::begin_snapshot("other".to_owned(), 9));
    assert!(matches!(other, Err(Stale::OtherStore { .. })));
    assert_eq!(cache.revision(), 6);
}

#[test]
fn a_store_that_was_restored_is_followed_on_from_where_it_was_and_its_earlier_life_no_more() {
    let cache = Cache::new();
    let take = |store: &str, revision| cache.replace(Cache::begin_snapshot(store.to_owned(), revision));
    take("store.1", 5).expect("the first");
    assert_eq!(take("store.2", 5), Err(Stale::Revision { own: 5, found: 5 }));
    take("store.2", 6).expect("it goes on");
    for (store, revision) in [("store", 9), ("store.1", 9), ("other.3", 9)] {
        let refused = take(store, revision);
        assert!(matches!(refused, Err(Stale::OtherStore { .. })), "{store}: {refused:?}");
    }
    take("store.3", 7).expect("it goes on");
    assert_eq!(cache.store().as_deref(), Some("store.3"));
}

#[test]
fn a_token_ends_at_its_expiry_and_with_its_subject() {
    let cache = Cache::new();
    cache
        .replace(Cache::begin_snapshot(STORE.to_owned(), 0))
        .expect("the first");
    let expiring = Token {
        digest: digest(1),
        id: "t".to_owned(),
        subject: "s-1".to_owned(),
        expires_ms: Some(1000),
        certificate: None,
    };
    cache
        .apply(1, vec![subject(1, "member"), Record::Token(expiring), token(2, 1)])
        .expect("the next");
    assert!(cache.caller(&digest(1), 999).is_ok());
    assert_eq!(cache.caller(&digest(1), 1000).err(), Some(NoCaller::Expired));
    assert_eq!(cache.caller(&digest(3), 0).err(), Some(NoCaller::Unknown));
    cache
        .apply(2, vec![Record::SubjectRemoved { id: "s-1".to_owned() }])
        .expect("the next");
    assert_eq!(cache.caller(&digest(2), 0).err(), Some(NoCaller::Unknown));
}

#[test]
fn a_bound_token_admits_its_certificate_only_and_an_unbound_one_any_or_none() {
    let cache = Cache::new();
    cache
        .replace(Cache::begin_snapshot(STORE.to_owned(), 0))
        .expect("the first");
    let (own, other) = (Thumbprint::of_certificate(b"own"), Thumbprint::of_certificate(b"other"));
    let bound = Token {
        digest: digest(1),
        id: "t".to_owned(),
        subject: "s-1".to_owned(),
        expires_ms: None,
        certificate: Some(own),
    };
    cache
        .apply(1, vec![subject(1, "member"), Record::Token(bound), token(2, 1)])
        .expect("the next");
    let admits = |number, certificate: Option<&Thumbprint>| {
        let caller = cache.caller(&digest(number), 0).expect("it is known");
        caller.token.admits(certificate)
    };
    assert!(admits(1, Some(&own)) && !admits(1, Some(&other)) && !admits(1, None));
    assert!(admits(2, Some(&own)) && admits(2, None));
}
