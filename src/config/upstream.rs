//! The keys about the orchestrator: where it is, what it is shown, how long it may take, and what happens when it fails.

use std::path::PathBuf;
use std::time::Duration;

use gateway::upstream::{
    Addresses, CertificateFiles, CredentialSource, Deadlines, HealthRules, Http2, RetryRules, Secret, Upstream,
};

use super::{Reading, list};

/// What is said of the orchestrator.
#[derive(Debug)]
pub(crate) struct UpstreamConfig {
    pub(crate) urls: Vec<String>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) certificate: Option<CertificateFiles>,
    pub(crate) credential: CredentialSource,
    pub(crate) deadlines: Deadlines,
    pub(crate) addresses: Addresses,
    pub(crate) health: HealthRules,
    pub(crate) retries: RetryRules,
    pub(crate) http2: Http2,
    pub(crate) files_watch: Duration,
}

impl Reading {
    /// Reads everything about the orchestrator.
    pub(super) fn upstream(&mut self) -> UpstreamConfig {
        UpstreamConfig {
            urls: self.urls("upstream"),
            ca_file: self.file("upstream_ca_file"),
            certificate: self.upstream_certificate(),
            credential: self.upstream_credential(std::env::var(TOKEN_VARIABLE).ok()),
            deadlines: Deadlines {
                connect: self.milliseconds("upstream_connect_timeout_ms"),
                first_byte: self.milliseconds("upstream_first_byte_timeout_ms"),
                write_first_byte: self.milliseconds("upstream_write_first_byte_timeout_ms"),
                idle: self.milliseconds("upstream_idle_timeout_ms"),
                body_idle: self.milliseconds("body_idle_timeout_ms"),
            },
            addresses: self.upstream_addresses(),
            health: self.upstream_health(),
            retries: RetryRules {
                max: self.parsed("upstream_retries_max", "a number of retries", 0),
                budget_percent: self.parsed("upstream_retry_budget_percent", "a number of percent", 0),
                writes: true,
            },
            http2: self.upstream_http2(),
            files_watch: self.milliseconds("files_watch_interval_ms"),
        }
    }

    /// Reads the URLs of the endpoints of one upstream.
    pub(crate) fn urls(&mut self, name: &str) -> Vec<String> {
        let urls = list(&self.needed(name));
        if self.values.contains_key(name)
            && let Err(error) = Upstream::check_urls(&urls)
        {
            self.errors.push(format!("{name}: {error}"));
        }
        urls
    }

    fn upstream_credential(&mut self, variable: Option<String>) -> CredentialSource {
        let variable = variable.filter(|token| !token.trim().is_empty());
        let command = self.text("upstream_token_command");
        let command = (!command.is_empty()).then(|| CredentialSource::Command {
            line: command,
            refresh: self.milliseconds("upstream_token_refresh_ms"),
        });
        let sources = [
            self.file("upstream_token_file").map(CredentialSource::File),
            variable.map(|token| CredentialSource::Given(Secret::new(token))),
            command,
        ];
        let mut sources = sources.into_iter().flatten();
        let source = sources.next();
        if sources.next().is_some() {
            self.errors.push(format!(
                "upstream_token_file, {TOKEN_VARIABLE} and upstream_token_command: only one of them can be given"
            ));
        }
        source.unwrap_or(CredentialSource::Nowhere)
    }

    fn upstream_certificate(&mut self) -> Option<CertificateFiles> {
        let chain = self.file("upstream_client_certificate_file");
        let key = self.file("upstream_client_key_file");
        if chain.is_some() != key.is_some() {
            self.errors.push(
                "upstream_client_certificate_file and upstream_client_key_file: neither is of use without the other"
                    .to_owned(),
            );
        }
        chain.zip(key).map(|(chain, key)| CertificateFiles { chain, key })
    }

    fn upstream_addresses(&mut self) -> Addresses {
        let mut ranges = Vec::new();
        for range in list(&self.text("upstream_addresses")) {
            match range.parse() {
                Ok(range) => ranges.push(range),
                Err(_invalid) => self.errors.push(format!(
                    "upstream_addresses: {range:?} is not a range such as 10.0.0.0/8"
                )),
            }
        }
        Addresses::PublicAnd(ranges)
    }

    fn upstream_health(&mut self) -> HealthRules {
        let path = self.text("upstream_health_path");
        if !path.is_empty() && !path.starts_with('/') {
            self.errors
                .push(format!("upstream_health_path: {path:?} does not begin with a slash"));
        }
        let failures_max = self.parsed("upstream_failures_max", "a number of failures", 1);
        if failures_max == 0 {
            self.errors
                .push("upstream_failures_max: 0 would leave every endpoint alone".to_owned());
        }
        HealthRules {
            failures_max,
            ejection: self.milliseconds("upstream_ejection_ms"),
            path: (!path.is_empty()).then_some(path),
            interval: self.milliseconds("upstream_health_interval_ms"),
        }
    }

    fn upstream_http2(&mut self) -> Http2 {
        match self.text("upstream_http2").as_str() {
            "auto" => Http2::Auto,
            "off" => Http2::Off,
            "prior-knowledge" => Http2::PriorKnowledge,
            other => {
                self.errors
                    .push(format!("upstream_http2: {other:?} is not auto, off or prior-knowledge"));
                Http2::Off
            }
        }
    }
}

/// The credential itself, for those who keep secrets in the environment. Not a key: a flag would show it to all on the
/// machine.
const TOKEN_VARIABLE: &str = "POSTERN_UPSTREAM_TOKEN";

#[cfg(test)]
mod tests {
    use super::super::{Given, SERVE};
    use super::*;

    fn reading(values: &[(&str, &str)]) -> Reading {
        let given = values.iter().fold(Given::<SERVE>::default(), |given, (name, value)| {
            given.with(name, *value)
        });
        given.read()
    }

    #[test]
    fn one_source_of_the_credential_is_enough_and_two_are_an_error() {
        let file = ("upstream_token_file", "/token");
        let mut one = reading(&[file]);
        assert_eq!(one.upstream_credential(None), CredentialSource::File("/token".into()));
        assert_eq!(
            one.upstream_credential(Some(" ".to_owned())),
            CredentialSource::File("/token".into())
        );
        one.finish().expect("no errors");
        let mut two = reading(&[file]);
        two.upstream_credential(Some("secret".to_owned()));
        let errors = two.finish().expect_err("one too many").0;
        assert!(
            errors[0].contains("only one") && !errors[0].contains("secret"),
            "{errors:?}"
        );
        let mut variable = reading(&[]);
        let given = CredentialSource::Given(Secret::new("secret".to_owned()));
        assert_eq!(variable.upstream_credential(Some("secret".to_owned())), given);
        assert!(!format!("{given:?}").contains("secret"), "{given:?}");
    }

    #[test]
    fn what_is_wrong_about_the_upstream_is_told_at_once() {
        let mut reading = reading(&[
            ("upstream", "http://127.0.0.1:1/a, http://127.0.0.1:2/b"),
            ("upstream_client_key_file", "/key"),
            ("upstream_addresses", "10.0.0.0"),
            ("upstream_health_path", "healthz"),
            ("upstream_failures_max", "0"),
            ("upstream_http2", "yes"),
        ]);
        reading.upstream();
        let errors = reading.finish().expect_err("all of it is wrong").0;
        for part in [
            "another path",
            "client_certificate_file",
            "10.0.0.0",
            "healthz",
            "failures_max",
            "yes",
        ] {
            assert!(errors.iter().any(|error| error.contains(part)), "{part} in {errors:?}");
        }
    }
}
