//! Policies are published, watched, promoted and taken back; each decision is by those of its revision.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};
use serde_json::{Value, json};

use crate::harness::client::{Client, Request, read_body, read_head};
use crate::harness::policies::{MASKED, Masked};
use crate::harness::postern::Postern;
use crate::harness::process::run;
use crate::harness::upstream::Upstream;
use crate::harness::{PATIENCE, eventually};

/// Changes of the model, each while requests run.
const STEPS: usize = 120;

/// Decisions that are logged before the last change, at least; `POSTERN_DECISIONS` asks for more, as 100,000. All of them
/// are written to disks that other tests wait for.
const DECISIONS: usize = 20_000;

/// Operations of [`MASKED`] that are about the app: the guard is attached there, so that it never judges the
/// administrator's own changes, which would be refused while a version is compiled.
const IN_THE_APP: [usize; 2] = [1, 2];

const ROLES: u8 = 2;
const USERS: usize = 4;

/// A reference for what is decided: roles, a guard and bindings, as plain values.
#[derive(Debug, Clone, Default)]
struct Model {
    /// Role policies, then the guard policy last.
    policies: Vec<PolicyModel>,
    attached: bool,
    /// The role of each user: an index of `policies`.
    bound: Vec<usize>,
}

#[derive(Debug, Clone, Default)]
struct PolicyModel {
    masks: Vec<u8>,
    active: usize,
    previous: Option<usize>,
}

impl PolicyModel {
    fn put_in_force(&mut self, version: usize) {
        if version != self.active {
            self.previous = Some(std::mem::replace(&mut self.active, version));
        }
    }

    fn mask(&self) -> u8 {
        self.masks[self.active]
    }
}

impl Model {
    /// What is decided about a user and an operation.
    fn outcome(&self, user: usize, operation: usize) -> &'static str {
        let bit = 1 << operation;
        if self.policies[self.bound[user]].mask() & bit == 0 {
            "not-allowed"
        } else if self.attached
            && IN_THE_APP.contains(&operation)
            && self.policies[usize::from(ROLES)].mask() & bit != 0
        {
            "denied"
        } else {
            "allowed"
        }
    }
}

/// The model, the system, and what the model was at each revision.
struct World<'p> {
    postern: &'p Postern,
    administrator: Client,
    users: Vec<String>,
    model: Model,
    at: BTreeMap<u64, Model>,
    random: StdRng,
}

impl<'p> World<'p> {
    fn new(postern: &'p Postern, seed: u64) -> Self {
        let administrator = postern.administrator();
        let mut world = Self {
            postern,
            administrator,
            users: Vec::new(),
            model: Model::default(),
            at: BTreeMap::new(),
            random: StdRng::seed_from_u64(seed),
        };
        for policy in 0..=usize::from(ROLES) {
            world.model.policies.push(PolicyModel::default());
            world.publish(policy, true);
        }
        for user in 0..USERS {
            let role = Masked::role_name(0);
            world
                .users
                .push(world.administrator.create_user(&format!("user-{user}"), &role));
            world.model.bound.push(0);
        }
        world.note();
        world
    }

    fn name(&self, policy: usize) -> String {
        match u8::try_from(policy).expect("few policies") {
            ROLES => Masked::guard_name(0),
            role => Masked::role_name(role),
        }
    }

    /// Notes what the model is at the newest revision.
    fn note(&mut self) {
        let revision = self.postern.metric("postern_store_revision") as u64;
        self.at.insert(revision, self.model.clone());
    }

    fn publish(&mut self, policy: usize, activate: bool) {
        let mask = self.random.random_range(0..16);
        let versions = self.model.policies[policy].masks.len();
        let version = Masked {
            policy: if policy == usize::from(ROLES) { 0 } else { policy as u8 },
            version: versions as u16,
            mask,
        };
        let component = if policy == usize::from(ROLES) {
            version.guard()
        } else {
            version.role()
        };
        if activate {
            self.administrator.publish_in_force(&component);
        } else {
            self.administrator.publish(&component).ok(201);
        }
        let own = &mut self.model.policies[policy];
        own.masks.push(mask);
        if activate && versions > 0 {
            own.put_in_force(versions);
        }
    }

    /// Makes one random change to both.
    fn step(&mut self) {
        let policy = self.random.random_range(0..self.model.policies.len());
        let name = self.name(policy);
        match self.random.random_range(0..6) {
            0 => {
                let activate = self.random.random();
                self.publish(policy, activate);
            }
            1 => {
                let own = &mut self.model.policies[policy];
                let version = self.random.random_range(0..own.masks.len());
                own.put_in_force(version);
                let version = semver(version);
                self.administrator.change_policy(&name, json!({"active": version}));
            }
            2 => {
                let own = &mut self.model.policies[policy];
                let Some(previous) = own.previous else { return };
                own.put_in_force(previous);
                self.administrator.change_policy(&name, json!({"active": "previous"}));
            }
            3 => {
                let user = self.random.random_range(0..USERS);
                let role = self.random.random_range(0..usize::from(ROLES));
                self.model.bound[user] = role;
                let (path, role) = (format!("/orgs/acme/users/{}", self.users[user]), self.name(role));
                self.administrator.patch(&path, json!({"role": role})).ok(200);
            }
            4 => {
                let guard = self.name(usize::from(ROLES));
                self.model.attached = !self.model.attached;
                if !self.model.attached {
                    self.administrator.detach("the-guard");
                } else {
                    let guard = json!({"id": "the-guard", "policy": guard, "scope": "/orgs/acme/apps/shop"});
                    self.administrator.post("/orgs/acme/guards", guard).ok(201);
                }
            }
            _ => {
                let own = &self.model.policies[policy];
                let version = self.random.random_range(0..own.masks.len());
                let shadow = (version != own.active).then(|| json!({"version": semver(version), "percent": 100}));
                self.administrator.change_policy(&name, json!({"shadow": shadow}));
            }
        }
        self.note();
    }

    /// Compares a line of the decision log with the model at its revision.
    fn check(&self, decision: &Value) -> Result<(), String> {
        let revision = decision["revision"].as_u64().expect("a revision");
        let question = &decision["question"];
        let user = self.users.iter().position(|id| *id == question["subject"]["id"]);
        let operation = MASKED.iter().position(|(id, _)| *id == question["operation"]);
        let (Some(user), Some(operation)) = (user, operation) else {
            return Ok(());
        };
        let (_, model) = self.at.range(..=revision).next_back().expect("a model of that time");
        // Put in force faster than it could be compiled: refused until it is there.
        if decision["outcome"]["fault"] == "no-policy" {
            return Ok(());
        }
        let expected = model.outcome(user, operation);
        if decision["outcome"]["outcome"] == expected {
            Ok(())
        } else {
            Err(format!(
                "{expected} was expected at revision {revision}: {decision}\n{model:?}"
            ))
        }
    }
}

#[test]
fn every_decision_is_what_the_policies_of_its_revision_say_and_is_made_again_elsewhere() {
    let upstream = Upstream::answering(200, json!([]));
    let flags = ["--workers", "2", "--decision-log-allowed-percent", "100"];
    let postern = Postern::with(&upstream.url(), &flags);
    let seed = std::env::var("POSTERN_SEED").map_or(7, |seed| seed.parse().expect("a number"));
    let mut world = World::new(&postern, seed);
    let callers: Vec<Client> = (world.users.iter())
        .map(|id| postern.with_token(&world.administrator.create_token(id, "load")))
        .collect();
    world.note();
    let decisions = std::env::var("POSTERN_DECISIONS").map_or(DECISIONS, |count| count.parse().expect("a number"));
    let load = Questions::begin(&callers);
    for step in 1..=STEPS {
        world.step();
        load.reach(decisions * step / STEPS);
    }
    load.end();
    let lines = eventually("all decisions in the log", || {
        let lines = decision_log(&postern);
        (lines.len() >= decisions).then_some(lines)
    });
    let late = lines
        .iter()
        .filter(|line| line["outcome"]["fault"] == "no-policy")
        .count();
    assert!(
        late * 10 < lines.len(),
        "{late} of {} decisions found no policy",
        lines.len()
    );
    let wrong: Vec<String> = lines.iter().filter_map(|line| world.check(line).err()).collect();
    assert!(
        wrong.is_empty(),
        "seed {seed}: {} of {}:\n{}",
        wrong.len(),
        lines.len(),
        wrong[0]
    );
    replay(&postern, lines.len());
}

/// Has another process make all logged decisions again, with nothing but the log and the components.
fn replay(postern: &Postern, decisions: usize) {
    let components = postern.directory().join("components");
    let token = postern.data().join("bootstrap-token");
    let url = format!("http://{}", postern.address);
    let fetched = run([
        "policy".as_ref(),
        "components".as_ref(),
        components.as_os_str(),
        "--url".as_ref(),
        url.as_ref(),
        "--token-file".as_ref(),
        token.as_os_str(),
        "--org".as_ref(),
        "acme".as_ref(),
    ]);
    assert_eq!(fetched.code, Some(0), "{}", fetched.stderr);
    let mut arguments = vec!["policy".into(), "replay".into()];
    arguments.extend(log_files(postern).into_iter().map(|file| file.into_os_string()));
    arguments.extend(["--components".into(), components.into_os_string()]);
    let replayed = run(arguments);
    assert_eq!(replayed.code, Some(0), "{}\n{}", replayed.stdout, replayed.stderr);
    let made: usize = replayed
        .stdout
        .split(' ')
        .next()
        .and_then(|count| count.parse().ok())
        .unwrap_or_default();
    assert!(made >= decisions, "{}", replayed.stdout);
    let expected = format!("{made} decisions: {made} equal, 0 different");
    assert!(replayed.stdout.contains(&expected), "{}", replayed.stdout);
}

#[test]
fn a_shadow_with_three_known_differences_reports_exactly_these() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let active = Masked {
        policy: 0,
        version: 0,
        mask: 0b0011,
    };
    let candidate = Masked {
        policy: 0,
        version: 1,
        mask: 0b1110,
    };
    administrator.publish(&active.role()).ok(201);
    let ci = administrator.with_org_role(&Masked::role_name(0));
    let other = administrator.with_org_role("member");
    administrator.publish(&candidate.role()).ok(201);
    let shadow = json!({"shadow": {"version": candidate.semver(), "percent": 100}});
    administrator.change_policy(&Masked::role_name(0), shadow);
    // What is decided before the candidate is compiled is not counted.
    let report = eventually("the shadow's report", || {
        for ((_, target), allowed) in MASKED.iter().zip([true, true, false, false]) {
            assert_eq!(
                ci.client.get(target).status,
                if allowed { 200 } else { 403 },
                "{target}"
            );
            other.client.get(target);
        }
        let path = format!("/orgs/acme/policies/{}/shadow", Masked::role_name(0));
        let report = administrator.get(&path).ok(200);
        (report["evaluations"].as_u64() >= Some(20)).then_some(report)
    });
    let flips = report["flips"].as_array().expect("a list").iter();
    let mut flips: Vec<String> = flips
        .map(|flip| {
            format!(
                "{} {} {} {}",
                flip["subject"], flip["operation"], flip["from"], flip["to"]
            )
        })
        .collect();
    flips.sort();
    let expected = [
        format!(r#""{}" "getEnvironment" "not-allowed" "allowed""#, ci.id),
        format!(r#""{}" "listAgents" "not-allowed" "allowed""#, ci.id),
        format!(r#""{}" "listEnvironmentTypes" "allowed" "not-allowed""#, ci.id),
    ];
    assert_eq!(flips, expected, "{report}");
}

/// Callers that ask about everything in turn, until they are stopped.
struct Questions {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Questions {
    fn begin(callers: &[Client]) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let begin = |client: &Client| {
            let (client, stop, answered) = (client.clone(), Arc::clone(&stop), Arc::clone(&answered));
            std::thread::spawn(move || ask(&client, &stop, &answered))
        };
        Self {
            threads: callers.iter().map(begin).collect(),
            stop,
            answered,
        }
    }

    fn reach(&self, answers: usize) {
        let patience = std::time::Instant::now() + 10 * PATIENCE;
        while self.answered.load(Ordering::Relaxed) < answers {
            assert!(
                !self.threads.iter().any(std::thread::JoinHandle::is_finished),
                "a caller has failed"
            );
            assert!(std::time::Instant::now() < patience, "{answers} answers do not come");
            std::thread::park_timeout(std::time::Duration::from_millis(1));
        }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("every answer is one of a decision");
        }
    }
}

fn ask(client: &Client, stop: &AtomicBool, answered: &AtomicUsize) {
    let requests = MASKED.map(|(_, target)| client.octets(Request::new("GET", target).keeping_the_connection()));
    let stream = TcpStream::connect(client.address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("it can be set");
    stream.set_nodelay(true).expect("it can be set");
    let mut reader = BufReader::new(stream);
    for request in requests.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        reader.get_mut().write_all(request).expect("it takes requests");
        let answer = read_head(&mut reader).expect("an answer comes");
        read_body(&mut reader, &answer).expect("it comes whole");
        assert!(matches!(answer.status, 200 | 403 | 503), "{}", answer.shown());
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

fn semver(version: usize) -> String {
    let version = u16::try_from(version).expect("few versions");
    Masked {
        policy: 0,
        version,
        mask: 0,
    }
    .semver()
}

/// The files of the decision log, the oldest first.
fn log_files(postern: &Postern) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(postern.data()).expect("the data directory is there");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("decisions.log"))
        })
        .collect();
    files.sort();
    files
}

fn decision_log(postern: &Postern) -> Vec<Value> {
    let mut lines = Vec::new();
    for file in log_files(postern) {
        let text = std::fs::read_to_string(file).expect("it can be read");
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        lines.extend(
            whole
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).expect("each line is JSON")),
        );
    }
    lines
}
