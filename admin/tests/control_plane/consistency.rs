//! Whatever is done, in whatever order: rows, audit entries, change log and feed say the same.

use std::collections::BTreeMap;

use feed::{Digest, Guard, Policy, Record, Subject, Token};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::{Answer, ORG, Plane};

/// Something a client or a gateway does. Small numbers, so that it often meets what is there.
#[derive(Debug, Clone)]
enum Step {
    CreateUser { role: usize },
    Invite { email: usize, role: usize },
    ChangeRole { subject: usize, role: usize },
    DeleteSubject { subject: usize },
    GiveRole { subject: usize, place: usize, role: usize },
    TakeRole { subject: usize, place: usize },
    CreateToken { subject: usize, id: usize },
    DeleteToken { subject: usize, id: usize },
    Disable { subject: usize, disabled: bool },
    Rename,
    ObjectCreated { place: usize, subject: usize },
    ObjectDeleted { place: usize, report: usize },
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_revision_has_one_audit_entry_and_one_change_and_the_changes_add_up_to_the_state(
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(check(&steps));
    }
}

async fn check(steps: &[Step]) {
    let plane = Plane::start().await;
    let mut subjects = vec![plane.root.subject.clone()];
    for (number, step) in steps.iter().enumerate() {
        let before = plane.admin.revision();
        let answer = take(&plane, step, number, &mut subjects).await;
        assert!(!answer.status.is_server_error(), "{step:?}: {}", answer.body);
        let made = u64::from(answer.status.is_success() && !is_repeated(&answer, before));
        assert_eq!(plane.admin.revision(), before + made, "{step:?}: {}", answer.body);
    }
    let newest = i64::try_from(plane.admin.revision()).expect("a small number");
    for table in ["audit_entries", "changes"] {
        let rows = format!("SELECT count(*) FROM {table} WHERE revision BETWEEN 1 AND {newest}");
        assert_eq!(plane.number(&rows).await, newest, "{table}");
        assert_eq!(
            plane.number(&format!("SELECT max(revision) FROM {table}")).await,
            newest,
            "{table}"
        );
    }
    assert_told_alike(&plane).await;
}

/// Checks that a gateway which has followed every change knows what one that begins now is told.
pub(crate) async fn assert_told_alike(plane: &Plane) {
    let (revision, records) = plane.feed("").await.snapshot().await;
    assert_eq!(revision, plane.admin.revision());
    let mut told = State::default();
    records.into_iter().for_each(|record| told.apply(record));
    assert_eq!(replayed(plane).await, told);
}

/// What a gateway knows.
#[derive(Debug, Default, PartialEq, Eq)]
struct State {
    subjects: BTreeMap<String, Subject>,
    tokens: BTreeMap<Digest, Token>,
    policies: BTreeMap<String, Policy>,
    guards: BTreeMap<String, Guard>,
}

impl State {
    fn apply(&mut self, record: Record) {
        match record {
            Record::Subject(subject) => {
                self.subjects.insert(subject.id.clone(), subject);
            }
            Record::SubjectRemoved { id } => {
                self.subjects.remove(&id).expect("it was there");
                // A gateway would keep a token for ever that no record ended.
                assert!(
                    self.tokens.values().all(|token| token.subject != id),
                    "tokens left behind"
                );
            }
            Record::Token(token) => {
                assert!(self.subjects.contains_key(&token.subject), "a token before its subject");
                self.tokens.insert(token.digest, token);
            }
            Record::TokenRemoved { digest } => {
                self.tokens.remove(&digest).expect("it was there");
            }
            Record::Policy(policy) => drop(self.policies.insert(policy.name.clone(), *policy)),
            Record::PolicyRemoved { name, .. } => {
                self.policies.remove(&name).expect("it was there");
                let attached = self.guards.values().any(|guard| guard.policy == name);
                assert!(!attached, "guards left behind");
                let mut held = self.subjects.values().flat_map(|subject| &subject.roles);
                assert!(held.all(|held| held.role != name), "role bindings left behind");
            }
            Record::Guard(guard) => {
                assert!(self.policies.contains_key(&guard.policy), "a guard before its policy");
                self.guards.insert(guard.id.clone(), guard);
            }
            Record::GuardRemoved { id, .. } => drop(self.guards.remove(&id).expect("it was there")),
        }
    }
}

async fn replayed(plane: &Plane) -> State {
    let mut connection = plane.database().await;
    let changes = connection.texts("SELECT records FROM changes ORDER BY revision").await;
    let mut state = State::default();
    for records in changes {
        let records: Vec<Record> = serde_json::from_str(&records).expect("records");
        records.into_iter().for_each(|record| state.apply(record));
    }
    state
}

fn step() -> impl Strategy<Value = Step> {
    let (subject, place, role, id) = (0..8_usize, 0..PLACES.len(), 0..ROLES.len(), 0..3_usize);
    prop_oneof![
        role.clone().prop_map(|role| Step::CreateUser { role }),
        (id.clone(), role.clone()).prop_map(|(email, role)| Step::Invite { email, role }),
        (subject.clone(), role.clone()).prop_map(|(subject, role)| Step::ChangeRole { subject, role }),
        subject.clone().prop_map(|subject| Step::DeleteSubject { subject }),
        (subject.clone(), place.clone(), role).prop_map(|(subject, place, role)| Step::GiveRole {
            subject,
            place,
            role
        }),
        (subject.clone(), place.clone()).prop_map(|(subject, place)| Step::TakeRole { subject, place }),
        (subject.clone(), id.clone()).prop_map(|(subject, id)| Step::CreateToken { subject, id }),
        (subject.clone(), id.clone()).prop_map(|(subject, id)| Step::DeleteToken { subject, id }),
        (subject.clone(), any::<bool>()).prop_map(|(subject, disabled)| Step::Disable { subject, disabled }),
        Just(Step::Rename),
        (place.clone(), subject).prop_map(|(place, subject)| Step::ObjectCreated { place, subject }),
        (place, id).prop_map(|(place, report)| Step::ObjectDeleted { place, report }),
    ]
}

const PLACES: [&str; 3] = ["apps/web", "apps/shop", "env-types/production"];
const ROLES: [&str; 6] = [
    "administrator",
    "manager",
    "artefactContributor",
    "owner",
    "viewer",
    "deployer",
];

async fn take(plane: &Plane, step: &Step, number: usize, subjects: &mut Vec<String>) -> Answer {
    let (method, path, body) = request(step, number, subjects);
    let answer = match body {
        Some(report) if path == "/effects" => plane.request(method, &path, report.to_string(), &[]).await,
        Some(body) => plane.send(&plane.root, method, &path, body).await,
        None => plane.ask(&plane.root, method, &path).await,
    };
    let made = match step {
        Step::CreateUser { .. } => answer.body["id"].as_str(),
        Step::Invite { .. } => answer.body[0]["id"].as_str(),
        Step::ChangeRole { .. }
        | Step::DeleteSubject { .. }
        | Step::GiveRole { .. }
        | Step::TakeRole { .. }
        | Step::CreateToken { .. }
        | Step::DeleteToken { .. }
        | Step::Disable { .. }
        | Step::Rename
        | Step::ObjectCreated { .. }
        | Step::ObjectDeleted { .. } => None,
    };
    subjects.extend(made.map(str::to_owned));
    answer
}

/// Says a step as a request. The first subject is the administrator who asks, and stays one.
fn request(step: &Step, number: usize, subjects: &[String]) -> (&'static str, String, Option<Value>) {
    let of = |subject: &usize| subjects[subject % subjects.len()].as_str();
    let but_first = |subject: &usize| {
        subjects[1..]
            .get(subject % subjects.len())
            .map_or("nobody", String::as_str)
    };
    let at = |path: &str| format!("/orgs/{ORG}/{path}");
    match step {
        Step::CreateUser { role } => (
            "POST",
            at("users"),
            Some(json!({"name": "robot", "role": ROLES[*role]})),
        ),
        Step::Invite { email, role } => {
            let body = json!({"email": format!("{email}@example.com"), "role": ROLES[*role]});
            ("POST", at("invitations"), Some(body))
        }
        Step::ChangeRole { subject, role } => {
            let path = at(&format!("users/{}", but_first(subject)));
            ("PATCH", path, Some(json!({"role": ROLES[*role]})))
        }
        Step::DeleteSubject { subject } => ("DELETE", at(&format!("users/{}", but_first(subject))), None),
        Step::GiveRole { subject, place, role } => {
            let body = json!({"id": of(subject), "role": ROLES[*role]});
            ("POST", at(&format!("{}/users", PLACES[*place])), Some(body))
        }
        Step::TakeRole { subject, place } => ("DELETE", at(&format!("{}/users/{}", PLACES[*place], of(subject))), None),
        Step::CreateToken { subject, id } => {
            let body = json!({"id": id.to_string(), "type": "static"});
            ("POST", format!("/users/{}/tokens", of(subject)), Some(body))
        }
        Step::DeleteToken { subject, id } => ("DELETE", format!("/users/{}/tokens/{id}", of(subject)), None),
        Step::Disable { subject, disabled } => {
            let path = at(&format!("users/{}", but_first(subject)));
            ("PATCH", path, Some(json!({"disabled": disabled})))
        }
        Step::Rename => (
            "PATCH",
            "/current-user".to_owned(),
            Some(json!({"name": format!("root {number}")})),
        ),
        Step::ObjectCreated { place, subject } => {
            let role = if PLACES[*place].starts_with("apps") {
                "owner"
            } else {
                "deployer"
            };
            let creator = json!({"subject": of(subject), "role": role});
            let report =
                json!({"id": number.to_string(), "effect": "created", "scope": at(PLACES[*place]), "creator": creator});
            ("POST", "/effects".to_owned(), Some(report))
        }
        Step::ObjectDeleted { place, report } => {
            let report = json!({"id": format!("deleted-{report}"), "effect": "deleted", "scope": at(PLACES[*place])});
            ("POST", "/effects".to_owned(), Some(report))
        }
    }
}

/// Whether this answers a report that had been applied before.
fn is_repeated(answer: &Answer, before: u64) -> bool {
    let revision = answer.body.get("revision").and_then(Value::as_u64);
    revision.is_some_and(|revision| revision <= before)
}
