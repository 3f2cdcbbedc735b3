//! Frames that break the rules of HTTP/2, and what must come of each: RFC 9113 and RFC 7541, section by section.
//!
//! The cases are those of the tool h2spec that say something about a server; their expectations are of the RFCs.

use serde_json::json;

use crate::harness::client::connect;
use crate::harness::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, Frames, GOAWAY, HEADERS, PADDED, PING, PRIORITY, PRIORITY_FLAG,
    PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, header_block,
};
use crate::harness::postern::Postern;
use crate::harness::tls::read_until_end;
use crate::harness::upstream::Upstream;

use super::rows::{TARGET, UPLOAD};

/// A frame to send: kind, flags, stream, payload.
type Sent<'r> = (u8, u8, u32, &'r [u8]);

/// Section with a name, frames, outcome.
type Row<'r> = (&'static str, &'r [Sent<'r>], Outcome);

/// What must come of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// `GOAWAY` with a code, and the end of the connection.
    Connection(u32),
    /// `RST_STREAM` with a code, and the connection lives on.
    Stream(u32, u32),
    /// The request of a stream is forwarded and answered.
    Served(u32),
    /// Nothing, and the connection lives on.
    Ignored,
}

use Outcome::{Connection, Ignored, Served, Stream};

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION_ERROR: u32 = 9;

/// What comes where the RFC names a code of its own, or would end the stream alone: the implementation has one code for
/// all frames that it cannot read, and ends the connection. No harm in that: §5.4.2 lets a stream's error be the connection's.
fn generally(_code_of_the_rfc: u32) -> Outcome {
    Connection(PROTOCOL_ERROR)
}

/// `streams_per_connection_max` where it is not set.
const STREAMS_MAX: u32 = 100;

/// Both flags of a request without a body.
const WHOLE: u8 = END_HEADERS | END_STREAM;

/// Heads of requests of somebody who may do everything.
struct Heads {
    get: Vec<u8>,
    post: Vec<u8>,
    bearer: String,
}

impl Heads {
    fn new(token: &str) -> Self {
        let bearer = format!("Bearer {token}");
        let head = |method, path| {
            let pseudo = [
                (":method", method),
                (":scheme", "http"),
                (":path", path),
                (":authority", "a"),
            ];
            header_block(&[&pseudo[..], &[("authorization", &bearer)]].concat())
        };
        Self {
            get: head("GET", TARGET),
            post: head("POST", UPLOAD),
            bearer: bearer.clone(),
        }
    }

    /// The fields of a request, `{}` in their midst left out, with others behind them.
    fn without(&self, left_out: &str, more: &[(&str, &str)]) -> Vec<u8> {
        let fields = [
            (":method", "GET"),
            (":scheme", "http"),
            (":path", TARGET),
            (":authority", "a"),
            ("authorization", &self.bearer),
        ];
        let kept: Vec<_> = fields.into_iter().filter(|(name, _)| *name != left_out).collect();
        header_block(&[&kept[..], more].concat())
    }
}

/// Runs each row on a connection of its own; in the end the orchestrator has seen the requests that were served.
fn run(rows: impl Fn(&Heads, &mut dyn FnMut(Row<'_>))) {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::with(&upstream.url(), &["--http2-cleartext", "true"]);
    let heads = Heads::new(&postern.administrator().token.expect("it has one"));
    let (mut wrong, mut served, mut count) = (Vec::new(), 0, 0);
    rows(&heads, &mut |(name, frames, expected)| {
        let mut connection = Frames::begin(postern.address);
        let frames = frames.iter().copied().chain([(PING, 0, 0, &MARK[..])]);
        // In one piece, so that no answer comes between. It may end before it has taken all: that is looked at next.
        connection.send_all(frames);
        let seen = outcome(&mut connection, expected);
        count += 1;
        served += usize::from(matches!(expected, Served(_)));
        if seen != Some(expected) {
            wrong.push(format!("{name}: {seen:?} instead of {expected:?}"));
        }
    });
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    postern.wait_until_idle();
    let received = upstream.received();
    assert_eq!(received.len(), served, "{received:?}");
}

/// What the ping behind a row's frames holds.
const MARK: [u8; 8] = *b"the mark";

/// Reads until it is clear what came of a row.
fn outcome(connection: &mut Frames, expected: Outcome) -> Option<Outcome> {
    let mut seen = None;
    let mut marked = false;
    while let Some(frame) = connection.read() {
        let Frame {
            kind, stream, payload, ..
        } = frame;
        match kind {
            // The last stream, then the code.
            GOAWAY => seen = Some(Connection(number(&payload[4..]))),
            RST_STREAM => seen = seen.or(Some(Stream(stream, number(&payload)))),
            // RFC 7541, appendix A: `:status` 200.
            HEADERS if payload[0] == 0x88 => seen = seen.or(Some(Served(stream))),
            PING if payload == MARK => marked = true,
            _ => {}
        }
        let enough = seen.is_some() || expected == Ignored;
        if marked && enough && !matches!(seen, Some(Connection(_))) {
            return seen.or(Some(Ignored));
        }
    }
    seen.filter(|seen| matches!(seen, Connection(_)))
}

fn number(octets: &[u8]) -> u32 {
    u32::from_be_bytes(octets[..4].try_into().expect("four octets"))
}

/// A setting as it is written.
fn setting(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

#[test]
fn a_preface_that_is_none_ends_the_connection() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::with(&upstream.url(), &["--http2-cleartext", "true"]);
    for preface in [
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\rX",
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        "INVALID PREFACE\r\n\r\n",
    ] {
        let mut stream = connect(postern.address);
        std::io::Write::write_all(&mut stream, preface.as_bytes()).expect("it takes octets");
        read_until_end(stream);
    }
    assert!(upstream.received().is_empty());
}

#[test]
#[rustfmt::skip]
fn frames_of_any_form_are_read_as_section_4_says() {
    run(|heads, row| {
        let (get, post) = (&heads.get[..], &heads.post[..]);
        let (full, over) = (vec![b'x'; 16_384], vec![b'x'; 16_385]);
        let half = &get[..get.len() / 2];
        row(("4.1 a type that nobody knows", &[(0x16, 0, 0, &[0; 8])], Ignored));
        row(("4.1 flags that nobody knows", &[(PING, 0x16, 0, &[1; 8])], Ignored));
        row(("4.1 the reserved bit", &[(PING, 0, 1 << 31, &[1; 8])], Ignored));
        row(("4.2 the largest frame", &[(HEADERS, END_HEADERS, 1, post), (DATA, END_STREAM, 1, &full)], Served(1)));
        row(("4.2 data over it", &[(HEADERS, END_HEADERS, 1, post), (DATA, END_STREAM, 1, &over)], Connection(FRAME_SIZE_ERROR)));
        row(("4.2 a head over it", &[(HEADERS, WHOLE, 1, &over)], Connection(FRAME_SIZE_ERROR)));
        row(("4.3 a block that breaks off", &[(HEADERS, WHOLE, 1, &[0x40])], generally(COMPRESSION_ERROR)));
        row(("4.3 PRIORITY within a block", &[(HEADERS, END_STREAM, 1, half), (PRIORITY, 0, 1, &[0; 5])], Connection(PROTOCOL_ERROR)));
        row(("4.3 another block within a block", &[(HEADERS, END_STREAM, 1, half), (HEADERS, WHOLE, 3, get)], Connection(PROTOCOL_ERROR)));
        row(("5.5 an unknown frame within a block", &[(HEADERS, END_STREAM, 1, half), (0x16, 0, 0, &[0; 8])], Connection(PROTOCOL_ERROR)));
    });
}

#[test]
#[rustfmt::skip]
fn frames_for_streams_in_other_states_end_what_section_5_says() {
    run(|heads, row| {
        let get = &heads.get[..];
        let cancel: Sent<'_> = (RST_STREAM, 0, 1, &[0, 0, 0, 8]);
        row(("5.1 idle: DATA", &[(DATA, END_STREAM, 1, b"x")], Connection(PROTOCOL_ERROR)));
        row(("5.1 idle: RST_STREAM", &[cancel], Connection(PROTOCOL_ERROR)));
        row(("5.1 idle: WINDOW_UPDATE", &[(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 100])], Connection(PROTOCOL_ERROR)));
        row(("5.1 idle: CONTINUATION", &[(CONTINUATION, END_HEADERS, 1, get)], Connection(PROTOCOL_ERROR)));
        row(("5.1 half closed: DATA", &[(HEADERS, WHOLE, 1, get), (DATA, END_STREAM, 1, b"x")], generally(STREAM_CLOSED)));
        row(("5.1 half closed: HEADERS", &[(HEADERS, WHOLE, 1, get), (HEADERS, WHOLE, 1, get)], generally(STREAM_CLOSED)));
        row(("5.1 half closed: CONTINUATION", &[(HEADERS, WHOLE, 1, get), (CONTINUATION, END_HEADERS, 1, get)], Connection(PROTOCOL_ERROR)));
        row(("5.1 half closed: PRIORITY", &[(HEADERS, WHOLE, 1, get), (PRIORITY, 0, 1, &[0; 5])], Served(1)));
        row(("5.1 half closed: WINDOW_UPDATE", &[(HEADERS, WHOLE, 1, get), (WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])], Served(1)));
        row(("5.1.1 an even number", &[(HEADERS, WHOLE, 2, get)], Connection(PROTOCOL_ERROR)));
        row(("5.1.1 a number that is past", &[(HEADERS, END_HEADERS, 5, get), (HEADERS, WHOLE, 3, get)], Connection(PROTOCOL_ERROR)));
        let many: Vec<Sent<'_>> = (0..=STREAMS_MAX).map(|number| (HEADERS, END_HEADERS, 2 * number + 1, &heads.post[..])).collect();
        row(("5.1.2 a stream over the limit", &many, Stream(2 * STREAMS_MAX + 1, REFUSED_STREAM)));
        row(("5.3.1 PRIORITY on itself", &[(PRIORITY, 0, 1, &[0, 0, 0, 1, 0])], Stream(1, PROTOCOL_ERROR)));
    });
}

#[test]
#[rustfmt::skip]
fn data_and_heads_are_read_as_sections_6_1_to_6_4_say() {
    run(|heads, row| {
        let (get, post) = (&heads.get[..], &heads.post[..]);
        let padded = [&[3], get, &[0; 3]].concat();
        let weighed = [&[0, 0, 0, 0, 15], get].concat();
        let overpadded = [&[u8::MAX], &get[..get.len().min(100)]].concat();
        let open: Sent<'_> = (HEADERS, END_HEADERS, 1, post);
        row(("6.1 DATA of no stream", &[(DATA, END_STREAM, 0, b"x")], Connection(PROTOCOL_ERROR)));
        row(("6.1 padding as long as the frame", &[open, (DATA, PADDED | END_STREAM, 1, &[4, 0, 0, 0])], Connection(PROTOCOL_ERROR)));
        row(("6.1 padding", &[open, (DATA, PADDED | END_STREAM, 1, &[2, b'x', 0, 0])], Served(1)));
        row(("6.2 HEADERS of no stream", &[(HEADERS, WHOLE, 0, get)], Connection(PROTOCOL_ERROR)));
        row(("6.2 padding over the frame", &[(HEADERS, PADDED | WHOLE, 1, &overpadded)], Connection(PROTOCOL_ERROR)));
        row(("6.2 padding", &[(HEADERS, PADDED | WHOLE, 1, &padded)], Served(1)));
        row(("6.2 a weight", &[(HEADERS, PRIORITY_FLAG | WHOLE, 1, &weighed)], Served(1)));
        row(("6.3 PRIORITY of no stream", &[(PRIORITY, 0, 0, &[0; 5])], Connection(PROTOCOL_ERROR)));
        row(("6.3 PRIORITY of four octets", &[(PRIORITY, 0, 1, &[0; 4])], generally(FRAME_SIZE_ERROR)));
        row(("6.4 RST_STREAM of no stream", &[(RST_STREAM, 0, 0, &[0; 4])], Connection(PROTOCOL_ERROR)));
        row(("6.4 RST_STREAM of three octets", &[open, (RST_STREAM, 0, 1, &[0; 3])], generally(FRAME_SIZE_ERROR)));
    });
}

#[test]
#[rustfmt::skip]
fn what_steers_a_connection_is_read_as_sections_6_5_to_6_10_say() {
    run(|heads, row| {
        let (get, post) = (&heads.get[..], &heads.post[..]);
        let open: Sent<'_> = (HEADERS, END_HEADERS, 1, post);
        let (first, rest) = get.split_at(7);
        let (second, third) = rest.split_at(7);
        row(("6.5 SETTINGS of a stream", &[(SETTINGS, 0, 1, &setting(3, 100))], Connection(PROTOCOL_ERROR)));
        row(("6.5 SETTINGS of five octets", &[(SETTINGS, 0, 0, &[0; 5])], generally(FRAME_SIZE_ERROR)));
        row(("6.5 an ACK that sets something", &[(SETTINGS, 1, 0, &[0; 6])], generally(FRAME_SIZE_ERROR)));
        row(("6.5.2 ENABLE_PUSH 2", &[(SETTINGS, 0, 0, &setting(2, 2))], Connection(PROTOCOL_ERROR)));
        row(("6.5.2 INITIAL_WINDOW_SIZE 2^31", &[(SETTINGS, 0, 0, &setting(4, 1 << 31))], generally(FLOW_CONTROL_ERROR)));
        row(("6.5.2 MAX_FRAME_SIZE 16383", &[(SETTINGS, 0, 0, &setting(5, 16_383))], Connection(PROTOCOL_ERROR)));
        row(("6.5.2 MAX_FRAME_SIZE 2^24", &[(SETTINGS, 0, 0, &setting(5, 1 << 24))], Connection(PROTOCOL_ERROR)));
        row(("6.5.2 a setting that nobody knows", &[(SETTINGS, 0, 0, &setting(0xff, 1))], Ignored));
        row(("6.6 PUSH_PROMISE", &[open, (PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2], get].concat())], Connection(PROTOCOL_ERROR)));
        row(("6.7 PING of a stream", &[(PING, 0, 1, &[0; 8])], Connection(PROTOCOL_ERROR)));
        row(("6.7 PING of seven octets", &[(PING, 0, 0, &[0; 7])], generally(FRAME_SIZE_ERROR)));
        row(("6.7 an answer to no PING", &[(PING, 1, 0, &[7; 8])], Ignored));
        row(("6.8 GOAWAY of a stream", &[(GOAWAY, 0, 1, &[0; 8])], Connection(PROTOCOL_ERROR)));
        row(("6.9 WINDOW_UPDATE of 0", &[(WINDOW_UPDATE, 0, 0, &[0; 4])], Connection(PROTOCOL_ERROR)));
        row(("6.9 WINDOW_UPDATE of 0 of a stream", &[open, (WINDOW_UPDATE, 0, 1, &[0; 4])], generally(PROTOCOL_ERROR)));
        row(("6.9 WINDOW_UPDATE of three octets", &[(WINDOW_UPDATE, 0, 0, &[0, 0, 1])], generally(FRAME_SIZE_ERROR)));
        row(("6.9.1 a window over its limit", &[(WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255])], Connection(FLOW_CONTROL_ERROR)));
        row(("6.9.1 a stream's over it", &[open, (WINDOW_UPDATE, 0, 1, &[0x7f, 255, 255, 255])], Stream(1, FLOW_CONTROL_ERROR)));
        row(("6.10 a head in three", &[(HEADERS, END_STREAM, 1, first), (CONTINUATION, 0, 1, second), (CONTINUATION, END_HEADERS, 1, third)], Served(1)));
        row(("6.10 CONTINUATION of no stream", &[(HEADERS, END_STREAM, 1, first), (CONTINUATION, END_HEADERS, 0, rest)], Connection(PROTOCOL_ERROR)));
        row(("6.10 CONTINUATION behind the end", &[open, (CONTINUATION, END_HEADERS, 1, get)], Connection(PROTOCOL_ERROR)));
        row(("6.10 DATA within a block", &[(HEADERS, 0, 1, first), (DATA, END_STREAM, 1, b"x")], Connection(PROTOCOL_ERROR)));
    });
}

#[test]
#[rustfmt::skip]
fn heads_that_section_8_calls_malformed_end_their_stream() {
    run(|heads, row| {
        let open: Sent<'_> = (HEADERS, END_HEADERS, 1, &heads.post);
        let malformed = Stream(1, PROTOCOL_ERROR);
        let trailers = header_block(&[("x", "1")]);
        let pseudo = header_block(&[(":path", "/orgs")]);
        row(("8.1 trailers that do not end", &[open, (HEADERS, END_HEADERS, 1, &trailers)], malformed));
        // The implementation reads past it; of a request, trailers are not sent on.
        row(("8.1 trailers with a pseudo-field", &[open, (HEADERS, WHOLE, 1, &pseudo)], Served(1)));
        for (name, left_out, more) in [
            ("8.2.1 upper case", "", &[("X-Upper", "1")][..]),
            ("8.2.2 connection", "", &[("connection", "x")]),
            ("8.2.2 te", "", &[("te", "gzip")]),
            ("8.3 an unknown pseudo-field", "", &[(":test", "1")]),
            ("8.3 a pseudo-field of answers", "", &[(":status", "200")]),
            ("8.3 a pseudo-field behind a field", ":path", &[(":path", TARGET)]),
            ("8.3 :method twice", "", &[(":method", "GET")]),
            ("8.3 :scheme twice", "", &[(":scheme", "http")]),
            ("8.3 :path twice", "", &[(":path", TARGET)]),
            ("8.3.1 no :method", ":method", &[]),
            ("8.3.1 no :scheme", ":scheme", &[]),
            ("8.3.1 no :path", ":path", &[]),
        ] {
            let expected = match name {
                // Already its block cannot be read.
                "8.2.1 upper case" | "8.3 an unknown pseudo-field" => generally(PROTOCOL_ERROR),
                _ => malformed,
            };
            row((name, &[(HEADERS, WHOLE, 1, &heads.without(left_out, more))], expected));
        }
    });
}

#[test]
#[rustfmt::skip]
fn header_blocks_that_hpack_does_not_know_end_the_connection() {
    run(|heads, row| {
        for (name, octets) in [
            ("2.3.3 index 0", &[0x80][..]),
            ("2.3.3 an index behind the tables", &[0xc6]),
            ("2.3.3 a name behind the tables", &[0x7e, 1, b'x']),
            ("4.2 a new size behind a field", &[0x20]),
            (
                "5.1 a number without end",
                &[0xff, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
            ),
            ("5.2 a text that breaks off", &[0, 5, b'x']),
            (
                "5.2 padding of a code over 7 bits",
                &[0, 0x85, 0xf2, 0xb2, 0x4a, 0x84, 0xff, 0x84, 0x49, 0x50, 0x9f, 0xff],
            ),
            (
                "5.2 padding of a code with zeros",
                &[0, 0x85, 0xf2, 0xb2, 0x4a, 0x84, 0xff, 0x83, 0x49, 0x50, 0x90],
            ),
            (
                "5.2 the code of the end",
                &[
                    0, 0x85, 0xf2, 0xb2, 0x4a, 0x84, 0xff, 0x87, 255, 255, 255, 250, 0x84, 0x95, 0x07,
                ],
            ),
        ] {
            let block = [&heads.get[..], octets].concat();
            row((name, &[(HEADERS, WHOLE, 1, &block)], generally(COMPRESSION_ERROR)));
        }
        // 4097, over what the settings allow.
        let block = [&[0x3f, 0xe2, 0x1f], &heads.get[..]].concat();
        row(("6.3 a size over the limit", &[(HEADERS, WHOLE, 1, &block)], generally(COMPRESSION_ERROR)));
    });
}
