//! Upgrades: a request to speak another protocol (RFC 9110 §7.8), where the catalogue has it and the upstream agrees.
//!
//! Everywhere else the wish is passed over: its fields stay behind and the request is answered as any other. Whether a
//! connection was upgraded is known by one thing alone, the 101 that the caller gets.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use catalogue::Operation;
use feed::token::Kind;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{Response, Version};
use hyper::body::Body as _;
use hyper::upgrade::OnUpgrade;
use tokio::sync::OwnedSemaphorePermit;

use crate::facts::GatheredBody;
use crate::fields::clean_answer;
use crate::forward::UpstreamAnswer;
use crate::refusal::{Reason, Refusal};
use crate::tunnel::Tunnel;
use crate::worker::Worker;

/// A wish to upgrade that may be passed on.
pub(crate) struct Upgrade {
    protocol: HeaderValue,
    caller: OnUpgrade,
    place: OwnedSemaphorePermit,
}

/// Returns the upgrade that a request asks for, if its operation has it.
///
/// # Errors
/// When it asks in a way that two readers could understand differently, or when there are too many upgraded connections.
pub(crate) fn asked(
    worker: &Worker,
    operation: &Operation,
    parts: &Parts,
    body: &GatheredBody,
) -> Result<Option<Upgrade>, Refusal> {
    if operation.upgrade.is_empty() || parts.version != Version::HTTP_11 {
        return Ok(None);
    }
    // A body would stand between the head and the new protocol.
    if !matches!(body, GatheredBody::Unread(incoming) if incoming.is_end_stream()) {
        return Ok(None);
    }
    let wish = wish(operation, &parts.headers);
    let Some((protocol, caller)) = wish.zip(parts.extensions.get::<OnUpgrade>()) else {
        return Ok(None);
    };
    if protocol == WEBSOCKET {
        check_websocket(&parts.headers)?;
    }
    let protocol =
        HeaderValue::try_from(protocol).map_err(|error| Refusal::caused_by(Reason::RequestAmbiguous, error))?;
    let place = Arc::clone(&worker.shared.upgrades).try_acquire_owned();
    let place = place.map_err(|none| Refusal::caused_by(Reason::Overloaded, none))?;
    Ok(Some(Upgrade {
        protocol,
        caller: caller.clone(),
        place,
    }))
}

impl Upgrade {
    /// Puts the wish into the upstream request.
    pub(crate) fn add_fields(&self, request: &HeaderMap, upstream: &mut HeaderMap) {
        upstream.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        upstream.insert(UPGRADE, self.protocol.clone());
        if self.is_websocket() {
            for name in WEBSOCKET_FIELDS {
                for value in request.get_all(&name) {
                    upstream.append(&name, value.clone());
                }
            }
        }
    }

    fn is_websocket(&self) -> bool {
        self.protocol == WEBSOCKET
    }
}

/// Makes of an upstream's 101 the caller's, and the tunnel that lies behind it.
///
/// # Errors
/// When it was not asked for, or is not about the protocol that was.
pub(crate) fn agree(upgrade: Option<Upgrade>, answer: UpstreamAnswer) -> Result<(Response<Bytes>, Tunnel), Refusal> {
    let failed = |problem: &'static str| Refusal::caused_by(Reason::UpstreamFailed, problem);
    let mut response = answer.response;
    let upgrade = upgrade.ok_or_else(|| failed("the upstream switched protocols unasked"))?;
    let agreed: Vec<&str> = tokens(response.headers(), &UPGRADE).collect();
    let asked = upgrade.protocol.as_bytes();
    if !matches!(agreed[..], [agreed] if agreed.as_bytes().eq_ignore_ascii_case(asked)) {
        return Err(failed(
            "the upstream switched to another protocol than it was asked for",
        ));
    }
    let upstream = hyper::upgrade::on(&mut response);
    let fields = response.headers_mut();
    clean_answer(fields);
    fields.remove(CONTENT_LENGTH);
    fields.remove(TRANSFER_ENCODING);
    fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    fields.insert(UPGRADE, upgrade.protocol.clone());
    let tunnel = Tunnel {
        websocket: upgrade.is_websocket(),
        caller: upgrade.caller,
        upstream,
        lease: answer.connection,
        place: upgrade.place,
    };
    Ok((response.map(|_none| Bytes::new()), tunnel))
}

/// The one protocol that we know more of than its name.
const WEBSOCKET: &str = "websocket";

/// The only version that there is, RFC 6455 §4.1.
const WEBSOCKET_VERSION: &str = "13";

/// A key is the encoding of as many octets, RFC 6455 §4.1.
const WEBSOCKET_KEY_BYTES: usize = 16;

const WEBSOCKET_FIELDS: [HeaderName; 4] = [
    SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION,
    SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_EXTENSIONS,
];

/// The first protocol that the caller wishes and the operation has, as the operation names it.
fn wish<'o>(operation: &'o Operation, fields: &HeaderMap) -> Option<&'o str> {
    let meant = tokens(fields, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"));
    let has = |token: &str| operation.upgrade.iter().find(|own| own.eq_ignore_ascii_case(token));
    let found = tokens(fields, &UPGRADE).find_map(has).filter(|_| meant);
    found.map(String::as_str)
}

/// Returns the elements of a list that may stand in several fields.
fn tokens<'f>(fields: &'f HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'f str> {
    let values = fields.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

/// RFC 6455 §4.2.1: one key, one version, and lists that are texts.
fn check_websocket(fields: &HeaderMap) -> Result<(), Refusal> {
    let malformed = |problem: &'static str| Refusal::caused_by(Reason::RequestAmbiguous, problem);
    let single = |name: &HeaderName| {
        let mut values = fields.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())
    };
    let key = single(&SEC_WEBSOCKET_KEY).and_then(|key| STANDARD.decode(key.as_bytes()).ok());
    if key.is_none_or(|key| key.len() != WEBSOCKET_KEY_BYTES) {
        return Err(malformed("Sec-WebSocket-Key is not the encoding of 16 octets"));
    }
    if single(&SEC_WEBSOCKET_VERSION).is_none_or(|version| version != WEBSOCKET_VERSION) {
        return Err(malformed("Sec-WebSocket-Version is not 13"));
    }
    let lists = [SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_EXTENSIONS];
    for value in lists.iter().flat_map(|name| fields.get_all(name)) {
        let Ok(list) = value.to_str() else {
            return Err(malformed("a list of Sec-WebSocket-Protocol or -Extensions is no text"));
        };
        // Browsers have no other place for one; it would reach the upstream.
        if list.contains(Kind::Token.prefix()) {
            return Err(Reason::CredentialsTwice.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(upgrade: &[&str]) -> Operation {
        let mut operation =
            Operation::new("GET", "/orgs/{orgId}/events", "events", "events.read").expect("an operation");
        operation.upgrade = upgrade.iter().map(|name| (*name).to_owned()).collect();
        operation
    }

    fn fields(rows: &[(&'static str, &str)]) -> HeaderMap {
        let row = |(name, value): &(&'static str, &str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).expect("a value"),
            )
        };
        rows.iter().map(row).collect()
    }

    #[test]
    fn a_wish_is_heard_when_the_connection_names_it_and_the_operation_has_it() {
        let websocket = operation(&["websocket"]);
        let heard = [
            [("connection", "upgrade"), ("upgrade", "websocket")],
            [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")],
            [("connection", "upgrade"), ("upgrade", "other/1, websocket")],
        ];
        for rows in heard {
            assert_eq!(wish(&websocket, &fields(&rows)), Some("websocket"), "{rows:?}");
            assert_eq!(wish(&operation(&[]), &fields(&rows)), None, "{rows:?}");
        }
        let passed_over = [
            [("connection", "close"), ("upgrade", "websocket")],
            [("connection", "upgrade"), ("upgrade", "h2c")],
            [("connection", "upgrade"), ("upgrade", "websockets")],
            [("connection", "upgrade"), ("upgrade", "websocket x")],
        ];
        for rows in passed_over {
            assert_eq!(wish(&websocket, &fields(&rows)), None, "{rows:?}");
        }
    }

    #[test]
    fn a_websocket_needs_one_key_and_the_version() {
        const KEY: (&str, &str) = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        const VERSION: (&str, &str) = ("sec-websocket-version", "13");
        assert!(check_websocket(&fields(&[KEY, VERSION])).is_ok());
        let refused: [&[(&'static str, &str)]; 6] = [
            &[KEY],
            &[VERSION],
            &[KEY, VERSION, KEY],
            &[KEY, VERSION, VERSION],
            &[KEY, ("sec-websocket-version", "8")],
            &[("sec-websocket-key", "c2hvcnQ="), VERSION],
        ];
        for rows in refused {
            let refusal = check_websocket(&fields(rows)).expect_err("refused");
            assert_eq!(refusal.reason, Reason::RequestAmbiguous, "{rows:?}");
        }
        let exposed = fields(&[KEY, VERSION, ("sec-websocket-protocol", "events.v1, pstn_abc")]);
        let refusal = check_websocket(&exposed).expect_err("refused");
        assert_eq!(refusal.reason, Reason::CredentialsTwice);
    }
}
