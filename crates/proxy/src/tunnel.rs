//! The bytes of a connection that has switched protocols: both ways at once, each side as fast as the other takes them.
//!
//! The exchange goes on until the tunnel ends: its idle timeout and its duration still count, and the circuit breaker's
//! slot is held. Where one side has no more to say, the other may still go on.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::exchange::Exchange;
use crate::features::timeout::Expired;
use crate::flags::Flag;
use crate::rejection::DOWNSTREAM_GONE;

/// Bytes on their way, for each direction. Whoever sends more waits.
const BUFFER: usize = 8 * 1024;

/// What carries bytes both ways.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// An endpoint's end of a tunnel, and what is held until it ends.
pub(crate) struct Endpoint {
    connection: Box<dyn Wire>,
    _held: Box<dyn Send>,
}

impl Endpoint {
    /// `held`: its places among the requests in progress, at the cluster and at the endpoint, and on a connection that
    /// others share.
    pub(crate) fn new(connection: Box<dyn Wire>, held: Box<dyn Send>) -> Self {
        Self {
            connection,
            _held: held,
        }
    }
}

/// A tunnel of which the client has yet to be told.
pub(crate) struct Tunnel {
    pub(crate) exchange: Box<Exchange>,
    pub(crate) endpoint: Endpoint,
}

impl Tunnel {
    /// Moves bytes until both sides have ended, one of them broke off, or a time limit passed; both are closed then.
    pub(crate) async fn run(self, mut client: impl AsyncRead + AsyncWrite + Unpin) {
        let Self {
            mut exchange,
            mut endpoint,
        } = self;
        let server = &mut endpoint.connection;
        let (mut up, mut down) = (Flow::default(), Flow::default());
        let ended = poll_fn(|cx| {
            let sent = up.poll(&mut client, server, cx, |bytes| exchange.came(bytes));
            let got = down.poll(server, &mut client, cx, |bytes| exchange.moved(bytes));
            match (sent, got) {
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(Ended::Orderly),
                (Poll::Ready(Err(Broken::Source)), _) | (_, Poll::Ready(Err(Broken::Sink))) => {
                    Poll::Ready(Ended::ByClient)
                }
                (Poll::Ready(Err(Broken::Sink)), _) | (_, Poll::Ready(Err(Broken::Source))) => {
                    Poll::Ready(Ended::ByEndpoint)
                }
                (Poll::Pending, _) | (_, Poll::Pending) => {
                    exchange.poll_expired(None, cx).map(Ended::ByLimit)
                }
            }
        })
        .await;
        match ended {
            Ended::Orderly => exchange.delivered = true,
            Ended::ByClient => {
                exchange.broke_off(Some(Flag::DownstreamConnectionTermination), DOWNSTREAM_GONE);
            }
            Ended::ByEndpoint => exchange.broke_off(
                Some(Flag::UpstreamConnectionTermination),
                "upstream_reset_after_response_started{connection_termination}",
            ),
            Ended::ByLimit(expired) => exchange.broke_off(expired.flag(), expired.details()),
        }
    }
}

/// How a tunnel ended.
#[derive(Debug)]
enum Ended {
    Orderly,
    ByClient,
    ByEndpoint,
    ByLimit(Expired),
}

/// Which end of a direction failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Source,
    Sink,
}

/// One direction.
#[derive(Default)]
struct Flow {
    /// Room for what is on its way; made when the first bytes are waited for.
    buffer: Box<[u8]>,
    /// How much of it has come, and how much of that has been sent on.
    come: usize,
    sent: usize,
    /// Whether the sink may keep some of that to itself.
    unflushed: bool,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Moving,
    /// The source has ended, which the sink is to be told.
    Ending,
    Ended,
}

impl Flow {
    /// Ready when the source has ended and the sink knows, or when one of them failed. `moved` learns how much came.
    fn poll(
        &mut self,
        source: &mut (impl AsyncRead + Unpin),
        sink: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
        mut moved: impl FnMut(usize),
    ) -> Poll<Result<(), Broken>> {
        loop {
            while self.sent < self.come {
                let rest = &self.buffer[self.sent..self.come];
                match ready!(Pin::new(&mut *sink).poll_write(cx, rest)) {
                    Ok(0) | Err(_) => return Poll::Ready(Err(Broken::Sink)),
                    Ok(written) => self.sent += written,
                }
                self.unflushed = true;
            }
            match self.stage {
                Stage::Moving => match self.poll_fill(source, cx) {
                    Poll::Ready(Ok(0)) => self.stage = Stage::Ending,
                    Poll::Ready(Ok(come)) => moved(come),
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Source)),
                    Poll::Pending if self.unflushed => {
                        match ready!(Pin::new(&mut *sink).poll_flush(cx)) {
                            Ok(()) => self.unflushed = false,
                            Err(_) => return Poll::Ready(Err(Broken::Sink)),
                        }
                        return Poll::Pending;
                    }
                    Poll::Pending => return Poll::Pending,
                },
                Stage::Ending => match ready!(Pin::new(&mut *sink).poll_shutdown(cx)) {
                    Ok(()) => self.stage = Stage::Ended,
                    Err(_) => return Poll::Ready(Err(Broken::Sink)),
                },
                Stage::Ended => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Reads into the buffer, all of which has been sent on.
    fn poll_fill(
        &mut self,
        source: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.buffer.is_empty() {
            self.buffer = vec![0; BUFFER].into();
        }
        let mut space = ReadBuf::new(&mut self.buffer);
        ready!(Pin::new(source).poll_read(cx, &mut space))?;
        (self.come, self.sent) = (space.filled().len(), 0);
        Poll::Ready(Ok(self.come))
    }
}
