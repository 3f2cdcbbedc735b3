//! The content coding of a feed: Zstandard for whoever takes it (RFC 9110 §12.5.3, RFC 8878), else none.
//!
//! A compressed feed is a series of frames, each whole in itself: nothing is kept for a gateway from one to the next, and what is
//! sent can be read at once. A snapshot is compressed, for one gateway. What all gateways are told is small and shared: it
//! is stored in frames as it is, and not copied.

use axum::body::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, HeaderValue};

/// What a feed's octets are wrapped in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Zstd,
}

impl Coding {
    /// Returns the coding for whoever asks with these fields.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(ACCEPT_ENCODING).iter();
        let accepted = accepted.filter_map(|value| value.to_str().ok());
        let is_zstd = |element: &str| {
            let (coding, weight) = element.split_once(';').unwrap_or((element, ""));
            let refused = weight.trim().trim_end_matches(['0', '.']) == "q=";
            coding.trim().eq_ignore_ascii_case("zstd") && !refused
        };
        if accepted.flat_map(|value| value.split(',')).any(is_zstd) {
            Self::Zstd
        } else {
            Self::Identity
        }
    }

    /// Returns the value of the field Content-Encoding.
    pub(super) fn name(self) -> Option<HeaderValue> {
        match self {
            Self::Identity => None,
            Self::Zstd => Some(HeaderValue::from_static("zstd")),
        }
    }

    /// Returns what is sent for octets that are for one gateway.
    ///
    /// # Errors
    /// There is no memory.
    pub(super) fn compressed(self, octets: Bytes) -> std::io::Result<Bytes> {
        match self {
            Self::Identity => Ok(octets),
            Self::Zstd => {
                let frames = octets.chunks(WINDOW_BYTES_MAX);
                let frames = frames.map(|part| zstd::bulk::compress(part, LEVEL));
                Ok(frames.collect::<Result<Vec<_>, _>>()?.concat().into())
            }
        }
    }

    /// Returns what is sent for octets that are for many, in the order in which it is.
    pub(super) fn stored(self, mut octets: Bytes) -> Vec<Bytes> {
        if self == Self::Identity {
            return vec![octets];
        }
        let mut parts = Vec::with_capacity(2);
        while !octets.is_empty() {
            let part = octets.split_to(octets.len().min(BLOCK_BYTES_MAX));
            parts.push(stored_head(part.len()));
            parts.push(part);
        }
        parts
    }
}

/// Returns what stands in front of octets, at most [`BLOCK_BYTES_MAX`], that make a frame of one raw block (RFC 8878 §3.1.1).
fn stored_head(octets: usize) -> Bytes {
    let size = u32::try_from(octets).expect("a block is smaller");
    let mut head = Vec::with_capacity(12);
    head.extend_from_slice(&0xFD2F_B528_u32.to_le_bytes());
    // Of one segment, whose size follows in four octets; no check sum, no dictionary.
    head.push(0b1010_0000);
    head.extend_from_slice(&size.to_le_bytes());
    // The last block, raw.
    head.extend_from_slice(&(size << 3 | 1).to_le_bytes()[..3]);
    head.into()
}

/// The fastest of the usual levels: a gateway waits for its snapshot.
const LEVEL: i32 = 1;

/// Octets that are compressed as one, and that a gateway has to hold for it.
const WINDOW_BYTES_MAX: usize = 512 * 1024;

/// Largest block (RFC 8878 §3.1.1.2.4).
const BLOCK_BYTES_MAX: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn coding(accepted: &'static str) -> Coding {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accepted));
        Coding::of(&headers)
    }

    #[test]
    fn whoever_takes_zstandard_gets_it() {
        for accepted in ["zstd", "gzip, ZSTD;q=0.5", "gzip;q=0,zstd"] {
            assert_eq!(coding(accepted), Coding::Zstd, "{accepted}");
        }
        for accepted in ["", "gzip", "zstd;q=0", "zstd; q=0.000", "*"] {
            assert_eq!(coding(accepted), Coding::Identity, "{accepted}");
        }
        assert_eq!(Coding::of(&HeaderMap::new()), Coding::Identity);
    }

    #[test]
    fn compressed_and_stored_frames_are_read_as_one_stream() {
        let small = Bytes::from_static(b"{\"type\":\"heartbeat\"}\n");
        let large: Bytes = (0..WINDOW_BYTES_MAX + BLOCK_BYTES_MAX + 7)
            .map(|number| u8::try_from(number % 251).expect("an octet"))
            .collect();
        let mut sent = Vec::new();
        for octets in [&small, &large, &Bytes::new()] {
            sent.extend_from_slice(&Coding::Zstd.compressed(octets.clone()).expect("memory"));
            sent.extend_from_slice(&Coding::Zstd.stored(octets.clone()).concat());
        }
        let read = zstd::stream::decode_all(&sent[..]).expect("frames");
        assert!(read == [&small[..], &small, &large, &large].concat());
    }
}
