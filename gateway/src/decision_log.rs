//! The decision log: a thread of its own that writes decisions to a file, hands them on for the admin service, and has the
//! shadows asked. It never makes anybody wait, and what it cannot keep up with is dropped and counted.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::access_log::Batch;
use crate::body::RequestBody;
use crate::decisions::{DecisionQueue, Noted};
use crate::settings::DecisionLog;
use crate::shadow::{ShadowCounts, ShadowPlans, Shadows};
use crate::upstream::Pool;
use crate::worker::Shared;

/// The thread that writes.
pub(crate) struct DecisionWriter {
    queue: Arc<DecisionQueue>,
    thread: JoinHandle<()>,
}

/// What the thread has, beside the file.
pub(crate) struct Ends {
    pub(crate) queue: Arc<DecisionQueue>,
    pub(crate) shadows: Arc<ShadowPlans>,
    pub(crate) counts: Arc<LogCounts>,
    pub(crate) reports: mpsc::Sender<Report>,
    pub(crate) configured: watch::Receiver<Arc<Shared>>,
}

/// Something for the admin service.
pub(crate) struct Report {
    path: &'static str,
    body: Bytes,
    /// Decisions that are lost with it.
    decisions: u64,
}

/// What became of decisions that were taken down.
#[derive(Default)]
pub(crate) struct LogCounts {
    written: AtomicU64,
    unwritten: AtomicU64,
    unsent: AtomicU64,
    evaluations: AtomicU64,
    unasked: AtomicU64,
    flips: AtomicU64,
}

/// A file that is begun anew at a size; the ones before have numbers, the newest 1.
pub(crate) struct Rotating {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
    files_max: usize,
}

impl DecisionWriter {
    /// Starts the thread. Without a file, decisions are only handed on.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(file: Option<Rotating>, ends: Ends) -> io::Result<Self> {
        let queue = Arc::clone(&ends.queue);
        let run = move || Writing::new(file, ends).run();
        let thread = std::thread::Builder::new()
            .name("postern-decisions".to_owned())
            .spawn(run)?;
        Ok(Self { queue, thread })
    }

    /// Writes what is left and ends.
    pub(crate) fn finish(self) {
        self.queue.end();
        self.thread.thread().unpark();
        drop(self.thread.join());
    }
}

/// Tells the admin service what is reported, one after the other, as far as it takes it.
pub(crate) async fn deliver(admin: Rc<Pool>, mut reports: mpsc::Receiver<Report>, counts: Arc<LogCounts>) {
    while let Some(report) = reports.recv().await {
        let mut pause = DELIVER_PAUSE_MIN;
        for attempt in 1..=ATTEMPTS_MAX {
            let body = RequestBody::Full(Some(report.body.clone()));
            let answer = admin.fetch(Method::POST, report.path, body, ANSWER_BYTES_MAX).await;
            match answer {
                Ok((status, _, _)) if status.is_success() => break,
                // What it does not want now it will not want later.
                Ok((status, _, _)) if attempt == ATTEMPTS_MAX || status.is_client_error() => {
                    tracing::warn!(%status, path = report.path, "the admin service does not take what is reported");
                    add(&counts.unsent, report.decisions);
                    break;
                }
                Err(error) if attempt == ATTEMPTS_MAX => {
                    tracing::warn!(%error, path = report.path, "the admin service cannot be told");
                    add(&counts.unsent, report.decisions);
                }
                Ok(_) | Err(_) => sleep(pause).await,
            }
            pause = (pause * 2).min(DELIVER_PAUSE_MAX);
        }
    }
}

impl LogCounts {
    pub(crate) fn encode(&self, queue: &DecisionQueue, encoder: &mut DescriptorEncoder) -> std::fmt::Result {
        let one = |encoder: &mut DescriptorEncoder, name, help, count: &AtomicU64| {
            let family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(count.load(Ordering::Relaxed)).encode(family)
        };
        let help = "Decisions that were written to the decision log.";
        one(encoder, "postern_decisions_logged", help, &self.written)?;
        let help = "Decisions that were to be kept and were lost, by where: the queue, the file, on the way to the admin service.";
        let mut family = encoder.encode_descriptor("postern_decisions_dropped", help, None, MetricType::Counter)?;
        let lost = [
            ("queue", queue.dropped()),
            ("file", self.unwritten.load(Ordering::Relaxed)),
            ("admin", self.unsent.load(Ordering::Relaxed)),
        ];
        for (place, count) in lost {
            ConstCounter::new(count).encode(family.encode_family(&[("at", place)])?)?;
        }
        let help = "Decisions that shadows were asked about.";
        one(encoder, "postern_shadow_evaluations", help, &self.evaluations)?;
        let help = "Decisions that shadows should have been asked about, for which there was no time.";
        one(encoder, "postern_shadow_dropped", help, &self.unasked)?;
        let help = "Decisions that shadows would have made otherwise.";
        one(encoder, "postern_shadow_flips", help, &self.flips)
    }

    fn shadows(&self, counts: ShadowCounts) {
        add(&self.evaluations, counts.evaluations);
        add(&self.unasked, counts.dropped);
        add(&self.flips, counts.flips);
    }
}

/// The thread's own.
struct Writing {
    file: Option<Rotating>,
    lines: Batch,
    ends: Ends,
    shadows: Shadows,
    /// Decisions as JSON for the admin service, separated by commas.
    sending: Vec<u8>,
    sending_count: u64,
    sent: Instant,
    reported: Instant,
}

impl Writing {
    fn new(file: Option<Rotating>, ends: Ends) -> Self {
        Self {
            file,
            lines: Batch::of("decision log"),
            ends,
            shadows: Shadows::default(),
            sending: Vec::new(),
            sending_count: 0,
            sent: Instant::now(),
            reported: Instant::now(),
        }
    }

    fn run(mut self) {
        loop {
            let ended = self.ends.queue.has_ended();
            let shared = Arc::clone(&self.ends.configured.borrow());
            self.shadows.follow(&self.ends.shadows);
            while let Some(noted) = self.ends.queue.pop() {
                self.take(&noted, &shared);
            }
            self.write_lines();
            if ended || self.sent.elapsed() >= SEND_PAUSE {
                self.send_decisions();
            }
            if ended || self.reported.elapsed() >= REPORT_PAUSE {
                self.send_shadows(&shared.settings.name);
            }
            if ended {
                return;
            }
            std::thread::park_timeout(LOOK_PAUSE);
        }
    }

    fn take(&mut self, noted: &Noted, shared: &Shared) {
        // Numbers and text always make JSON.
        if noted.is_logged
            && let Ok(line) = serde_json::to_vec(&noted.decision)
        {
            self.send(&line);
            if self.file.is_some() {
                self.lines.text.extend_from_slice(&line);
                self.lines.text.push(b'\n');
                add(&self.ends.counts.written, 1);
            }
            if self.lines.text.len() >= WRITE_BYTES {
                self.write_lines();
            }
        }
        if let Some(watched) = &noted.watched {
            let counts = self.shadows.watch(&noted.decision, watched, &shared.settings.catalogue);
            self.ends.counts.shadows(counts);
        }
    }

    fn write_lines(&mut self) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = file.rotate() {
            tracing::error!(%error, "the decision log cannot be begun anew, and goes on in its file");
        }
        let lost = self.lines.write_to(file);
        add(&self.ends.counts.unwritten, lost);
    }

    fn send(&mut self, decision: &[u8]) {
        // It is in the file; the admin service reads no such bodies.
        if decision.len() > SEND_BYTES_MAX {
            return add(&self.ends.counts.unsent, 1);
        }
        if self.sending.len() + decision.len() > SEND_BYTES_MAX || self.sending_count >= SEND_MAX {
            self.send_decisions();
        }
        self.sending.push(if self.sending.is_empty() { b'[' } else { b',' });
        self.sending.extend_from_slice(decision);
        self.sending_count += 1;
    }

    fn send_decisions(&mut self) {
        self.sent = Instant::now();
        if self.sending_count == 0 {
            return;
        }
        let mut body = std::mem::take(&mut self.sending);
        body.push(b']');
        let decisions = std::mem::take(&mut self.sending_count);
        self.hand_on("/decisions", body, decisions);
    }

    fn send_shadows(&mut self, gateway: &str) {
        self.reported = Instant::now();
        for report in self.shadows.reports(gateway) {
            if let Ok(body) = serde_json::to_vec(&report) {
                self.hand_on("/shadow", body, 0);
            }
        }
    }

    fn hand_on(&self, path: &'static str, body: Vec<u8>, decisions: u64) {
        let report = Report {
            path,
            body: body.into(),
            decisions,
        };
        if self.ends.reports.try_send(report).is_err() {
            add(&self.ends.counts.unsent, decisions);
        }
    }
}

impl Rotating {
    /// Opens the file that the settings name; `None` when there is to be none.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn open(log: &DecisionLog) -> io::Result<Option<Self>> {
        let Some(path) = &log.file else { return Ok(None) };
        let file = open(path)?;
        Ok(Some(Self {
            path: path.clone(),
            bytes: file.metadata()?.len(),
            file,
            bytes_max: log.bytes_max,
            files_max: log.files_max,
        }))
    }

    /// Begins the file anew when it is full: the oldest is forgotten.
    fn rotate(&mut self) -> io::Result<()> {
        if self.bytes < self.bytes_max {
            return Ok(());
        }
        for number in (1..self.files_max).rev() {
            let older = if number == 1 {
                self.path.clone()
            } else {
                self.numbered(number - 1)
            };
            match std::fs::rename(older, self.numbered(number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        if self.files_max <= 1 {
            std::fs::remove_file(&self.path)?;
        }
        self.file = open(&self.path)?;
        self.bytes = self.file.metadata()?.len();
        Ok(())
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

impl Write for Rotating {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let written = self.file.write(octets)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// It may hold bodies of requests: nobody but the owner reads it.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// Waking the thread for each record would cost a worker a system call; it looks by itself this often.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// How often decisions are sent to the admin service, at least.
const SEND_PAUSE: Duration = Duration::from_millis(200);

/// How often shadows are reported.
const REPORT_PAUSE: Duration = Duration::from_secs(1);

/// Octets that are written at once, about.
const WRITE_BYTES: usize = 64 * 1024;

/// Most octets, about, and most decisions of one message to the admin service.
const SEND_BYTES_MAX: usize = 1024 * 1024;
const SEND_MAX: u64 = 256;

/// Messages to the admin service that may wait.
pub(crate) const REPORTS_MAX: usize = 16;

/// How often a message is sent before it is given up.
const ATTEMPTS_MAX: u32 = 8;
const DELIVER_PAUSE_MIN: Duration = Duration::from_millis(100);
const DELIVER_PAUSE_MAX: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_begun_anew_and_the_oldest_is_forgotten() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("decisions.log");
        let log = DecisionLog {
            file: Some(path.clone()),
            bytes_max: 10,
            files_max: 3,
            allowed_percent: 0,
        };
        let mut file = Rotating::open(&log).expect("it opens").expect("there is one");
        for number in 0..5 {
            file.rotate().expect("it goes on");
            file.write_all(format!("line {number} of many\n").as_bytes())
                .expect("written");
        }
        let read = |path: PathBuf| std::fs::read_to_string(path).expect("it is there");
        assert_eq!(read(path.clone()), "line 4 of many\n");
        assert_eq!(read(file.numbered(1)), "line 3 of many\n");
        assert_eq!(read(file.numbered(2)), "line 2 of many\n");
        assert!(!file.numbered(3).exists());
    }
}
