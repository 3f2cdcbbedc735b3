//! A PostgreSQL server of our own: in a temporary directory, on a socket there and nowhere else, gone with its owner.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server.
#[derive(Debug)]
pub(crate) struct Cluster {
    directory: tempfile::TempDir,
    server: Option<Child>,
    /// Where it listens besides its socket: a process in whose network namespace, and an address there.
    place: Option<(u32, String)>,
}

impl Cluster {
    /// Makes a server and starts it.
    pub(crate) fn start() -> Self {
        Self::start_at(None)
    }

    /// Makes a server and starts it so that it listens in a process's network namespace too, on an address there.
    pub(crate) fn start_at(place: Option<(u32, &str)>) -> Self {
        // A database is hundreds of files: on some disks it takes minutes to delete those of a hundred databases.
        let directory = match roomy(MEMORY) {
            true => tempfile::tempdir_in(MEMORY),
            false => tempfile::tempdir(),
        };
        let directory = directory.expect("a directory");
        let mut cluster = Self {
            directory,
            server: None,
            place: place.map(|(process, address)| (process, address.to_owned())),
        };
        if is_root() {
            // The server refuses to run as root.
            let owned = Command::new("chown").arg(USER).arg(cluster.socket()).status();
            assert!(owned.expect("chown").success());
        }
        let made = cluster
            .command("initdb")
            .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"])
            .args(["--username", ROLE, "--pgdata"])
            .arg(cluster.data())
            .output()
            .expect("initdb");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let access = std::fs::OpenOptions::new()
            .append(true)
            .open(cluster.data().join("pg_hba.conf"));
        writeln!(access.expect("it was made"), "host all all samenet trust").expect("it is written");
        cluster.launch();
        cluster
    }

    /// Starts the server, which was stopped, and waits until it answers.
    pub(crate) fn launch(&mut self) {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(self.socket());
        let address = self.place.as_ref().map_or("", |(_, address)| address);
        for setting in [
            &format!("listen_addresses={address}"),
            "max_connections=400",
            // What outlives a crash of the machine is the server's own matter.
            "fsync=off",
            "logging_collector=off",
        ] {
            command.args(["-c", setting]);
        }
        let log = std::fs::File::create(self.socket().join("log")).expect("a log");
        command.stdout(Stdio::null()).stderr(log);
        self.server = Some(command.spawn().expect("a server"));
        let deadline = Instant::now() + START_MAX;
        while !self.answers() {
            assert!(Instant::now() < deadline, "{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the server at once, as a crash does.
    pub(crate) fn crash(&mut self) {
        if let Some(mut server) = self.server.take() {
            let told = Command::new("kill").args(["-QUIT", &server.id().to_string()]).status();
            assert!(told.expect("kill").success());
            server.wait().expect("it ends");
        }
    }

    /// Returns the directory of its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// Returns the `store_url` of a database.
    pub(crate) fn url(socket: &Path, database: &str) -> String {
        format!("postgres://{ROLE}@/{database}?host={}", socket.display())
    }

    /// Runs a statement on a database, and returns what it prints.
    pub(crate) fn sql(socket: &Path, database: &str, statement: &str) -> String {
        let ran = psql(socket, database).args(["-c", statement]).output().expect("psql");
        assert!(
            ran.status.success(),
            "{statement}: {}",
            String::from_utf8_lossy(&ran.stderr)
        );
        String::from_utf8_lossy(&ran.stdout).trim().to_owned()
    }

    /// Makes a database, without tables, and returns its `store_url`.
    pub(crate) fn database(&self, name: &str) -> String {
        Self::sql(&self.socket(), "postgres", &format!("CREATE DATABASE {name}"));
        Self::url(&self.socket(), name)
    }

    fn answers(&self) -> bool {
        let ran = psql(&self.socket(), "postgres").args(["-c", "SELECT 1"]).output();
        ran.expect("psql").status.success()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.socket().join("log")).unwrap_or_default()
    }

    fn data(&self) -> PathBuf {
        self.socket().join("data")
    }

    /// A program of the server's, as a user that it accepts.
    fn command(&self, program: &str) -> Command {
        let program = programs().join(program);
        let mut command = if is_root() {
            let mut command = match &self.place {
                Some((process, _)) => {
                    let mut command = Command::new("nsenter");
                    command.arg(format!("--net=/proc/{process}/ns/net")).arg("setpriv");
                    command
                }
                None => Command::new("setpriv"),
            };
            command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]);
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.socket());
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.crash();
    }
}

fn psql(socket: &Path, database: &str) -> Command {
    let mut command = Command::new(programs().join("psql"));
    command.args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-U", ROLE]);
    command.arg("-h").arg(socket).args(["-d", database]);
    command
}

fn is_root() -> bool {
    let asked = Command::new("id").arg("-u").output().expect("id");
    asked.stdout.trim_ascii() == b"0"
}

/// Returns whether there is room for the databases of a whole suite.
fn roomy(folder: &str) -> bool {
    let asked = Command::new("df").args(["--output=avail", "-k", folder]).output();
    let text = asked.map(|asked| String::from_utf8_lossy(&asked.stdout).into_owned());
    let room_kib = text
        .ok()
        .and_then(|text| text.lines().nth(1)?.trim().parse::<u64>().ok());
    room_kib.is_some_and(|room_kib| room_kib >= ROOM_KIB)
}

/// Where files are in memory.
const MEMORY: &str = "/dev/shm";

/// What the databases of a suite take, and as much again.
const ROOM_KIB: u64 = 4 << 20;

/// Where Debian keeps the programs of the server's newest version.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("the package postgresql is needed");
    let mut programs: Vec<PathBuf> = versions
        .flatten()
        .map(|version| version.path().join("bin"))
        .filter(|programs| programs.join("initdb").exists())
        .collect();
    programs.sort();
    programs.pop().expect("the package postgresql is needed")
}

/// The user that the package makes for the server.
const USER: &str = "postgres";

/// The role that tests come as.
const ROLE: &str = "postern";

/// Longest time until a new server answers.
const START_MAX: Duration = Duration::from_secs(60);
