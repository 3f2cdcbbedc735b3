//! Compiling away from the process that decides: in a child that has limits of its own, so that a component which makes the
//! compiler run away takes nothing with it.
//!
//! Parent and child are the same program. The parent says first what the child may use, then sends the component; the
//! child limits itself before it reads a byte of that.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use feed::PolicyDigest;
use rustix::process::{Resource, Rlimit, Signal, setrlimit};

use crate::load::NOT_COMPILED;
use crate::{Class, LoadError, class, classify, engine, load};

/// Compiles components. Blocks while it works, so it belongs off the request path; how many compile at once is for the
/// caller to bound.
#[derive(Debug, Clone)]
pub struct Compiler {
    program: PathBuf,
    small: CompileLimits,
    script: CompileLimits,
}

/// What compiling one component may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Time of the processor; whole seconds.
    pub cpu: Duration,
    /// Time in all, however busy the machine is.
    pub wall: Duration,
    /// Address space of the child, in bytes: its own code and what the allocator sets aside are within it.
    pub memory_bytes: u64,
}

/// A component that is compiled, and not vetted yet.
#[derive(Clone)]
pub struct Precompiled {
    class: Class,
    digest: PolicyDigest,
    artefact: Arc<[u8]>,
}

impl CompileLimits {
    /// Returns the limits for a class.
    ///
    /// # Source
    /// A small policy takes some 10 ms; the largest that its size admits, a few seconds. JavaScript's runtime takes 1 to 2
    /// seconds, Python's, of 18 MiB, some 20 and 1 GiB.
    pub fn of(class: Class) -> Self {
        match class {
            Class::Small => Self {
                cpu: Duration::from_secs(20),
                wall: Duration::from_secs(60),
                memory_bytes: 2 << 30,
            },
            Class::Script => Self {
                cpu: Duration::from_secs(120),
                wall: Duration::from_secs(300),
                memory_bytes: 4 << 30,
            },
        }
    }
}

impl Compiler {
    /// Returns a compiler that starts `program policy-compiler` for each component: the program must call
    /// [`compile_as_child`] then.
    pub fn new(program: PathBuf) -> Self {
        Self {
            program,
            small: CompileLimits::of(Class::Small),
            script: CompileLimits::of(Class::Script),
        }
    }

    /// Returns a compiler with other limits for one class.
    #[must_use]
    pub fn with_limits(mut self, class: Class, limits: CompileLimits) -> Self {
        match class {
            Class::Small => self.small = limits,
            Class::Script => self.script = limits,
        }
        self
    }

    /// Compiles a component in a child process. Blocks.
    ///
    /// # Errors
    /// When the component is refused, or the child ends at one of its limits.
    pub fn compile(&self, component: &[u8]) -> Result<Precompiled, LoadError> {
        let class = classify(component)?;
        let limits = match class {
            Class::Small => &self.small,
            Class::Script => &self.script,
        };
        Ok(Precompiled {
            class,
            digest: PolicyDigest::of(component),
            artefact: run_child(&self.program, &Order { class, limits: *limits }, component)?,
        })
    }
}

impl Precompiled {
    /// Returns the class of the policy: that of the engine which can load it.
    pub fn class(&self) -> Class {
        self.class
    }

    /// Returns the digest of the component.
    pub fn digest(&self) -> PolicyDigest {
        self.digest
    }

    /// Returns the size of the machine code with what belongs to it, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.artefact.len()
    }

    pub(crate) fn artefact(&self) -> &[u8] {
        &self.artefact
    }
}

impl fmt::Debug for Precompiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Precompiled")
            .field("class", &self.class)
            .field("digest", &self.digest)
            .field("size_bytes", &self.size_bytes())
            .finish_non_exhaustive()
    }
}

/// The work of `policy-compiler`: reads an order and a component from standard input, writes what the component is
/// compiled to to standard output. Nothing else may have been read or written.
///
/// # Errors
/// When the component is refused, or a limit cannot be set. The process must say so on standard error, and fail.
pub fn compile_as_child() -> Result<(), LoadError> {
    let mut input = io::stdin().lock();
    let mut order = [0; Order::BYTES];
    input.read_exact(&mut order).map_err(LoadError::compiler)?;
    let order = Order::from_bytes(&order);
    order.limit_this_process().map_err(LoadError::compiler)?;
    let most = order.class.limits().component_bytes_max as u64;
    let mut component = Vec::new();
    input
        .take(most + 1)
        .read_to_end(&mut component)
        .map_err(LoadError::compiler)?;
    class::check_sizes(&order.class.limits(), &component)?;
    let artefact = engine::precompile(order.class, &component).map_err(load::not_compiled)?;
    io::stdout().lock().write_all(&artefact).map_err(LoadError::compiler)
}

/// What the parent tells the child before the component.
struct Order {
    class: Class,
    limits: CompileLimits,
}

impl Order {
    const BYTES: usize = 17;

    fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0] = u8::from(self.class == Class::Script);
        bytes[1..9].copy_from_slice(&self.limits.cpu.as_secs().to_le_bytes());
        bytes[9..].copy_from_slice(&self.limits.memory_bytes.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(number)
        };
        Self {
            class: if bytes[0] == 0 { Class::Small } else { Class::Script },
            limits: CompileLimits {
                cpu: Duration::from_secs(number(1)),
                wall: Duration::MAX,
                memory_bytes: number(9),
            },
        }
    }

    fn limit_this_process(&self) -> io::Result<()> {
        let limit = |resource: Resource, most: u64| {
            let both = Rlimit {
                current: Some(most),
                maximum: Some(most),
            };
            setrlimit(resource, both)
        };
        limit(Resource::Core, 0)?;
        limit(Resource::Fsize, 0)?;
        limit(Resource::Cpu, self.limits.cpu.as_secs())?;
        limit(Resource::As, self.limits.memory_bytes)?;
        // Requests go first where both want a processor.
        rustix::process::nice(NICENESS)?;
        // It is nobody's when its parent is gone.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        Ok(())
    }
}

/// Runs the child to its end, or to that of its time.
fn run_child(program: &Path, order: &Order, component: &[u8]) -> Result<Arc<[u8]>, LoadError> {
    let mut command = Command::new(program);
    command.arg(COMMAND).env_clear();
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(LoadError::compiler)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        scope.spawn(|| {
            // A child that ends early is told of by how it ended.
            stdin.map(|mut stdin| {
                stdin
                    .write_all(&order.to_bytes())
                    .and_then(|()| stdin.write_all(component))
            })
        });
        let artefact = scope.spawn(|| read_bounded(stdout, ARTEFACT_BYTES_MAX));
        let complaint = scope.spawn(|| read_bounded(stderr, COMPLAINT_BYTES_MAX));
        let ended = wait(&mut child, order.limits.wall).map_err(LoadError::compiler)?;
        let artefact = artefact.join().unwrap_or_default();
        let complaint = complaint.join().unwrap_or_default();
        match ended {
            Some(status) if status.success() => Ok(artefact.into()),
            Some(status) => Err(why_it_failed(status, &complaint)),
            None => Err(LoadError::CompileTime),
        }
    })
}

/// Waits for a child, and ends one that takes too long: `None`.
fn wait(child: &mut Child, most: Duration) -> io::Result<Option<ExitStatus>> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() > most {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

fn why_it_failed(status: ExitStatus, complaint: &[u8]) -> LoadError {
    let complaint = String::from_utf8_lossy(complaint).trim().to_owned();
    let by = |signal: Signal| status.signal() == Some(signal.as_raw());
    if by(Signal::XCPU) || by(Signal::KILL) {
        return LoadError::CompileTime;
    }
    if by(Signal::ABORT) || by(Signal::SEGV) || by(Signal::BUS) {
        return LoadError::CompileMemory;
    }
    // What the child has put around it is put around it here again.
    let said = complaint.rsplit(NOT_COMPILED).next().unwrap_or_default();
    LoadError::NotCompiled(said.to_owned().into())
}

fn read_bounded(from: Option<impl Read>, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // What was read until then is what there is; how the child ended tells whether it is all.
        drop(from.take(most).read_to_end(&mut bytes));
    }
    bytes
}

/// The hidden subcommand.
const COMMAND: &str = "policy-compiler";

/// How long between two looks at the child. Short beside the 10 ms that the least component takes.
const POLL: Duration = Duration::from_millis(1);

/// Most that is taken of what a component was compiled to: some four times the largest component of Python.
const ARTEFACT_BYTES_MAX: u64 = 512 << 20;

/// Most that is taken of what the child says of a failure.
const COMPLAINT_BYTES_MAX: u64 = 4 << 10;

/// How much a child stands back.
const NICENESS: i32 = 5;
