//! `postern serve` and the halves, ready to be asked.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::client::Client;
use super::eventually;
use super::held::Held;
use super::link::Link;
use super::process::{Process, postern};

/// The organisation that every test's store begins with.
pub(crate) const ORG: &str = "acme";

/// The credential that the orchestrator gets.
pub(crate) const UPSTREAM_CREDENTIAL: &str = "credential-of-the-orchestrator";

/// A running `postern serve`.
pub(crate) struct Postern {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) admin_address: SocketAddr,
    place: Place,
}

/// Gateway and admin service as two processes, with a wire in between that can be cut.
pub(crate) struct Halves {
    pub(crate) gateway: Process,
    pub(crate) address: SocketAddr,
    pub(crate) ops_address: SocketAddr,
    pub(crate) link: Link,
    admin: Option<Process>,
    place: Place,
}

/// The files of a Postern, and the flags it is started with.
struct Place {
    directory: TempDir,
    flags: Vec<String>,
    held: Option<Held>,
    /// Whether gateways have a clock that the test sets.
    settable_clock: bool,
}

impl Postern {
    /// Starts Postern in front of an upstream and waits until it is ready.
    pub(crate) fn start(upstream: &str) -> Self {
        Self::with(upstream, &[])
    }

    /// Starts it with more flags.
    pub(crate) fn with(upstream: &str, flags: &[&str]) -> Self {
        Self::start_in(Place::new(upstream, flags))
    }

    /// Starts it with sockets that are handed over, now and at each restart.
    pub(crate) fn handed(held: Held, upstream: &str, flags: &[&str]) -> Self {
        let mut place = Place::new(upstream, flags);
        place.held = Some(held);
        Self::start_in(place)
    }

    /// Starts it with flags alone, which name the upstream.
    pub(crate) fn configured(flags: &[&str]) -> Self {
        Self::start_in(Place::configured(flags))
    }

    /// Kills it and starts it anew on the same data.
    pub(crate) fn kill_and_restart(self) -> Self {
        let Self { process, place, .. } = self;
        process.kill();
        Self::start_in(place)
    }

    /// Asks it to stop, waits for its end, and starts it anew on the same data.
    pub(crate) fn restart(self) -> Self {
        let Self { process, place, .. } = self;
        process.terminate();
        let ended = process.ended();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        Self::start_in(place)
    }

    /// Returns somebody with a token.
    pub(crate) fn with_token(&self, token: &str) -> Client {
        client(self.address, Some(token.to_owned()))
    }

    /// Returns somebody without a token.
    pub(crate) fn anybody(&self) -> Client {
        client(self.address, None)
    }

    /// Returns the administrator of the first start.
    pub(crate) fn administrator(&self) -> Client {
        self.with_token(&bootstrap_token(&self.data()))
    }

    /// Returns whoever watches the admin listener.
    pub(crate) fn operator(&self) -> Client {
        client(self.admin_address, None)
    }

    /// Returns the value of a series of the metrics, as it is written there; 0 when it is not there.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        metric(&self.operator(), series)
    }

    /// Waits until a series of the metrics has a value.
    pub(crate) fn wait_for_metric(&self, series: &str, value: f64) {
        eventually(series, || (self.metric(series) == value).then_some(()));
    }

    /// Waits until no request is under way.
    pub(crate) fn wait_until_idle(&self) {
        eventually("the end of all requests", || {
            (self.metric("postern_requests_in_flight") == 0.0).then_some(())
        });
    }

    /// Returns the data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.place.data()
    }

    /// Returns the directory with everything that Postern was given or has written.
    pub(crate) fn directory(&self) -> &Path {
        self.place.directory.path()
    }

    /// Returns where browsers find the console.
    pub(crate) fn console_url(&self) -> String {
        let listening = self.process.logged("listening");
        listening["console"].as_str().expect("it tells where").to_owned()
    }

    /// Waits for the access log's line of a decision.
    pub(crate) fn log_line(&self, holds: impl Fn(&Value) -> bool) -> Value {
        eventually("a line of the access log", || {
            self.log_lines().into_iter().find(|line| holds(line))
        })
    }

    /// Returns what the access log holds by now.
    pub(crate) fn log_lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.directory().join(ACCESS_LOG)).expect("it is there");
        // The last line may be on its way.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).expect("each line is JSON"))
            .collect()
    }

    /// Returns the process alone, to see how it ends, and the directory that it uses.
    pub(crate) fn into_process(self) -> (Process, TempDir) {
        (self.process, self.place.directory)
    }

    fn start_in(place: Place) -> Self {
        let mut arguments = place.arguments("serve");
        arguments.extend(place.edge_arguments());
        let listen = [
            "--admin-listen",
            "127.0.0.1:0",
            "--console-listen",
            "127.0.0.1:0",
            "--org",
            ORG,
        ]
        .map(str::to_owned);
        arguments.extend(listen);
        arguments.extend(place.flags.clone());
        let command = postern(arguments);
        let process = Process::spawn(match &place.held {
            Some(held) => held.hand_to(&command),
            None => command,
        });
        let listening = process.logged("listening");
        let postern = Self {
            address: address_in(&listening, "requests"),
            admin_address: address_in(&listening, "admin"),
            process,
            place,
        };
        wait_until_ready(postern.admin_address);
        postern
    }
}

impl Halves {
    /// Starts both halves and waits until the gateway is ready.
    pub(crate) fn start(upstream: &str, flags: &[&str]) -> Self {
        Self::start_in(Place::new(upstream, flags))
    }

    /// Starts both halves, the gateway with a clock that [`Halves::set_clock`] sets.
    pub(crate) fn with_settable_clock(upstream: &str, flags: &[&str]) -> Self {
        let mut place = Place::new(upstream, flags);
        place.settable_clock = true;
        place.set_clock(0);
        Self::start_in(place)
    }

    fn start_in(place: Place) -> Self {
        let halves = Self::without_admin_in(place).start_admin();
        wait_until_ready(halves.ops_address);
        halves
    }

    /// Starts a gateway whose admin service is not there yet.
    pub(crate) fn without_admin(upstream: &str, flags: &[&str]) -> Self {
        Self::without_admin_in(Place::new(upstream, flags))
    }

    fn without_admin_in(place: Place) -> Self {
        // The admin service makes the credential: it must have been there once.
        let admin = start_admin(&place);
        admin.logged("listening");
        admin.terminate();
        admin.ended();
        let link = Link::cut_off();
        let (gateway, address, ops_address) = start_gateway(&place, &link, "edge-1");
        Self {
            gateway,
            address,
            ops_address,
            link,
            admin: None,
            place,
        }
    }

    /// Starts the admin service and connects it.
    pub(crate) fn start_admin(mut self) -> Self {
        self.admin = Some(start_admin(&self.place));
        self.reconnect();
        self
    }

    /// Connects the link to the admin service again.
    pub(crate) fn reconnect(&self) {
        let admin = self.admin.as_ref().expect("it runs");
        self.link.connect(address_in(&admin.logged("listening"), "admin"));
    }

    /// Kills the admin service.
    pub(crate) fn kill_admin(mut self) -> Self {
        self.link.cut();
        self.admin.take().expect("it runs").kill();
        self
    }

    /// Kills the gateway and starts it anew on the same data.
    pub(crate) fn kill_and_restart_gateway(self) -> Self {
        self.restart_gateway(Process::kill)
    }

    /// Kills the gateway and starts it anew without what it knew.
    pub(crate) fn kill_and_restart_ignorant_gateway(self) -> Self {
        let kept = self.gateway_data().join("kept-state");
        self.restart_gateway(|gateway| {
            gateway.kill();
            let removed = std::fs::remove_dir_all(&kept);
            assert!(removed.is_ok() || !kept.exists(), "{removed:?}");
        })
    }

    /// Asks the gateway to stop, waits for its end, and starts it anew on the same data.
    pub(crate) fn stop_and_restart_gateway(self) -> Self {
        self.restart_gateway(|gateway| {
            gateway.terminate();
            gateway.ended();
        })
    }

    fn restart_gateway(self, end: impl FnOnce(Process)) -> Self {
        let Self {
            gateway,
            link,
            admin,
            place,
            ..
        } = self;
        end(gateway);
        let (gateway, address, ops_address) = start_gateway(&place, &link, "edge-1");
        Self {
            gateway,
            address,
            ops_address,
            link,
            admin,
            place,
        }
    }

    /// Starts one more gateway, with a name and data of its own; returns it and where it takes requests.
    pub(crate) fn another_gateway(&self, name: &str) -> (Process, SocketAddr) {
        let (gateway, address, ops_address) = start_gateway(&self.place, &self.link, name);
        wait_until_ready(ops_address);
        (gateway, address)
    }

    /// Starts one more gateway, with data of its own and a token to enrol with, if it needs one; returns it and where it
    /// takes requests.
    pub(crate) fn enrolling_gateway(&self, data: &str, token: Option<&Path>) -> (Process, SocketAddr) {
        let process = self.start_enrolling_gateway(data, token);
        let listening = process.logged("listening");
        wait_until_ready(address_in(&listening, "ops"));
        let address = address_in(&listening, "requests");
        (process, address)
    }

    /// The same, whatever comes of it.
    pub(crate) fn start_enrolling_gateway(&self, data: &str, token: Option<&Path>) -> Process {
        let mut arguments = vec![
            "gateway".to_owned(),
            "--data".to_owned(),
            self.place.file(&format!("{data}-data")),
        ];
        arguments.extend(self.place.edge_arguments());
        arguments.extend(["--ops-listen".to_owned(), "127.0.0.1:0".to_owned()]);
        arguments.extend(["--admin-url".to_owned(), format!("http://{}", self.link.address)]);
        if let Some(token) = token {
            arguments.extend(["--enrolment-token-file".to_owned(), token.display().to_string()]);
        }
        arguments.extend(self.place.flags.clone());
        Process::start(arguments)
    }

    /// Puts another gateway of the same name, on the same data and the same address, in the place of the one that runs;
    /// returns that one, which still runs.
    pub(crate) fn succeed_gateway(&mut self) -> Process {
        if !self.place.flags.iter().any(|flag| flag == "--listen") {
            let listen = ["--listen".to_owned(), self.address.to_string()];
            self.place.flags.extend(listen);
        }
        let (gateway, _, ops_address) = start_gateway(&self.place, &self.link, "edge-1");
        wait_until_ready(ops_address);
        self.ops_address = ops_address;
        std::mem::replace(&mut self.gateway, gateway)
    }

    /// Puts an empty store in the place of the one that the gateways have followed. The admin service is not running.
    pub(crate) fn lose_store(&self) {
        assert!(self.admin.is_none());
        for file in ["postern.db", "postern.db-wal", "postern.db-shm"] {
            // The latter two are there only after a crash.
            drop(std::fs::remove_file(self.place.data().join(file)));
        }
    }

    /// Sets the gateway's clock to the machine's and so many seconds.
    pub(crate) fn set_clock(&self, offset_s: i64) {
        self.place.set_clock(offset_s);
    }

    /// Waits until the gateway has all that it knows on its disk.
    pub(crate) fn wait_until_kept(&self) {
        eventually("the state on the disk", || {
            let revision = self.operator().get("/readyz").json()["revision"].as_u64()?;
            (self.metric("postern_kept_state_revision") == revision as f64).then_some(())
        });
    }

    /// Returns the directory of the gateway's data.
    pub(crate) fn gateway_data(&self) -> PathBuf {
        PathBuf::from(self.place.file("edge-1-data"))
    }

    /// Returns the data directory of the admin service.
    pub(crate) fn admin_data(&self) -> PathBuf {
        self.place.data()
    }

    /// Returns the address of the admin service itself, past the link.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        address_in(&self.admin().logged("listening"), "admin")
    }

    /// Returns the processes alone, gateway first, to see how they end.
    pub(crate) fn into_processes(self) -> Vec<Process> {
        [self.gateway].into_iter().chain(self.admin).collect()
    }

    /// Returns the admin service, which runs.
    pub(crate) fn admin(&self) -> &Process {
        self.admin.as_ref().expect("it runs")
    }

    /// Waits until the gateway can decide.
    pub(crate) fn wait_until_ready(&self) {
        wait_until_ready(self.ops_address);
    }

    pub(crate) fn with_token(&self, token: &str) -> Client {
        client(self.address, Some(token.to_owned()))
    }

    pub(crate) fn administrator(&self) -> Client {
        self.with_token(&bootstrap_token(&self.place.data()))
    }

    /// Returns the value of a series of the gateway's metrics, as [`Postern::metric`] does.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        metric(&self.operator(), series)
    }

    /// Returns whoever watches the gateway's listener for operators.
    pub(crate) fn operator(&self) -> Client {
        client(self.ops_address, None)
    }
}

const ACCESS_LOG: &str = "access.log";

impl Place {
    fn new(upstream: &str, flags: &[&str]) -> Self {
        let mut place = Self::configured(flags);
        place.flags.extend(["--upstream".to_owned(), upstream.to_owned()]);
        place
    }

    fn configured(flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("upstream-token"), UPSTREAM_CREDENTIAL).expect("it is written");
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Self {
            directory,
            flags,
            held: None,
            settable_clock: false,
        }
    }

    fn file(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Tells libfaketime, which reads it each time that somebody asks for the time.
    fn set_clock(&self, offset_s: i64) {
        let (unfinished, clock) = (self.file("clock.unfinished"), self.file("clock"));
        std::fs::write(&unfinished, format!("{offset_s:+}")).expect("it is written");
        std::fs::rename(unfinished, clock).expect("it has its name");
    }

    /// Has a command take the time of day from libfaketime, and the time that passes from the machine.
    fn set_clock_of(&self, command: &mut Command) {
        let library = ["x86_64", "aarch64"]
            .map(|machine| format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1"))
            .into_iter()
            .find(|path| Path::new(path).exists());
        command
            .env("LD_PRELOAD", library.expect("the package faketime is installed"))
            .env("FAKETIME_TIMESTAMP_FILE", self.file("clock"))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
    }

    fn arguments(&self, command: &str) -> Vec<String> {
        vec![command.to_owned(), "--data".to_owned(), self.file("data")]
    }

    fn edge_arguments(&self) -> Vec<String> {
        let given = |name: &str| self.flags.iter().any(|flag| flag == name);
        let own = [
            ("--listen", "127.0.0.1:0".to_owned()),
            ("--workers", "1".to_owned()),
            ("--upstream-token-file", self.file("upstream-token")),
            ("--access-log", self.file(ACCESS_LOG)),
        ];
        let own = own.into_iter().filter(|(name, _)| !given(name));
        own.flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }
}

fn start_admin(place: &Place) -> Process {
    let mut arguments = place.arguments("admin");
    arguments.extend(
        [
            "--admin-listen",
            "127.0.0.1:0",
            "--console-listen",
            "127.0.0.1:0",
            "--org",
            ORG,
        ]
        .map(str::to_owned),
    );
    if let Some(at) = place.flags.iter().position(|flag| flag == "--drain-timeout-ms") {
        arguments.extend(place.flags[at..at + 2].iter().cloned());
    }
    Process::start(arguments)
}

fn start_gateway(place: &Place, link: &Link, name: &str) -> (Process, SocketAddr, SocketAddr) {
    let credential = place.data().join("gateway-credential").display().to_string();
    let keys = place.data().join("feed-key.pub").display().to_string();
    let mut arguments = vec![
        "gateway".to_owned(),
        "--data".to_owned(),
        place.file(&format!("{name}-data")),
    ];
    arguments.extend(place.edge_arguments());
    arguments.extend(["--name", name].map(str::to_owned));
    arguments.extend(["--ops-listen", "127.0.0.1:0", "--gateway-credential-file", &credential].map(str::to_owned));
    arguments.extend(["--feed-public-key-file", &keys].map(str::to_owned));
    if !place.flags.iter().any(|flag| flag == "--admin-url") {
        arguments.extend(["--admin-url".to_owned(), format!("http://{}", link.address)]);
    }
    arguments.extend(place.flags.clone());
    let mut command = postern(arguments);
    if place.settable_clock {
        place.set_clock_of(&mut command);
    }
    let process = Process::spawn(command);
    let listening = process.logged("listening");
    let (address, ops) = (address_in(&listening, "requests"), address_in(&listening, "ops"));
    (process, address, ops)
}

/// Returns an address that a log line tells.
pub(crate) fn address_in(line: &Value, name: &str) -> SocketAddr {
    let address: SocketAddr = line[name]
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("an address");
    assert_ne!(address.port(), 0, "{name} tells where it listens: {line}");
    address
}

fn bootstrap_token(data: &Path) -> String {
    let token = std::fs::read_to_string(data.join("bootstrap-token")).expect("the first start wrote it");
    token.trim().to_owned()
}

fn client(address: SocketAddr, token: Option<String>) -> Client {
    Client { address, token }
}

fn metric(operator: &Client, series: &str) -> f64 {
    let text = String::from_utf8(operator.get("/metrics").body).expect("a text");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().expect("a number"))
}

fn wait_until_ready(address: SocketAddr) {
    let operator = client(address, None);
    eventually("readiness", || (operator.get("/readyz").status == 200).then_some(()));
}
