//! The keys of the configuration: the single list from which flags, variables, the file's grammar and the help come.

/// A key of the configuration.
pub(super) struct Key {
    /// As in the file; the flag has dashes, the variable is in capitals behind `POSTERN_`.
    pub(super) name: &'static str,
    /// What stands for the value in the help.
    pub(super) value: &'static str,
    pub(super) help: &'static str,
    pub(super) default: Option<&'static str>,
    /// Commands that have it.
    pub(super) commands: u8,
}

/// The whole: gateway and admin in one process.
pub(crate) const SERVE: u8 = 1;
/// The data plane alone.
pub(crate) const GATEWAY: u8 = 2;
/// The control plane alone.
pub(crate) const ADMIN: u8 = 4;

/// Returns the keys of a command.
pub(super) fn of(command: u8) -> impl Iterator<Item = &'static Key> {
    ALL_KEYS.iter().filter(move |key| key.commands & command != 0)
}

/// Returns all keys, in the order in which they are told.
pub(super) fn all() -> &'static [Key] {
    ALL_KEYS
}

/// Returns whether a change of this key is refused while Postern runs.
pub(super) fn needs_restart(name: &str) -> bool {
    NEEDS_RESTART.contains(&name)
}

/// Returns what a key that is no longer one was replaced by.
pub(super) fn replaced(name: &str) -> Option<&'static str> {
    let replaced = REPLACED.iter().find(|(old, _)| *old == name);
    replaced.map(|(_, by)| *by)
}

/// Returns the names of keys that are no longer ones. Whoever still gives one is told, however it is given: passed over, a
/// limit would be another than was meant.
pub(super) fn old_names() -> impl Iterator<Item = &'static str> {
    REPLACED.iter().map(|(old, _)| *old)
}

/// Returns whether any command has a key of this name.
pub(super) fn is_known(name: &str) -> bool {
    ALL_KEYS.iter().any(|key| key.name == name)
}

const REPLACED: &[(&str, &str)] = &[("data_age_max_ms", "data_age_writes_max_ms and data_age_reads_max_ms")];

/// What is decided once: sockets, threads, places of files, who this is and whom it follows.
const NEEDS_RESTART: &[&str] = &[
    "listen",
    "listen_share",
    "admin_listen",
    "console_listen",
    "console_url",
    "console_gateway_url",
    "ops_listen",
    "data",
    "org",
    "store_url",
    "store_password_file",
    "policy_trusted_keys",
    "admin_url",
    "admin_ca_file",
    "gateway_credential_file",
    "enrolment_token_file",
    "feed_public_key_file",
    "feed_key_file",
    "name",
    "workers",
    "remember_verdicts",
    "upgrades_max",
    "tls_certificate_file",
    "tls_key_file",
    "tls_client_certificates",
    "tls_client_ca_file",
    "tls_client_crl_file",
    "http2",
    "files_watch_interval_ms",
    "access_log",
    "decision_log",
    "decision_log_bytes_max",
    "decision_log_files_max",
];

const EDGE: u8 = SERVE | GATEWAY;
const CONTROL: u8 = SERVE | ADMIN;
const ALL: u8 = SERVE | GATEWAY | ADMIN;

#[rustfmt::skip]
const ALL_KEYS: &[Key] = &[
    Key { name: "upstream", value: "URLS", help: "The orchestrator's API, http:// or https://, with or without a path; several endpoints separated by commas", default: None, commands: EDGE },
    Key { name: "upstream_token_file", value: "FILE", help: "File with the credential that the orchestrator is sent", default: None, commands: EDGE },
    Key { name: "upstream_token_command", value: "COMMAND", help: "Command that prints the credential, run with sh -c", default: None, commands: EDGE },
    Key { name: "upstream_token_refresh_ms", value: "MS", help: "How often the command is run; also when the orchestrator answers 401", default: Some("300000"), commands: EDGE },
    Key { name: "upstream_ca_file", value: "FILE", help: "PEM file of certificate authorities for the orchestrator, in place of the system's", default: None, commands: EDGE },
    Key { name: "upstream_client_certificate_file", value: "FILE", help: "PEM file of the certificate that the orchestrator is shown", default: None, commands: EDGE },
    Key { name: "upstream_client_key_file", value: "FILE", help: "PEM file of that certificate's key", default: None, commands: EDGE },
    Key { name: "files_watch_interval_ms", value: "MS", help: "How often files of credentials and certificates are looked at", default: Some("1000"), commands: EDGE },
    Key { name: "upstream_addresses", value: "RANGES", help: "Address ranges that endpoints may be in though they are not public, separated by commas", default: Some(""), commands: EDGE },
    Key { name: "upstream_http2", value: "WHEN", help: "HTTP/2 with the orchestrator: auto (where TLS agrees on it), off, prior-knowledge (without TLS too)", default: Some("auto"), commands: EDGE },
    Key { name: "upstream_connect_timeout_ms", value: "MS", help: "Longest time to connect to the orchestrator", default: Some("5000"), commands: EDGE },
    Key { name: "upstream_first_byte_timeout_ms", value: "MS", help: "Longest time from the end of a request with a safe method to the head of the answer", default: Some("60000"), commands: EDGE },
    Key { name: "upstream_write_first_byte_timeout_ms", value: "MS", help: "The same for methods that may change something", default: Some("120000"), commands: EDGE },
    Key { name: "upstream_idle_timeout_ms", value: "MS", help: "Longest time between two parts of an answer's body", default: Some("300000"), commands: EDGE },
    Key { name: "upstream_retries_max", value: "N", help: "How often a request that may be repeated is sent again", default: Some("1"), commands: EDGE },
    Key { name: "upstream_retry_budget_percent", value: "PERCENT", help: "Share of recent requests that may be sent again; 3 a second always may", default: Some("20"), commands: EDGE },
    Key { name: "upstream_failures_max", value: "N", help: "Failures in a row after which an endpoint is left alone for a while", default: Some("5"), commands: EDGE },
    Key { name: "upstream_ejection_ms", value: "MS", help: "How long, the first time; doubled each time that it fails again, up to 16 times as long", default: Some("10000"), commands: EDGE },
    Key { name: "upstream_health_path", value: "PATH", help: "Path that endpoints are asked for to see whether they are well; empty: they are not asked", default: Some(""), commands: EDGE },
    Key { name: "upstream_health_interval_ms", value: "MS", help: "How often they are asked", default: Some("5000"), commands: EDGE },
    Key { name: "body_idle_timeout_ms", value: "MS", help: "Longest time between two parts of a request's body", default: Some("30000"), commands: EDGE },
    Key { name: "listen", value: "ADDRESS", help: "Address for requests", default: Some("127.0.0.1:8080"), commands: EDGE },
    Key { name: "listen_share", value: "BOOL", help: "Whether another gateway of the same user may listen on the address of requests, as at an upgrade", default: Some("false"), commands: EDGE },
    Key { name: "admin_listen", value: "ADDRESS", help: "Address of the admin service: feed, metrics, health", default: Some("127.0.0.1:8081"), commands: CONTROL },
    Key { name: "console_listen", value: "ADDRESS", help: "Address of the console, for browsers; empty: there is none", default: Some("127.0.0.1:8083"), commands: CONTROL },
    Key { name: "console_url", value: "URL", help: "Where browsers find the console, https:// and a host, where a proxy in front of it speaks TLS; empty: http://localhost with the port of console_listen", default: Some(""), commands: CONTROL },
    Key { name: "console_gateway_url", value: "URL", help: "Where callers reach the gateways, as the console shows it to whoever gets a token; empty: the address for requests of serve", default: Some(""), commands: CONTROL },
    Key { name: "ops_listen", value: "ADDRESS", help: "Address for metrics and health", default: Some("127.0.0.1:8082"), commands: GATEWAY },
    Key { name: "data", value: "DIR", help: "Directory for the store and keys; made when only its last part is missing", default: Some("postern-data"), commands: ALL },
    Key { name: "org", value: "ORG", help: "Organisation that is made when the store is empty", default: Some("default"), commands: CONTROL },
    Key { name: "store_url", value: "URL", help: "PostgreSQL database of the store, postgres://USER@HOST/DATABASE, which several admin services may share; empty: a file in the data directory", default: Some(""), commands: CONTROL },
    Key { name: "store_password_file", value: "FILE", help: "File with the password for that database", default: None, commands: CONTROL },
    Key { name: "policy_trusted_keys", value: "KEYS", help: "Keys of those who may sign policies, name=key each, separated by commas; empty: policies need not be signed", default: Some(""), commands: ALL },
    Key { name: "admin_url", value: "URLS", help: "The admin services that this gateway may follow, all of one store, separated by commas; it follows one and moves to the next when it is lost", default: Some("http://127.0.0.1:8081"), commands: GATEWAY },
    Key { name: "admin_ca_file", value: "FILE", help: "PEM file of certificate authorities for the admin service", default: None, commands: GATEWAY },
    Key { name: "gateway_credential_file", value: "FILE", help: "File with the credential that gateways share (the admin service's DIR/gateway-credential), where they have none of their own", default: None, commands: GATEWAY },
    Key { name: "enrolment_token_file", value: "FILE", help: "File with a token of postern fleet enrol, with which the first start gets a credential of its own, kept in the directory of data", default: None, commands: GATEWAY },
    Key { name: "feed_public_key_file", value: "FILE", help: "File with the public keys that may sign the feed, one a line (the admin service's DIR/feed-key.pub)", default: None, commands: GATEWAY },
    Key { name: "feed_key_file", value: "FILE", help: "PEM file of the private key that signs the feed, the same for all replicas; without it: feed-key in the directory of data, made when it is missing", default: None, commands: CONTROL },
    Key { name: "name", value: "NAME", help: "Name of this gateway, unique among the gateways of one admin service", default: Some("gateway"), commands: EDGE },
    Key { name: "workers", value: "N", help: "Threads that serve requests; 0: one for each processor", default: Some("0"), commands: EDGE },
    Key { name: "tls_certificate_file", value: "FILES", help: "PEM files of certificates with their chains, separated by commas; the first is the default; empty: plain HTTP", default: Some(""), commands: EDGE },
    Key { name: "tls_key_file", value: "FILES", help: "PEM files of their private keys, in the same order", default: Some(""), commands: EDGE },
    Key { name: "tls_client_certificates", value: "WHETHER", help: "Whether callers are asked for certificates: off, optional or required", default: Some("off"), commands: EDGE },
    Key { name: "tls_client_ca_file", value: "FILE", help: "PEM file of certificate authorities that vouch for callers", default: None, commands: EDGE },
    Key { name: "tls_client_crl_file", value: "FILE", help: "PEM file of certificate revocation lists, one of each authority that vouches for callers", default: None, commands: EDGE },
    Key { name: "hosts", value: "HOSTS", help: "Hosts that are answered for, separated by commas; empty: any", default: Some(""), commands: EDGE },
    Key { name: "forwarded_fields", value: "FIELDS", help: "Header fields that are forwarded beyond the built-in list, separated by commas", default: Some(""), commands: EDGE },
    Key { name: "default_env_type", value: "ENV_TYPE", help: "Env type of an environment that is created without naming one", default: Some("development"), commands: EDGE },
    Key { name: "remember_verdicts", value: "BOOL", help: "Whether verdicts of role policies are remembered", default: Some("true"), commands: EDGE },
    Key { name: "http2", value: "BOOL", help: "Whether HTTP/2 is offered to callers that speak TLS", default: Some("true"), commands: EDGE },
    Key { name: "http2_cleartext", value: "BOOL", help: "Whether HTTP/2 is spoken without TLS to callers that begin with it", default: Some("false"), commands: EDGE },
    Key { name: "trusted_proxies", value: "NETWORKS", help: "Networks of front proxies that are believed, such as 10.0.0.0/8, separated by commas", default: Some(""), commands: EDGE },
    Key { name: "proxy_protocol", value: "BOOL", help: "Whether connections of trusted proxies begin with a PROXY header, version 1 or 2", default: Some("false"), commands: EDGE },
    Key { name: "source_field", value: "FIELD", help: "Field in which trusted proxies name a caller's address: x-forwarded-for, forwarded or none", default: Some("none"), commands: EDGE },
    Key { name: "connections_max", value: "N", help: "Connections at once; more are sent away", default: Some("16384"), commands: EDGE },
    Key { name: "connections_per_source_max", value: "N", help: "Connections at once of one source: an IPv4 address or an IPv6 /64", default: Some("10240"), commands: EDGE },
    Key { name: "streams_per_connection_max", value: "N", help: "Streams at once of one HTTP/2 connection", default: Some("100"), commands: EDGE },
    Key { name: "requests_in_flight_max", value: "N", help: "Requests at once; more are refused", default: Some("16384"), commands: EDGE },
    Key { name: "subject_requests_per_second", value: "N", help: "Requests a second of one service user, over all its tokens; 0: unlimited", default: Some("0"), commands: EDGE },
    Key { name: "subject_burst", value: "N", help: "Requests of one service user that may come at once, when there is a rate", default: Some("100"), commands: EDGE },
    Key { name: "token_requests_per_second", value: "N", help: "Requests a second with one token; 0: unlimited", default: Some("0"), commands: EDGE },
    Key { name: "token_burst", value: "N", help: "Requests with one token that may come at once, when there is a rate", default: Some("100"), commands: EDGE },
    Key { name: "source_requests_per_second", value: "N", help: "Requests a second of one source; 0: unlimited", default: Some("0"), commands: EDGE },
    Key { name: "source_burst", value: "N", help: "Requests of one source that may come at once, when there is a rate", default: Some("1000"), commands: EDGE },
    Key { name: "invalid_credentials_per_second", value: "N", help: "Invalid credentials a second of one source; 0: unlimited", default: Some("10"), commands: EDGE },
    Key { name: "invalid_credentials_burst", value: "N", help: "Invalid credentials of one source that may come at once", default: Some("100"), commands: EDGE },
    Key { name: "target_bytes_max", value: "OCTETS", help: "Longest request target", default: Some("8192"), commands: EDGE },
    Key { name: "header_bytes_max", value: "OCTETS", help: "Longest header section of a request", default: Some("32768"), commands: EDGE },
    Key { name: "header_fields_max", value: "N", help: "Most header fields of a request", default: Some("100"), commands: EDGE },
    Key { name: "handshake_timeout_ms", value: "MS", help: "Longest time for a PROXY header, and for a TLS handshake", default: Some("10000"), commands: EDGE },
    Key { name: "idle_timeout_ms", value: "MS", help: "Longest time that a connection rests between requests", default: Some("60000"), commands: EDGE },
    Key { name: "send_timeout_ms", value: "MS", help: "Longest time for which a caller takes nothing of what is sent to it", default: Some("60000"), commands: EDGE },
    Key { name: "header_timeout_ms", value: "MS", help: "Longest time for a header section to arrive", default: Some("10000"), commands: EDGE },
    Key { name: "body_timeout_ms", value: "MS", help: "Longest time for a body that must be read to arrive", default: Some("60000"), commands: EDGE },
    Key { name: "read_body_bytes_max", value: "OCTETS", help: "Longest body where it must be read", default: Some("1048576"), commands: EDGE },
    Key { name: "upgrades_max", value: "N", help: "Upgraded connections at once; more are refused: 503", default: Some("1000"), commands: EDGE },
    Key { name: "upgrade_idle_timeout_ms", value: "MS", help: "Longest time without an octet on an upgraded connection", default: Some("3600000"), commands: EDGE },
    Key { name: "data_age_writes_max_ms", value: "MS", help: "Oldest data on which every operation is decided; older: only those that read, the others 503", default: Some("60000"), commands: EDGE },
    Key { name: "data_age_reads_max_ms", value: "MS", help: "Oldest data on which operations that read are decided; older: 503", default: Some("900000"), commands: EDGE },
    Key { name: "drain_timeout_ms", value: "MS", help: "Longest time to finish what runs when told to stop", default: Some("30000"), commands: ALL },
    Key { name: "access_log", value: "WHERE", help: "Access log: stdout, off, or the path of a file", default: Some("stdout"), commands: EDGE },
    Key { name: "decision_log", value: "WHERE", help: "Decision log: off, or the path of a file; empty: decisions.log in the directory of data", default: Some(""), commands: EDGE },
    Key { name: "decision_log_allowed_percent", value: "PERCENT", help: "Share of allowed decisions that are kept; refusals always are", default: Some("0"), commands: EDGE },
    Key { name: "decision_log_bytes_max", value: "OCTETS", help: "Size at which the decision log is begun anew", default: Some("67108864"), commands: EDGE },
    Key { name: "decision_log_files_max", value: "N", help: "Files of the decision log that are kept", default: Some("8"), commands: EDGE },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_restart_is_a_key() {
        for name in NEEDS_RESTART {
            assert!(is_known(name), "{name}");
        }
    }
}
