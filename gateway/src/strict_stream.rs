//! A connection whose octets pass through [`Wire`] before hyper sees them.
//!
//! What may not be handed on is answered like every other refusal: hyper is given a head that we made in its place, and
//! whoever answers the request of that number is told the reason. Nothing after it is read.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::refusal::Reason;
use crate::wire::{Limits, Violation, Wire};

/// A stream of requests, admitted.
pub(crate) struct StrictStream<S> {
    stream: S,
    wire: Wire,
    /// Octets that have arrived and were not handed on.
    held: BytesMut,
    /// How many of them may be handed on as soon as there is room.
    passed: usize,
    mode: Mode,
    notes: Arc<Notes>,
    header_timeout: Duration,
    /// Runs while a head is arriving, and before the first; and while we linger.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether our side of the connection is at its end.
    closed: bool,
}

/// What the stream and whoever answers its requests tell each other. Both are on one thread, but hyper wants a stream that
/// could be upgraded to be one that could move.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Requests that were begun to be answered.
    begun: AtomicU64,
    /// Heads that were handed on.
    heads: AtomicU64,
    /// The reason to refuse the last request.
    refused: OnceLock<Reason>,
    /// What the answer to the last request was: unknown, ordinary, or a switch of protocols.
    answer: AtomicU8,
    /// Who waits for it.
    waiting: AtomicWaker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Admit,
    /// The connection speaks another protocol: no request follows.
    Switched,
    /// Nothing more is read.
    Refused,
}

impl Notes {
    /// Says that a request is to be answered; returns the reason when it must be refused.
    pub(crate) fn begin(&self) -> Option<Reason> {
        let begun = self.begun.load(Ordering::Relaxed) + 1;
        self.begun.store(begun, Ordering::Relaxed);
        self.answer.store(UNKNOWN_YET, Ordering::Relaxed);
        // Requests are answered in their order, and the refused one is the last.
        let last = begun == self.heads.load(Ordering::Relaxed);
        self.refused.get().copied().filter(|_| last)
    }

    /// Says how the request that was begun last is answered.
    pub(crate) fn answer(&self, switches_protocols: bool) {
        let answer = if switches_protocols { SWITCHED } else { ORDINARY };
        self.answer.store(answer, Ordering::Relaxed);
        self.waiting.wake();
    }

    fn set_heads(&self, heads: u64) {
        self.heads.store(heads, Ordering::Relaxed);
    }
}

const UNKNOWN_YET: u8 = 0;
const ORDINARY: u8 = 1;
const SWITCHED: u8 = 2;

impl<S> StrictStream<S> {
    /// Puts a stream under watch.
    pub(crate) fn new(stream: S, limits: Limits, header_timeout: Duration) -> (Self, Arc<Notes>) {
        let notes = Arc::<Notes>::default();
        let stream = Self {
            stream,
            wire: Wire::new(limits),
            held: BytesMut::new(),
            passed: 0,
            mode: Mode::Admit,
            notes: Arc::clone(&notes),
            header_timeout,
            timer: Some(Box::pin(sleep(header_timeout))),
            closed: false,
        };
        (stream, notes)
    }

    /// Looks at what is held, and takes note of what may be handed on.
    fn look(&mut self) -> io::Result<()> {
        self.passed = match self.wire.look(&self.held) {
            Ok(passed) => passed,
            Err(violation) => return self.refuse(violation),
        };
        Ok(())
    }

    fn refuse(&mut self, violation: Violation) -> io::Result<()> {
        self.mode = Mode::Refused;
        if !violation.in_head {
            return Err(io::Error::new(io::ErrorKind::InvalidData, violation.reason.id()));
        }
        let (method, target) = violation.request.unwrap_or_else(|| (UNKNOWN.to_owned(), None));
        // Asterisk-form, RFC 9112 §3.2.4: no resource.
        let target = target.as_deref().unwrap_or("*");
        let head = format!("{method} {target} HTTP/1.1\r\n\r\n");
        self.held = BytesMut::from(head.as_bytes());
        self.passed = self.held.len();
        self.notes.refused.get_or_init(|| violation.reason);
        self.notes.set_heads(self.wire.heads() + 1);
        self.timer = None;
        Ok(())
    }

    /// Learns how a request for another protocol was answered.
    fn learn(&mut self) {
        if !self.wire.is_held() || self.notes.begun.load(Ordering::Relaxed) != self.wire.heads() {
            return;
        }
        match self.notes.answer.load(Ordering::Relaxed) {
            SWITCHED => self.mode = Mode::Switched,
            ORDINARY => self.wire.release(),
            _ => {}
        }
    }

    /// Hands on what may be.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let given = self.passed.min(buffer.remaining());
        buffer.put_slice(&self.held[..given]);
        self.held.advance(given);
        self.passed -= given;
    }

    /// Lets the time run while a head is arriving. An answer that is late is made here: nobody else may be waiting.
    fn poll_time(&mut self, context: &mut Context<'_>) -> Option<Violation> {
        if self.wire.in_head() || self.timer.is_some() {
            let timeout = self.header_timeout;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(timeout)));
            if timer.as_mut().poll(context).is_ready() {
                return Some(self.wire.late(&self.held));
            }
        }
        None
    }
}

impl<S: AsyncRead + Unpin> StrictStream<S> {
    /// Reads straight into the reader's buffer: a head most often comes whole, and is then copied nowhere.
    fn poll_read_through(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let arrived = &buffer.filled()[before..];
        let passed = match self.wire.look(arrived) {
            Ok(passed) => passed,
            Err(violation) => {
                buffer.set_filled(before);
                self.refuse(violation)?;
                return Poll::Ready(Ok(()));
            }
        };
        if passed < arrived.len() {
            self.held.extend_from_slice(&arrived[passed..]);
            buffer.set_filled(before + passed);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads behind what is held.
    fn poll_read_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut room = [0; READ_BYTES];
        let mut buffer = ReadBuf::new(&mut room);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        self.held.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn poll_admit(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.passed > 0 {
                self.give(buffer);
                return Poll::Ready(Ok(()));
            }
            match self.mode {
                Mode::Refused => return Poll::Pending,
                Mode::Switched if self.held.is_empty() => return Pin::new(&mut self.stream).poll_read(context, buffer),
                Mode::Switched => self.passed = self.held.len(),
                Mode::Admit if self.held.is_empty() && !self.wire.is_held() => {
                    let before = buffer.filled().len();
                    match self.poll_read_through(context, buffer) {
                        Poll::Ready(done) => {
                            done?;
                            let nothing_yet =
                                buffer.filled().len() == before && (self.passed > 0 || !self.held.is_empty());
                            if !nothing_yet {
                                return Poll::Ready(Ok(()));
                            }
                        }
                        Poll::Pending => match self.poll_time(context) {
                            // Not an octet of a first request: there is nothing to answer.
                            Some(_late) => return Poll::Ready(Ok(())),
                            None => return Poll::Pending,
                        },
                    }
                }
                Mode::Admit => {
                    self.learn();
                    if self.mode == Mode::Admit && !self.wire.is_held() {
                        self.look()?;
                    }
                    if self.mode != Mode::Admit || self.passed > 0 {
                        continue;
                    }
                    if self.wire.is_held() {
                        self.notes.waiting.register(context.waker());
                        // Only so much is kept until the answer is known.
                        if self.held.len() >= READ_BYTES {
                            return Poll::Pending;
                        }
                    }
                    match self.poll_read_more(context) {
                        Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                        Poll::Ready(read) => drop(read?),
                        Poll::Pending => match self.poll_time(context) {
                            Some(late) => self.refuse(late)?,
                            None => return Poll::Pending,
                        },
                    }
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> StrictStream<S> {
    /// Closes our side, then drops what still comes (RFC 9112 §9.6): to a caller who is still sending, an end at once would
    /// be a reset, which takes the answer away from it unread.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closed {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.closed = true;
            self.timer = None;
        }
        let more_may_come = self.mode == Mode::Refused || self.wire.in_body();
        if !more_may_come {
            return Poll::Ready(Ok(()));
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(LINGER_MAX)));
        let mut room = [0; READ_BYTES];
        while timer.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut room);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                // The caller has closed its side, or is gone.
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StrictStream<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let done = ready!(stream.poll_admit(context, buffer));
        if !stream.wire.in_head() {
            stream.timer = None;
        }
        if stream.mode != Mode::Refused {
            stream.notes.set_heads(stream.wire.heads());
        }
        Poll::Ready(done)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for StrictStream<S> {
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

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_linger(context)
    }
}

/// Longest time for which a connection is kept for a caller that is still sending when all is said. An answer has reached
/// it by then, or never does; the connection counts against its limits until the end.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// Method of a request whose own cannot be told: a token that is no method.
const UNKNOWN: &str = "-";

/// Octets read at once where they must be kept.
const READ_BYTES: usize = 4 * 1024;
