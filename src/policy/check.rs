//! `postern policy check`: all that publishing would refuse, and what an author should know besides.

use std::collections::BTreeMap;
use std::path::PathBuf;

use catalogue::Catalogue;
use clap::Args;
use engine::{Compiler, Input, LoadError, Manifest, Problem, ScopeKind, Vetted};
use feed::PolicyKind;

use super::coverage::Unseen;
use super::project::{Component, Project};
use super::report::{class_name, size};
use super::{hints, workbench};
use crate::exit::{Failure, REFUSED, SOFTWARE};

/// Options of `postern policy check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// A component, or the folder of a policy
    #[arg(value_name = "FILE|DIR", default_value = ".")]
    component: PathBuf,
}

/// Something that is wrong, or may be.
struct Finding {
    /// Stable, for scripts.
    id: &'static str,
    message: String,
}

/// Vets the component, and reports.
pub(super) fn run(args: &CheckArgs) -> Result<(), Failure> {
    let component = Component::open(&args.component)?;
    let catalogue = workbench::catalogue();
    let program = std::env::current_exe().map_err(|error| Failure::new(SOFTWARE, &error))?;
    println!("{}", component.file.display());
    let vetted = engine::vet(&Compiler::new(program), &component.bytes, &catalogue);
    let mut refused: Vec<Finding> = Vec::new();
    match vetted {
        Ok(vetted) => {
            describe(&vetted, &catalogue);
            refused.extend(
                component
                    .project
                    .as_ref()
                    .and_then(|project| differs(project, &vetted.manifest)),
            );
        }
        Err(problems) => refused.extend(problems.iter().map(Finding::of)),
    }
    let unknown = component
        .project
        .as_ref()
        .map(|project| hints::unknown_permissions(project, &catalogue));
    for message in unknown.into_iter().flatten() {
        println!("  warning [unknown-permission] {message}");
    }
    for Finding { id, message } in &refused {
        println!("  refused [{id}] {message}");
    }
    if refused.is_empty() {
        println!("  it can be published");
        return Ok(());
    }
    let ids: Vec<&str> = refused.iter().map(|finding| finding.id).collect();
    Err(Failure::said(
        REFUSED,
        format!("publishing it would be refused: {}", ids.join(", ")),
    ))
}

fn describe(vetted: &Vetted, catalogue: &Catalogue) {
    let manifest = &vetted.manifest;
    let (kind, at) = match manifest.kind {
        PolicyKind::Role => ("role", "bound to"),
        PolicyKind::Guard => ("guard", "attached to"),
    };
    let Vetted {
        class,
        digest,
        compiled_bytes,
        ..
    } = vetted;
    println!(
        "  {kind} {} {}, class {}",
        manifest.name,
        manifest.version,
        class_name(*class)
    );
    println!(
        "  {}, compiled {} in {:.0?}",
        size(vetted.size_bytes),
        size(*compiled_bytes),
        vetted.compile_time
    );
    println!("  digest {digest}");
    let scopes: Vec<&str> = manifest.scopes.iter().map(|scope| scope_name(*scope)).collect();
    let subjects: Vec<&str> = manifest.subject_kinds.iter().map(|kind| kind.api_name()).collect();
    println!(
        "  can be {at}: {}; subjects: {}",
        scopes.join(", "),
        subjects.join(", ")
    );
    let inputs: Vec<String> = manifest.inputs.iter().map(input_name).collect();
    match inputs.as_slice() {
        [] => println!("  asks for no input: its verdicts are remembered"),
        inputs => println!("  asks for {}: it is asked anew for each request", inputs.join(", ")),
    }
    println!("  a decision takes {:.1?}", vetted.decide_time);
    println!("  asked about each operation, without settings: {}", verdicts(vetted));
    let unseen = Unseen::of(manifest, catalogue);
    if unseen.count() > 0 {
        let all = catalogue.operations().len();
        println!("  it is never asked about {} of the {all} operations", unseen.count());
    }
}

/// Returns how often it said what.
fn verdicts(vetted: &Vetted) -> String {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, said) in &vetted.samples {
        *count.entry(said.name()).or_default() += 1;
    }
    let count: Vec<String> = count.iter().map(|(word, count)| format!("{count} {word}")).collect();
    count.join(", ")
}

/// Returns what is wrong when a component is not what its folder says.
fn differs(project: &Project, manifest: &Manifest) -> Option<Finding> {
    let said = &project.said;
    let message = if said.name != manifest.name {
        format!(
            "policy.toml calls it {:?}, the component itself {:?}",
            said.name, manifest.name
        )
    } else if said.kind != manifest.kind {
        "policy.toml and the component do not agree whether it is a role or a guard".to_owned()
    } else {
        return None;
    };
    Some(Finding {
        id: "policy-toml-differs",
        message,
    })
}

impl Finding {
    fn of(problem: &Problem) -> Self {
        Self {
            id: id(problem),
            message: problem.to_string(),
        }
    }
}

fn id(problem: &Problem) -> &'static str {
    match problem {
        Problem::NotLoaded(error) => match error {
            LoadError::TooLarge { .. } => "too-large",
            LoadError::FunctionTooLarge { .. } => "function-too-large",
            LoadError::NotAComponent => "not-a-component",
            LoadError::NotCompiled(_) => "not-compiled",
            LoadError::Imports { .. } => "imports",
            LoadError::WrongWorld(_) => "wrong-world",
            LoadError::NotDescribed(_) => "not-described",
            LoadError::Manifest(_) => "manifest",
            LoadError::OtherClass { .. } => "other-class",
            LoadError::CompileTime => "compile-time",
            LoadError::CompileMemory => "compile-memory",
            LoadError::Compiler(_) => "compiler",
            LoadError::HostPanicked => "host-panicked",
        },
        Problem::NoEngine(_) => "no-engine",
        Problem::BuiltInName(_) => "built-in-name",
        Problem::SettingsSchema(_) => "settings-schema",
        Problem::AlwaysFaults(_) => "always-faults",
        Problem::TooSlow { .. } => "too-slow",
    }
}

fn scope_name(scope: ScopeKind) -> &'static str {
    match scope {
        ScopeKind::Org => "organisation",
        ScopeKind::App => "app",
        ScopeKind::EnvType => "env type",
    }
}

fn input_name(input: &Input) -> String {
    match input {
        Input::Time => "the time".to_owned(),
        Input::SourceAddress => "the source address".to_owned(),
        Input::Header(name) => format!("header {}", name.escape_debug()),
        Input::Query => "the query".to_owned(),
        Input::JsonBody => "the JSON body".to_owned(),
    }
}
