//! The one body type: what is sent to clients and to endpoints, with everything that watches it on the way.
//!
//! The layers (guards, counts, time limits, replay) are parts of one struct rather than wrappers around each other, so
//! that a body costs no allocation of its own unless something is held by it.

mod copy;
mod upload;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::exchange::Exchange;
use crate::features::timeout::Expired;
use crate::flags::Flag;
use crate::trailers;
use crate::tunnel::{self, Tunnel};
pub(crate) use copy::{Fate, Tap};
pub(crate) use upload::{Keeping, Upload};

/// A body on its way to a client or to an endpoint.
#[derive(Default)]
pub struct Body {
    source: Source,
    /// Dropped when the body has ended.
    guard: Option<Box<dyn Send>>,
    /// The exchange that ends with this body, which is that of a response to a client.
    exchange: Option<Box<Exchange>>,
}

#[derive(Default)]
enum Source {
    #[default]
    Empty,
    Full(Bytes),
    Incoming(Incoming),
    /// The same over HTTP/2, where the end of a body is said.
    Stream(Incoming),
    Upload(upload::Attempt),
    /// No body, but what a connection is that has switched protocols.
    Switched(tunnel::Endpoint),
    Copy(copy::Copy),
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection that it came over failed, or carried something that is no body.
    #[error("the body broke off: {0}")]
    Peer(#[from] hyper::Error),
    /// The stream that it came over was reset, with the reason that is no error.
    #[error("the stream was reset")]
    Reset,
    /// The client's request broke off.
    #[error("the request's body broke off")]
    Client,
    /// Another attempt took its place.
    #[error("the attempt was given up")]
    GivenUp,
    /// A mirror did not take a copy fast enough.
    #[error("the copy was cut off")]
    CutOff,
    /// A time limit passed.
    #[error("a time limit passed: {0}")]
    Expired(&'static str),
}

impl Body {
    /// No body.
    pub const fn empty() -> Self {
        Self::of(Source::Empty)
    }

    /// This body, whole.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() {
            Self::empty()
        } else {
            Self::of(Source::Full(bytes))
        }
    }

    /// What a connection of HTTP/1 brings.
    pub const fn incoming(incoming: Incoming) -> Self {
        Self::of(Source::Incoming(incoming))
    }

    /// What a stream of HTTP/2 brings.
    pub(crate) const fn stream(incoming: Incoming) -> Self {
        Self::of(Source::Stream(incoming))
    }

    /// A client's body for the next attempt. None: it cannot be sent again.
    pub(crate) fn attempt(upload: &Arc<Upload>) -> Option<Self> {
        upload.attempt().map(|it| Self::of(Source::Upload(it)))
    }

    /// What follows a response that switches protocols.
    pub(crate) const fn switched(endpoint: tunnel::Endpoint) -> Self {
        Self::of(Source::Switched(endpoint))
    }

    /// The tunnel that begins behind the response, if there is one.
    pub(crate) fn take_tunnel(&mut self) -> Option<Tunnel> {
        if !matches!(self.source, Source::Switched(_)) {
            return None;
        }
        match (std::mem::take(&mut self.source), self.exchange.take()) {
            (Source::Switched(endpoint), Some(exchange)) => Some(Tunnel { exchange, endpoint }),
            (_, _) => None,
        }
    }

    /// A copy of a client's body, of this length.
    pub(crate) fn copy(length: SizeHint) -> (Tap, Self, Fate) {
        let (tap, copy, fate) = copy::copy(length);
        (tap, Self::of(Source::Copy(copy)), fate)
    }

    const fn of(source: Source) -> Self {
        Self {
            source,
            guard: None,
            exchange: None,
        }
    }

    /// Keeps a guard until the body has ended or is dropped.
    pub fn holding(mut self, guard: impl Send + 'static) -> Self {
        self.guard = Some(match self.guard.take() {
            Some(held) => Box::new((guard, held)),
            None => Box::new(guard),
        });
        self
    }

    /// The body of the response that ends an exchange: counted, held to its time limits, and logged at its end.
    /// `bodiless`: the client gets only the head, whatever the body is.
    pub(crate) fn ending(mut self, mut exchange: Box<Exchange>, bodiless: bool) -> Self {
        let switched = matches!(self.source, Source::Switched(_));
        exchange.delivered = !switched && (bodiless || self.is_end_stream());
        self.exchange = Some(exchange);
        self
    }

    /// When a time limit passes if nothing moves any more. A client that takes nothing keeps a body from being polled;
    /// whoever drives the connection is then to end it.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.exchange.as_ref()?.due()
    }

    fn poll_source(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.source {
            Source::Empty | Source::Switched(_) => Poll::Ready(None),
            Source::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.source = Source::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Source::Incoming(incoming) => poll_incoming(incoming, cx),
            Source::Stream(incoming) => match ready!(poll_incoming(incoming, cx)) {
                // Reset with NO_ERROR, which ends it for hyper without an error: that may follow a whole response, to stop
                // the request, but does not make one of what has come until then.
                None if !incoming.is_end_stream() => Poll::Ready(Some(Err(BodyError::Reset))),
                polled => Poll::Ready(polled),
            },
            Source::Upload(attempt) => attempt.poll_frame(cx),
            Source::Copy(copy) => copy.poll_frame(cx),
        }
    }

    /// Nothing moves; a time limit may pass meanwhile.
    fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        let Some(exchange) = &mut self.exchange else {
            return Poll::Pending;
        };
        exchange.poll_expired(None, cx).map(|expired: Expired| {
            exchange.broke_off(expired.flag(), expired.details());
            BodyError::Expired(expired.details())
        })
    }

    /// Whether the client gets no trailers.
    fn drops_trailers(&self) -> bool {
        let exchange = self.exchange.as_ref();
        exchange.is_some_and(|exchange| !exchange.has_trailers())
    }

    /// Lets go of all that was held for the body.
    fn end(&mut self) {
        self.guard = None;
        self.exchange = None;
    }
}

fn poll_incoming(
    incoming: &mut Incoming,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    let mut polled = ready!(Pin::new(incoming).poll_frame(cx));
    if let Some(Ok(frame)) = &mut polled
        && let Some(trailers) = frame.trailers_mut()
    {
        trailers::prepare(trailers);
    }
    Poll::Ready(polled.map(|frame| frame.map_err(BodyError::Peer)))
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &self.source {
            Source::Empty => "Empty",
            Source::Full(_) => "Full",
            Source::Incoming(_) => "Incoming",
            Source::Stream(_) => "Stream",
            Source::Upload(_) => "Upload",
            Source::Switched(_) => "Switched",
            Source::Copy(_) => "Copy",
        };
        f.debug_tuple("Body").field(&kind).finish()
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match this.poll_source(cx) {
            Poll::Pending => match this.poll_limits(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(error) => {
                    this.source = Source::Empty;
                    this.end();
                    Poll::Ready(Some(Err(error)))
                }
            },
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() && this.drops_trailers() => {
                this.source = Source::Empty;
                if let Some(exchange) = &mut this.exchange {
                    exchange.delivered = true;
                }
                this.end();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(frame))) => {
                // Nobody asks again after trailers.
                let ended = frame.is_trailers() || this.is_end_stream();
                if let Some(exchange) = &mut this.exchange {
                    exchange.moved(frame.data_ref().map_or(0, Bytes::len));
                    if let Some(trailers) = frame.trailers_ref() {
                        exchange.keep_trailers(trailers);
                    }
                    exchange.delivered = ended;
                }
                if ended {
                    this.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                if let Some(exchange) = &mut this.exchange {
                    exchange.broke_off(
                        Some(Flag::UpstreamConnectionTermination),
                        "upstream_reset_after_response_started{connection_termination}",
                    );
                }
                this.end();
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                if let Some(exchange) = &mut this.exchange {
                    exchange.delivered = true;
                }
                this.end();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty | Source::Switched(_) => true,
            Source::Full(_) => false,
            Source::Incoming(incoming) | Source::Stream(incoming) => incoming.is_end_stream(),
            Source::Upload(attempt) => attempt.is_end_stream(),
            Source::Copy(copy) => copy.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty | Source::Switched(_) => SizeHint::with_exact(0),
            Source::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Incoming(incoming) | Source::Stream(incoming) => incoming.size_hint(),
            Source::Upload(attempt) => attempt.size_hint(),
            Source::Copy(copy) => copy.size_hint(),
        }
    }
}
