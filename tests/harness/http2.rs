//! Frames of HTTP/2 that no client would send, written by hand.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::client::connect;

/// A connection on which frames are written and read one by one.
pub(crate) struct Frames {
    stream: TcpStream,
}

/// A frame as it arrived.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
/// On `HEADERS`: a dependency and a weight stand first.
pub(crate) const PRIORITY_FLAG: u8 = 32;

impl Frames {
    /// Begins a connection: preface and empty settings.
    pub(crate) fn begin(address: SocketAddr) -> Self {
        let mut stream = connect(address);
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .expect("it takes octets");
        let mut frames = Self { stream };
        assert!(frames.send(SETTINGS, 0, 0, &[]));
        frames
    }

    /// Sends a frame; `false` when the connection has ended.
    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.send_all([(kind, flags, stream, payload)])
    }

    /// Sends frames in one piece: kind, flags, stream, payload. `false` when the connection has ended.
    pub(crate) fn send_all<'f>(&mut self, frames: impl IntoIterator<Item = (u8, u8, u32, &'f [u8])>) -> bool {
        let mut octets = Vec::new();
        for (kind, flags, stream, payload) in frames {
            let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
            octets.extend([&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat());
        }
        self.stream.write_all(&octets).is_ok()
    }

    /// Lets whatever comes be read and forgotten, so that neither side waits for the other.
    pub(crate) fn read_aside(&self) {
        let mut stream = self.stream.try_clone().expect("a stream can be shared");
        std::thread::spawn(move || drop(std::io::copy(&mut stream, &mut std::io::sink())));
    }

    /// Reads the next frame; `None` at the end of the connection.
    pub(crate) fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let [high, middle, low, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)];
        self.stream.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes(stream);
        Some(Frame {
            kind,
            flags,
            stream,
            payload,
        })
    }

    /// Reads frames until one of a kind and stream comes; `None` when the connection ends before.
    pub(crate) fn read_until(&mut self, kind: u8, stream: u32) -> Option<Frame> {
        std::iter::from_fn(|| self.read()).find(|frame| frame.kind == kind && frame.stream == stream)
    }
}

/// A header block: each field as a literal without indexing and without Huffman coding (RFC 7541 §6.2.2).
pub(crate) fn header_block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            push_length(&mut block, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// RFC 7541 §5.1, with a prefix of seven bits.
fn push_length(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        return block.push(length as u8);
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}
