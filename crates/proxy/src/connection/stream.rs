//! The bytes of a client's connection: as they come, or within TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::writes::passes_on_writes;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// The two sorts of streams.
pub(super) enum Stream {
    Clear(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// The bytes as they come.
pub(super) struct Socket {
    stream: TcpStream,
    /// What has been read already, and is read again.
    again: Bytes,
}

impl Socket {
    pub(super) const fn new(stream: TcpStream, again: Bytes) -> Self {
        Self { stream, again }
    }

    /// Sends as much as is taken at once.
    pub(super) fn try_send(&self, bytes: &[u8]) {
        // The connection is closed next, whatever becomes of this.
        let _ = self.stream.try_write(bytes);
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.again.is_empty() {
            let some = self.again.len().min(buf.remaining());
            buf.put_slice(&self.again.split_to(some));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

passes_on_writes!(impl[] Socket);

/// Both sides of a `match` on a stream.
macro_rules! either {
    ($stream:expr, $inner:ident => $do:expr) => {
        match $stream {
            Stream::Clear($inner) => {
                let $inner = Pin::new($inner);
                $do
            }
            Stream::Tls($inner) => {
                let $inner = Pin::new(&mut **$inner);
                $do
            }
        }
    };
}

impl Stream {
    /// Sends as much as is taken at once.
    pub(super) fn try_send(&mut self, bytes: &[u8]) {
        let mut cx = Context::from_waker(Waker::noop());
        // The connection is closed next, whatever becomes of this.
        let _ = Pin::new(&mut *self).poll_write(&mut cx, bytes);
        let _ = Pin::new(self).poll_flush(&mut cx);
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(&mut *self, it => it.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(&mut *self, it => it.poll_write(cx, buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut *self, it => it.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut *self, it => it.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(&mut *self, it => it.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Clear(it) => it.is_write_vectored(),
            Self::Tls(it) => it.is_write_vectored(),
        }
    }
}
