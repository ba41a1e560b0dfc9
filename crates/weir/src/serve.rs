//! A small HTTP server for the process's own services: the admin API and the echo backend. Bounded, and stoppable.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// What a service allows its clients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Connections at one time; further ones wait to be accepted.
    pub(crate) connections: usize,
    /// How long a client may take for the head of a request, counted from the end of the one before.
    pub(crate) head_timeout: Duration,
}

/// Serves until `stop`; what is in progress is then cut off.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(bounds.connections));
    let accept = async {
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (router, stop) = (router.clone(), stop.clone());
                    tokio::spawn(async move {
                        tokio::select! {
                            () = connection(stream, router, bounds.head_timeout) => {}
                            () = stop.cancelled() => {}
                        }
                        drop(slot);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, for example: others must be closed first.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    };
    tokio::select! {
        () = accept => {}
        () = stop.cancelled() => {}
    }
}

async fn connection(stream: TcpStream, router: Router, head_timeout: Duration) {
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection of the admin API or an echo backend ended early");
    }
}
