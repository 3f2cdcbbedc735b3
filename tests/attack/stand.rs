//! The gateway under attack: rows, and how they are checked.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::json;

use crate::harness::client::Answer;
use crate::harness::eventually;
use crate::harness::postern::{Postern, UPSTREAM_CREDENTIAL};
use crate::harness::raw::{Cut, send_cut};
use crate::harness::refusal::assert_refused;
use crate::harness::upstream::{Received, Upstream};

/// Target of an operation that needs no body.
pub(super) const TARGET: &str = "/orgs/acme/env-types";

/// Target of an operation whose body is streamed.
pub(super) const UPLOAD: &str = "/orgs/acme/artefact-versions";

/// Target of an operation whose body is read before it is decided on.
pub(super) const READ_UPLOAD: &str = "/orgs/acme/apps/shop/envs";

/// `Host` and `Authorization` of a caller who may do everything. `<token>` stands for the token.
pub(super) const CALLER: &str = "Host: a\r\nAuthorization: Bearer <token>\r\n";

/// A request that must never reach the orchestrator: it stands in bodies, in fields, behind what must end a connection.
pub(super) const SMUGGLED: &str =
    "GET /orgs/acme/env-types?smuggled HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer <token>\r\n\r\n";

/// One attack.
pub(super) struct Row {
    name: String,
    octets: Vec<u8>,
    outcome: Outcome,
    behind: Behind,
}

/// What the caller does behind the octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    /// Sends another request, which must be answered or, when the connection is ended, must not.
    Next,
    /// Waits.
    Nothing,
    /// Ends its side.
    End,
}

enum Outcome {
    /// With one of these reasons.
    Refused(&'static [&'static str]),
    /// As exactly this.
    Forwarded(Canonical),
    /// Refused as ambiguous; the orchestrator may see the beginning, and never a whole request.
    Broken,
}

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

/// A gateway in front of an orchestrator that says yes to everything.
pub(super) struct Stand {
    pub(super) postern: Postern,
    pub(super) upstream: Upstream,
    pub(super) token: String,
    id: String,
    answers: usize,
    broken: usize,
    failed: Vec<String>,
}

/// Returns a row that must be refused for a reason.
pub(super) fn refused(name: impl AsRef<[u8]>, octets: impl AsRef<[u8]>, reason: &'static [&'static str]) -> Row {
    Row::new(name.as_ref(), octets.as_ref(), Outcome::Refused(reason))
}

/// Returns a row that must be refused as ambiguous, which ends the connection.
pub(super) fn ambiguous(name: impl AsRef<[u8]>, octets: impl AsRef<[u8]>) -> Row {
    refused(name, octets, &["request-ambiguous"])
}

/// Returns a row that must be forwarded in one form.
pub(super) fn forwarded(name: impl AsRef<[u8]>, octets: impl AsRef<[u8]>, canonical: Canonical) -> Row {
    Row::new(name.as_ref(), octets.as_ref(), Outcome::Forwarded(canonical))
}

/// Returns a row whose body turns out not to be one.
pub(super) fn broken(name: impl AsRef<[u8]>, octets: impl AsRef<[u8]>) -> Row {
    Row::new(name.as_ref(), octets.as_ref(), Outcome::Broken)
}

/// Returns a GET with field lines.
pub(super) fn get(target: impl AsRef<[u8]>, lines: impl AsRef<[u8]>) -> Vec<u8> {
    request(b"GET ", target.as_ref(), lines.as_ref())
}

/// Returns a POST of a streamed body with field lines, and what stands behind its head.
pub(super) fn post(lines: impl AsRef<[u8]>, behind: impl AsRef<[u8]>) -> Vec<u8> {
    [&request(b"POST ", UPLOAD.as_bytes(), lines.as_ref()), behind.as_ref()].concat()
}

fn request(method: &[u8], target: &[u8], lines: &[u8]) -> Vec<u8> {
    [method, target, b" HTTP/1.1\r\n", CALLER.as_bytes(), lines, b"\r\n"].concat()
}

impl Row {
    fn new(name: &[u8], octets: &[u8], outcome: Outcome) -> Self {
        Self {
            name: name.escape_ascii().to_string(),
            octets: octets.to_vec(),
            outcome,
            behind: Behind::Next,
        }
    }

    /// Returns the row with nothing more behind it: the connection must end all the same.
    pub(super) fn last(mut self) -> Self {
        self.behind = Behind::Nothing;
        self
    }

    /// Returns the row with the end of the caller's side behind it.
    pub(super) fn finished(mut self) -> Self {
        self.behind = Behind::End;
        self
    }
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
}

impl Stand {
    /// Starts both. Deadlines are short, so that a caller who is left waiting is seen.
    pub(super) fn start(flags: &[&str]) -> Self {
        let upstream = Upstream::answering(200, json!({}));
        let short = ["--header-timeout-ms", "5000", "--body-timeout-ms", "5000"];
        let flags: Vec<&str> = short.into_iter().chain(flags.iter().copied()).collect();
        let postern = Postern::with(&upstream.url(), &flags);
        let caller = postern.administrator().with_org_role("administrator");
        Self {
            postern,
            upstream,
            token: caller.token,
            id: caller.id,
            answers: CALLS_AT_START,
            broken: 0,
            failed: Vec::new(),
        }
    }

    /// Sends every row in every cut, and then sees what the orchestrator got in all.
    #[track_caller]
    pub(super) fn holds(mut self, rows: impl IntoIterator<Item = Row>) {
        for row in rows {
            for cut in Cut::ALL {
                let checked = catch_unwind(AssertUnwindSafe(|| self.check(&row, cut)));
                if let Err(panic) = checked {
                    let why = panic.downcast_ref::<String>().map_or("", String::as_str);
                    self.failed.push(format!("{} ({cut:?}): {why}", row.name));
                }
            }
        }
        assert!(self.failed.is_empty(), "{} failed:\n{}", self.failed.len(), self.failed.join("\n"));
        self.assert_told_once();
        self.assert_nothing_else();
    }

    /// Puts the token in its places.
    pub(super) fn fill(&self, octets: &[u8]) -> Vec<u8> {
        let mut filled = Vec::with_capacity(octets.len());
        let mut rest = octets;
        while let Some(at) = rest.windows(MARK.len()).position(|part| part == MARK) {
            filled.extend_from_slice(&rest[..at]);
            filled.extend_from_slice(self.token.as_bytes());
            rest = &rest[at + MARK.len()..];
        }
        filled.extend_from_slice(rest);
        filled
    }

    fn check(&mut self, row: &Row, cut: Cut) {
        let before = self.upstream.received().len();
        let alone = row.behind != Behind::Next;
        let behind = if alone { "" } else { NEXT };
        let octets = self.fill(&[&row.octets, behind.as_bytes()].concat());
        let heard = send_cut(self.postern.address, &octets, cut, row.behind == Behind::End);
        self.answers += heard.answers.len();
        let received = self.upstream.received();
        let mut received = received[before..].iter();
        let told = heard.told();
        let mut answers = heard.answers.iter();
        match &row.outcome {
            Outcome::Forwarded(canonical) => {
                assert_eq!(answers.next().map(|answer| answer.status), Some(200), "{told}");
                let received = received.next().expect("the orchestrator got it");
                canonical.assert_is(received, self);
                assert!(alone || answers.len() == 1, "the next one is answered too: {told}");
            }
            Outcome::Refused(reasons) => {
                let answer = answers.next().expect(&told);
                assert_refused_for(answer, reasons, &told);
                let closes = answer.field("connection") == Some("close");
                let must_close = answer.json()["error"] == "request-ambiguous";
                assert!(closes || !must_close, "the connection goes on: {told}");
                assert!(!closes || answers.len() == 0, "an answer behind the end: {told}");
            }
            Outcome::Broken => {
                self.broken += 1;
                assert_refused_for(answers.next().expect(&told), &["request-ambiguous"], &told);
                assert_eq!(answers.len(), 0, "{told}");
            }
        }
        assert!(heard.ended, "the connection was left open: {told}");
        if let Some(next) = answers.next() {
            assert_eq!(next.status, 200, "{told}");
            Canonical::get(NEXT_TARGET).assert_is(received.next().expect("it was forwarded"), self);
        }
        assert_eq!(received.len(), 0, "more than was asked for: {received:?} after {told}");
    }

    /// Each answer is one line of the access log and one count.
    #[track_caller]
    fn assert_told_once(&self) {
        let lines = eventually("the lines of the access log", || {
            Some(self.postern.log_lines().len()).filter(|lines| *lines >= self.answers)
        });
        assert_eq!(lines, self.answers, "one line for each answer");
        let text = String::from_utf8(self.postern.operator().get("/metrics").body).expect("UTF-8");
        let counts = text.lines().filter(|line| line.starts_with("postern_requests_total"));
        let counts = counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        assert_eq!(counts.sum::<f64>() as usize, lines, "{text}");
    }

    /// Stops the gateway, so that nothing can be on its way any more, and sees that the orchestrator got what was told of.
    #[track_caller]
    fn assert_nothing_else(self) {
        let seen = self.upstream.received().len();
        let (process, _directory) = self.postern.into_process();
        process.terminate();
        assert_eq!(process.ended().code, Some(0));
        eventually("the end of all connections", || (self.upstream.open() == 0).then_some(()));
        assert_eq!(self.upstream.received().len(), seen);
        let broken = self.upstream.broken();
        let broken = shown(&broken);
        assert!(broken.len() <= self.broken, "{broken:?}");
        assert!(broken.iter().all(|octets| !octets.ends_with("\r\n0\r\n\r\n")), "{broken:?}");
    }
}

impl Canonical {
    /// Checks that this and nothing else has arrived, and that the octets can be read as nothing else.
    fn assert_is(&self, received: &Received, stand: &Stand) {
        let told = String::from_utf8_lossy(&received.octets);
        assert_eq!((&*received.method, &received.target), (self.method, &self.target), "{told}");
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

/// Checks that an answer is a refusal for one of some reasons.
#[track_caller]
fn assert_refused_for(answer: &Answer, reasons: &[&str], told: &str) {
    let error = answer.refusal().1;
    let shown = |reason: &str| if reason.starts_with("token-") { "unauthenticated" } else { reason }.to_owned();
    let reason = reasons.iter().find(|reason| shown(reason) == error);
    assert_refused(answer, reason.unwrap_or_else(|| panic!("{reasons:?} expected: {told}")));
}

/// Writes a request anew from what was read of it, in the only form that has no other reading.
fn written(received: &Received, content: &Content) -> String {
    let fields = received.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
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

fn shown(octets: &[Vec<u8>]) -> Vec<String> {
    octets.iter().map(|octets| String::from_utf8_lossy(octets).into_owned()).collect()
}

/// Requests that it takes to make a caller.
const CALLS_AT_START: usize = 2;

const MARK: &[u8] = b"<token>";

const NEXT_TARGET: &str = "/orgs/acme/env-types?next";

/// What stands behind an attack: an honest request, which ends the connection.
const NEXT: &str =
    "GET /orgs/acme/env-types?next HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer <token>\r\nConnection: close\r\n\r\n";
