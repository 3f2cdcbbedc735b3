//! What each refusal looks like, written down once more: this table is the contract with callers, not the product's code.

use super::client::Answer;
use super::postern::Postern;

/// Every reason with its status code.
pub(crate) const REFUSALS: [(&str, u16); 35] = [
    ("request-ambiguous", 400),
    ("credential-in-query", 400),
    ("credentials-twice", 400),
    ("body-unreadable", 400),
    ("environment-not-named", 400),
    ("token-missing", 401),
    ("token-malformed", 401),
    ("token-unknown", 401),
    ("token-expired", 401),
    ("certificate-mismatch", 401),
    ("not-allowed", 403),
    ("guard-denied", 403),
    ("operation-unknown", 404),
    ("environment-unknown", 404),
    ("method-not-allowed", 405),
    ("header-timeout", 408),
    ("body-timeout", 408),
    ("body-too-large", 413),
    ("target-too-long", 414),
    ("expectation-failed", 417),
    ("host-unknown", 421),
    ("too-many-requests", 429),
    ("too-many-invalid-credentials", 429),
    ("fields-too-large", 431),
    ("method-unknown", 501),
    ("upstream-unreachable", 502),
    ("upstream-failed", 502),
    ("admin-unavailable", 503),
    ("no-data", 503),
    ("data-too-old", 503),
    ("data-too-old-to-write", 503),
    ("fact-unavailable", 503),
    ("policy-fault", 503),
    ("overloaded", 503),
    ("upstream-timeout", 504),
];

/// Checks that an answer is a refusal in every respect that a caller sees; returns its decision id.
#[track_caller]
pub(crate) fn assert_refused(answer: &Answer, reason: &str) -> String {
    let status = REFUSALS
        .iter()
        .find(|(own, _)| *own == reason)
        .expect("the reason is in the table")
        .1;
    assert_eq!(answer.status, status, "{}", answer.shown());
    let body = answer.ok(status);
    let told = if status == 401 { "unauthenticated" } else { reason };
    assert_eq!(body["error"], told, "{body}");
    assert!(
        body["message"].as_str().is_some_and(|message| !message.is_empty()),
        "{body}"
    );
    let members: Vec<&String> = body.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["details", "error", "message"]);
    let decision = body["details"]["decision_id"].as_str().expect("a decision id");
    assert!(
        decision.len() == 32 && decision.bytes().all(|b| b.is_ascii_hexdigit()),
        "{decision}"
    );
    assert_eq!(answer.field("content-type"), Some("application/json"));
    assert_eq!(answer.field("cache-control"), Some("no-store"));
    let challenge = answer.field("www-authenticate");
    assert_eq!(challenge.is_some(), status == 401, "{}", answer.shown());
    assert!(
        challenge.is_none_or(|challenge| challenge.starts_with("Bearer ")),
        "{challenge:?}"
    );
    assert_eq!(
        answer.field("retry-after").is_some(),
        matches!(status, 429 | 503),
        "{}",
        answer.shown()
    );
    assert_eq!(answer.field("allow").is_some(), status == 405, "{}", answer.shown());
    decision.to_owned()
}

impl Postern {
    /// Checks that an answer is a refusal, to the caller and in the access log.
    #[track_caller]
    pub(crate) fn assert_refused(&self, answer: &Answer, reason: &str) {
        let decision = assert_refused(answer, reason);
        let line = self.log_line(|line| line["decision_id"] == *decision);
        assert_eq!(
            (&line["reason"], &line["status"]),
            (&reason.into(), &answer.status.into()),
            "{line}"
        );
    }
}
