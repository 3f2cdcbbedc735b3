//! The gateway under attack: how rows are sent and checked.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::json;

use super::canonical::Canonical;
use super::rows::{Behind, Outcome, Row};
use crate::harness::client::Answer;
use crate::harness::eventually;
use crate::harness::postern::Postern;
use crate::harness::raw::{Cut, send_cut};
use crate::harness::refusal::assert_refused;
use crate::harness::upstream::Upstream;

/// A gateway in front of an orchestrator that says yes to everything.
pub(super) struct Stand {
    pub(super) postern: Postern,
    pub(super) upstream: Upstream,
    pub(super) token: String,
    pub(super) id: String,
    answers: usize,
    broken: usize,
    failed: Vec<String>,
}

impl Stand {
    /// Starts both. Deadlines are short, so that a caller who is left waiting is seen.
    pub(super) fn start(flags: &[&str]) -> Self {
        let upstream = Upstream::answering(200, json!({}));
        let short = [["--header-timeout-ms", "5000"], ["--body-timeout-ms", "5000"]];
        let short = short.into_iter().filter(|[name, _]| !flags.contains(name)).flatten();
        let flags: Vec<&str> = short.chain(flags.iter().copied()).collect();
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
        assert!(
            self.failed.is_empty(),
            "{} failed:\n{}",
            self.failed.len(),
            self.failed.join("\n")
        );
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
        eventually("the end of all connections", || {
            (self.upstream.open() == 0).then_some(())
        });
        assert_eq!(self.upstream.received().len(), seen);
        let broken = self.upstream.broken();
        let broken = shown(&broken);
        assert!(broken.len() <= self.broken, "{broken:?}");
        assert!(
            broken.iter().all(|octets| !octets.ends_with("\r\n0\r\n\r\n")),
            "{broken:?}"
        );
    }
}

/// Checks that an answer is a refusal for one of some reasons.
#[track_caller]
fn assert_refused_for(answer: &Answer, reasons: &[&str], told: &str) {
    let error = answer.refusal().1;
    let shown = |reason: &str| {
        if reason.starts_with("token-") {
            "unauthenticated"
        } else {
            reason
        }
        .to_owned()
    };
    let reason = reasons.iter().find(|reason| shown(reason) == error);
    assert_refused(answer, reason.unwrap_or_else(|| panic!("{reasons:?} expected: {told}")));
}

fn shown(octets: &[Vec<u8>]) -> Vec<String> {
    octets
        .iter()
        .map(|octets| String::from_utf8_lossy(octets).into_owned())
        .collect()
}

/// Requests that it takes to make a caller.
const CALLS_AT_START: usize = 2;

const MARK: &[u8] = b"<token>";

const NEXT_TARGET: &str = "/orgs/acme/env-types?next";

/// What stands behind an attack: an honest request, which ends the connection.
const NEXT: &str =
    "GET /orgs/acme/env-types?next HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer <token>\r\nConnection: close\r\n\r\n";
