//! What a decision costs, with verdicts remembered and with a fresh instance for each question.
//!
//! Wall time of one thread: `cargo bench -p engine`. "Fresh" is one instance; three roles ask up to three.

use std::hint::black_box;

use catalogue::{Catalogue, Matched, OPERATIONS};
use criterion::{Criterion, criterion_group, criterion_main};
use engine::{Engine, Limits, Memory, PolicySet, Question, SubjectView, Inputs};
use feed::SubjectKind;

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

criterion_group!(benches, decisions);
criterion_main!(benches);
