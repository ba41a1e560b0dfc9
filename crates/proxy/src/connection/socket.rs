//! The socket of a client's connection, with what has to be noticed of its bytes before hyper has them: when a request
//! begins, framing that can be read in two ways, the preface of HTTP/2, and frames that are unfinished or bring nothing.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};

use super::frames::{Frames, Noted, PREFACE};
use super::framing::{Framing, Wrong};
use super::phase::{HEAD, IDLE, Phase};
use super::stream::Stream;
use crate::writes::passes_on_writes;

/// A socket whose bytes are looked at on the way.
pub(super) struct Noticed {
    stream: Stream,
    watch: Watch,
}

enum Watch {
    /// Nothing has come but the beginning of a preface. hyper recognises one only where it gets it whole.
    Begun { come: usize, phase: Arc<Phase> },
    /// Requests in HTTP/1.
    Requests { phase: Arc<Phase>, framing: Framing },
    /// HTTP/2. What has been read of it is read again.
    Frames { again: Bytes, frames: Frames },
    /// A tunnel, likewise.
    Nothing { again: Bytes },
}

impl Noticed {
    /// A connection over which nothing has come yet.
    pub(super) fn new(stream: Stream, phase: Arc<Phase>) -> Self {
        let watch = Watch::Begun { come: 0, phase };
        Self { stream, watch }
    }

    /// The same connection once it is known to speak HTTP/2, from its beginning: `read` is what has come.
    pub(super) fn with_http2(self, read: &Bytes, noted: Rc<Noted>) -> Self {
        let Self { stream, watch: _ } = self;
        let (again, frames) = (read.clone(), Frames::new(noted));
        Self {
            stream,
            watch: Watch::Frames { again, frames },
        }
    }

    /// The same connection once it has switched protocols: `read` is what has come of the other.
    pub(super) fn unwatched(self, read: &Bytes) -> Self {
        let Self { stream, watch: _ } = self;
        let again = read.clone();
        Self {
            stream,
            watch: Watch::Nothing { again },
        }
    }

    /// A connection of which it is known from the start that it speaks HTTP/2.
    pub(super) fn http2(stream: Stream, noted: Rc<Noted>) -> Self {
        let (again, frames) = (Bytes::new(), Frames::new(noted));
        Self {
            stream,
            watch: Watch::Frames { again, frames },
        }
    }

    pub(super) fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }
}

impl AsyncRead for Noticed {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, watch } = self.get_mut();
        let before = buf.filled().len();
        match watch {
            Watch::Begun { come, phase } => {
                ready!(poll_beginning(stream, come, phase, cx, buf))?;
                let (phase, framing) = (Arc::clone(phase), Framing::default());
                *watch = Watch::Requests { phase, framing };
            }
            Watch::Nothing { again } | Watch::Frames { again, frames: _ } if !again.is_empty() => {
                let some = again.len().min(buf.remaining());
                buf.put_slice(&again.split_to(some));
            }
            Watch::Requests { .. } | Watch::Frames { .. } | Watch::Nothing { .. } => {
                ready!(Pin::new(stream).poll_read(cx, buf))?;
            }
        }
        let new = &buf.filled()[before..];
        match watch {
            Watch::Requests { phase, framing } if !new.is_empty() => {
                if phase.read().state() == IDLE {
                    phase.enter(HEAD);
                }
                match framing.follow(new) {
                    None => {}
                    Some(Wrong::Framing(request)) => {
                        phase.ambiguous.store(request, Ordering::Relaxed);
                    }
                    Some(Wrong::End) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                }
            }
            Watch::Frames { again: _, frames } => {
                if !frames.follow(new) {
                    return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                }
            }
            Watch::Requests { .. } | Watch::Begun { .. } | Watch::Nothing { .. } => {}
        }
        Poll::Ready(Ok(()))
    }
}

/// Reads until it is clear whether the first bytes are a preface. Those that may be one are not kept: they are known.
fn poll_beginning(
    stream: &mut Stream,
    come: &mut usize,
    phase: &Phase,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let before = buf.filled().len();
    loop {
        buf.put_slice(&PREFACE[..*come]);
        let polled = Pin::new(&mut *stream).poll_read(cx, buf);
        let new = buf.filled().len() - before;
        let begins = PREFACE.starts_with(&buf.filled()[before..]) && new < PREFACE.len();
        if polled.is_ready() && !(begins && new > *come) {
            return polled;
        }
        if *come == 0 && new > 0 {
            phase.enter(HEAD);
        }
        *come = new;
        buf.set_filled(before);
        ready!(polled)?;
    }
}

passes_on_writes!(impl[] Noticed);
