//! How connections fall on two workers that accept from one listening socket, or each from a SO_REUSEPORT socket of its
//! own. A model of the gateway's workers without the gateway, so that both ways can be measured.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const WORKERS: usize = 2;
const ROUNDS: usize = 7;

/// Connections that each worker has.
type Counts = Arc<[AtomicUsize; WORKERS]>;

pub(crate) fn measure() -> Result<()> {
    for (way, reuse) in [
        ("one shared socket", false),
        ("a SO_REUSEPORT socket each", true),
    ] {
        for connections in [4, 16, 64, 256] {
            let mut shares = Vec::new();
            for _ in 0..ROUNDS {
                let counts = Counts::default();
                let address = workers(reuse, &counts)?;
                let clients = connect(address, connections)?;
                let most = counts
                    .iter()
                    .map(|it| it.load(Ordering::SeqCst))
                    .max()
                    .unwrap_or(0);
                shares.push(100 * most / connections);
                drop(clients);
            }
            shares.sort_unstable();
            println!(
                "{way}, {connections} connections: the fuller worker has {} % (median; {} to {} %)",
                shares[ROUNDS / 2],
                shares[0],
                shares[ROUNDS - 1]
            );
        }
    }
    Ok(())
}

/// Opens so many connections, one after the other, while those before are busy; each has exchanged a byte.
fn connect(address: SocketAddr, connections: usize) -> Result<Vec<TcpStream>> {
    use std::io::{Read, Write};
    let mut clients: Vec<TcpStream> = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        clients.push(stream);
        for client in &mut clients {
            client.write_all(b"x")?;
        }
        for client in &mut clients {
            client.read_exact(&mut [0])?;
        }
    }
    Ok(clients)
}

/// Starts the workers, which end with the process; where they listen.
fn workers(reuse: bool, counts: &Counts) -> Result<SocketAddr> {
    let first = listen(&"127.0.0.1:0".parse()?, reuse)?;
    let address = first.local_addr()?;
    let second = if reuse {
        listen(&address, true)?
    } else {
        first.try_clone()?
    };
    for (index, listener) in [first, second].into_iter().enumerate() {
        let counts = Arc::clone(counts);
        std::thread::spawn(move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let tasks = tokio::task::LocalSet::new();
            tasks.block_on(&runtime, async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                loop {
                    let (mut stream, _) = listener.accept().await?;
                    counts[index].fetch_add(1, Ordering::SeqCst);
                    tokio::task::spawn_local(async move {
                        let mut byte = [0];
                        while stream.read_exact(&mut byte).await.is_ok() {
                            // About what a small request costs.
                            let begun = std::time::Instant::now();
                            while begun.elapsed() < Duration::from_micros(20) {}
                            if stream.write_all(&byte).await.is_err() {
                                return;
                            }
                        }
                    });
                }
            })
        });
    }
    Ok(address)
}

fn listen(address: &SocketAddr, reuse: bool) -> Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_port(reuse)?;
    socket.set_nonblocking(true)?;
    socket.bind(&(*address).into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}
