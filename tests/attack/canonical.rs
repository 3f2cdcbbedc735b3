//! The one form in which a request reaches the orchestrator.

use super::rows::UPLOAD;
use super::stand::Stand;
use crate::harness::postern::UPSTREAM_CREDENTIAL;
use crate::harness::upstream::Received;

/// The one form in which a request reaches the orchestrator.
#[derive(Debug, Clone)]
pub(super) struct Canonical {
    method: &'static str,
    target: String,
    host: String,
    /// Beside those that every request has.
    fields: Vec<(&'static str, String)>,
    content: Content,
}

/// The body of a request, and how its end is told.
#[derive(Debug, Clone)]
pub(super) enum Content {
    None,
    Length(Vec<u8>),
    Chunks(Vec<u8>),
}

impl Canonical {
    pub(super) fn get(target: impl Into<String>) -> Self {
        Self::new("GET", target, Content::None)
    }

    pub(super) fn post(content: Content) -> Self {
        Self::new("POST", UPLOAD, content)
    }

    pub(super) fn new(method: &'static str, target: impl Into<String>, content: Content) -> Self {
        Self {
            method,
            target: target.into(),
            host: "a".to_owned(),
            fields: Vec::new(),
            content,
        }
    }

    /// With one more field.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Asked for at another host than `a`.
    pub(super) fn at(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// Checks that this and nothing else has arrived, and that the octets can be read as nothing else.
    pub(super) fn assert_is(&self, received: &Received, stand: &Stand) {
        let told = String::from_utf8_lossy(&received.octets);
        assert_eq!(
            (&*received.method, &received.target),
            (self.method, &self.target),
            "{told}"
        );
        let mut expected = vec![
            ("authorization", format!("Bearer {UPSTREAM_CREDENTIAL}")),
            ("from", stand.id.clone()),
            ("host", stand.upstream.address.to_string()),
            ("x-forwarded-for", "127.0.0.1".to_owned()),
            ("x-forwarded-host", self.host.clone()),
            ("x-forwarded-proto", "http".to_owned()),
        ];
        match &self.content {
            Content::None => {}
            Content::Length(body) => expected.push(("content-length", body.len().to_string())),
            Content::Chunks(_) => expected.push(("transfer-encoding", "chunked".to_owned())),
        }
        expected.extend(self.fields.iter().cloned());
        expected.sort();
        let mut fields: Vec<(&str, String)> = received.fields.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
        fields.sort();
        let identities = fields.extract_if(.., |(name, _)| *name == "postern-identity");
        let identities: Vec<usize> = identities.map(|(_, value)| value.split('.').count()).collect();
        assert_eq!(identities, [3], "one identity, a signed one: {told}");
        assert_eq!(fields, expected, "{told}");
        match &self.content {
            Content::None => assert_eq!(received.body, b"", "{told}"),
            Content::Length(body) | Content::Chunks(body) => assert_eq!(&received.body, body, "{told}"),
        }
        assert_eq!(written(received, &self.content), told);
    }
}

/// Writes a request anew from what was read of it, in the only form that has no other reading.
fn written(received: &Received, content: &Content) -> String {
    let fields = received
        .fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"));
    let head = format!(
        "{} {} HTTP/1.1\r\n{}\r\n",
        received.method,
        received.target,
        fields.collect::<String>()
    );
    let mut octets = head.into_bytes();
    if let Content::Chunks(_) = content {
        while octets.len() < received.octets.len() {
            let rest = String::from_utf8_lossy(&received.octets[octets.len()..]).into_owned();
            let digits = rest.split("\r\n").next().unwrap_or_default();
            let size = usize::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("no size: {rest:?}"));
            let start = octets.len() + digits.len() + 2;
            octets.extend(format!("{size:X}\r\n").into_bytes());
            octets.extend_from_slice(&received.octets[start..start + size]);
            octets.extend_from_slice(b"\r\n");
        }
    } else {
        octets.extend_from_slice(&received.body);
    }
    String::from_utf8_lossy(&octets).into_owned()
}
