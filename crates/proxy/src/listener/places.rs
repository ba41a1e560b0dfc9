//! The limit of connections of a port, exact over all workers, and how the sockets of a port are set up.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio_util::sync::CancellationToken;
use weir_plan::ClientSocket;

/// Connections above the limit of a port that are kept for a while before they are closed; further ones are closed at
/// once.
const MAX_KEPT: u64 = 256;

/// The connections of one port.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: Arc<AtomicU64>,
    kept: Arc<AtomicU64>,
}

/// A connection's place; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicU64>);

impl Places {
    /// A place for a connection. None: as many as the limit allows are open.
    pub(super) fn take(&self, limit: Option<u64>) -> Option<Place> {
        take(&self.taken, limit.unwrap_or(u64::MAX))
    }

    /// Closes a connection that has no place, after a while or when the port drains.
    pub(super) fn refuse(&self, stream: TcpStream, delay: Duration, drain: &CancellationToken) {
        let place = take(&self.kept, MAX_KEPT).filter(|_| !delay.is_zero());
        let Some(place) = place else { return };
        let drain = drain.clone();
        tokio::task::spawn_local(async move {
            let _held = (stream, place);
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = drain.cancelled() => {}
            }
        });
    }
}

fn take(taken: &Arc<AtomicU64>, most: u64) -> Option<Place> {
    let more = |taken: u64| (taken < most).then_some(taken + 1);
    let got = taken.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more);
    got.ok().map(|_| Place(Arc::clone(taken)))
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Sets a connection's socket up. What the system does not do costs a log line, not the connection.
pub(super) fn configure(stream: &TcpStream, settings: &ClientSocket) {
    let ClientSocket {
        tcp_keepalive,
        // Enforced when the connection is served.
        proxy_protocol: _,
        limit: _,
        buffer_bytes,
        inspection_timeout: _,
        handshake_timeout: _,
    } = settings;
    let socket = SockRef::from(stream);
    if let Some(keepalive) = tcp_keepalive {
        let weir_plan::features::connection::TcpKeepalive {
            probes,
            idle_time,
            interval,
        } = *keepalive;
        let mut settings = TcpKeepalive::new();
        if let Some(idle_time) = idle_time {
            settings = settings.with_time(idle_time);
        }
        if let Some(interval) = interval {
            settings = settings.with_interval(interval);
        }
        if let Some(probes) = probes {
            settings = settings.with_retries(probes);
        }
        if let Err(error) = socket.set_tcp_keepalive(&settings) {
            tracing::warn!(%error, "the system takes no settings for the probes of a connection");
        }
    }
    if let Some(bytes) = *buffer_bytes {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let set = socket.set_recv_buffer_size(bytes);
        if let Err(error) = set.and_then(|()| socket.set_send_buffer_size(bytes)) {
            tracing::warn!(%error, "the system takes no size for the buffers of a connection");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_and_a_lower_limit_waits_for_them() {
        let places = Places::default();
        let first = places.take(Some(2)).expect("there is one");
        let second = places.take(Some(2)).expect("there is another");
        assert!(places.take(Some(2)).is_none());
        let third = places.take(None).expect("there is no limit");
        assert!(places.take(Some(3)).is_none());
        drop((first, second));
        assert!(places.take(Some(1)).is_none());
        assert!(places.take(Some(2)).is_some());
        drop(third);
        assert!(places.take(Some(1)).is_some());
    }

    #[test]
    fn many_threads_get_no_more_than_there_are() {
        let places = Places::default();
        let got: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let held = (0..100).map_while(|_| places.take(Some(100)));
                        held.map(std::mem::forget).count()
                    })
                })
                .collect();
            threads.into_iter().map(|it| it.join().unwrap()).sum()
        });
        assert_eq!(got, 100);
    }

    #[test]
    fn sockets_are_set_up() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let settings = ClientSocket {
            tcp_keepalive: Some(weir_plan::features::connection::TcpKeepalive {
                probes: Some(3),
                idle_time: Some(Duration::from_secs(50)),
                interval: Some(Duration::from_secs(7)),
            }),
            buffer_bytes: Some(65_536),
            ..ClientSocket::DEFAULT
        };
        configure(&stream, &settings);
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(
            socket.tcp_keepalive_time().unwrap(),
            Duration::from_secs(50)
        );
        assert_eq!(
            socket.tcp_keepalive_interval().unwrap(),
            Duration::from_secs(7)
        );
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        // Linux doubles it, for its own books.
        assert!(socket.recv_buffer_size().unwrap() >= 65_536);
        assert!(socket.send_buffer_size().unwrap() >= 65_536);
    }
}
