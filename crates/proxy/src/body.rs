//! The one body type: what is sent to clients and to endpoints, with everything that watches it on the way.
//!
//! The layers (guards, counts, time limits, replay) are parts of one struct rather than wrappers around each other, so
//! that a body costs no allocation of its own unless something is held by it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

/// A body on its way to a client or to an endpoint.
#[derive(Default)]
pub struct Body {
    source: Source,
    /// Dropped when the body has ended.
    guard: Option<Box<dyn Send>>,
}

#[derive(Default)]
enum Source {
    #[default]
    Empty,
    Full(Bytes),
    Incoming(Incoming),
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection that it came over failed, or carried something that is no body.
    #[error("the body broke off: {0}")]
    Peer(#[from] hyper::Error),
}

impl Body {
    /// No body.
    pub const fn empty() -> Self {
        Self {
            source: Source::Empty,
            guard: None,
        }
    }

    /// This body, whole.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            source: if bytes.is_empty() {
                Source::Empty
            } else {
                Source::Full(bytes)
            },
            guard: None,
        }
    }

    /// What a connection brings.
    pub const fn incoming(incoming: Incoming) -> Self {
        Self {
            source: Source::Incoming(incoming),
            guard: None,
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
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &self.source {
            Source::Empty => "Empty",
            Source::Full(_) => "Full",
            Source::Incoming(_) => "Incoming",
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
        let polled = match &mut this.source {
            Source::Empty => Poll::Ready(None),
            Source::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                this.source = Source::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Source::Incoming(incoming) => Pin::new(incoming)
                .poll_frame(cx)
                .map(|polled| polled.map(|frame| frame.map_err(BodyError::Peer))),
        };
        let ended = match &polled {
            Poll::Pending => false,
            Poll::Ready(None | Some(Err(_))) => true,
            Poll::Ready(Some(Ok(_))) => this.is_end_stream(),
        };
        if ended {
            this.guard = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Full(_) => false,
            Source::Incoming(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Incoming(incoming) => incoming.size_hint(),
        }
    }
}
