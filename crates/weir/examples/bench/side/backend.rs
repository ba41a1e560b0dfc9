//! A gRPC backend: HTTP/2 with prior knowledge, the same message for every call, and a status in the trailers.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::Result;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

/// A message of 12 bytes behind its prefix: not compressed, and its length.
pub(crate) const MESSAGE: &[u8] = b"\0\0\0\0\x0chello, weir!";

/// Serves on a port of loopback until the process ends.
pub(crate) fn serve(port: u16) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let connection = http2::Builder::new(TokioExecutor::new())
                .max_concurrent_streams(1_024)
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            tokio::spawn(connection);
        }
    })
}

async fn answer(request: hyper::Request<Incoming>) -> Result<Response<Reply>, hyper::Error> {
    request.into_body().collect().await?;
    let mut response = Response::new(Reply::Message);
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    Ok(response)
}

/// What is to be sent next. As with other servers of gRPC, no content-length says how much that will be.
enum Reply {
    Message,
    Trailers,
    Nothing,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let (frame, next) = match *self {
            Self::Message => (Frame::data(Bytes::from_static(MESSAGE)), Self::Trailers),
            Self::Trailers => {
                let status = (
                    HeaderName::from_static("grpc-status"),
                    HeaderValue::from_static("0"),
                );
                (
                    Frame::trailers(HeaderMap::from_iter([status])),
                    Self::Nothing,
                )
            }
            Self::Nothing => return Poll::Ready(None),
        };
        *self = next;
        Poll::Ready(Some(Ok(frame)))
    }
}
