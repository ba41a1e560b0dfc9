//! A client's request body on its way to endpoints: read once, sent as often as there are attempts.
//!
//! As much as the listener buffers for a connection (32 KiB unless it says otherwise) is kept for further attempts, where there may be any, or read ahead while there is no connection yet,
//! so that a small request counts as received whatever its endpoint does. Beyond that the body goes straight through.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::time::Instant;
use weir_plan::WithUnderscores;

use super::{BodyError, Tap};
use crate::features::timeout::Progress;
use crate::{headers, trailers};

/// The body of one request.
#[derive(Debug)]
pub(crate) struct Upload(Mutex<State>);

#[derive(Debug)]
struct State {
    source: Incoming,
    length: SizeHint,
    /// What has been read: everything from the first byte while `whole`, else what nobody has taken yet.
    kept: Vec<u8>,
    whole: bool,
    /// Bytes that are kept at most.
    most: usize,
    trailers: Option<HeaderMap>,
    /// Which trailers are passed on, see [`Keeping`].
    with_trailers: Option<WithUnderscores>,
    /// Whether the source knows that it has come to its end.
    says_its_end: bool,
    end: Option<End>,
    received: u64,
    moved: Instant,
    complete: Option<Instant>,
    /// The attempt that may read; earlier ones are given up.
    attempt: u32,
    /// Whether that attempt has begun to read, and so is woken when more comes.
    reading: bool,
    /// The copies for mirrors.
    taps: Vec<Tap>,
    /// Who waits for the end of the request.
    waiting: Option<Waker>,
}

/// What is kept of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeping {
    /// Whether it is kept for further attempts, as long as it fits.
    pub(crate) again: bool,
    /// Bytes that are kept at most: what the listener buffers for a connection, which bounds what can be retried.
    pub(crate) most: usize,
    /// Which trailers are passed on. None: none; those with an underscore in their name only where heads may have such.
    pub(crate) trailers: Option<WithUnderscores>,
    /// Whether the source knows that it has come to its end, as it does in HTTP/2.
    pub(crate) says_its_end: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Complete,
    /// What came is no body.
    Broken,
    /// The client left.
    Abandoned,
}

/// An upload as one attempt sends it.
#[derive(Debug)]
pub(super) struct Attempt {
    upload: Arc<Upload>,
    number: u32,
    /// How much of what is kept has been sent.
    sent: usize,
}

impl Upload {
    /// A body that is about to come. `taps` copy it.
    pub(crate) fn new(source: Incoming, keeping: Keeping, taps: Vec<Tap>, now: Instant) -> Self {
        let Keeping {
            again,
            most,
            trailers,
            says_its_end,
        } = keeping;
        Self(Mutex::new(State {
            length: source.size_hint(),
            source,
            kept: Vec::new(),
            whole: again,
            most,
            trailers: None,
            with_trailers: trailers,
            says_its_end,
            end: None,
            received: 0,
            moved: now,
            complete: None,
            attempt: 0,
            reading: false,
            taps,
            waiting: None,
        }))
    }

    /// The body for the next attempt, which takes it from those before. None: some of it has been sent and is gone.
    pub(super) fn attempt(self: &Arc<Self>) -> Option<Attempt> {
        let mut state = self.0.lock();
        let untouched = !state.reading || state.whole;
        untouched.then(|| {
            state.attempt += 1;
            state.reading = false;
            Attempt {
                upload: Arc::clone(self),
                number: state.attempt,
                sent: 0,
            }
        })
    }

    /// Whether there could be a further attempt.
    pub(crate) fn can_be_sent_again(&self) -> bool {
        let state = self.0.lock();
        !state.reading || state.whole
    }

    /// Whether the client left before the end.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.lock().end == Some(End::Abandoned)
    }

    /// Bytes that have come.
    pub(crate) fn received(&self) -> u64 {
        self.0.lock().received
    }

    /// What moved when; the task is woken when the request has come to its end.
    pub(crate) fn progress(&self, cx: &Context<'_>) -> Progress {
        let mut state = self.0.lock();
        if state.complete.is_none() {
            match &mut state.waiting {
                Some(waker) => waker.clone_from(cx.waker()),
                None => state.waiting = Some(cx.waker().clone()),
            }
        }
        state.progress()
    }

    /// What moved when.
    pub(crate) fn progress_now(&self) -> Progress {
        self.0.lock().progress()
    }

    /// Reads ahead while no attempt reads.
    pub(crate) fn read_ahead(&self, cx: &mut Context<'_>) {
        let mut state = self.0.lock();
        while !state.reading && state.end.is_none() && state.kept.len() < state.most {
            match state.poll_source(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(data)) => state.keep(&data),
                Poll::Ready(None) => {}
            }
        }
    }
}

impl State {
    const fn progress(&self) -> Progress {
        Progress {
            complete: self.complete,
            moved: self.moved,
        }
    }

    /// The next bytes, or the end.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            let polled = std::task::ready!(Pin::new(&mut self.source).poll_frame(cx));
            self.moved = Instant::now();
            match polled {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.received += data.len() as u64;
                        self.taps.iter().for_each(|tap| tap.push(&data));
                        if self.source.is_end_stream() {
                            self.ended(End::Complete);
                        }
                        return Poll::Ready(Some(data));
                    }
                    Err(frame) => {
                        let trailers = frame.into_trailers().ok();
                        self.trailers = trailers.filter(|_| self.with_trailers.is_some());
                        if let Some(trailers) = &mut self.trailers {
                            trailers::prepare(trailers);
                            if self.with_trailers != Some(WithUnderscores::Allow) {
                                headers::remove_underscores(trailers);
                            }
                        }
                    }
                },
                // A stream that is reset with NO_ERROR, which a client may not do, ends for hyper without an error.
                None if self.says_its_end && !self.source.is_end_stream() => {
                    self.ended(End::Abandoned);
                    return Poll::Ready(None);
                }
                None => {
                    self.ended(End::Complete);
                    return Poll::Ready(None);
                }
                Some(Err(error)) => {
                    self.ended(why_it_broke_off(&error));
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn ended(&mut self, end: End) {
        self.end = Some(end);
        if end == End::Complete {
            self.complete = Some(self.moved);
            for tap in self.taps.drain(..) {
                tap.end(self.trailers.as_ref());
            }
        }
        self.taps.clear();
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    /// Keeps what was read ahead.
    fn keep(&mut self, data: &[u8]) {
        self.kept.extend_from_slice(data);
        self.whole &= self.kept.len() <= self.most;
    }

    /// Keeps what is sent on at the same time, for further attempts.
    fn keep_copy(&mut self, data: &[u8]) {
        if !self.whole {
            return;
        }
        if self.kept.len() + data.len() <= self.most {
            self.kept.extend_from_slice(data);
        } else {
            self.whole = false;
            self.kept = Vec::new();
        }
    }
}

/// hyper calls what it cannot read as a body invalid; all else is an end of the connection.
fn why_it_broke_off(error: &hyper::Error) -> End {
    let source = std::error::Error::source(error);
    let source = source.and_then(|source| source.downcast_ref::<io::Error>());
    match source.map(io::Error::kind) {
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => End::Broken,
        Some(_) | None => End::Abandoned,
    }
}

impl Attempt {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut state = self.upload.0.lock();
        if state.attempt != self.number {
            return Poll::Ready(Some(Err(BodyError::GivenUp)));
        }
        state.reading = true;
        if state.whole && self.sent < state.kept.len() {
            let data = Bytes::copy_from_slice(&state.kept[self.sent..]);
            self.sent = state.kept.len();
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if !state.whole && !state.kept.is_empty() {
            let data = Bytes::from(std::mem::take(&mut state.kept));
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if state.end.is_none()
            && let Some(data) = std::task::ready!(state.poll_source(cx))
        {
            state.keep_copy(&data);
            self.sent = state.kept.len();
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match state.end {
            _ if self.sent == usize::MAX => Poll::Ready(None),
            Some(End::Broken | End::Abandoned) => Poll::Ready(Some(Err(BodyError::Client))),
            Some(End::Complete) | None => {
                let trailers = if state.whole {
                    state.trailers.clone()
                } else {
                    state.trailers.take()
                };
                // Trailers come once to each attempt.
                self.sent = usize::MAX;
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let state = self.upload.0.lock();
        let all_sent = if state.whole {
            self.sent >= state.kept.len()
        } else {
            state.kept.is_empty()
        };
        let trailers_sent = state.trailers.is_none() || self.sent == usize::MAX;
        state.end == Some(End::Complete) && all_sent && trailers_sent
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.upload.0.lock().length
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let mut state = self.upload.0.lock();
        // What is kept whole is there for the next attempt, and is read on meanwhile.
        if state.attempt == self.number && state.whole {
            state.reading = false;
        }
    }
}
