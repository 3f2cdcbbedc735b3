//! Guard `source-network`: requests come from the networks of its settings only.
//!
//! It reads the source address and the settings, which `settings.schema.json` describes. What it cannot judge, it
//! refuses.

#![no_std]

extern crate alloc;

mod network;

use alloc::format;
use alloc::vec::Vec;
use core::net::IpAddr;

use json::{Malformed, Reader};
use postern_policy::{Guard, GuardVerdict, Input, Request, Scope};

struct SourceNetwork;

impl Guard for SourceNetwork {
    const NAME: &str = "source-network";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org, Scope::App];
    const SETTINGS_SCHEMA: Option<&str> = Some(include_str!("../settings.schema.json"));

    fn inputs() -> Vec<Input> {
        [Input::SourceAddress].into()
    }

    fn decide(request: &Request) -> GuardVerdict {
        let told = request.inputs.source_address.as_deref();
        let Some(source) = told.and_then(network::address) else {
            return GuardVerdict::Deny("where the request comes from is not known".into());
        };
        match is_allowed(
            request.settings.as_deref().unwrap_or_default(),
            &request.subject.id,
            source,
        ) {
            Ok(true) => GuardVerdict::Pass,
            Ok(false) => GuardVerdict::Deny(format!("requests from {source} are not allowed")),
            Err(Malformed) => GuardVerdict::Deny("the settings of source-network cannot be read".into()),
        }
    }
}

postern_policy::guard!(SourceNetwork);

/// Tells whether the settings let a subject's requests come from an address. The subject's own networks count, if it has
/// any; else those of all; a subject with neither may come from anywhere.
fn is_allowed(settings: &str, subject: &str, source: IpAddr) -> Result<bool, Malformed> {
    let (mut of_all, mut own) = (None, None);
    Reader::whole(settings, |reader| {
        reader.object(|reader, name| match name {
            "networks" => {
                of_all = Some(any_contains(reader, source)?);
                Ok(())
            }
            "subjects" => reader.object(|reader, id| {
                if id == subject {
                    own = Some(any_contains(reader, source)?);
                    Ok(())
                } else {
                    reader.skip()
                }
            }),
            _ => Err(Malformed),
        })
    })?;
    Ok(own.or(of_all).unwrap_or(true))
}

/// Reads networks, and tells whether one of them has the address.
fn any_contains(reader: &mut Reader<'_>, source: IpAddr) -> Result<bool, Malformed> {
    let mut any = false;
    reader.array(|reader| {
        any |= network::contains(&reader.string()?, source).ok_or(Malformed)?;
        Ok(())
    })?;
    Ok(any)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(settings: &str, subject: &str, source: &str) -> Result<bool, Malformed> {
        is_allowed(settings, subject, network::address(source).expect(source))
    }

    #[test]
    fn a_subject_comes_from_its_own_networks_or_else_from_those_of_all() {
        let settings =
            r#"{"networks": ["10.0.0.0/8", "2001:db8::/32"], "subjects": {"ci": ["192.0.2.0/24"], "off": []}}"#;
        for (subject, source, wanted) in [
            ("ann", "10.1.2.3", true),
            ("ann", "2001:db8::7", true),
            ("ann", "192.0.2.1", false),
            ("ci", "192.0.2.1", true),
            ("ci", "10.1.2.3", false),
            ("off", "10.1.2.3", false),
        ] {
            assert_eq!(allowed(settings, subject, source), Ok(wanted), "{subject} {source}");
        }
        let single = r#"{"subjects": {"ci": ["192.0.2.0/24"]}}"#;
        assert_eq!(allowed(single, "ann", "10.1.2.3"), Ok(true));
        assert_eq!(allowed(single, "ci", "10.1.2.3"), Ok(false));
    }

    #[test]
    fn settings_that_cannot_be_read_allow_nothing() {
        for settings in [
            "",
            "[]",
            r#"{"network": []}"#,
            r#"{"networks": ["10.0.0.0/33", "0.0.0.0/0"]}"#,
            r#"{"networks": 1}"#,
        ] {
            assert_eq!(allowed(settings, "ann", "10.1.2.3"), Err(Malformed), "{settings}");
        }
    }
}
