//! Octets that no client would send, and what comes back.

use std::io::{BufReader, Write};
use std::net::{Shutdown, SocketAddr};

use super::client::{Answer, connect, read_body, read_head};

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
