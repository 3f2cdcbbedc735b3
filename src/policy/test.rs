//! `postern policy test`: asks a policy what its tests ask, and compares.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use catalogue::Catalogue;
use clap::Args;
use engine::Policy;
use feed::PolicyKind;
use feed::decision::RecordedDecision;

use super::case::{Answer, Case};
use super::coverage::Coverage;
use super::project::Component;
use super::report::table;
use super::workbench::{self, Engines};
use super::{decisions, table as tests};
use crate::exit::{DATA, Failure, INPUT_OUTPUT, REFUSED};

/// Options of `postern policy test`.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// The policy's folder
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Component to ask in place of the folder's
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
    /// Show every failure, not only the first 20
    #[arg(long)]
    all: bool,
}

/// A case that came out otherwise.
struct Failed<'c> {
    case: &'c Case,
    answer: Answer,
}

/// Asks everything, and reports.
pub(super) fn run(args: &TestArgs) -> Result<(), Failure> {
    let component = Component::open(args.component.as_deref().unwrap_or(&args.dir))?;
    let engines = Engines::new()?;
    let policy = workbench::load(&engines, &component.bytes)?;
    let catalogue = workbench::catalogue();
    let cases = cases(&args.dir, &policy, &catalogue)?;
    check(&cases, &policy)?;
    let mut failed = Vec::new();
    for case in &cases {
        let answer = workbench::ask(&policy, (&case.question, case.settings.as_deref()), &catalogue)
            .map_err(|problem| Failure::said(DATA, format!("{}: {problem}", case.name)))?;
        if !case.expected.is(&answer) {
            failed.push(Failed { case, answer });
        }
    }
    let tested: BTreeSet<String> = cases.iter().map(|case| case.question.operation.clone()).collect();
    let coverage = Coverage::of(policy.manifest(), &catalogue, &tested);
    if failed.is_empty() {
        println!(
            "{} {}: all {} cases pass",
            policy.name(),
            policy.manifest().version,
            cases.len()
        );
        print!("{coverage}");
        return Ok(());
    }
    show(&failed, if args.all { usize::MAX } else { SHOWN_MAX });
    print!("{coverage}");
    let message = format!("{} of {} cases of {} fail", failed.len(), cases.len(), policy.name());
    Err(Failure::said(REFUSED, message))
}

/// Returns the cases of a policy's folder: those of `tests.toml`, and the decisions on record in `cases/`.
pub(super) fn cases(folder: &Path, policy: &Policy, catalogue: &Catalogue) -> Result<Vec<Case>, Failure> {
    let mut cases = Vec::new();
    let file = folder.join(TABLE);
    if file.exists() {
        let text = decisions::text(&file)?;
        let read = tests::cases(&text, catalogue);
        cases.extend(read.map_err(|problem| Failure::said(DATA, format!("{}: {problem}", file.display())))?);
    }
    for file in recorded(&folder.join(RECORDED))? {
        for decision in decisions::read(&file)? {
            cases.push(of_record(decision, &file, policy)?);
        }
    }
    if cases.is_empty() {
        let message = format!(
            "there is nothing to test in {0}: write {0}/{TABLE}, or put decisions on record into {0}/{RECORDED}/",
            folder.display()
        );
        return Err(Failure::said(INPUT_OUTPUT, message));
    }
    Ok(cases)
}

fn of_record(decision: RecordedDecision, file: &Path, policy: &Policy) -> Result<Case, Failure> {
    let case = Case::of(decision, policy.name(), policy.kind());
    case.map_err(|problem| Failure::said(DATA, format!("{}: {problem}", file.display())))
}

fn recorded(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let listed = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut files: Vec<PathBuf> =
        listed.map_err(|error| Failure::said(INPUT_OUTPUT, format!("{}: {error}", folder.display())))?;
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "json" || extension == "ndjson")
    });
    files.sort();
    Ok(files)
}

/// Checks what no answer could make right: verdicts of the other kind, settings that attaching would refuse.
fn check(cases: &[Case], policy: &Policy) -> Result<(), Failure> {
    let (kind, verdicts) = match policy.kind() {
        PolicyKind::Role => ("role", "allow or abstain"),
        PolicyKind::Guard => ("guard", "pass or deny"),
    };
    let schema = policy.manifest().settings_schema.as_deref();
    let mut checked = BTreeSet::new();
    for case in cases {
        if !case.expected.is_of(policy.kind()) {
            let message = format!("{}: a {kind} answers {verdicts}, never {}", case.name, case.expected);
            return Err(Failure::said(DATA, message));
        }
        if checked.insert(&case.settings) {
            engine::check_settings(schema, case.settings.as_deref())
                .map_err(|problem| Failure::said(DATA, format!("{}: settings: {problem}", case.name)))?;
        }
    }
    Ok(())
}

fn show(failed: &[Failed<'_>], most: usize) {
    let rows: Vec<[String; 4]> = failed
        .iter()
        .take(most)
        .map(|Failed { case, answer }| {
            let operation = case.question.operation.clone();
            [
                case.name.clone(),
                operation,
                case.expected.to_string(),
                answer.to_string(),
            ]
        })
        .collect();
    print!("{}", table(["CASE", "OPERATION", "EXPECTED", "GOT"], &rows));
    if failed.len() > most {
        println!("… and {} more; --all shows them", failed.len() - most);
    }
}

const TABLE: &str = "tests.toml";
const RECORDED: &str = "cases";

/// Failures that are shown unless all are asked for.
const SHOWN_MAX: usize = 20;
