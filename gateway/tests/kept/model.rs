//! What a store holds, at each of its revisions, and a gateway that keeps what it hears.

use std::collections::BTreeMap;
use std::sync::Arc;

use feed::{Clock, Digest, Record, RoleBinding, Scope, Subject, SubjectKind, Thumbprint, Token};
use gateway::cache::Cache;
use gateway::kept::{Arrivals, Book, Confirmed, Found, Key, Moment, Recorder, Recording, Whole};
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::memory::Memory;

pub(crate) const STORE: &str = "5f0c0f5e-0000-4000-8000-000000000001";
pub(crate) const CREDENTIAL: &str = "pstg_credential";
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;
pub(crate) const AGE_MS_MAX: i64 = 900_000;
pub(crate) const TOKENS: usize = 6;

const SUBJECTS: usize = 3;
const ROLES: [&str; 3] = ["administrator", "manager", "member"];

/// What the store holds: tokens with their subjects, subjects with their roles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Model {
    tokens: BTreeMap<usize, usize>,
    subjects: BTreeMap<usize, &'static str>,
}

/// A store, with all that it ever was.
pub(crate) struct Store {
    /// By revision; the first is 1, as an empty store has one.
    pub(crate) history: Vec<Model>,
    changes: Vec<Vec<Record>>,
}

/// A gateway: its memory, and its disk.
pub(crate) struct Gateway {
    pub(crate) disk: Memory,
    pub(crate) clock: Clock,
    pub(crate) boot: String,
    pub(crate) cache: Arc<Cache>,
    pub(crate) recorder: Recorder<Memory>,
}

pub(crate) fn digest(token: usize) -> Digest {
    Digest::from_bytes([u8::try_from(token).expect("few tokens"); 32])
}

pub(crate) fn key() -> Key {
    Key::of_credential(CREDENTIAL)
}

fn subject(number: usize, role: &str) -> Record {
    let scopes = [
        Scope::org("org"),
        Scope::app("org", "shop"),
        Scope::env_type("org", "dev"),
    ];
    let bound = |scope| RoleBinding {
        scope,
        role: role.to_owned(),
    };
    Record::Subject(Subject {
        id: format!("s-{number}"),
        kind: SubjectKind::ServiceUser,
        org: "org".to_owned(),
        roles: scopes.into_iter().map(bound).collect(),
    })
}

fn token(number: usize, of: usize) -> Record {
    Record::Token(Token {
        digest: digest(number),
        id: format!("t-{number}"),
        subject: format!("s-{of}"),
        expires_ms: number.is_multiple_of(2).then_some(i64::MAX - 1),
        certificate: number.is_multiple_of(3).then(certificate),
    })
}

/// The certificate that some tokens are bound to.
fn certificate() -> Thumbprint {
    Thumbprint::of_certificate(b"certificate")
}

impl Model {
    /// Changes something, and returns the records that tell it. A change may touch several things, or none.
    fn change(&mut self, random: &mut StdRng) -> Vec<Record> {
        let mut records = Vec::new();
        for _ in 0..random.random_range(1..3) {
            let number = random.random_range(0..SUBJECTS);
            let of_number = random.random_range(0..TOKENS);
            match random.random_range(0..6) {
                0 => {
                    let role = ROLES[random.random_range(0..ROLES.len())];
                    self.subjects.insert(number, role);
                    records.push(subject(number, role));
                }
                1 | 2 if self.subjects.contains_key(&number) => {
                    self.tokens.insert(of_number, number);
                    records.push(token(of_number, number));
                }
                3 | 4 if self.tokens.remove(&of_number).is_some() => {
                    let digest = digest(of_number);
                    records.push(Record::TokenRemoved { digest });
                }
                5 if self.subjects.remove(&number).is_some() => {
                    let ended = self.tokens.extract_if(.., |_, of| *of == number);
                    records.extend(ended.map(|(token, _)| Record::TokenRemoved { digest: digest(token) }));
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
    pub(crate) fn role(&self, token: usize) -> Option<&'static str> {
        self.tokens.get(&token).and_then(|of| self.subjects.get(of)).copied()
    }

    /// All of it.
    pub(crate) fn records(&self) -> Vec<Record> {
        let subjects = self.subjects.iter().map(|(number, role)| subject(*number, role));
        let tokens = self.tokens.iter().map(|(number, of)| token(*number, *of));
        subjects.chain(tokens).collect()
    }
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            history: vec![Model::default()],
            changes: Vec::new(),
        }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.history.len() as u64
    }

    pub(crate) fn at(&self, revision: u64) -> &Model {
        &self.history[usize::try_from(revision).expect("few revisions") - 1]
    }

    pub(crate) fn change(&mut self, random: &mut StdRng) {
        let mut model = self.history.last().expect("a first").clone();
        self.changes.push(model.change(random));
        self.history.push(model);
    }

    /// The change that made a revision after the first.
    pub(crate) fn records(&self, revision: u64) -> Vec<Record> {
        self.changes[usize::try_from(revision).expect("few revisions") - 2].clone()
    }

    /// Checks that a cache answers as the store would have at the cache's revision.
    #[track_caller]
    pub(crate) fn assert_held(&self, cache: &Cache) {
        let model = self.at(cache.revision());
        for token in 0..TOKENS {
            let caller = cache.caller(&digest(token), NOW_MS).ok();
            let own = caller.as_ref().and_then(|caller| caller.subject.org_role.as_deref());
            assert_eq!(own, model.role(token), "token {token} at {}", cache.revision());
            if let Some(caller) = &caller {
                let subject = &caller.subject;
                let others = [subject.app_role("shop"), subject.env_type_role("dev")];
                assert_eq!(others.map(|role| role.map(|role| &**role)), [own; 2]);
                assert_eq!(*caller.token.id, format!("t-{token}"));
                assert_eq!(caller.token.admits(None), !token.is_multiple_of(3));
                assert!(caller.token.admits(Some(&certificate())));
            }
        }
    }
}

impl Gateway {
    /// Starts a gateway on an empty disk.
    pub(crate) fn new() -> Self {
        Self::on(Memory::default(), Clock::manual(NOW_MS), "a-boot")
    }

    fn on(disk: Memory, clock: Clock, boot: &str) -> Self {
        let cache = Arc::new(Cache::new());
        let arrivals = Arc::<Arrivals>::default();
        let recorder = Recorder::new(Recording {
            cache: Arc::clone(&cache),
            arrivals: Arc::clone(&arrivals),
            clock: clock.clone(),
            boot: boot.to_owned(),
            disk: disk.clone(),
            key: key(),
            whole: Whole::AtOnce,
        });
        cache.keep(arrivals);
        let boot = boot.to_owned();
        Self {
            disk,
            clock,
            boot,
            cache,
            recorder,
        }
    }

    /// Returns what its disk holds.
    pub(crate) fn find(&self) -> Found {
        find(&self.disk, &self.clock, &self.boot)
    }

    /// Starts anew on the same disk, as production does. Returns whether it serves from what was kept.
    pub(crate) fn start_again(&mut self) -> bool {
        let found = self.find();
        let next = Self::on(self.disk.clone(), self.clock.clone(), &self.boot);
        if let Some(confirmed) = found.confirmed {
            next.cache.set_floor(confirmed.store, confirmed.revision);
        }
        *self = next;
        let restored = found.state.unwrap_or_else(|refused| {
            let book = Book::new(self.disk.clone(), key());
            // A disk that is full keeps what was refused where it is.
            drop(book.put_aside(&refused));
            None
        });
        let Some(restored) = restored else { return false };
        self.cache
            .replace(restored.snapshot)
            .expect("it is not older than what was confirmed");
        let freshness = self.cache.freshness();
        freshness.time_was_told(&self.clock, restored.unix_ms);
        freshness.heard_at(self.clock.elapsed_ms() - restored.age_ms);
        true
    }

    /// Hears the feed out, from a store, until a revision.
    pub(crate) fn hear(&self, store: &Store, until: u64) {
        if self.cache.store().is_none() {
            self.take_snapshot(store, until);
        }
        for revision in self.cache.revision() + 1..=until {
            let applied = self.cache.apply(revision, store.records(revision));
            applied.expect("it is the next");
        }
        self.cache.freshness().heard_at(self.clock.elapsed_ms());
    }

    /// Takes a snapshot of a store, if it may.
    pub(crate) fn take_snapshot(&self, store: &Store, revision: u64) -> bool {
        let mut snapshot = Cache::begin_snapshot(STORE.to_owned(), revision);
        for record in store.at(revision).records() {
            snapshot.add(record);
        }
        self.cache.replace(snapshot).is_ok()
    }

    /// Notes that the first revision was confirmed just now.
    pub(crate) fn confirm(&self, book: &mut Book<Memory>) {
        let (store, heard) = (STORE.to_owned(), Moment::now(&self.clock, &self.boot));
        let confirmed = Confirmed {
            store,
            revision: 1,
            heard,
        };
        book.confirm(&confirmed).expect("there is room");
    }

    /// What the admin service has been told, at most.
    pub(crate) fn confirmed(&self) -> u64 {
        *self.cache.confirmable().borrow()
    }
}

pub(crate) fn find(disk: &Memory, clock: &Clock, boot: &str) -> Found {
    let now = Moment::now(clock, boot);
    Book::new(disk.clone(), key()).find(&now, AGE_MS_MAX)
}
