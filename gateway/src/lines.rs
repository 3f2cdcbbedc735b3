//! The feed's octets, in the content coding that the admin service has chosen, cut into lines.

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue};
use zstd::stream::raw::{Decoder, InBuffer, Operation as _, OutBuffer};

/// Cuts a stream of octets into lines.
pub(crate) struct Lines {
    /// Octets that have arrived and are not decoded yet.
    arrived: Bytes,
    /// `None`: they are what they are.
    decoder: Option<Zstd>,
    buffer: BytesMut,
    /// Octets at the front of the buffer that are known to hold no line end.
    searched: usize,
}

struct Zstd {
    decoder: Decoder<'static>,
    room: Box<[u8]>,
    /// Whether the room was filled: there may be more in the decoder.
    filled: bool,
}

/// Why octets are no lines.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("a line is longer than {LINE_BYTES_MAX} octets")]
    LineTooLong,
    #[error("an unknown content coding")]
    UnknownCoding,
    #[error("it cannot be decompressed")]
    Decompress(#[from] std::io::Error),
}

impl Lines {
    /// The content codings that can be read (RFC 9110 §12.5.3).
    pub(crate) const ACCEPTED: HeaderValue = HeaderValue::from_static("zstd");

    /// Reads what comes with these fields.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Unreadable> {
        let decoder = match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
            None => None,
            Some(b"zstd") => Some(Zstd::begin()?),
            Some(_) => return Err(Unreadable::UnknownCoding),
        };
        Ok(Self {
            arrived: Bytes::new(),
            decoder,
            buffer: BytesMut::new(),
            searched: 0,
        })
    }

    /// Takes octets that have arrived, when there is no further line in those before.
    pub(crate) fn push(&mut self, octets: Bytes) {
        self.arrived = octets;
    }

    /// Returns the next line, as far as it has arrived.
    pub(crate) fn next(&mut self) -> Result<Option<BytesMut>, Unreadable> {
        loop {
            if let Some(end) = self.buffer[self.searched..].iter().position(|octet| *octet == b'\n') {
                let line = self.buffer.split_to(self.searched + end);
                self.buffer.advance(1);
                self.searched = 0;
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.searched > LINE_BYTES_MAX {
                return Err(Unreadable::LineTooLong);
            }
            if !self.decode()? {
                return Ok(None);
            }
        }
    }

    /// Decodes a little more: however well it is compressed, no more is held than a line and what the decoder has room for.
    /// Returns whether there was anything.
    fn decode(&mut self) -> Result<bool, Unreadable> {
        let Some(zstd) = &mut self.decoder else {
            self.buffer.extend_from_slice(&self.arrived);
            return Ok(!std::mem::take(&mut self.arrived).is_empty());
        };
        if self.arrived.is_empty() && !zstd.filled {
            return Ok(false);
        }
        let mut from = InBuffer::around(&self.arrived);
        let mut to = OutBuffer::around(&mut zstd.room[..]);
        zstd.decoder.run(&mut from, &mut to)?;
        let (read, written) = (from.pos(), to.pos());
        self.arrived.advance(read);
        zstd.filled = written == zstd.room.len();
        self.buffer.extend_from_slice(&zstd.room[..written]);
        Ok(true)
    }
}

impl Zstd {
    fn begin() -> std::io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(zstd::stream::raw::DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
        Ok(Self {
            decoder,
            room: vec![0; ROOM_BYTES].into(),
            filled: false,
        })
    }
}

/// Longest line of the feed, in octets: a change of 50,000 subjects.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Largest window that a frame of Zstandard may ask for, as a power of two: admin services need 512 KiB.
const WINDOW_LOG_MAX: u32 = 20;

/// Octets that are decoded at once.
const ROOM_BYTES: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(mut lines: Lines, parts: std::slice::Chunks<'_, u8>) -> Result<Vec<String>, Unreadable> {
        let mut found = Vec::new();
        for part in parts {
            lines.push(Bytes::copy_from_slice(part));
            while let Some(line) = lines.next()? {
                found.push(String::from_utf8(line.to_vec()).expect("text"));
            }
        }
        Ok(found)
    }

    fn compressed() -> Lines {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, Lines::ACCEPTED);
        Lines::of(&headers).expect("it can be read")
    }

    #[test]
    fn lines_are_found_however_the_octets_arrive() {
        for size in 1..8 {
            let lines = Lines::of(&HeaderMap::new()).expect("it can be read");
            let found = found(lines, b"one\n\ntwo three\nfour".chunks(size)).expect("short lines");
            assert_eq!(found, ["one", "", "two three"], "in parts of {size}");
        }
    }

    #[test]
    fn lines_are_found_in_compressed_frames_however_the_octets_arrive() {
        let long = "x".repeat(3 * ROOM_BYTES);
        let whole = [
            zstd::bulk::compress(format!("one\n{long}\ntw").as_bytes(), 1).expect("memory"),
            zstd::bulk::compress(b"o\nthree\n", 1).expect("memory"),
        ]
        .concat();
        for size in [1, 7, whole.len()] {
            let found = found(compressed(), whole.chunks(size)).expect("lines");
            assert_eq!(found, ["one", &long, "two", "three"], "in parts of {size}");
        }
    }

    #[test]
    fn a_window_too_large_a_line_too_long_and_what_is_no_frame_are_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("memory");
        encoder.window_log(WINDOW_LOG_MAX + 1).expect("a window");
        std::io::Write::write_all(&mut encoder, b"x\n").expect("memory");
        let window = encoder.finish().expect("memory");
        let refused = found(compressed(), window.chunks(window.len()));
        assert!(matches!(refused, Err(Unreadable::Decompress(_))), "{refused:?}");
        let refused = found(compressed(), b"plain\n".chunks(6));
        assert!(matches!(refused, Err(Unreadable::Decompress(_))), "{refused:?}");
        let piece = zstd::bulk::compress(&vec![b'x'; 512 * 1024], 1).expect("memory");
        let long = piece.repeat(LINE_BYTES_MAX / (512 * 1024) + 1);
        let refused = found(compressed(), long.chunks(long.len()));
        assert!(matches!(refused, Err(Unreadable::LineTooLong)), "{refused:?}");
    }
}
