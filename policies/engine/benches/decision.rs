//! What a decision costs, with verdicts remembered and with a fresh instance for each question.
//!
//! Wall time of one thread: `cargo bench -p engine`. "Fresh" is one instance; three roles ask up to three. Guards and runaways
//! are those of `tests/guests`.

#[path = "../tests/policies/support.rs"]
#[expect(
    dead_code,
    clippy::unwrap_used,
    reason = "what tests share: not all of it is used here, and it fails where it cannot go on"
)]
mod support;

use std::hint::black_box;

use catalogue::{Catalogue, Matched, OPERATIONS};
use criterion::{Criterion, criterion_group, criterion_main};
use engine::{Engine, Inputs, Layout, Limits, Memory, PolicySet, Question, SubjectView};
use feed::SubjectKind;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn decisions(criterion: &mut Criterion) {
    let engine = Engine::new(&Limits::default()).expect("this machine runs policies");
    let remembering = PolicySet::builtin(&engine, Memory::default()).expect("the built-in policies load");
    let fresh = PolicySet::builtin(&engine, Memory::Off).expect("the built-in policies load");
    let catalogue = Catalogue::parse(OPERATIONS).expect("the shipped table is valid");
    let read = catalogue
        .identify("GET", "/orgs/my-org/apps/web/envs/development")
        .expect("an operation of the catalogue");
    let deploy = catalogue
        .identify("POST", "/orgs/my-org/apps/web/envs/development/deploys")
        .expect("an operation of the catalogue");
    let cases = [
        (
            "one role",
            SubjectView {
                org_role: Some("administrator"),
                ..nobody()
            },
            &read,
        ),
        ("three roles", build_user(), &deploy),
    ];
    for (name, subject, operation) in cases {
        bench(
            criterion,
            &format!("remembered, {name}"),
            &remembering,
            subject,
            operation,
        );
        bench(criterion, &format!("fresh, {name}"), &fresh, subject, operation);
    }
    criterion.bench_function("load a built-in policy", |bencher| {
        bencher.iter(|| engine.load(engine::builtin::COMPONENTS[0]));
    });
}

/// Guards beside a remembered role, what a set asks for, and what a runaway costs.
fn guards(criterion: &mut Criterion) {
    let engine = Engine::new(&Limits::default()).expect("this machine runs policies");
    let builtin = PolicySet::builtin(&engine, Memory::default()).expect("the built-in policies load");
    let catalogue = Catalogue::parse(OPERATIONS).expect("the shipped table is valid");
    let operation = catalogue
        .identify("GET", "/orgs/my-org/apps/web/envs/development")
        .expect("an operation of the catalogue");
    let with_guard = |guest| {
        builtin.arranged(&Layout {
            roles: Vec::new(),
            guards: vec![support::guard("guard", support::load(guest))],
        })
    };
    let subject = SubjectView {
        org_role: Some("administrator"),
        ..nobody()
    };
    let inputs = Inputs {
        time_ms: Some(1),
        source_address: Some("192.0.2.1"),
        headers: &[("x-change", "42")],
        ..Inputs::default()
    };
    for (name, guest) in [
        ("a guard that passes, remembered", "guard"),
        ("a guard that asks for the time", "denies_even_times"),
        ("a guard that asks for everything and refuses", "denies_with_inputs"),
    ] {
        let set = with_guard(guest);
        let question = Question {
            subject,
            operation: &operation,
            inputs,
        };
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| drop(black_box(set.decide(black_box(&question)))))
        });
    }
    criterion.bench_function("what built-in roles ask for", |bencher| {
        bencher.iter(|| black_box(builtin.needs(black_box(&subject), &operation)).is_nothing())
    });
    let precompiled = support::compiler()
        .compile(engine::builtin::COMPONENTS[0])
        .expect("a built-in component compiles");
    criterion.bench_function("load a precompiled policy", |bencher| {
        bencher.iter(|| engine.load_precompiled(&precompiled));
    });
}

/// An endless loop, ended by its fuel, and, for want of that, by the clock. Put aside after some, so each round has a set of
/// its own.
fn runaways(criterion: &mut Criterion) {
    let catalogue = Catalogue::parse(OPERATIONS).expect("the shipped table is valid");
    let operation = catalogue
        .identify("GET", "/current-user")
        .expect("an operation of the catalogue");
    let question = Question {
        subject: support::on_org("hostile"),
        operation: &operation,
        inputs: Inputs::default(),
    };
    let unlimited = Limits {
        fuel: None,
        ..Limits::small()
    };
    let mut group = criterion.benchmark_group("a runaway ended");
    group.sample_size(10);
    for (name, limits) in [("by fuel", Limits::small()), ("by the clock", unlimited)] {
        let engine = Engine::new(&limits).expect("this machine runs policies");
        let policy = engine
            .load(&support::guest("endless_loop"))
            .map(std::sync::Arc::new)
            .expect("a component");
        group.bench_function(name, |bencher| {
            bencher.iter_with_setup(
                || PolicySet::new([std::sync::Arc::clone(&policy)], Memory::Off),
                |set| drop(black_box(set.decide(&question).outcome)),
            );
        });
    }
    group.finish();
}

fn bench(criterion: &mut Criterion, name: &str, set: &PolicySet, subject: SubjectView<'_>, operation: &Matched<'_>) {
    let question = Question {
        subject,
        operation,
        inputs: Inputs::default(),
    };
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| drop(black_box(set.decide(black_box(&question)))))
    });
}

fn nobody() -> SubjectView<'static> {
    SubjectView {
        id: "s-4c1f2a9e-6f0b-4a53-9d5e-2f8f3a1b7c60",
        kind: SubjectKind::ServiceUser,
        org: "my-org",
        org_role: None,
        app_role: None,
        env_types: &[],
    }
}

fn build_user() -> SubjectView<'static> {
    SubjectView {
        org_role: Some("artefactContributor"),
        app_role: Some("developer"),
        env_types: &[("development", Some("deployer"))],
        ..nobody()
    }
}

criterion_group!(benches, decisions, guards, runaways);
criterion_main!(benches);
