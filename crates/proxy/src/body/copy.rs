//! A copy of a request's body on its way to a mirror: filled while the body is read, never waited for.
//!
//! What the mirror has not taken yet is held, up to a bound. Beyond it the copy is cut off, and the request goes on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;

use super::BodyError;

/// The most bytes that are held for one mirror of one request.
const HELD: usize = 131_072;

/// Where the copied body goes in. Dropped before [`Tap::end`], it breaks the copy off.
#[derive(Debug)]
pub(crate) struct Tap(Arc<Mutex<State>>);

/// The copied body as it is sent.
#[derive(Debug)]
pub(super) struct Copy(Arc<Mutex<State>>);

/// Tells what became of a copy.
#[derive(Clone, Debug)]
pub(crate) struct Fate(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    waiting: VecDeque<Bytes>,
    held: usize,
    trailers: Option<HeaderMap>,
    end: Option<End>,
    /// Whether nobody reads any more.
    unread: bool,
    reader: Option<Waker>,
    /// Who waits for the copy to be cut off.
    watcher: Option<Waker>,
    length: SizeHint,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Complete,
    /// The body itself broke off.
    Broken,
    /// More came than the mirror took.
    CutOff,
}

/// A copy of a body of this length.
pub(super) fn copy(length: SizeHint) -> (Tap, Copy, Fate) {
    let state = Arc::new(Mutex::new(State {
        waiting: VecDeque::new(),
        held: 0,
        trailers: None,
        end: None,
        unread: false,
        reader: None,
        watcher: None,
        length,
    }));
    (
        Tap(Arc::clone(&state)),
        Copy(Arc::clone(&state)),
        Fate(state),
    )
}

impl Tap {
    /// Copies what was read.
    pub(super) fn push(&self, data: &Bytes) {
        let mut state = self.0.lock();
        if state.end.is_some() || state.unread {
            return;
        }
        if state.held + data.len() > HELD {
            state.waiting.clear();
            state.finish(End::CutOff);
            return;
        }
        state.held += data.len();
        state.waiting.push_back(data.clone());
        state.wake();
    }

    /// The body has come whole.
    pub(super) fn end(self, trailers: Option<&HeaderMap>) {
        let mut state = self.0.lock();
        if state.end.is_none() {
            state.trailers = trailers.cloned();
            state.finish(End::Complete);
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if state.end.is_none() {
            state.finish(End::Broken);
        }
    }
}

impl Fate {
    /// Ready once more came than the mirror took.
    pub(crate) fn poll_cut_off(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.end == Some(End::CutOff) {
            return Poll::Ready(());
        }
        state.watcher = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl State {
    fn finish(&mut self, end: End) {
        self.end = Some(end);
        self.wake();
        if let Some(watcher) = self.watcher.take() {
            watcher.wake();
        }
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl Copy {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut state = self.0.lock();
        if let Some(data) = state.waiting.pop_front() {
            state.held -= data.len();
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match state.end {
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
            Some(End::Complete) => {
                Poll::Ready(state.trailers.take().map(|it| Ok(Frame::trailers(it))))
            }
            Some(End::Broken) => Poll::Ready(Some(Err(BodyError::Client))),
            Some(End::CutOff) => Poll::Ready(Some(Err(BodyError::CutOff))),
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let state = self.0.lock();
        state.end == Some(End::Complete) && state.waiting.is_empty() && state.trailers.is_none()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.0.lock().length
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.unread = true;
        state.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(copy: &mut Copy) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        copy.poll_frame(&mut Context::from_waker(Waker::noop()))
    }

    fn is_cut_off(fate: &Fate) -> bool {
        fate.poll_cut_off(&Context::from_waker(Waker::noop()))
            .is_ready()
    }

    fn data(copy: &mut Copy) -> usize {
        let Poll::Ready(Some(Ok(frame))) = next(copy) else {
            panic!("there is nothing to read")
        };
        frame.into_data().unwrap().len()
    }

    #[test]
    fn a_copy_has_all_that_was_read_and_ends_with_it() {
        let (tap, mut copy, fate) = copy(SizeHint::new());
        assert!(next(&mut copy).is_pending());
        tap.push(&Bytes::from_static(b"abc"));
        tap.push(&Bytes::from_static(b"de"));
        assert_eq!((data(&mut copy), copy.is_end_stream()), (3, false));
        let mut trailers = HeaderMap::new();
        trailers.insert("x", http::HeaderValue::from_static("1"));
        tap.end(Some(&trailers));
        assert_eq!(data(&mut copy), 2);
        let Poll::Ready(Some(Ok(frame))) = next(&mut copy) else {
            panic!("trailers are missing")
        };
        assert_eq!(frame.into_trailers().unwrap(), trailers);
        assert!(copy.is_end_stream() && !is_cut_off(&fate));
        assert!(matches!(next(&mut copy), Poll::Ready(None)));
    }

    #[test]
    fn a_copy_that_is_not_taken_is_cut_off_at_the_bound() {
        let chunk = Bytes::from(vec![0; HELD / 2]);
        let (tap, mut copy, fate) = copy(SizeHint::new());
        tap.push(&chunk);
        tap.push(&chunk);
        assert_eq!((data(&mut copy), is_cut_off(&fate)), (HELD / 2, false));
        tap.push(&chunk); // What was taken is not held any more.
        assert!(!is_cut_off(&fate));
        tap.push(&Bytes::from_static(b"x"));
        assert!(is_cut_off(&fate));
        let cut = next(&mut copy);
        assert!(
            matches!(cut, Poll::Ready(Some(Err(BodyError::CutOff)))),
            "{cut:?}"
        );
        tap.end(None);
        assert!(is_cut_off(&fate));
    }

    #[test]
    fn a_body_that_breaks_off_breaks_the_copy_off() {
        let (tap, mut copy, fate) = copy(SizeHint::new());
        drop(tap);
        let broken = next(&mut copy);
        assert!(
            matches!(broken, Poll::Ready(Some(Err(BodyError::Client)))),
            "{broken:?}"
        );
        assert!(!is_cut_off(&fate));
    }

    #[test]
    fn nothing_is_held_for_nobody() {
        let (tap, copy, fate) = copy(SizeHint::new());
        tap.push(&Bytes::from_static(b"abc"));
        drop(copy);
        tap.push(&Bytes::from(vec![0; HELD]));
        assert!(!is_cut_off(&fate));
        assert!(tap.0.lock().waiting.is_empty());
    }
}
