//! Header fields: what is taken along to an upstream, and what is taken out of its answer.
//!
//! The fields of an upstream request are collected from an allow-list into a new map, never copied and then cleaned: a
//! field that nobody thought of stays behind.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::refusal::Reason;
use crate::settings::Limits;

/// Which fields of a request go on to an upstream.
#[derive(Debug, Clone, Default)]
pub(crate) struct ForwardedFields {
    more: Vec<HeaderName>,
}

/// A field that may never be forwarded, whatever the configuration says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the field {0} is never forwarded")]
pub struct NeverForwarded(String);

impl ForwardedFields {
    /// Returns the built-in list widened by more fields.
    ///
    /// # Errors
    /// When one of them carries credentials or an identity, or belongs to one connection.
    pub(crate) fn widened(more: Vec<HeaderName>) -> Result<Self, NeverForwarded> {
        match more.iter().find(|name| is_never_forwarded(name.as_str())) {
            Some(name) => Err(NeverForwarded(name.to_string())),
            None => Ok(Self { more }),
        }
    }

    /// Collects the fields that go on.
    ///
    /// Fields that `Connection` names stay behind, as RFC 9110 §7.6.1 demands.
    pub(crate) fn collect(&self, request: &HeaderMap) -> HeaderMap {
        // Room for the usual fields of a client and the ones that are added here, without growing.
        let mut collected = HeaderMap::with_capacity(request.len() + ADDED_FIELDS);
        let connection: Option<Vec<&str>> = request
            .contains_key(header::CONNECTION)
            .then(|| named_by_connection(request));
        for (name, value) in request {
            let named = connection
                .as_ref()
                .is_some_and(|names| names.iter().any(|n| n.eq_ignore_ascii_case(name.as_str())));
            if !named && (is_forwarded(name.as_str()) || self.more.contains(name)) {
                collected.append(name, value.clone());
            }
        }
        collected
    }
}

/// Takes out of an answer what belongs to the connection with the upstream, or to us.
pub(crate) fn clean_answer(answer: &mut HeaderMap) {
    if answer.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = named_by_connection(answer)
            .into_iter()
            .filter_map(|name| HeaderName::try_from(name).ok())
            .collect();
        for name in named {
            // Framing is decided by the message, not by what an upstream calls its connection's.
            if name != header::CONTENT_LENGTH {
                answer.remove(name);
            }
        }
    }
    let ours_or_the_connections = |name: &HeaderName| {
        name.as_str().starts_with("postern-") || CONNECTION_FIELDS.iter().any(|field| field == name)
    };
    // One pass over the few fields that there are, and no look-ups of those that are not.
    let removed: Vec<HeaderName> = answer
        .keys()
        .filter(|name| ours_or_the_connections(name))
        .cloned()
        .collect();
    for name in removed {
        answer.remove(name);
    }
    // Answers on authorised operations are for this caller only, unless the upstream says otherwise.
    answer
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store, private"));
}

/// Checks what must hold for the fields of every request.
///
/// # Errors
/// The reason to refuse it.
pub(crate) fn check(fields: &HeaderMap) -> Result<(), Reason> {
    // RFC 9110 §10.1.1. Of a value that is no text nothing could be promised either.
    let mut expectations = fields.get_all(header::EXPECT).iter();
    if expectations.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(Reason::ExpectationFailed);
    }
    // As many names as fields: nothing comes twice.
    let repeated = fields.len() > fields.keys_len();
    for name in SINGLETONS.iter().filter(|_| repeated) {
        if fields.get_all(name).iter().nth(1).is_some() {
            return Err(if *name == header::AUTHORIZATION {
                Reason::CredentialsTwice
            } else {
                Reason::RequestAmbiguous
            });
        }
    }
    Ok(())
}

/// Returns whether fields are more than the limits allow, counted as HTTP/1.1 would write them.
pub(crate) fn are_too_large(fields: &HeaderMap, limits: &Limits) -> bool {
    let line = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    fields.len() > limits.fields_max || fields.iter().map(line).sum::<usize>() > limits.fields_bytes_max
}

const ADDED_FIELDS: usize = 8;

/// Fields that may come once only: readers disagree about which of two counts.
static SINGLETONS: [HeaderName; 17] = [
    header::AUTHORIZATION,
    header::HOST,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::RANGE,
    header::USER_AGENT,
    HeaderName::from_static("humanitec-user-agent"),
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("traceparent"),
];

/// RFC 9110 §7.6.1, with the fields that older software treats alike.
static CONNECTION_FIELDS: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

fn is_forwarded(name: &str) -> bool {
    match name {
        // hyper frames the upstream request from the body that we hand it.
        "content-length" => false,
        "cache-control" | "range" | "user-agent" | "humanitec-user-agent" | "idempotency-key" => true,
        "traceparent" | "tracestate" | "baggage" | "last-event-id" | "accept" => true,
        _ => name.starts_with("accept-") || name.starts_with("content-") || name.starts_with("if-"),
    }
}

/// Returns whether a field may never be forwarded, whatever is configured.
pub(crate) fn is_never_forwarded(name: &str) -> bool {
    let identity = matches!(
        name,
        "from" | "x-token-hash" | "x-service-authorization" | "forwarded" | "cookie" | "x-real-ip"
    );
    let framing = matches!(name, "host" | "authorization" | "content-length" | "expect");
    let overrides = matches!(
        name,
        "x-http-method-override" | "x-http-method" | "x-method-override" | "x-original-url" | "x-rewrite-url"
    );
    identity
        || framing
        || overrides
        || name.starts_with("postern-")
        || name.starts_with("x-forwarded-")
        || name.starts_with("proxy-")
        || name.contains('_')
        || CONNECTION_FIELDS.iter().any(|field| field.as_str() == name)
        || name == "http2-settings"
}

fn named_by_connection(fields: &HeaderMap) -> Vec<&str> {
    let values = fields
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(rows: &[(&str, &str)]) -> HeaderMap {
        let row = |(name, value): &(&str, &str)| {
            (
                HeaderName::try_from(*name).expect("a name"),
                HeaderValue::from_str(value).expect("a value"),
            )
        };
        rows.iter().map(row).collect()
    }

    #[test]
    fn only_listed_fields_go_on() {
        let request = map(&[
            ("accept", "application/json"),
            ("Accept-Language", "en"),
            ("content-type", "application/json"),
            ("content-length", "12"),
            ("if-none-match", "x"),
            ("humanitec-user-agent", "app x/1"),
            ("authorization", "Bearer secret"),
            ("from", "s-someone"),
            ("FROM", "s-else"),
            ("x-token-hash", "x"),
            ("postern-identity", "x"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-http-method-override", "DELETE"),
            ("cookie", "a=b"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("x-anything", "x"),
        ]);
        let collected = ForwardedFields::default().collect(&request);
        let mut names: Vec<&str> = collected.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "accept",
                "accept-language",
                "content-type",
                "humanitec-user-agent",
                "if-none-match"
            ]
        );
    }

    #[test]
    fn a_field_that_connection_names_stays_behind() {
        let request = map(&[("connection", "close, Accept"), ("accept", "x"), ("range", "bytes=0-1")]);
        let collected = ForwardedFields::default().collect(&request);
        assert!(!collected.contains_key("accept"));
        assert!(collected.contains_key("range"));
    }

    #[test]
    fn the_list_can_be_widened_but_not_by_credentials_or_identities() {
        let widened = ForwardedFields::widened(vec![HeaderName::from_static("x-request-id")]).expect("allowed");
        assert!(
            widened
                .collect(&map(&[("x-request-id", "1")]))
                .contains_key("x-request-id")
        );
        for name in [
            "authorization",
            "from",
            "postern-identity",
            "x-forwarded-for",
            "connection",
            "cookie",
            "x_user",
            "host",
        ] {
            assert!(
                ForwardedFields::widened(vec![HeaderName::from_static(name)]).is_err(),
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_an_upstreams_own_is_taken_out_of_its_answer() {
        let mut answer = map(&[
            ("connection", "x-own, keep-alive"),
            ("keep-alive", "timeout=5"),
            ("x-own", "1"),
            ("postern-revision", "7"),
            ("etag", "x"),
        ]);
        clean_answer(&mut answer);
        let mut names: Vec<&str> = answer.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["cache-control", "etag"]);
    }

    #[test]
    fn fields_that_readers_could_disagree_about_are_refused() {
        let refused = [
            (
                map(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]),
                Reason::CredentialsTwice,
            ),
            (map(&[("host", "a"), ("host", "b")]), Reason::RequestAmbiguous),
            (
                map(&[("content-type", "a"), ("content-type", "b")]),
                Reason::RequestAmbiguous,
            ),
            (map(&[("expect", "200-ok")]), Reason::ExpectationFailed),
            (
                map(&[("expect", "100-continue"), ("expect", "x")]),
                Reason::ExpectationFailed,
            ),
        ];
        for (fields, reason) in refused {
            assert_eq!(check(&fields), Err(reason));
        }
        for rows in [[("x", "1"), ("x", "2")], [("host", "a"), ("expect", "100-Continue")]] {
            assert_eq!(check(&map(&rows)), Ok(()), "{rows:?}");
        }
    }
}
