//! The body of a response on its way to a client, for whoever drives the connection: a client that takes nothing keeps a
//! body from being polled, and so from noticing by itself that a time limit has passed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use crate::body::{Body, BodyError};

/// Who ends what does not move.
pub(super) trait Watcher {
    /// When a limit passes if nothing moves before.
    fn moves_until(&self, due: Option<Instant>);

    /// The response has ended.
    fn ended(&self);
}

/// A response body that is watched.
pub(super) struct Timed<W: Watcher> {
    body: Body,
    watcher: Arc<W>,
}

impl<W: Watcher> Timed<W> {
    pub(super) fn new(body: Body, watcher: Arc<W>) -> Self {
        Self { body, watcher }
    }
}

impl<W: Watcher> http_body::Body for Timed<W> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.watcher.moves_until(self.body.due());
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<W: Watcher> Drop for Timed<W> {
    fn drop(&mut self) {
        self.watcher.ended();
    }
}
