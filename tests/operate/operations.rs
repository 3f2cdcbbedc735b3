//! The ways to run it that `docs/operations.md` tells of, from the files there as they stand: on the addresses that they name,
//! in a network namespace of the test's own.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::harness::cluster::Cluster;
use crate::harness::eventually;
use crate::harness::process::{Process, postern};

/// A network namespace whose loopback device has addresses of many machines. It ends with its holder.
struct Network {
    holder: Process,
}

/// A directory that services are started in, as the one of a machine is.
struct Machine<'a> {
    network: &'a Network,
    directory: TempDir,
}

impl Network {
    fn with(addresses: &[&str]) -> Self {
        let script =
            "ip link set lo up; for address; do ip address add $address/32 dev lo; done; echo up; exec sleep infinity";
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-euc", script, "sh"]).args(addresses);
        let holder = Process::spawn(command);
        holder.stdout.line("the network", |line| (line == "up").then_some(()));
        Self { holder }
    }

    /// Returns a command that runs in it.
    fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--net=/proc/{}/ns/net", self.holder.id()));
        inside.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            inside.current_dir(directory);
        }
        inside
    }

    /// Returns the status of a read with a token.
    fn status(&self, address: &str, token: &str) -> String {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
            "--max-time",
            "10",
        ]);
        curl.args(["--header", &format!("Authorization: Bearer {token}")]);
        curl.arg(format!("http://{address}:8080/orgs/my-org/env-types"));
        let answered = self.inside(&curl).output().expect("curl");
        String::from_utf8_lossy(&answered.stdout).into_owned()
    }

    fn answers_in_the_end(&self, status: &str, address: &str, token: &str) {
        let what = format!("{status} from {address}");
        eventually(&what, || (self.status(address, token) == status).then_some(()));
    }

    /// Starts the orchestrator that all files name.
    fn orchestrator<'a>(&'a self) -> (Machine<'a>, Process) {
        let machine = Machine::on(self);
        let arguments = ["sandbox", "--listen", "10.20.0.40:9090", "--org", "my-org"];
        let credential = ["--credential-file", "upstream-token"];
        let process = machine.start(&[&arguments[..], &credential[..]].concat());
        (machine, process)
    }
}

impl<'a> Machine<'a> {
    fn on(network: &'a Network) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("upstream-token"), "credential\n").expect("it is written");
        Self { network, directory }
    }

    /// Takes the files of a folder of `docs/operations/` as they stand.
    fn with_files(self, files: &[impl AsRef<str>]) -> Self {
        for file in files {
            let from = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("docs/operations")
                .join(file.as_ref());
            let name = from.file_name().expect("a file");
            std::fs::copy(&from, self.path(name)).expect("the file is there");
        }
        self
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Has a file of another machine's directory.
    fn copies(&self, from: &Machine<'_>, files: &[(&str, &str)]) {
        for (there, here) in files {
            let here = self.path(here);
            std::fs::create_dir_all(here.parent().expect("a folder")).expect("a folder");
            std::fs::copy(from.path(there), here).expect("the file is there");
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = postern(arguments);
        command.current_dir(self.directory.path());
        self.network.inside(&command)
    }

    /// Starts a service, and waits until it listens.
    fn start(&self, arguments: &[&str]) -> Process {
        let process = Process::spawn(self.command(arguments));
        process.logged("listening");
        process
    }

    /// Runs a command that asks a gateway, as the administrator, until it is done: a gateway may have no data yet.
    fn ask(&self, gateway: &str, token: &Path, arguments: &[&str]) -> String {
        eventually(&format!("{arguments:?}"), || {
            let mut command = self.command(arguments);
            command.env("POSTERN_URL", format!("http://{gateway}:8080"));
            command.env("POSTERN_TOKEN_FILE", token).env("POSTERN_ORG", "my-org");
            let ended = Process::spawn(command).ended();
            (ended.code == Some(0)).then_some(ended.stdout.trim().to_owned())
        })
    }
}

#[test]
fn one_machine_is_started_from_the_file_that_the_documents_name() {
    let network = Network::with(&["10.20.0.10", "10.20.0.40"]);
    let _orchestrator = network.orchestrator();
    let machine = Machine::on(&network).with_files(&["one-machine.toml"]);
    let _serve = machine.start(&["serve", "--config", "one-machine.toml"]);
    let administrator = machine.path("data/bootstrap-token");
    let gateway = "10.20.0.10";
    machine.ask(gateway, &administrator, &["user", "create", "ci", "--role", "member"]);
    let token = machine.ask(gateway, &administrator, &["token", "create", "ci", "github"]);
    assert_eq!(network.status(gateway, &token), "200");
    machine.ask(gateway, &administrator, &["token", "revoke", "ci", "github"]);
    assert_eq!(network.status(gateway, &token), "401");
}

#[test]
fn three_machines_and_a_region_are_started_from_the_files_that_the_documents_name_and_bear_the_loss_of_a_replica() {
    let addresses = ["10.20.0.20", "10.20.0.21", "10.20.0.22", "10.20.0.31", "10.20.0.40"];
    let network = Network::with(&addresses);
    let _orchestrator = network.orchestrator();
    let database = Cluster::start_at(Some((network.holder.id(), "10.20.0.20")));
    database.database("postern");
    let [b, c] = ["b", "c"].map(|name| {
        let files = ["admin", "gateway"].map(|service| format!("three-machines/{name}-{service}.toml"));
        Machine::on(&network).with_files(&files)
    });
    let migrated = Process::spawn(b.command(&["admin", "migrate", "--config", "b-admin.toml"])).ended();
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    let first = b.start(&["admin", "--config", "b-admin.toml"]);
    let shared = ["gateway-credential", "feed-key", "feed-key.pub"].map(|file| format!("admin-data/{file}"));
    c.copies(&b, &shared.each_ref().map(|file| (file.as_str(), file.as_str())));
    let second = c.start(&["admin", "--config", "c-admin.toml"]);
    let region = Machine::on(&network).with_files(&["many-regions/gateway.toml"]);
    for gateway in [&b, &c, &region] {
        let [credential, _, key] = &shared;
        gateway.copies(&b, &[(credential, "gateway-credential"), (key, "feed-key.pub")]);
    }
    let _gateways = [
        (&b, "b-gateway.toml"),
        (&c, "c-gateway.toml"),
        (&region, "gateway.toml"),
    ]
    .map(|(machine, file)| machine.start(&["gateway", "--config", file]));
    let administrator = b.path("admin-data/bootstrap-token");
    b.ask(
        "10.20.0.21",
        &administrator,
        &["user", "create", "ci", "--role", "member"],
    );
    let kept = b.ask("10.20.0.21", &administrator, &["token", "create", "ci", "kept"]);
    let revoked = b.ask("10.20.0.21", &administrator, &["token", "create", "ci", "revoked"]);
    let gateways = ["10.20.0.21", "10.20.0.22", "10.20.0.31"];
    for gateway in gateways {
        network.answers_in_the_end("200", gateway, &revoked);
    }

    // Machine B loses its replica: its gateway moves to the other one.
    first.kill();
    b.ask("10.20.0.21", &administrator, &["token", "revoke", "ci", "revoked"]);
    for gateway in gateways {
        network.answers_in_the_end("401", gateway, &revoked);
    }

    // Nobody is left who could tell of changes: what is known is served.
    second.kill();
    for gateway in gateways {
        assert_eq!(network.status(gateway, &kept), "200", "{gateway}");
    }
}
