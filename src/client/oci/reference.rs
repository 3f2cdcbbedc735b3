//! References: where in which registry.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use super::Error;

/// `oci://HOST[:PORT]/REPOSITORY:TAG`, or with `@sha256:…`, or both. The registry's host must be said, and what is meant
/// in the repository: neither is guessed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::client) struct Reference(oci_client::Reference);

impl Reference {
    /// Returns whether a text is meant as a reference, and not as the name of a file.
    pub(in crate::client) fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// Returns the registry's host, with its port when it has one.
    pub(super) fn host(&self) -> &str {
        self.0.registry()
    }

    /// Returns whether the registry is on this machine. References know no addresses of IPv6.
    pub(super) fn is_loopback(&self) -> bool {
        let name = self.host().split(':').next().unwrap_or_default();
        name == "localhost" || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
    }

    /// Returns whether it is pinned: it names one artifact for ever.
    pub(in crate::client) fn is_pinned(&self) -> bool {
        self.0.digest().is_some()
    }

    pub(super) fn inner(&self) -> &oci_client::Reference {
        &self.0
    }

    /// Returns this reference with the digest of its manifest.
    pub(super) fn pinned(&self, digest: &str) -> String {
        let (host, repository) = (self.0.registry(), self.0.repository());
        match self.0.tag() {
            Some(tag) => format!("{SCHEME}{host}/{repository}:{tag}@{digest}"),
            None => format!("{SCHEME}{host}/{repository}@{digest}"),
        }
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = |problem: &str| Error::Reference {
            text: text.to_owned(),
            problem: problem.to_owned(),
        };
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| refused("oci:// is missing"))?;
        let (host, path) = rest.split_once('/').unwrap_or_default();
        if host != "localhost" && !host.contains(['.', ':']) {
            return Err(refused("the registry's host is missing"));
        }
        if !path.contains([':', '@']) {
            return Err(refused("a tag or a digest is missing"));
        }
        let reference: oci_client::Reference = rest.parse().map_err(|error| refused(&format!("{error}")))?;
        let sha256 = reference.digest().is_none_or(|digest| digest.starts_with("sha256:"));
        if sha256 {
            Ok(Self(reference))
        } else {
            Err(refused("its digest is not a SHA-256"))
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.0)
    }
}

const SCHEME: &str = "oci://";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_its_host_and_a_tag_or_digest() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, loopback) in [
            ("oci://localhost:5000/policies/freeze:1.0.0", true),
            ("oci://localhost/freeze:1", true),
            ("oci://127.0.0.1:5000/freeze:1", true),
            ("oci://registry.example.com/freeze:1", false),
            ("oci://localhost.example.com/freeze:1", false),
            (&format!("oci://registry.example.com/freeze@{digest}"), false),
            (&format!("oci://registry.example.com/freeze:1@{digest}"), false),
        ] {
            let reference: Reference = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(
                (reference.to_string().as_str(), reference.is_loopback()),
                (text, loopback)
            );
            assert_eq!(reference.is_pinned(), text.contains('@'));
        }
        for text in [
            "registry.example.com/freeze:1",
            "oci://freeze:1",
            "oci://policies/freeze:1",
            "oci://registry.example.com/freeze",
            "oci://registry.example.com:5000/freeze",
            "oci://registry.example.com/FREEZE:1",
            "oci://registry.example.com/freeze@sha256:aa",
            "oci://",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
