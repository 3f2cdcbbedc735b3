//! `postern policy replay`: makes every decision of a decision log again, with the components that the log names.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;

use clap::Args;
use feed::PolicyDigest;
use feed::decision::{RecordedDecision, RecordedOutcome};

use super::library::{Library, Shelf};
use super::report::{outcome, table};
use super::workbench;
use crate::exit::{DATA, Failure, INPUT_OUTPUT, REFUSED, SOFTWARE};

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
    different: usize,
    /// The first of those.
    shown: Vec<Different>,
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
    let log = &args.log;
    let bytes = std::fs::metadata(log).map_err(|error| unreadable(log, &error))?.len();
    let threads = thread::available_parallelism().map_or(1, usize::from) as u64;
    let counts: Vec<Result<Count, Failure>> = thread::scope(|scope| {
        let begin = |share: u64| {
            let part = bytes * share / threads..bytes * (share + 1) / threads;
            scope.spawn(move || count(log, part, shelf))
        };
        let running: Vec<_> = (0..threads).map(begin).collect();
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
        all.different += count.different;
        all.shown.extend(count.shown);
        all.without += count.without;
        all.missing.extend(count.missing);
    }
    report(&all)
}

/// Makes those decisions again whose lines begin in a part of the log: a log is larger than memory may be.
fn count(log: &Path, part: Range<u64>, shelf: &Shelf) -> Result<Count, Failure> {
    let library = Library::new(shelf)?;
    let catalogue = workbench::catalogue();
    let mut count = Count::default();
    let mut lines = Lines::open(log, part).map_err(|error| unreadable(log, &error))?;
    while let Some(line) = lines.next().map_err(|error| unreadable(log, &error))? {
        let at = lines.at;
        let useless = |problem: &dyn Error| {
            let message = format!(
                "{}: the line that ends at byte {at} is no decision on record: {problem}",
                log.display()
            );
            Failure::said(DATA, message)
        };
        let decision: RecordedDecision = serde_json::from_str(&line).map_err(|error| useless(&error))?;
        let asked = decision.answers.iter().filter_map(|answer| answer.policy);
        let missing: Vec<PolicyDigest> = asked.filter(|digest| library.policy(*digest).is_none()).collect();
        if !missing.is_empty() {
            count.without += 1;
            count.missing.extend(missing);
            continue;
        }
        let now = engine::replay::replay(&decision, &catalogue, &|digest| library.policy(digest));
        let now = now.map_err(|problem| useless(&problem))?;
        if now == decision.outcome {
            count.equal += 1;
            continue;
        }
        count.different += 1;
        if count.shown.len() < SHOWN_MAX {
            count.shown.push(Different {
                id: decision.id,
                subject: decision.question.subject.id,
                operation: decision.question.operation,
                then: decision.outcome,
                now,
            });
        }
    }
    Ok(count)
}

/// The lines that begin in a part of a file.
struct Lines {
    file: BufReader<File>,
    /// Where the next line begins.
    at: u64,
    end: u64,
}

impl Lines {
    fn open(path: &Path, part: Range<u64>) -> io::Result<Self> {
        let mut file = BufReader::new(File::open(path)?);
        let mut at = part.start;
        if at > 0 {
            // The line that this byte is in began before; from its last byte on, the next one is ours.
            file.seek(SeekFrom::Start(at - 1))?;
            at = at - 1 + file.skip_until(b'\n')? as u64;
        }
        Ok(Self {
            file,
            at,
            end: part.end,
        })
    }

    fn next(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        while self.at < self.end {
            line.clear();
            let read = self.file.read_line(&mut line)?;
            if read == 0 {
                break;
            }
            self.at += read as u64;
            if !line.trim().is_empty() {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }
}

fn unreadable(log: &Path, error: &io::Error) -> Failure {
    Failure::said(INPUT_OUTPUT, format!("{}: {error}", log.display()))
}

fn report(count: &Count) -> Result<(), Failure> {
    let all = count.equal + count.different + count.without;
    println!("{all} decisions: {} equal, {} different", count.equal, count.different);
    if count.without > 0 {
        println!(
            "{} could not be made again; these components are missing:",
            count.without
        );
        for digest in &count.missing {
            println!("  {digest}");
        }
        println!(
            "give their folder with --components; `postern policy components DIR` fetches those of an organisation"
        );
    }
    let different = count.shown.iter().take(SHOWN_MAX);
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
    if count.different > SHOWN_MAX {
        println!("… and {} more", count.different - SHOWN_MAX);
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
