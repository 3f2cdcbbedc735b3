//! Octets that no client would send, and what comes back.

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::client::{Answer, connect, read_body, read_head};

/// In what pieces octets are written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// All at once.
    Whole,
    /// Behind each line end, and before its last octet.
    Lines,
    /// Each octet alone.
    Octets,
}

/// What came back on a connection.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) answers: Vec<Answer>,
    /// Whether the other side has ended the connection, and not in the middle of an answer.
    pub(crate) ended: bool,
}

/// How long a connection may stay silent before it counts as left open.
const SILENCE: Duration = Duration::from_secs(15);

impl Cut {
    pub(crate) const ALL: [Self; 3] = [Self::Whole, Self::Lines, Self::Octets];

    fn pieces(self, octets: &[u8]) -> Vec<&[u8]> {
        match self {
            Self::Whole => vec![octets],
            Self::Lines => octets.split_inclusive(|octet| matches!(octet, b'\r' | b'\n')).collect(),
            Self::Octets => octets.chunks(1).collect(),
        }
    }
}

impl Heard {
    /// Returns the statuses and reasons, and how the connection ended, as a text.
    pub(crate) fn told(&self) -> String {
        let answers: Vec<(u16, String)> = self.answers.iter().map(Answer::refusal).collect();
        format!(
            "{answers:?}, {}",
            if self.ended { "ended" } else { "left open or broken" }
        )
    }
}

/// Sends octets in pieces and reads every answer until the other side ends the connection. `finishes` says whether we end
/// our own side behind the last octet.
pub(crate) fn send_cut(address: SocketAddr, octets: &[u8], cut: Cut, finishes: bool) -> Heard {
    let mut stream = connect(address);
    stream.set_nodelay(true).expect("a stream has that option");
    stream.set_read_timeout(Some(SILENCE)).expect("a time can be set");
    for piece in cut.pieces(octets) {
        // The other side may close while we write: what it said is what counts.
        if stream.write_all(piece).is_err() {
            break;
        }
        std::thread::yield_now();
    }
    if finishes {
        drop(stream.shutdown(Shutdown::Write));
    }
    hear(stream)
}

/// Reads every answer until the other side ends the connection.
pub(crate) fn hear(stream: TcpStream) -> Heard {
    let mut reader = BufReader::new(stream);
    let mut heard = Heard {
        answers: Vec::new(),
        ended: false,
    };
    while let Some(mut answer) = read_head(&mut reader) {
        let body = read_body(&mut reader, &answer);
        let whole = body.is_ok();
        answer.body = body.unwrap_or_default();
        heard.answers.push(answer);
        if !whole {
            return heard;
        }
    }
    heard.ended = match reader.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    };
    heard
}

/// Sends octets and reads every answer until the connection ends. The sending side is ended behind the first answer.
pub(crate) fn exchange(address: SocketAddr, octets: &[u8]) -> Vec<Answer> {
    let mut stream = connect(address);
    // The other side may close while we write: what it said is what counts.
    drop(stream.write_all(octets));
    let mut reader = BufReader::new(stream);
    let mut answers = Vec::new();
    while let Some(mut answer) = read_head(&mut reader) {
        answer.body = read_body(&mut reader, &answer).unwrap_or_default();
        answers.push(answer);
        drop(reader.get_ref().shutdown(Shutdown::Write));
    }
    answers
}

/// Sends octets that must get exactly one answer.
#[track_caller]
pub(crate) fn single(address: SocketAddr, octets: &[u8]) -> Answer {
    let mut answers = exchange(address, octets);
    assert_eq!(answers.len(), 1, "{}: {answers:?}", String::from_utf8_lossy(octets));
    answers.remove(0)
}
