//! A TCP connection of a caller: octets that were read ahead come first, and a caller that stops reading is given up.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// A caller's connection.
pub(crate) struct Socket {
    stream: TcpStream,
    /// Octets that were looked at and are yet to be read.
    ahead: BytesMut,
    send_timeout: Duration,
    /// Runs while the caller takes nothing of what is to be sent.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    /// Takes a connection; it fails when the caller takes nothing for `send_timeout` while something is to be sent.
    pub(crate) fn new(stream: TcpStream, send_timeout: Duration) -> Self {
        Self {
            stream,
            ahead: BytesMut::new(),
            send_timeout,
            timer: None,
        }
    }

    /// Returns the octets that were read ahead.
    pub(crate) fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// Reads further ahead; returns how many octets came, 0 at the end.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn read_ahead(&mut self) -> io::Result<usize> {
        self.stream.read_buf(&mut self.ahead).await
    }

    /// Drops the first of the octets that were read ahead.
    pub(crate) fn skip(&mut self, octets: usize) {
        self.ahead.advance(octets);
    }

    fn poll_stalled(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let timeout = self.send_timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(io::Error::new(
            io::ErrorKind::TimedOut,
            "the caller takes nothing of the answer",
        ))
    }

    fn sent<T>(&mut self, sent: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if sent.is_pending() {
            return self.poll_stalled(context).map(Err);
        }
        self.timer = None;
        sent
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        if socket.ahead.is_empty() {
            return Pin::new(&mut socket.stream).poll_read(context, buffer);
        }
        let given = socket.ahead.len().min(buffer.remaining());
        buffer.put_slice(&socket.ahead[..given]);
        socket.ahead.advance(given);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let socket = self.get_mut();
        let sent = Pin::new(&mut socket.stream).poll_write(context, octets);
        socket.sent(sent, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let socket = self.get_mut();
        let sent = Pin::new(&mut socket.stream).poll_write_vectored(context, slices);
        socket.sent(sent, context)
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
