//! Configuration: one TOML file, each key also a flag and a `POSTERN_…` variable; flags win over variables, variables over
//! the file. All errors are reported at once.
//!
//! [`keys`] is the single list of keys; [`mod@example`] writes it down as a file.

mod example;
mod keys;
mod store;
mod tls;
mod upstream;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use catalogue::{Catalogue, Operation};
use clap::{Arg, ArgMatches, Command};
use engine::signature::TrustedKeys;
use gateway::Sharing;
use gateway::freshness::AgeLimits;
use gateway::front::{Front, SourceField};
use gateway::limit::Rate;
use gateway::settings::{AccessLog, DecisionLog, Hosts, Limits, is_never_forwarded};
use gateway::tls::TlsSettings;
use http::HeaderName;
use ipnet::IpNet;
use serde::Deserialize;

pub(crate) use example::example;
pub(crate) use keys::{ADMIN, GATEWAY, SERVE};
pub(crate) use store::ConsoleConfig;
pub(crate) use upstream::UpstreamConfig;

/// Values as they were given by flags and variables, for one of the commands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given<const COMMAND: u8>(BTreeMap<String, String>);

/// Settings of the data plane.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) listen: SocketAddr,
    pub(crate) sharing: Sharing,
    pub(crate) upstream: UpstreamConfig,
    pub(crate) name: String,
    pub(crate) workers: usize,
    pub(crate) tls: Option<TlsSettings>,
    pub(crate) files_watch_interval: Duration,
    pub(crate) hosts: Hosts,
    pub(crate) forwarded_fields: Vec<HeaderName>,
    pub(crate) http2_cleartext: bool,
    pub(crate) front: Front,
    pub(crate) default_env_type: String,
    pub(crate) remember_verdicts: bool,
    pub(crate) limits: Limits,
    pub(crate) access_log: AccessLog,
    pub(crate) decision_file: DecisionFile,
    /// But for the file.
    pub(crate) decision_log: DecisionLog,
    pub(crate) policy_keys: TrustedKeys,
    pub(crate) catalogue: Arc<Catalogue>,
}

/// Where decisions are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DecisionFile {
    Off,
    /// In the data directory.
    InData,
    At(PathBuf),
}

/// Values being read; every error is noted, and all are told at the end.
pub(crate) struct Reading {
    values: BTreeMap<String, String>,
    operations: Vec<OperationEntry>,
    errors: Vec<String>,
}

/// Keys whose values differ between two readings.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Those that can be put in force while Postern runs.
    pub(crate) applicable: Vec<String>,
    /// Those that cannot.
    pub(crate) need_restart: Vec<String>,
}

/// All that is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[error("the configuration cannot be used:\n{}", .0.iter().map(|error| format!("  - {error}")).collect::<Vec<_>>().join("\n"))]
pub(crate) struct ConfigErrors(pub(crate) Vec<String>);

/// An operation that the operator adds to the catalogue: `[[operations]]` of the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct OperationEntry {
    method: String,
    path: String,
    id: String,
    /// The permission that a role must allow. Not needed for a public operation.
    permission: Option<String>,
    /// Whether it needs no token.
    #[serde(default)]
    public: bool,
    /// Protocols that a connection may be upgraded to.
    #[serde(default)]
    upgrade: Vec<String>,
}

impl<const COMMAND: u8> clap::FromArgMatches for Given<COMMAND> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Self::default();
        given.update_from_arg_matches(matches)?;
        Ok(given)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let names = keys::of(COMMAND)
            .map(|key| key.name)
            .chain(keys::old_names())
            .chain([CONFIG]);
        for name in names {
            if let Some(value) = matches.get_one::<String>(name) {
                self.0.insert(name.to_owned(), value.clone());
            }
        }
        Ok(())
    }
}

impl<const COMMAND: u8> clap::Args for Given<COMMAND> {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("FILE")
            .env("POSTERN_CONFIG")
            .help(CONFIG_HELP);
        let old = keys::old_names().map(|name| argument(name).hide(true));
        keys::of(COMMAND).fold(command.arg(config).args(old), |command, key| {
            let help = match key.default {
                Some(default) if !default.is_empty() => format!("{} [default: {default}]", key.help),
                Some(_) | None => key.help.to_owned(),
            };
            command.arg(argument(key.name).value_name(key.value).help(help))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The flag and the variable of a key.
fn argument(name: &'static str) -> Arg {
    Arg::new(name)
        .long(name.replace('_', "-"))
        .env(format!("POSTERN_{}", name.to_uppercase()))
        .hide_env_values(true)
}

impl<const COMMAND: u8> Given<COMMAND> {
    /// Returns what a file holds, and nothing else.
    pub(crate) fn of_file(path: String) -> Self {
        Self(BTreeMap::from([(CONFIG.to_owned(), path)]))
    }

    /// Returns these values with others in their place.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Reads the file, if one is named, and puts the given values over it.
    pub(crate) fn read(self) -> Reading {
        let mut reading = Reading {
            values: BTreeMap::new(),
            operations: Vec::new(),
            errors: Vec::new(),
        };
        if let Some(path) = self.0.get(CONFIG) {
            reading.read_file(Path::new(path), COMMAND);
        }
        for (name, value) in self.0.into_iter().filter(|(name, _)| name != CONFIG) {
            match keys::replaced(&name) {
                Some(by) => reading.errors.push(format!("{name}: replaced by {by}")),
                None => drop(reading.values.insert(name, value)),
            }
        }
        for key in keys::of(COMMAND) {
            if let Some(default) = key.default {
                reading
                    .values
                    .entry(key.name.to_owned())
                    .or_insert_with(|| default.to_owned());
            }
        }
        reading
    }
}

impl Reading {
    /// Says whether all that was read can be used.
    ///
    /// # Errors
    /// All errors that were met.
    pub(crate) fn finish(&mut self) -> Result<(), ConfigErrors> {
        match std::mem::take(&mut self.errors) {
            errors if errors.is_empty() => Ok(()),
            errors => Err(ConfigErrors(errors)),
        }
    }

    /// Logs the values in force. None of them is a secret: secrets are in files.
    pub(crate) fn log(&self) {
        let values = self.values.iter().map(|(name, value)| format!("{name}={value}"));
        tracing::info!(config = %values.collect::<Vec<_>>().join(" "), operations = self.operations.len(), "configuration in force");
    }

    /// Returns the keys that have changed since an earlier reading, and `operations` if those have.
    pub(crate) fn changes_since(&self, before: &Self) -> Changes {
        let names = self.values.keys().chain(before.values.keys());
        let names: BTreeSet<&String> = names.collect();
        let mut changes = Changes::default();
        for name in names {
            if self.values.get(name) == before.values.get(name) {
                continue;
            }
            if keys::needs_restart(name) {
                changes.need_restart.push(name.clone());
            } else {
                changes.applicable.push(name.clone());
            }
        }
        if self.operations != before.operations {
            changes.applicable.push("operations".to_owned());
        }
        changes
    }

    pub(crate) fn text(&mut self, name: &str) -> String {
        self.values.get(name).cloned().unwrap_or_default()
    }

    pub(crate) fn file(&mut self, name: &str) -> Option<PathBuf> {
        self.values.get(name).filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    pub(crate) fn needed(&mut self, name: &str) -> String {
        if !self.values.contains_key(name) {
            self.errors.push(format!(
                "{name} is needed: --{} or POSTERN_{}",
                name.replace('_', "-"),
                name.to_uppercase()
            ));
        }
        self.text(name)
    }

    pub(crate) fn address(&mut self, name: &str) -> SocketAddr {
        self.parsed(
            name,
            "an address such as 127.0.0.1:8080",
            SocketAddr::from(([127, 0, 0, 1], 0)),
        )
    }

    pub(crate) fn milliseconds(&mut self, name: &str) -> Duration {
        let ms: u64 = self.parsed(name, "a number of milliseconds", 1);
        if ms == 0 {
            self.errors.push(format!("{name}: 0 would never let anything happen"));
        }
        Duration::from_millis(ms)
    }

    pub(crate) fn org(&mut self) -> String {
        let org = self.text("org");
        if !catalogue::segment::is_identifier(&org) {
            self.errors.push(format!(
                "org: {org:?} is not an identifier (lower-case letters, digits, single dashes; 2 to 50)"
            ));
        }
        org
    }

    pub(crate) fn trusted_keys(&mut self) -> TrustedKeys {
        let parsed = TrustedKeys::parse(&self.text("policy_trusted_keys"));
        parsed.unwrap_or_else(|error| {
            self.errors.push(format!("policy_trusted_keys: {error}"));
            TrustedKeys::default()
        })
    }

    /// Reads everything of the data plane.
    pub(crate) fn edge(&mut self) -> Edge {
        let upstream = self.upstream();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = match self.parsed("workers", "a number of threads", 0) {
            0 => processors,
            workers => workers,
        };
        Edge {
            listen: self.address("listen"),
            sharing: if self.parsed("listen_share", "true or false", false) {
                Sharing::Shared
            } else {
                Sharing::Alone
            },
            upstream,
            name: self.text("name"),
            workers,
            tls: self.tls(),
            files_watch_interval: self.milliseconds("files_watch_interval_ms"),
            hosts: self.hosts(),
            forwarded_fields: self.forwarded_fields(),
            http2_cleartext: self.parsed("http2_cleartext", "true or false", false),
            front: self.front(),
            default_env_type: self.text("default_env_type"),
            remember_verdicts: self.parsed("remember_verdicts", "true or false", true),
            limits: self.limits(),
            access_log: match self.text("access_log").as_str() {
                "stdout" => AccessLog::Stdout,
                "off" => AccessLog::Off,
                path => AccessLog::File(PathBuf::from(path)),
            },
            decision_file: match self.text("decision_log").as_str() {
                "off" => DecisionFile::Off,
                "" => DecisionFile::InData,
                path => DecisionFile::At(PathBuf::from(path)),
            },
            decision_log: self.decision_log(),
            policy_keys: self.trusted_keys(),
            catalogue: Arc::new(self.catalogue()),
        }
    }

    fn decision_log(&mut self) -> DecisionLog {
        let allowed_percent = self.parsed("decision_log_allowed_percent", "a number from 0 to 100", 0);
        if allowed_percent > 100 {
            self.errors.push(format!(
                "decision_log_allowed_percent: {allowed_percent} is more than 100"
            ));
        }
        DecisionLog {
            file: None,
            bytes_max: self.at_least_one("decision_log_bytes_max", "octets"),
            files_max: usize::from(self.at_least_one::<u16>("decision_log_files_max", "files")),
            allowed_percent,
        }
    }

    fn limits(&mut self) -> Limits {
        Limits {
            connections_max: self.at_least_one("connections_max", "connections"),
            connections_per_source_max: self.at_least_one("connections_per_source_max", "connections"),
            streams_per_connection_max: self.at_least_one("streams_per_connection_max", "streams"),
            requests_in_flight_max: self.at_least_one("requests_in_flight_max", "requests"),
            subject_rate: self.rate("subject_requests_per_second", "subject_burst"),
            token_rate: self.rate("token_requests_per_second", "token_burst"),
            source_rate: self.rate("source_requests_per_second", "source_burst"),
            invalid_credentials_rate: self.rate("invalid_credentials_per_second", "invalid_credentials_burst"),
            target_bytes_max: self.at_least_one("target_bytes_max", "octets"),
            fields_bytes_max: self.at_least_one("header_bytes_max", "octets"),
            fields_max: self.at_least_one("header_fields_max", "fields"),
            handshake_timeout: self.milliseconds("handshake_timeout_ms"),
            idle_timeout: self.milliseconds("idle_timeout_ms"),
            send_timeout: self.milliseconds("send_timeout_ms"),
            header_timeout: self.milliseconds("header_timeout_ms"),
            body_timeout: self.milliseconds("body_timeout_ms"),
            read_body_bytes_max: self.parsed("read_body_bytes_max", "a number of octets", 0),
            data_age: self.data_age(),
            upgrades_max: self.parsed("upgrades_max", "a number of connections", 0),
            upgrade_idle: self.milliseconds("upgrade_idle_timeout_ms"),
        }
    }

    fn data_age(&mut self) -> AgeLimits {
        let limits = AgeLimits {
            writes_max: self.milliseconds("data_age_writes_max_ms"),
            reads_max: self.milliseconds("data_age_reads_max_ms"),
        };
        if limits.writes_max > limits.reads_max {
            self.errors.push(format!(
                "data_age_writes_max_ms: {} is more than data_age_reads_max_ms, {}",
                limits.writes_max.as_millis(),
                limits.reads_max.as_millis()
            ));
        }
        limits
    }

    /// Reads a rate; none when it is 0 a second.
    fn rate(&mut self, per_second: &str, burst: &str) -> Option<Rate> {
        let per_second = self.parsed(per_second, "a number of times a second", 0);
        let burst = self.at_least_one(burst, "times");
        (per_second > 0).then_some(Rate { per_second, burst })
    }

    fn at_least_one<T: std::str::FromStr + PartialEq + From<u8>>(&mut self, name: &str, of: &str) -> T {
        let number = self.parsed(name, &format!("a number of {of}"), T::from(1));
        if number == T::from(0) {
            self.errors.push(format!("{name}: 0 would never let anything happen"));
        }
        number
    }

    fn front(&mut self) -> Front {
        let mut trusted = Vec::new();
        for network in list(&self.text("trusted_proxies")) {
            // A bare address is the network of itself.
            let read = network.parse().or_else(|_| network.parse::<IpAddr>().map(IpNet::from));
            match read {
                Ok(network) => trusted.push(network),
                Err(_invalid) => self.errors.push(format!(
                    "trusted_proxies: {network:?} is not a network such as 10.0.0.0/8"
                )),
            }
        }
        let front = Front {
            proxy_protocol: self.parsed("proxy_protocol", "true or false", false),
            source_field: match self.text("source_field").as_str() {
                "none" => SourceField::None,
                "x-forwarded-for" => SourceField::XForwardedFor,
                "forwarded" => SourceField::Forwarded,
                other => {
                    self.errors.push(format!(
                        "source_field: {other:?} is not x-forwarded-for, forwarded or none"
                    ));
                    SourceField::None
                }
            },
            trusted,
        };
        if front.trusted.is_empty() && (front.proxy_protocol || front.source_field != SourceField::None) {
            self.errors
                .push("proxy_protocol and source_field need trusted_proxies: nobody else is believed".to_owned());
        }
        front
    }

    fn hosts(&mut self) -> Hosts {
        let hosts = list(&self.text("hosts"));
        if hosts.is_empty() {
            Hosts::Any
        } else {
            Hosts::These(hosts.into_iter().map(|host| host.to_lowercase()).collect())
        }
    }

    fn forwarded_fields(&mut self) -> Vec<HeaderName> {
        let mut names = Vec::new();
        for name in list(&self.text("forwarded_fields")) {
            match HeaderName::try_from(&name) {
                Ok(name) if is_never_forwarded(&name) => self
                    .errors
                    .push(format!("forwarded_fields: the field {name} is never forwarded")),
                Ok(name) => names.push(name),
                Err(_invalid) => self
                    .errors
                    .push(format!("forwarded_fields: {name:?} is not the name of a header field")),
            }
        }
        names
    }

    /// The shipped catalogue, with the operations of the file.
    fn catalogue(&mut self) -> Catalogue {
        let shipped = Catalogue::parse(catalogue::OPERATIONS).expect("the shipped table is tested to be valid");
        let mut more = Vec::new();
        for entry in self.operations.clone() {
            match entry.operation() {
                Ok(operation) => more.push(operation),
                Err(error) => self.errors.push(error),
            }
        }
        shipped.extended(more).unwrap_or_else(|error| {
            self.errors.push(error.to_string());
            shipped
        })
    }

    fn parsed<T: std::str::FromStr>(&mut self, name: &str, expected: &str, otherwise: T) -> T {
        let text = self.text(name);
        text.parse().unwrap_or_else(|_: T::Err| {
            self.errors.push(format!("{name}: {text:?} is not {expected}"));
            otherwise
        })
    }

    fn read_file(&mut self, path: &Path, command: u8) {
        let shown = path.display();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return self.errors.push(format!("{shown}: {error}")),
        };
        let mut table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => return self.errors.push(format!("{shown}: {error}")),
        };
        if let Some(operations) = table.remove("operations") {
            match operations.try_into() {
                Ok(operations) => self.operations = operations,
                Err(error) => self.errors.push(format!("{shown}: operations: {error}")),
            }
        }
        for (name, value) in table {
            // A file may serve several commands: keys of the others are passed over, unknown ones are not.
            if let Some(by) = keys::replaced(&name) {
                self.errors.push(format!("{shown}: {name}: replaced by {by}"));
            } else if !keys::is_known(&name) {
                self.errors.push(format!("{shown}: unknown key {name}"));
            } else if keys::of(command).any(|key| key.name == name) {
                match scalar(&value) {
                    Some(text) => drop(self.values.insert(name, text)),
                    None => self.errors.push(format!(
                        "{shown}: {name} must be a text, a number, a boolean or a list of texts"
                    )),
                }
            }
        }
    }
}

impl OperationEntry {
    fn operation(self) -> Result<Operation, String> {
        let permission = match (self.permission, self.public) {
            (Some(permission), false) => permission,
            (None, true) => "public".to_owned(),
            (Some(_), true) => return Err(format!("operation {}: a public operation has no permission", self.id)),
            (None, false) => {
                return Err(format!(
                    "operation {}: it needs a permission, or public = true",
                    self.id
                ));
            }
        };
        let mut operation =
            Operation::new(&self.method, &self.path, &self.id, &permission).map_err(|error| error.to_string())?;
        operation.public = self.public;
        operation.upgrading(self.upgrade).map_err(|error| error.to_string())
    }
}

const CONFIG: &str = "config";
const CONFIG_HELP: &str = "TOML file with the keys below (dashes written as underscores) and [[operations]]";

fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Array(items) => {
            let items: Option<Vec<&str>> = items.iter().map(toml::Value::as_str).collect();
            items.map(|items| items.join(","))
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

#[cfg(test)]
mod tests;
