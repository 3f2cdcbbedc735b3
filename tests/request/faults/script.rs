//! What a broken orchestrator writes, and how it leaves the connection.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use socket2::SockRef;

/// What the orchestrator writes, and how it leaves the connection.
pub(super) type Fault = (&'static str, &'static [u8], Leave);

/// How a connection is left.
#[derive(Debug, Clone, Copy)]
pub(super) enum Leave {
    Close,
    Reset,
    /// Ends its own side and waits for the end of the other.
    HalfClose,
    /// Waits for the end of the other side.
    Stall,
    /// Writes the last line again and again.
    Repeat,
}

/// Answers whose head never comes, or is none.
pub(super) const NO_HEAD: [Fault; 36] = [
    ("nothing, closed", b"", Leave::Close),
    ("nothing, reset", b"", Leave::Reset),
    ("nothing, half-closed", b"", Leave::HalfClose),
    ("garbage", b"what?\r\n\r\n", Leave::Close),
    ("garbage, kept", b"what?\r\n\r\n", Leave::Stall),
    ("binary garbage", b"\x16\x03\x01\0\0\0\0\r\n\r\n", Leave::Close),
    ("an empty line", b"\r\n\r\n", Leave::Close),
    ("HTTP/0.9", b"<html>hello</html>", Leave::Close),
    ("HTTP/2", b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64", Leave::Stall),
    (
        "a version of HTTP/2",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        Leave::Close,
    ),
    ("no status", b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n", Leave::Close),
    (
        "a status of two digits",
        b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        Leave::Close,
    ),
    (
        "a status of four digits",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        Leave::Close,
    ),
    (
        "a status below 100",
        b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
        Leave::Close,
    ),
    ("half a status line", b"HTTP/1.1 20", Leave::Close),
    ("half a status line, reset", b"HTTP/1.1 20", Leave::Reset),
    ("half a head", b"HTTP/1.1 200 OK\r\nContent-Le", Leave::Close),
    ("half a head, reset", b"HTTP/1.1 200 OK\r\nContent-Le", Leave::Reset),
    (
        "half a head, half-closed",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        Leave::HalfClose,
    ),
    (
        "a head without its end",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
        Leave::Close,
    ),
    (
        "a name of nothing",
        b"HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 0\r\n\r\n",
        Leave::Close,
    ),
    (
        "a NUL",
        b"HTTP/1.1 200 OK\r\nX-A: \0\r\nContent-Length: 0\r\n\r\n",
        Leave::Close,
    ),
    (
        "a folded line",
        b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
        Leave::Close,
    ),
    (
        "a space before a colon",
        b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
        Leave::Close,
    ),
    (
        "two lengths",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n[]",
        Leave::Close,
    ),
    (
        "a list of lengths",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n[]",
        Leave::Close,
    ),
    (
        "a negative length",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n[]",
        Leave::Close,
    ),
    (
        "a signed length",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n[]",
        Leave::Close,
    ),
    (
        "a length that is none",
        b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n[]",
        Leave::Close,
    ),
    (
        "a huge length",
        b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551617\r\n\r\n[]",
        Leave::Close,
    ),
    ("only 100", b"HTTP/1.1 100 Continue\r\n\r\n", Leave::Close),
    ("only 103", b"HTTP/1.1 103 Early Hints\r\n\r\n", Leave::Close),
    (
        "101 that nobody asked for",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        Leave::Close,
    ),
    (
        "101, kept",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        Leave::Stall,
    ),
    (
        "a status line without an end",
        b"HTTP/1.1 200 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        Leave::Repeat,
    ),
    (
        "a head without an end",
        b"HTTP/1.1 200 OK\r\nX-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
        Leave::Repeat,
    ),
];

/// Answers whose head does not come in time.
pub(super) const LATE: [Fault; 7] = [
    ("nothing", b"", Leave::Stall),
    ("half a status line", b"HTTP/1.1 20", Leave::Stall),
    ("half a head", b"HTTP/1.1 200 OK\r\nContent-Le", Leave::Stall),
    ("only 100", b"HTTP/1.1 100 Continue\r\n\r\n", Leave::Stall),
    (
        "only 103",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        Leave::Stall,
    ),
    ("100 without an end", b"HTTP/1.1 100 Continue\r\n\r\n", Leave::Repeat),
    (
        "103 without an end",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        Leave::Repeat,
    ),
];

/// Answers whose body breaks off.
pub(super) const BROKEN: [Fault; 14] = [
    (
        "shorter than its length",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        Leave::Close,
    ),
    (
        "shorter, reset",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        Leave::Reset,
    ),
    (
        "shorter, half-closed",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        Leave::HalfClose,
    ),
    (
        "shorter, stalled",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        Leave::Stall,
    ),
    (
        "nothing of its length",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
        Leave::Close,
    ),
    (
        "nothing, stalled",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
        Leave::Stall,
    ),
    (
        "in a chunk",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        Leave::Close,
    ),
    (
        "behind a chunk",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        Leave::Close,
    ),
    (
        "behind a chunk, reset",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        Leave::Reset,
    ),
    (
        "behind a chunk, stalled",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        Leave::Stall,
    ),
    (
        "in the last chunk",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        Leave::Close,
    ),
    (
        "no chunk",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
        Leave::Stall,
    ),
    (
        "a chunk too long",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloworld\r\n0\r\n\r\n",
        Leave::Stall,
    ),
    (
        "until a reset",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
        Leave::Reset,
    ),
];

/// Answers with more behind them, from an orchestrator that keeps the connection.
pub(super) const LONGER: [Fault; 4] = [
    ("longer than its length", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloworld", Leave::Stall),
    (
        "an answer behind it",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong",
        Leave::Stall,
    ),
    (
        "an answer behind the last chunk",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong",
        Leave::Stall,
    ),
    ("half-closed behind it", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Leave::HalfClose),
];

/// Writes octets and leaves the connection.
pub(super) fn act(stream: &mut TcpStream, octets: &[u8], leave: Leave) {
    // The other side may be gone at any moment.
    drop(stream.write_all(octets));
    match leave {
        Leave::Close => {}
        Leave::Reset => {
            // What was written is to arrive before the reset does.
            drop(stream.set_read_timeout(Some(Duration::from_millis(50))));
            let _ = stream.read(&mut [0]);
            SockRef::from(&*stream)
                .set_linger(Some(Duration::ZERO))
                .expect("a socket has that option");
        }
        Leave::HalfClose => {
            drop(stream.shutdown(Shutdown::Write));
            let _ = stream.read_to_end(&mut Vec::new());
        }
        Leave::Stall => drop(stream.read_to_end(&mut Vec::new())),
        Leave::Repeat => {
            let line = octets
                .split_inclusive(|octet| *octet == b'\n')
                .rfind(|line| line.len() > 2);
            let block = if octets.starts_with(b"HTTP/1.1 10") {
                octets
            } else {
                line.unwrap_or(octets)
            };
            let many = block.repeat(100);
            while stream.write_all(&many).is_ok() {}
        }
    }
}
