//! A connection of HTTP/2 whose frames are counted before the protocol's implementation works on them.
//!
//! Frames that carry no part of a request cost their sender nothing and us something: a caller may send so many of them,
//! and the connection ends when there are more. RFC 9113 §10.5 lists them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limit::{Allowance, Rate};
use crate::metrics::Counters;
use crate::sources::Source;

/// A stream of frames, counted.
pub(crate) struct CountedFrames<S> {
    stream: S,
    reader: FrameReader,
    budget: Budget,
    counters: Arc<Counters>,
}

/// What of a flood ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many HTTP/2 frames: {}", .0.name())]
pub(crate) struct Flood(pub(crate) Kind);

/// Kinds of frames that are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `RST_STREAM`.
    Reset,
    /// `SETTINGS`, `PING`, `PRIORITY`, those of unknown types, and `DATA` without data.
    Control,
    /// `CONTINUATION`.
    Continuation,
    /// `WINDOW_UPDATE`.
    Window,
    /// Whatever the protocol's implementation has counted itself.
    Other,
}

struct Budget {
    source: Arc<Source>,
    resets: Allowance,
    control: Allowance,
    continuations: Allowance,
    windows: Allowance,
}

/// Follows the frames in a stream of octets.
struct FrameReader {
    /// Octets of the preface that have not been seen.
    preface_left: usize,
    header: [u8; HEADER_BYTES],
    /// Octets of the header that have been seen.
    header_seen: usize,
    payload_left: usize,
}

impl<S> CountedFrames<S> {
    pub(crate) fn new(stream: S, source: Arc<Source>, counters: Arc<Counters>) -> Self {
        Self {
            stream,
            reader: FrameReader {
                preface_left: PREFACE.len(),
                header: [0; HEADER_BYTES],
                header_seen: 0,
                payload_left: 0,
            },
            budget: Budget {
                source,
                resets: Allowance::default(),
                control: Allowance::default(),
                continuations: Allowance::default(),
                windows: Allowance::default(),
            },
            counters,
        }
    }
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub(crate) const ALL: [Self; 5] = [
        Self::Reset,
        Self::Control,
        Self::Continuation,
        Self::Window,
        Self::Other,
    ];

    /// Returns the word for metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Control => "control",
            Self::Continuation => "continuation",
            Self::Window => "window",
            Self::Other => "other",
        }
    }
}

impl Budget {
    fn take(&self, kind: Kind) -> Result<(), Flood> {
        let now_ms = self.source.now_ms();
        let within = match kind {
            Kind::Reset => self.resets.take(RESETS, now_ms) && self.source.take_reset(),
            Kind::Control => self.control.take(CONTROLS, now_ms),
            Kind::Continuation => self.continuations.take(CONTINUATIONS, now_ms),
            Kind::Window => self.windows.take(WINDOWS, now_ms),
            // Has been counted.
            Kind::Other => true,
        };
        if within { Ok(()) } else { Err(Flood(kind)) }
    }
}

impl FrameReader {
    /// Goes on by some octets, and tells of each frame that counts.
    fn read(&mut self, mut octets: &[u8], mut count: impl FnMut(Kind) -> Result<(), Flood>) -> Result<(), Flood> {
        let preface = self.preface_left.min(octets.len());
        self.preface_left -= preface;
        octets = &octets[preface..];
        while !octets.is_empty() {
            let payload = self.payload_left.min(octets.len());
            self.payload_left -= payload;
            octets = &octets[payload..];
            let missing = (HEADER_BYTES - self.header_seen).min(octets.len());
            self.header[self.header_seen..self.header_seen + missing].copy_from_slice(&octets[..missing]);
            self.header_seen += missing;
            octets = &octets[missing..];
            if self.header_seen == HEADER_BYTES {
                self.header_seen = 0;
                let [high, middle, low, kind, flags, ..] = self.header;
                self.payload_left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                if let Some(kind) = counted(kind, flags, self.payload_left) {
                    count(kind)?;
                }
            }
        }
        Ok(())
    }
}

/// RFC 9113 §6: frames by their types.
fn counted(kind: u8, flags: u8, bytes: usize) -> Option<Kind> {
    const END_STREAM: u8 = 1;
    match kind {
        0 if bytes == 0 && flags & END_STREAM == 0 => Some(Kind::Control),
        // Bodies and heads are work that was asked for; it is limited as requests are.
        0 | 1 => None,
        3 => Some(Kind::Reset),
        8 => Some(Kind::Window),
        9 => Some(Kind::Continuation),
        _ => Some(Kind::Control),
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CountedFrames<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self {
            stream,
            reader,
            budget,
            counters,
        } = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(stream).poll_read(context, buffer))?;
        let counted = reader.read(&buffer.filled()[before..], |kind| budget.take(kind));
        Poll::Ready(counted.map_err(|flood| {
            counters.flood(flood.0);
            io::Error::new(io::ErrorKind::QuotaExceeded, flood)
        }))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CountedFrames<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// RFC 9113 §3.4: what a connection begins with.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// RFC 9113 §4.1.
const HEADER_BYTES: usize = 9;

/// Resets of one connection: a caller that gives its requests up is rare, one that gives up all of them attacks
/// (CVE-2023-44487).
const RESETS: Rate = Rate {
    per_second: 20,
    burst: 200,
};

/// Frames of control of one connection. Clients that measure the delay send a `PING` for some parts of an answer.
const CONTROLS: Rate = Rate {
    per_second: 100,
    burst: 1_000,
};

/// Parts of header sections of one connection: one that fits our limit needs three at most (CVE-2024-27316).
const CONTINUATIONS: Rate = Rate {
    per_second: 50,
    burst: 200,
};

/// Windows of one connection: one for each 16 KiB, at 10 Gbit/s, is 76,000 a second; callers that read so much send larger
/// ones.
const WINDOWS: Rate = Rate {
    per_second: 20_000,
    burst: 20_000,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::Sources;

    fn counted_frames(source: Arc<Source>) -> CountedFrames<()> {
        CountedFrames::new((), source, Counters::new())
    }

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = (payload as u32).to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], &vec![0xff; payload]].concat()
    }

    #[test]
    fn frames_are_found_however_the_octets_arrive() {
        let octets = [
            PREFACE.to_vec(),
            frame(4, 0, 18),
            frame(1, 4, 300),
            frame(0, 0, 5),
            frame(0, 0, 0),
            frame(0, 1, 0),
            frame(3, 0, 4),
            frame(9, 4, 70_000),
            frame(8, 0, 4),
            frame(77, 0, 1),
        ]
        .concat();
        let expected = [
            Kind::Control,
            Kind::Control,
            Kind::Reset,
            Kind::Continuation,
            Kind::Window,
            Kind::Control,
        ];
        for size in [1, 2, 7, 9, 10, 1000, octets.len()] {
            let mut reader = counted_frames(Sources::new().of([127, 0, 0, 1].into())).reader;
            let mut found = Vec::new();
            for part in octets.chunks(size) {
                let count = |kind| {
                    found.push(kind);
                    Ok(())
                };
                reader.read(part, count).expect("nothing is over");
            }
            assert_eq!(found, expected, "in parts of {size}");
        }
    }

    #[test]
    fn a_budget_ends_and_that_of_a_source_is_shared_by_its_connections() {
        let source = Sources::new().of([127, 0, 0, 1].into());
        let taken = || {
            let budget = counted_frames(Arc::clone(&source)).budget;
            (0..10_000).take_while(|_| budget.take(Kind::Reset).is_ok()).count()
        };
        assert!((200..300).contains(&taken()));
        let all: usize = (0..20).map(|_| taken()).sum();
        assert!((700..1_000).contains(&all), "{all}");
    }
}
