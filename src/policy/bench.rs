//! `postern policy bench`: what a decision costs, with the engine and the limits of a gateway.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use catalogue::Catalogue;
use clap::Args;
use engine::replay::OwnedQuestion;
use engine::{Class, Fault, Layout, Memory, Policy, PolicySet, RoleEntry};
use feed::PolicyKind;

use super::case::Case;
use super::project::Component;
use super::report::{class_name, size};
use super::test;
use super::workbench::{self, Engines};
use crate::exit::{DATA, Failure, REFUSED};

/// Options of `postern policy bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// The policy's folder: its tests are what is asked
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// How long to ask
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
}

/// Measures, and reports.
pub(super) fn run(args: &BenchArgs) -> Result<(), Failure> {
    let component = Component::open(&args.dir)?;
    let class = engine::classify(&component.bytes).map_err(|error| Failure::new(DATA, &error))?;
    let engines = Engines::new()?;
    let policy = Arc::new(workbench::load(&engines, &component.bytes)?);
    let catalogue = workbench::catalogue();
    let cases = test::cases(&args.dir, &policy, &catalogue)?;
    let questions = questions(&cases, &catalogue)?;
    let (fuel, memory_bytes) = heaviest(&questions, &policy)?;
    let long = Duration::from_secs(args.seconds);
    let fresh = median(&questions, long, |question, settings| {
        question.with(|question| policy.judge(question, settings).map(drop))
    })?;
    println!(
        "{} {}, class {}",
        policy.name(),
        policy.manifest().version,
        class_name(class)
    );
    println!(
        "  questions      {} of {}",
        questions.len(),
        args.dir.join("tests.toml").display()
    );
    let budget = engine::decide_time_max(class);
    println!(
        "  fresh instance {} a decision, the middle one; the budget is {}",
        time(fresh),
        time(budget)
    );
    match remembered(&policy, &questions, long)? {
        Some(took) => println!("  remembered     {} a decision", time(took)),
        None => println!("  remembered     not measured: only roles that ask for no input are remembered whole"),
    }
    let limits = class.limits();
    match class {
        Class::Small => println!(
            "  fuel           {} at most; the budget is {}",
            fuel,
            limits.fuel.unwrap_or_default()
        ),
        Class::Script => println!("  fuel           not counted for scripts"),
    }
    let most = size(limits.memory_bytes_max);
    println!("  memory         {} at most; the budget is {most}", size(memory_bytes));
    if fresh > budget {
        return Err(Failure::said(
            REFUSED,
            format!("publishing it would be refused: too-slow: {}", time(fresh)),
        ));
    }
    Ok(())
}

type Asked<'c> = (OwnedQuestion, Option<&'c str>);

fn questions<'c>(cases: &'c [Case], catalogue: &Catalogue) -> Result<Vec<Asked<'c>>, Failure> {
    let question = |case: &'c Case| {
        let question = OwnedQuestion::of(&case.question, catalogue);
        let question = question.map_err(|error| Failure::said(DATA, format!("{}: {error}", case.name)))?;
        Ok((question, case.settings.as_deref()))
    };
    cases.iter().map(question).collect()
}

/// Returns the most that any question takes of fuel, and of memory.
fn heaviest(questions: &[Asked<'_>], policy: &Policy) -> Result<(u64, usize), Failure> {
    let mut most = (0, 0);
    for (question, settings) in questions {
        let judged = question
            .with(|question| policy.judge(question, *settings))
            .map_err(faulted)?;
        most = (judged.fuel.max(most.0), judged.memory_bytes.max(most.1));
    }
    Ok(most)
}

/// Returns the middle one of the times that asking takes, over rounds of all questions.
fn median(
    questions: &[Asked<'_>],
    long: Duration,
    ask: impl Fn(&OwnedQuestion, Option<&str>) -> Result<(), Fault>,
) -> Result<Duration, Failure> {
    let mut times = Vec::new();
    let began = Instant::now();
    while times.is_empty() || began.elapsed() < long {
        for (question, settings) in questions {
            let asked = Instant::now();
            ask(question, *settings).map_err(faulted)?;
            times.push(asked.elapsed());
        }
    }
    let middle = times.len() / 2;
    Ok(*times.select_nth_unstable(middle).1)
}

/// Returns the middle time of a decision whose verdict is remembered; none when those of this policy never are.
///
/// Measured for roles: a guard is asked after a role, whose time would be in it.
fn remembered(policy: &Arc<Policy>, questions: &[Asked<'_>], long: Duration) -> Result<Option<Duration>, Failure> {
    let Some((first, settings)) = questions.first() else {
        return Ok(None);
    };
    if policy.kind() == PolicyKind::Guard || !policy.manifest().inputs.is_empty() {
        return Ok(None);
    }
    let own: Vec<Asked<'_>> = questions.iter().filter(|(_, own)| own == settings).cloned().collect();
    let set = PolicySet::new([], Memory::default()).arranged(&Layout {
        roles: vec![RoleEntry {
            org: first.with(|question| question.subject.org.to_owned()),
            role: policy.name().to_owned(),
            policy: Some(Arc::clone(policy)),
            fallback: None,
            settings: settings.map(Arc::from),
        }],
        guards: Vec::new(),
    });
    let asked = median(&own, long, |question, _| {
        question.with(|question| drop(set.decide(question)));
        Ok(())
    });
    asked.map(Some)
}

fn faulted(fault: Fault) -> Failure {
    Failure::said(DATA, format!("it gave no verdict: {fault}"))
}

fn time(took: Duration) -> String {
    format!("{took:.2?}")
}
