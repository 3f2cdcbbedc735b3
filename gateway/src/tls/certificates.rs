//! The gateway's own certificates, and which of them a caller gets.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use feed::Clock;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::watch::Content;
use super::{TlsFileError, unusable};

/// Certificates, found by the hosts they are for.
#[derive(Debug)]
pub(super) struct Certificates {
    /// At least one.
    all: Vec<Arc<Certificate>>,
    by_name: HashMap<Box<str>, Arc<Certificate>>,
}

/// A certificate with its key.
#[derive(Debug)]
pub(super) struct Certificate {
    key: Arc<CertifiedKey>,
    names: Arc<Names>,
    not_after_s: i64,
}

/// The hosts that a certificate is for: at least one, in canonical form.
#[derive(Debug)]
pub(super) struct Names(Box<[Box<str>]>);

/// Returns a host in the form in which hosts are compared: lower case, without the dot of the root.
pub(super) fn canonical(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

impl Certificates {
    /// Reads pairs of a chain and a key; there is at least one. When two are for one name, the earlier has it.
    pub(super) fn open(
        pairs: &[(Content, Content)],
        provider: &CryptoProvider,
        clock: &Clock,
    ) -> Result<Self, TlsFileError> {
        let mut all = Vec::with_capacity(pairs.len());
        let mut by_name = HashMap::new();
        for (chain, key) in pairs {
            let certificate = Arc::new(Certificate::open(chain, key, provider, clock)?);
            for name in &certificate.names.0 {
                by_name.entry(name.clone()).or_insert_with(|| Arc::clone(&certificate));
            }
            all.push(certificate);
        }
        Ok(Self { all, by_name })
    }

    /// Returns the certificate for a host in canonical form: by its name, by the wildcard of its first label (RFC 9525
    /// §6.3), else the first.
    pub(super) fn choose(&self, host: Option<&str>) -> &Certificate {
        let found = host.and_then(|host| {
            self.by_name.get(host).or_else(|| {
                let (_, parent) = host.split_once('.')?;
                self.by_name.get(format!("*.{parent}").as_str())
            })
        });
        found.unwrap_or(&self.all[0])
    }

    /// Returns first names and ends; of certificates with one first name, the earliest end.
    pub(super) fn expiries(&self) -> Vec<(Box<str>, i64)> {
        let mut expiries: Vec<(Box<str>, i64)> = Vec::new();
        for certificate in &self.all {
            let (name, end) = (certificate.names.first(), certificate.not_after_s);
            match expiries.iter_mut().find(|(own, _)| **own == *name) {
                Some((_, own_end)) => *own_end = end.min(*own_end),
                None => expiries.push((name.into(), end)),
            }
        }
        expiries
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name().map(canonical);
        Some(Arc::clone(&self.choose(host.as_deref()).key))
    }
}

impl Certificate {
    fn open(chain: &Content, key: &Content, provider: &CryptoProvider, clock: &Clock) -> Result<Self, TlsFileError> {
        let ders = certificates(chain)?;
        let (names, not_after_s) =
            look_into(&ders[0], clock.unix_ms()).map_err(|problem| unusable(&chain.path, problem))?;
        // What a faulty key file holds is not told: part of it may be a key.
        let private = PrivateKeyDer::from_pem_slice(key.octets()?)
            .map_err(|_malformed| unusable(&key.path, "it holds no private key in PEM"))?;
        let private = provider
            .key_provider
            .load_private_key(private)
            .map_err(|_unusable| unusable(&key.path, "it holds a private key that cannot be used"))?;
        let certified = CertifiedKey::new(ders, private);
        certified.keys_match().map_err(|error| {
            if matches!(error, rustls::Error::InconsistentKeys(_)) {
                unusable(&key.path, format!("it is not the key of {}", chain.path.display()))
            } else {
                unusable(&chain.path, error)
            }
        })?;
        Ok(Self {
            key: Arc::new(certified),
            names: Arc::new(names),
            not_after_s,
        })
    }

    /// Returns the hosts it is for.
    pub(super) fn names(&self) -> &Arc<Names> {
        &self.names
    }
}

impl Names {
    /// Says whether a host, in any case and with or without the root's dot, is among them.
    pub(super) fn have(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        let parent = host.split_once('.').map(|(_, parent)| parent);
        self.0.iter().any(|name| match name.strip_prefix("*.") {
            None => name.eq_ignore_ascii_case(host),
            Some(wild) => parent.is_some_and(|parent| wild.eq_ignore_ascii_case(parent)),
        })
    }

    fn first(&self) -> &str {
        &self.0[0]
    }
}

/// What is told of PEM that cannot be read.
pub(super) const BROKEN_PEM: &str = "a section of its PEM is malformed or has no end";

/// Reads the certificates of a PEM file, at least one.
pub(super) fn certificates(file: &Content) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(file.octets()?).collect();
    let read = read.map_err(|_malformed| unusable(&file.path, BROKEN_PEM))?;
    if read.is_empty() {
        return Err(unusable(&file.path, "it holds no certificate in PEM"));
    }
    Ok(read)
}

/// Returns a time as people read it.
pub(super) fn shown(unix_s: i64) -> String {
    chrono::DateTime::from_timestamp(unix_s, 0).map_or_else(|| unix_s.to_string(), |time| time.to_rfc3339())
}

/// Returns the names of a certificate that is valid now, and its end.
fn look_into(der: &CertificateDer<'_>, now_ms: i64) -> Result<(Names, i64), String> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    let validity = certificate.validity();
    let (begin_s, end_s) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let now_s = now_ms.div_euclid(1000);
    if now_s < begin_s {
        return Err(format!("the certificate is not valid before {}", shown(begin_s)));
    }
    if now_s > end_s {
        return Err(format!("the certificate expired at {}", shown(end_s)));
    }
    let extension = certificate
        .subject_alternative_name()
        .map_err(|error| error.to_string())?;
    let names: Box<[Box<str>]> = extension
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(host)
        .collect();
    if names.is_empty() {
        // RFC 9525 §2: clients no longer look at the common name.
        return Err("the certificate names no host (subjectAltName)".to_owned());
    }
    Ok((Names(names), end_s))
}

/// A name as it stands in a `Host` field; `None` when no host is named so.
fn host(name: &GeneralName<'_>) -> Option<Box<str>> {
    match name {
        GeneralName::DNSName(name) => Some(canonical(name).into()),
        GeneralName::IPAddress(octets) => {
            let address = if let Ok(octets) = <[u8; 4]>::try_from(*octets) {
                IpAddr::from(octets).to_string()
            } else {
                format!("[{}]", IpAddr::from(<[u8; 16]>::try_from(*octets).ok()?))
            };
            Some(address.into())
        }
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::URI(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_whole_label_and_names_are_compared_without_case_and_root() {
        let names = Names(["api.example.com", "*.shop.example", "[::1]"].map(Box::from).into());
        for host in [
            "api.example.com",
            "API.Example.com.",
            "a.shop.example",
            "A.SHOP.EXAMPLE.",
            "[::1]",
        ] {
            assert!(names.have(host), "{host}");
        }
        for host in [
            "",
            ".",
            "example.com",
            "x.api.example.com",
            "shop.example",
            "a.b.shop.example",
            "api.example.com..",
        ] {
            assert!(!names.have(host), "{host}");
        }
    }
}
