//! The access log: one JSON line for each request, written by a thread of its own.
//!
//! Workers put records into a bounded queue and never wait: what the writer cannot keep up with, or cannot write, is
//! dropped and counted. Nothing here decides anything; a record is written to until the request ends and read by the log alone.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use catalogue::Operation;
use chrono::DateTime;
use crossbeam_queue::ArrayQueue;
use http::{Method, Uri};
use serde::Serialize;

use crate::cache::{Subject, Token};
use crate::metrics::Outcome;
use crate::settings::AccessLog;

/// Records on their way to the writer.
pub(crate) struct AccessQueue {
    /// `None` when the log is off.
    records: Option<ArrayQueue<AccessRecord>>,
    ended: AtomicBool,
    /// Whether the file is to be opened anew.
    reopen: AtomicBool,
    unwritten: AtomicU64,
}

/// What is known of a request when it ends.
pub(crate) struct AccessRecord {
    pub(crate) decision_id: (u64, u64),
    pub(crate) at_ms: i64,
    pub(crate) started: Instant,
    /// Where the caller is.
    pub(crate) source: IpAddr,
    pub(crate) method: Method,
    pub(crate) target: Uri,
    pub(crate) operation: Option<Arc<Operation>>,
    pub(crate) subject: Option<Arc<Subject>>,
    pub(crate) token: Option<Arc<Token>>,
    pub(crate) revision: u64,
    pub(crate) role: Option<Arc<str>>,
    /// The guard that refused it.
    pub(crate) guard: Option<Box<str>>,
    pub(crate) outcome: Outcome,
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    /// Whether the caller got the whole answer.
    pub(crate) complete: bool,
    pub(crate) took: Duration,
    /// What the refusal's source said.
    pub(crate) detail: Option<String>,
}

/// The thread that writes.
pub(crate) struct Writer {
    queue: Arc<AccessQueue>,
    thread: JoinHandle<()>,
}

/// Where lines go.
enum Sink {
    Stdout(io::Stdout),
    File(File, PathBuf),
}

impl AccessQueue {
    /// Puts a record into the queue. `false` when it is full and the record is dropped.
    pub(crate) fn push(&self, record: AccessRecord) -> bool {
        self.records.as_ref().is_none_or(|records| records.push(record).is_ok())
    }

    /// Has the log's file opened anew before the next line: it may have been renamed.
    pub(crate) fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
    }

    /// Counts the lines that the writer took and could not write.
    pub(crate) fn unwritten(&self) -> u64 {
        self.unwritten.load(Ordering::Relaxed)
    }

    fn lost(&self, lines: u64) {
        self.unwritten.fetch_add(lines, Ordering::Relaxed);
    }

    fn new(records: Option<ArrayQueue<AccessRecord>>) -> Arc<Self> {
        Arc::new(Self {
            records,
            ended: AtomicBool::new(false),
            reopen: AtomicBool::new(false),
            unwritten: AtomicU64::new(0),
        })
    }
}

impl Writer {
    /// Opens the log and starts its thread. `None` when it is off.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn start(log: &AccessLog) -> io::Result<(Arc<AccessQueue>, Option<Self>)> {
        let sink = match log {
            AccessLog::Off => return Ok((AccessQueue::new(None), None)),
            AccessLog::Stdout => Sink::Stdout(io::stdout()),
            AccessLog::File(path) => Sink::File(open(path)?, path.clone()),
        };
        let queue = AccessQueue::new(Some(ArrayQueue::new(QUEUE_MAX)));
        let writer_queue = Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name("postern-log".to_owned())
            .spawn(move || write_all(&writer_queue, sink))?;
        Ok((Arc::clone(&queue), Some(Self { queue, thread })))
    }

    /// Writes what is left and ends.
    pub(crate) fn finish(self) {
        self.queue.ended.store(true, Ordering::Release);
        self.thread.thread().unpark();
        drop(self.thread.join());
    }
}

impl AccessRecord {
    /// Returns the decision id, as logs and refusals have it.
    pub(crate) fn decision_id(&self) -> String {
        crate::decisions::id(self.decision_id)
    }
}

/// Records that may wait to be written: 100 ms of 80,000 requests a second.
const QUEUE_MAX: usize = 8192;

/// Waking the writer for each record would cost the worker a system call; it looks by itself this often.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// Longest path that is logged, in octets.
const PATH_BYTES_MAX: usize = 512;

/// Octets that are written at once, about.
const BATCH_BYTES: usize = 64 * 1024;

fn write_all(queue: &AccessQueue, mut sink: Sink) {
    let Some(records) = &queue.records else { return };
    let mut batch = Batch::of("access log");
    let mut stamp = Stamp::default();
    loop {
        let ended = queue.ended.load(Ordering::Acquire);
        if queue.reopen.swap(false, Ordering::AcqRel) {
            sink.reopen();
        }
        while let Some(record) = records.pop() {
            // Memory takes any line.
            drop(write_line(&mut batch.text, &mut stamp, &record));
            if batch.text.len() >= BATCH_BYTES {
                queue.lost(batch.write_to(&mut sink));
            }
        }
        queue.lost(batch.write_to(&mut sink));
        if ended {
            return;
        }
        std::thread::park_timeout(LOOK_PAUSE);
    }
}

/// Lines on their way to the disk, and how the last ones fared.
pub(crate) struct Batch {
    /// What they are lines of.
    name: &'static str,
    pub(crate) text: Vec<u8>,
    /// Whether the last line that was written lacks its end.
    torn: bool,
    failing: bool,
}

impl Batch {
    /// Returns room for lines of a log.
    pub(crate) fn of(name: &'static str) -> Self {
        Self {
            name,
            text: Vec::new(),
            torn: false,
            failing: false,
        }
    }

    /// Writes the lines out. Returns how many were lost: a sink that fails now may do well with the next batch.
    pub(crate) fn write_to(&mut self, sink: &mut impl Write) -> u64 {
        let mut text = std::mem::take(&mut self.text);
        if text.is_empty() {
            return 0;
        }
        // Ends the torn line, and is no line of this batch.
        let prefix = usize::from(self.torn);
        if self.torn {
            text.insert(0, b'\n');
        }
        let (written, end) = write_some(sink, &text);
        if let Some(last) = text[..written].last() {
            self.torn = *last != b'\n';
        }
        match end {
            Ok(()) if self.failing => tracing::info!("the {} can be written again", self.name),
            // Once for each outage: the log of the process may be on the same disk.
            Err(error) if !self.failing => tracing::error!(%error, "the {} cannot be written", self.name),
            Ok(()) | Err(_) => {}
        }
        self.failing = written < text.len();
        let lost = text[written.max(prefix)..]
            .iter()
            .filter(|octet| **octet == b'\n')
            .count() as u64;
        text.clear();
        self.text = text;
        lost
    }
}

/// Writes as much as can be written.
fn write_some(sink: &mut impl Write, text: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < text.len() {
        match sink.write(&text[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, sink.flush())
}

impl Sink {
    /// Opens the file anew; when that fails, what is open goes on being written.
    fn reopen(&mut self) {
        let Self::File(file, path) = self else { return };
        match open(path) {
            Ok(fresh) => *file = fresh,
            Err(error) => tracing::error!(%error, path = %path.display(), "the access log cannot be opened anew"),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(octets),
            Self::File(file, _) => file.write(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::File(file, _) => file.flush(),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[derive(Serialize)]
struct Line<'a> {
    at: &'a str,
    decision_id: String,
    revision: u64,
    method: &'a str,
    path: &'a str,
    operation: &'a str,
    org: Option<&'a str>,
    subject: Option<&'a str>,
    token_id: Option<&'a str>,
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guard: Option<&'a str>,
    reason: &'static str,
    status: u16,
    bytes: u64,
    complete: bool,
    duration_us: u64,
    peer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

fn write_line(sink: &mut impl Write, stamp: &mut Stamp, record: &AccessRecord) -> io::Result<()> {
    let line = Line {
        at: stamp.of(record.at_ms),
        decision_id: record.decision_id(),
        revision: record.revision,
        method: record.method.as_str(),
        path: loggable(record.target.path()),
        operation: record.operation.as_ref().map_or("unknown", |operation| &operation.id),
        org: record.subject.as_ref().map(|subject| &*subject.org),
        subject: record.subject.as_ref().map(|subject| &*subject.id),
        token_id: record.token.as_ref().map(|token| &*token.id),
        role: record.role.as_deref(),
        guard: record.guard.as_deref(),
        reason: record.outcome.reason(),
        status: record.status,
        bytes: record.bytes,
        complete: record.complete,
        duration_us: u64::try_from(record.took.as_micros()).unwrap_or(u64::MAX),
        peer: record.source.to_string(),
        detail: record.detail.as_deref(),
    };
    serde_json::to_writer(&mut *sink, &line)?;
    sink.write_all(b"\n")
}

/// Writes times; all but the milliseconds are written once a second.
#[derive(Default)]
struct Stamp {
    second: i64,
    text: String,
}

impl Stamp {
    /// Returns a time in the form of RFC 3339.
    fn of(&mut self, unix_ms: i64) -> &str {
        let (second, ms) = (unix_ms.div_euclid(1000), unix_ms.rem_euclid(1000));
        if self.text.is_empty() || self.second != second {
            let time = DateTime::from_timestamp(second, 0).unwrap_or_default();
            self.text = time.format("%Y-%m-%dT%H:%M:%S").to_string();
            self.second = second;
        }
        self.text.truncate(SECOND_BYTES);
        self.text.push_str(&format!(".{ms:03}Z"));
        &self.text
    }
}

/// Length of `2026-01-31T23:59:59`.
const SECOND_BYTES: usize = 19;

/// Returns whether something that looks like a secret of ours is in a text.
pub(crate) fn holds_secret(text: &str) -> bool {
    let kinds = [feed::token::Kind::Token, feed::token::Kind::GatewayCredential];
    kinds.iter().any(|kind| text.contains(kind.prefix()))
}

/// What stands in logs for a text that holds one.
pub(crate) const SECRET: &str = "(holds a secret)";

/// A path that may be logged: without query, cut, and not at all when something that looks like a secret is in it.
fn loggable(path: &str) -> &str {
    if holds_secret(path) {
        return SECRET;
    }
    let mut end = path.len().min(PATH_BYTES_MAX);
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    &path[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_whole_however_they_follow_each_other() {
        let mut stamp = Stamp::default();
        assert_eq!(stamp.of(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(stamp.of(999), "1970-01-01T00:00:00.999Z");
        assert_eq!(stamp.of(1_000), "1970-01-01T00:00:01.000Z");
        assert_eq!(stamp.of(7), "1970-01-01T00:00:00.007Z");
        assert_eq!(stamp.of(1_795_514_487_962), "2026-11-24T10:01:27.962Z");
    }

    /// A disk that takes only so many octets.
    struct Disk {
        room: usize,
        text: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            let taken = octets.len().min(self.room);
            self.room -= taken;
            self.text.extend_from_slice(&octets[..taken]);
            if taken == 0 {
                Err(io::ErrorKind::StorageFull.into())
            } else {
                Ok(taken)
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_loses_counted_lines_and_no_line_joins_a_torn_one() {
        let mut disk = Disk {
            room: 10,
            text: Vec::new(),
        };
        let mut batch = Batch::of("access log");
        batch.text.extend(b"line 1\nline 2\nline 3\n");
        assert_eq!(batch.write_to(&mut disk), 2);
        batch.text.extend(b"line 4\n");
        assert_eq!(batch.write_to(&mut disk), 1);
        disk.room = 100;
        batch.text.extend(b"line 5\n");
        assert_eq!(batch.write_to(&mut disk), 0);
        assert_eq!(String::from_utf8_lossy(&disk.text), "line 1\nlin\nline 5\n");
    }
}
