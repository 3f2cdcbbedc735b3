//! Vetting for publication: all that would keep a component from being published, found at once.
//!
//! Beyond what loading checks, the component is asked about every operation of the catalogue, as a subject that holds its
//! role, or is judged by it, would ask. Which permissions a policy has words for cannot be read from it; what it says of
//! each operation can.

use std::time::{Duration, Instant};

use catalogue::{Catalogue, Matched};
use feed::{PolicyDigest, PolicyKind};

use crate::anatomy::Anatomy;
use crate::{
    Class, Compiler, Engine, EnvTypeRole, Fault, Input, Inputs, LoadError, Manifest, Policy, Question, Said, ScopeKind,
    StartError, SubjectView, builtin, settings,
};

/// What is known of a component that may be published.
#[derive(Debug, Clone)]
pub struct Vetted {
    /// What it may use.
    pub class: Class,
    /// What it says of itself.
    pub manifest: Manifest,
    /// Its digest.
    pub digest: PolicyDigest,
    /// Size of the component, in bytes.
    pub size_bytes: usize,
    /// Size of what it is compiled to, in bytes.
    pub compiled_bytes: usize,
    /// Functions in it.
    pub functions: usize,
    /// Memory that an instance begins with, in bytes.
    pub memory_bytes: u64,
    /// How long compiling took.
    pub compile_time: Duration,
    /// How long loading took: describing itself is most of it.
    pub load_time: Duration,
    /// Median time of a decision, a fresh instance each.
    pub decide_time: Duration,
    /// What it said of each operation of the catalogue, by the operation's id, to a subject for which it would be asked:
    /// without settings, every parameter `sample`, inputs made up.
    pub samples: Vec<(String, Said)>,
}

/// Something for which a component is not published.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It cannot be loaded.
    #[error(transparent)]
    NotLoaded(#[from] LoadError),
    /// This machine cannot run it.
    #[error(transparent)]
    NoEngine(#[from] StartError),
    /// Its name is that of a built-in role.
    #[error("{0:?} is the name of a built-in role")]
    BuiltInName(String),
    /// Its settings schema is not a JSON Schema.
    #[error("its settings schema is none: {0}")]
    SettingsSchema(String),
    /// It takes no settings and gives no verdict on any operation of the catalogue.
    #[error("it gives no verdict on any operation: {0}")]
    AlwaysFaults(Fault),
    /// It takes too long.
    #[error("a decision takes {took:?}, {most:?} at most are allowed for class {class}")]
    TooSlow {
        /// Its class.
        class: Class,
        /// Median time of a decision.
        took: Duration,
        /// Most that is allowed.
        most: Duration,
    },
}

/// Vets a component with the engine that will run it. Blocks, up to minutes for a large component.
///
/// # Errors
/// All problems that were found; at least one. A component that cannot be loaded has only that one.
pub fn vet(compiler: &Compiler, component: &[u8], catalogue: &Catalogue) -> Result<Vetted, Vec<Problem>> {
    let vetted = load_and_ask(compiler, component, catalogue).map_err(|problem| vec![problem])?;
    let problems = problems(&vetted);
    if problems.is_empty() { Ok(vetted) } else { Err(problems) }
}

/// Returns the most that a decision may take, in the median.
///
/// # Source
/// A small policy takes about 5 µs, most of it to make its instance; JavaScript 1 to 5 ms, Python 10 to 30.
pub fn decide_time_max(class: Class) -> Duration {
    match class {
        Class::Small => Duration::from_millis(1),
        Class::Script => Duration::from_millis(100),
    }
}

fn load_and_ask(compiler: &Compiler, component: &[u8], catalogue: &Catalogue) -> Result<Vetted, Problem> {
    let started = Instant::now();
    let precompiled = compiler.compile(component)?;
    let compile_time = started.elapsed();
    let class = precompiled.class();
    let engine = Engine::new(&class.limits())?;
    let started = Instant::now();
    let policy = engine.load_precompiled(&precompiled)?;
    let load_time = started.elapsed();
    let anatomy = Anatomy::of(component)?;
    let (samples, times) = ask_all(&policy, class, catalogue);
    Ok(Vetted {
        class,
        manifest: policy.manifest().clone(),
        digest: precompiled.digest(),
        size_bytes: component.len(),
        compiled_bytes: precompiled.size_bytes(),
        functions: anatomy.functions,
        memory_bytes: anatomy.memory_bytes,
        compile_time,
        load_time,
        decide_time: median(times),
        samples,
    })
}

fn problems(vetted: &Vetted) -> Vec<Problem> {
    let manifest = &vetted.manifest;
    let mut problems = Vec::new();
    if manifest.kind == PolicyKind::Role && builtin::NAMES.contains(&manifest.name.as_str()) {
        problems.push(Problem::BuiltInName(manifest.name.clone()));
    }
    let schema = manifest.settings_schema.as_deref();
    if let Some(Err(problem)) = schema.map(settings::validator) {
        problems.push(Problem::SettingsSchema(problem));
    }
    let fault = |(_, said): &(String, Said)| match said {
        Said::Nothing(fault) => Some(*fault),
        Said::Allow | Said::Abstain | Said::Pass | Said::Deny => None,
    };
    let faults: Option<Vec<Fault>> = vetted.samples.iter().map(fault).collect();
    if let (None, Some(Some(fault))) = (schema, faults.map(|faults| faults.first().copied())) {
        problems.push(Problem::AlwaysFaults(fault));
    }
    let (class, took, most) = (vetted.class, vetted.decide_time, decide_time_max(vetted.class));
    if took > most {
        problems.push(Problem::TooSlow { class, took, most });
    }
    problems
}

/// Asks about every operation, of which it returns the answers and how long each took, as far as there is time.
fn ask_all(policy: &Policy, class: Class, catalogue: &Catalogue) -> (Vec<(String, Said)>, Vec<Duration>) {
    let manifest = policy.manifest();
    let headers: Vec<(&str, &str)> = manifest
        .inputs
        .iter()
        .filter_map(|input| match input {
            Input::Header(name) => Some((name.as_str(), SAMPLE)),
            Input::Time | Input::SourceAddress | Input::Query | Input::JsonBody => None,
        })
        .collect();
    let inputs = Inputs {
        time_ms: Some(SAMPLE_TIME_MS),
        source_address: Some("192.0.2.1"),
        headers: &headers,
        query: Some(SAMPLE),
        json_body: Some("{}"),
    };
    let env_types: &[EnvTypeRole<'_>] = &[(SAMPLE, Some(&manifest.name))];
    let holds = |scope| manifest.scopes.first() == Some(&scope);
    let subject = SubjectView {
        id: SAMPLE,
        kind: manifest.subject_kinds[0],
        org: SAMPLE,
        org_role: holds(ScopeKind::Org).then_some(&manifest.name),
        app_role: holds(ScopeKind::App).then_some(&manifest.name),
        env_types: if holds(ScopeKind::EnvType) { env_types } else { &[] },
    };
    let budget = decide_time_max(class) * u32::try_from(catalogue.operations().len()).unwrap_or(u32::MAX) * 2;
    let begun = Instant::now();
    let (mut samples, mut times) = (Vec::new(), Vec::new());
    for operation in catalogue.operations() {
        let values: Vec<&str> = operation.parameter_names().map(|_| SAMPLE).collect();
        let Some(operation) = Matched::from_values(operation, &values) else {
            continue;
        };
        let question = Question {
            subject,
            operation: &operation,
            inputs,
        };
        let started = Instant::now();
        let said = policy
            .ask(&question, None)
            .map_or_else(Said::Nothing, |verdict| verdict.said());
        times.push(started.elapsed());
        samples.push((operation.operation.id.clone(), said));
        if begun.elapsed() > budget {
            break;
        }
    }
    (samples, times)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Value of every parameter: it fits each grammar.
const SAMPLE: &str = "sample";

/// A Tuesday in November 2023, 22:13:20 UTC.
const SAMPLE_TIME_MS: u64 = 1_700_000_000_000;
