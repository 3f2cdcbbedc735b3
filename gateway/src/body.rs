//! Bodies: what is streamed to callers and to upstreams, at constant memory.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::connection::Offer;
use crate::refusal::Reason;
use crate::streams::{Side, Stream};

/// Body of an answer.
pub(crate) enum Body {
    /// Held whole. `None` once it has been sent.
    Full(Option<Bytes>),
    /// Streamed from an upstream.
    Streamed(Streamed),
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the other side failed: {0}")]
    Transfer(#[from] hyper::Error),
    #[error("nothing came for {0:?}")]
    Idle(Duration),
    #[error("no longer allowed: {}", .0.id())]
    Cut(Reason),
}

/// An upstream's body on its way to the caller.
pub(crate) struct Streamed {
    incoming: Incoming,
    idle: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    offer: Option<Offer>,
    /// The request, as it can be cut; `None` when nobody's rights bear on it.
    stream: Option<Rc<Stream>>,
    /// Runs from the cut of a request that may have changed something.
    last_words: Option<Pin<Box<Sleep>>>,
    /// Runs when the body has ended or was dropped; told the octets that were sent, and whether all were.
    finish: Option<Box<dyn FnOnce(Finished)>>,
    finished: Finished,
}

/// How far a streamed body came.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Finished {
    pub(crate) bytes: u64,
    pub(crate) complete: bool,
}

/// Body of a request to an upstream.
pub(crate) enum RequestBody {
    /// Held whole. `None` once it has been sent.
    Full(Option<Bytes>),
    /// Streamed from the caller.
    Streamed(Incoming, Rc<Progress>),
}

/// How the upload of a request body goes on, seen by whoever waits for the answer.
pub(crate) struct Progress {
    moved: Cell<Instant>,
    /// A part is wanted that the caller has not sent.
    awaited: Cell<bool>,
    complete: Cell<bool>,
    stream: Option<Rc<Stream>>,
}

impl Body {
    pub(crate) fn full(bytes: Bytes) -> Self {
        Self::Full(Some(bytes))
    }

    /// Streams an upstream's body, giving it up when nothing comes for `idle` or the request is cut.
    pub(crate) fn streamed(
        incoming: Incoming,
        idle: Duration,
        (stream, offer): (Option<Rc<Stream>>, Option<Offer>),
        finish: impl FnOnce(Finished) + 'static,
    ) -> Self {
        let mut streamed = Streamed {
            incoming,
            idle,
            timer: None,
            offer,
            stream,
            last_words: None,
            finish: None,
            finished: Finished::default(),
        };
        streamed.finished.complete = streamed.incoming.is_end_stream();
        streamed.finish = Some(Box::new(finish));
        Self::Streamed(streamed)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Full(bytes) => Poll::Ready(take_frame(bytes)),
            Self::Streamed(streamed) => streamed.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Streamed(streamed) => streamed.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => full_size(bytes),
            Self::Streamed(streamed) => streamed.incoming.size_hint(),
        }
    }
}

impl Streamed {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(reason) = self.poll_cut(context) {
            return Poll::Ready(Some(Err(BodyError::Cut(reason))));
        }
        self.offer.iter().for_each(Offer::take);
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(context) else {
            // Armed only when the upstream is slower than we are: most answers are complete by now.
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(self.idle)));
            ready!(timer.as_mut().poll(context));
            return Poll::Ready(Some(Err(BodyError::Idle(self.idle))));
        };
        self.timer = None;
        let frame = match frame {
            Some(Ok(frame)) => without_trailers_but_grpc(frame).map(Ok),
            none_or_broken => none_or_broken,
        };
        if let Some(Ok(frame)) = &frame {
            self.finished.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        self.finished.complete = frame.is_none() || self.incoming.is_end_stream();
        self.offer.iter().for_each(Offer::make);
        Poll::Ready(frame.map(|result| result.map_err(BodyError::from)))
    }

    /// A request that may have changed something was permitted when it did: its answer may still end.
    fn poll_cut(&mut self, context: &mut Context<'_>) -> Poll<Reason> {
        let Some(stream) = &self.stream else {
            return Poll::Pending;
        };
        let reason = ready!(stream.poll_cut(Side::Answer, context));
        if !stream.is_safe() {
            let timer = self
                .last_words
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(LAST_WORDS)));
            ready!(timer.as_mut().poll(context));
        }
        stream.obey();
        Poll::Ready(reason)
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        if let Some(finish) = self.finish.take() {
            finish(self.finished);
        }
    }
}

impl RequestBody {
    pub(crate) fn empty() -> Self {
        Self::Full(None)
    }
}

impl Progress {
    pub(crate) fn begin(stream: Option<Rc<Stream>>) -> Rc<Self> {
        Rc::new(Self {
            moved: Cell::new(Instant::now()),
            awaited: Cell::new(false),
            complete: Cell::new(false),
            stream,
        })
    }

    /// When the last part of the body went on or the next was wanted, or the whole was complete.
    pub(crate) fn moved(&self) -> Instant {
        self.moved.get()
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.complete.get()
    }

    /// Whether it is the caller that is waited for, not the upstream.
    pub(crate) fn awaits_caller(&self) -> bool {
        self.awaited.get()
    }

    fn set(&self, awaited: bool) {
        self.moved.set(Instant::now());
        self.awaited.set(awaited);
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Full(bytes) => Poll::Ready(take_frame(bytes)),
            Self::Streamed(incoming, progress) => {
                if let Some(stream) = &progress.stream
                    && let Poll::Ready(reason) = stream.poll_cut(Side::Upload, context)
                {
                    return Poll::Ready(Some(Err(BodyError::Cut(reason))));
                }
                let Poll::Ready(frame) = Pin::new(&mut *incoming).poll_frame(context) else {
                    if !progress.awaits_caller() {
                        progress.set(true);
                    }
                    return Poll::Pending;
                };
                progress.set(false);
                progress.complete.set(frame.is_none() || incoming.is_end_stream());
                // Trailers would become fields that no policy has seen.
                let frame = frame.filter(|f| !f.as_ref().is_ok_and(Frame::is_trailers));
                Poll::Ready(frame.map(|result| result.map_err(BodyError::from)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Streamed(incoming, _) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => full_size(bytes),
            Self::Streamed(incoming, _) => incoming.size_hint(),
        }
    }
}

/// Leaves of trailers those that a gRPC call ends with: others would be fields that nobody has cleaned.
fn without_trailers_but_grpc(frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
    let trailers = match frame.into_trailers() {
        Ok(trailers) => trailers,
        Err(data) => return Some(data),
    };
    let kept = trailers
        .iter()
        .filter(|(name, _)| GRPC_TRAILERS.contains(&name.as_str()));
    let kept: HeaderMap = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
    (!kept.is_empty()).then(|| Frame::trailers(kept))
}

/// gRPC over HTTP/2: `Trailers` without metadata of the application's own.
const GRPC_TRAILERS: [&str; 3] = ["grpc-status", "grpc-message", "grpc-status-details-bin"];

fn take_frame<E>(bytes: &mut Option<Bytes>) -> Option<Result<Frame<Bytes>, E>> {
    bytes
        .take()
        .filter(|bytes| !bytes.is_empty())
        .map(|bytes| Ok(Frame::data(bytes)))
}

fn full_size(bytes: &Option<Bytes>) -> SizeHint {
    SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
}

/// How long the answer to a request that may have changed something goes on when the request is cut.
const LAST_WORDS: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn of_trailers_only_those_of_grpc_go_on_and_data_goes_on_as_it_is() {
        let names = [
            "grpc-status",
            "grpc-message",
            "grpc-status-details-bin",
            "postern-identity",
            "x-other",
        ];
        let trailers: HeaderMap = names
            .into_iter()
            .map(|name| (http::HeaderName::from_static(name), HeaderValue::from_static("0")))
            .collect();
        let sent = without_trailers_but_grpc(Frame::trailers(trailers.clone()));
        let kept = sent
            .and_then(|frame| frame.into_trailers().ok())
            .expect("some are left");
        assert_eq!(kept.len(), 3);
        assert!(names[..3].iter().all(|name| kept.contains_key(*name)));
        let others = trailers
            .into_iter()
            .skip(3)
            .filter_map(|(name, value)| Some((name?, value)));
        assert!(without_trailers_but_grpc(Frame::trailers(others.collect())).is_none());
        let sent = without_trailers_but_grpc(Frame::data(Bytes::from_static(b"x")));
        assert_eq!(sent.and_then(|frame| frame.into_data().ok()).expect("all of it"), "x");
    }
}
