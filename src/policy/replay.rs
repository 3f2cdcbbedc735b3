//! `postern policy replay`: makes every decision of a decision log again, with the components that the log names.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::thread;

use clap::Args;
use feed::PolicyDigest;
use feed::decision::{RecordedDecision, RecordedOutcome};

use super::library::{Library, Shelf};
use super::report::{outcome, table};
use super::{decisions, workbench};
use crate::exit::{DATA, Failure, REFUSED, SOFTWARE};

/// Options of `postern policy replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// A decision log: decisions on record, one a line
    log: PathBuf,
    /// Folder with the components that were asked (.wasm, one level deep); the built-in roles are at hand
    #[arg(long, value_name = "DIR", default_value = ".")]
    components: Vec<PathBuf>,
}

/// What came of making decisions again.
#[derive(Default)]
struct Count {
    equal: usize,
    different: Vec<Different>,
    /// Decisions that cannot be made again, since a component is missing.
    without: usize,
    missing: BTreeSet<PolicyDigest>,
}

/// A decision that came out otherwise.
struct Different {
    id: String,
    subject: String,
    operation: String,
    then: RecordedOutcome,
    now: RecordedOutcome,
}

/// Makes all of them again, on all processors, and reports.
pub(super) fn run(args: &ReplayArgs) -> Result<(), Failure> {
    let shelf = &Shelf::of(&args.components)?;
    let decisions = decisions::read(&args.log)?;
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = decisions.len().div_ceil(threads).max(1);
    let counts: Vec<Result<Count, Failure>> = thread::scope(|scope| {
        let begin = |decisions| scope.spawn(move || count(decisions, shelf));
        let running: Vec<_> = decisions.chunks(share).map(begin).collect();
        let end = |thread: thread::ScopedJoinHandle<'_, _>| {
            let panicked = |_| Err(Failure::said(SOFTWARE, "a thread of the replay panicked"));
            thread.join().unwrap_or_else(panicked)
        };
        running.into_iter().map(end).collect()
    });
    let mut all = Count::default();
    for count in counts {
        let count = count?;
        all.equal += count.equal;
        all.different.extend(count.different);
        all.without += count.without;
        all.missing.extend(count.missing);
    }
    report(&all, decisions.len())
}

fn count(decisions: &[RecordedDecision], shelf: &Shelf) -> Result<Count, Failure> {
    let library = Library::new(shelf)?;
    let catalogue = workbench::catalogue();
    let mut count = Count::default();
    for decision in decisions {
        let asked = decision.answers.iter().filter_map(|answer| answer.policy);
        let missing: Vec<PolicyDigest> = asked.filter(|digest| library.policy(*digest).is_none()).collect();
        if !missing.is_empty() {
            count.without += 1;
            count.missing.extend(missing);
            continue;
        }
        let now = engine::replay::replay(decision, &catalogue, &|digest| library.policy(digest))
            .map_err(|problem| Failure::said(DATA, format!("decision {}: {problem}", decision.id)))?;
        if now == decision.outcome {
            count.equal += 1;
        } else {
            count.different.push(Different {
                id: decision.id.clone(),
                subject: decision.question.subject.id.clone(),
                operation: decision.question.operation.clone(),
                then: decision.outcome.clone(),
                now,
            });
        }
    }
    Ok(count)
}

fn report(count: &Count, all: usize) -> Result<(), Failure> {
    println!(
        "{all} decisions: {} equal, {} different",
        count.equal,
        count.different.len()
    );
    if count.without > 0 {
        println!(
            "{} could not be made again; these components are missing:",
            count.without
        );
        for digest in &count.missing {
            println!("  {digest}");
        }
        println!("give their folder with --components; `postern policy pull` fetches one");
    }
    let different = count.different.iter().take(SHOWN_MAX);
    let rows: Vec<[String; 5]> = different
        .map(|own| {
            [
                own.id.clone(),
                own.subject.clone(),
                own.operation.clone(),
                outcome(&own.then),
                outcome(&own.now),
            ]
        })
        .collect();
    if !rows.is_empty() {
        print!("{}", table(["DECISION", "SUBJECT", "OPERATION", "THEN", "NOW"], &rows));
    }
    if count.different.len() > SHOWN_MAX {
        println!("… and {} more", count.different.len() - SHOWN_MAX);
    }
    if count.equal == all {
        Ok(())
    } else {
        Err(Failure::said(
            REFUSED,
            format!("{} of {all} decisions did not come out as they did", all - count.equal),
        ))
    }
}

/// Differences that are shown.
const SHOWN_MAX: usize = 20;
