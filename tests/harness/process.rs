//! A process, what it printed and how it ended.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use serde_json::Value;

use super::{PATIENCE, eventually};

/// A running process. It is killed when this value goes.
pub(crate) struct Process {
    child: Child,
    pub(crate) stdout: Arc<Printed>,
    pub(crate) stderr: Arc<Printed>,
}

/// What a process has printed so far.
#[derive(Default)]
pub(crate) struct Printed {
    lines: Mutex<Lines>,
    more: Condvar,
}

/// Flags of `postern serve` with which it listens where nobody else does, and has no console.
pub(crate) const ANY_PORTS: &[&str] = &[
    "--listen",
    "127.0.0.1:0",
    "--admin-listen",
    "127.0.0.1:0",
    "--console-listen",
    "",
];

/// A process that has ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    ended: bool,
}

impl Process {
    /// Starts the binary under test.
    pub(crate) fn start(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        Self::spawn(postern(arguments))
    }

    /// Starts a command.
    pub(crate) fn spawn(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command exists");
        let stdout = Printed::of(child.stdout.take().expect("it is piped"));
        let stderr = Printed::of(child.stderr.take().expect("it is piped"));
        Self { child, stdout, stderr }
    }

    /// Returns the process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of the log with a message, and returns it.
    pub(crate) fn logged(&self, message: &str) -> Value {
        self.stderr.line(message, |line| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["message"] == message).then_some(line)
        })
    }

    /// Ends the process at once, with nothing tidied up: SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it is ours to kill");
        self.child.wait().expect("it is ours to wait for");
    }

    /// Asks the process to stop: SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Asks the process to read its configuration again: SIGHUP.
    pub(crate) fn hang_up(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.id().to_string()]).status();
        assert!(sent.expect("kill exists").success());
    }

    /// Waits until the process has ended.
    pub(crate) fn ended(mut self) -> Ended {
        let status: ExitStatus = eventually("the end of a process", || self.child.try_wait().expect("it is ours"));
        Ended {
            code: status.code(),
            stdout: self.stdout.whole(),
            stderr: self.stderr.whole(),
        }
    }

    /// Returns the resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .expect("a process has memory");
        line.split_whitespace()
            .nth(1)
            .and_then(|kib| kib.parse().ok())
            .expect("a number")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Printed {
    fn of(stream: impl Read + Send + 'static) -> Arc<Self> {
        let printed = Arc::new(Self::default());
        let filled = Arc::clone(&printed);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                filled.lines.lock().expect("no test holds it").lines.push(line);
                filled.more.notify_all();
            }
            filled.lines.lock().expect("no test holds it").ended = true;
            filled.more.notify_all();
        });
        printed
    }

    /// Waits for a line that something can be read from.
    pub(crate) fn line<T>(&self, what: &str, read: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.lines.lock().expect("no test holds it");
        loop {
            if let Some(found) = lines.lines.iter().find_map(|line| read(line)) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let over = lines.ended || left.is_zero();
            assert!(!over, "no line for {what} in:\n{}", lines.lines.join("\n"));
            lines = self.more.wait_timeout(lines, left).expect("no test holds it").0;
        }
    }

    /// Counts the lines that hold a text.
    pub(crate) fn count(&self, text: &str) -> usize {
        let lines = self.lines.lock().expect("no test holds it");
        lines.lines.iter().filter(|line| line.contains(text)).count()
    }

    /// Returns all that was printed until now.
    pub(crate) fn so_far(&self) -> String {
        self.lines.lock().expect("no test holds it").lines.join("\n")
    }

    /// Waits for the end of the stream and returns all of it.
    fn whole(&self) -> String {
        let lines = self.lines.lock().expect("no test holds it");
        let ended = self.more.wait_timeout_while(lines, PATIENCE, |lines| !lines.ended);
        ended.expect("no test holds it").0.lines.join("\n")
    }
}

/// Returns a command that runs the binary under test, with no variable that could configure it.
pub(crate) fn postern(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postern"));
    let configuring = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("POSTERN_"));
    for (name, _) in configuring {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

/// Runs a gateway that is to end at once, on this data directory and with nobody behind it.
pub(crate) fn run_gateway(data: &str, flags: &[&str]) -> Ended {
    let own = ["gateway", "--upstream", "http://127.0.0.1:9", "--data", data];
    let addresses = ["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
    run([&own, &addresses[..], flags].concat())
}

/// Runs the binary under test to its end.
pub(crate) fn run(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ended {
    Process::start(arguments).ended()
}
