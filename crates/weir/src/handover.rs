//! Handing the listening sockets of a process over to the one that takes its place, so that no connection is refused or
//! reset in between.
//!
//! The running process waits on a Unix socket. Its successor connects, is sent every listening socket, puts its own first
//! configuration in force, and says so; only then does the running process stop accepting, and drain. Both accept from
//! the same queues meanwhile. A successor that does not come so far changes nothing.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_peercred};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// What both say first; another number is another protocol.
const HELLO: &str = "weir handover 1";
/// What ends the sockets.
const ALL: &str = "all";
/// What the successor says when it serves.
const READY: &str = "ready";
/// Bytes of a message at most.
const MESSAGE: usize = 64;
/// Sockets that are handed over at most.
const SOCKETS: usize = 65_536;
/// How long a message may take that the other side has only to send.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the successor may take to put its first configuration in force.
const START: Duration = Duration::from_secs(600);

/// The listening sockets of a process.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    /// By the port that Gateways name.
    pub(crate) ports: Vec<(u16, TcpListener)>,
    pub(crate) admin: Option<TcpListener>,
    pub(crate) metrics: Option<TcpListener>,
}

/// The process whose place is taken. Dropped without [`Predecessor::relieve`], it goes on.
#[derive(Debug)]
pub(crate) struct Predecessor(OwnedFd);

/// Asks the process that waits at `path` for its sockets; none: there is no such process.
///
/// # Errors
/// When something else is there, or it does not answer.
pub(crate) fn take_over(path: &Path) -> Result<Option<(Sockets, Predecessor)>> {
    let asking = || -> Result<Option<(Sockets, Predecessor)>> {
        let socket = socket()?;
        match rustix::net::connect(&socket, &SocketAddrUnix::new(path)?) {
            Ok(()) => {}
            // There was one, which has ended.
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::CONNREFUSED) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        let (hello, _) = receive(&socket)?;
        ensure!(
            hello == HELLO,
            "another version of Weir is there, which says {hello:?}"
        );
        let mut sockets = Sockets::default();
        for _ in 0..SOCKETS {
            let (name, listener) = receive(&socket)?;
            if name == ALL {
                return Ok(Some((sockets, Predecessor(socket))));
            }
            let listener = listener.with_context(|| format!("no socket came with {name:?}"))?;
            let listener = TcpListener::from(listener);
            match name.as_str() {
                "admin" => sockets.admin = Some(listener),
                "metrics" => sockets.metrics = Some(listener),
                port => {
                    let number = port.strip_prefix("port ").and_then(|it| it.parse().ok());
                    let number = number.with_context(|| format!("{port:?} is no socket"))?;
                    sockets.ports.push((number, listener));
                }
            }
        }
        bail!("there are too many sockets")
    };
    asking().with_context(|| format!("cannot take over from the process at {}", path.display()))
}

impl Predecessor {
    /// Tells it that its work is done here.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn relieve(self) -> Result<()> {
        let Self(socket) = self;
        send(&socket, READY, None).context("the process that was taken over from has ended")
    }
}

/// Waits at `path` for a successor, which is sent what `sockets` gives; `relieved` is cancelled when it serves. What is at
/// `path` is replaced.
///
/// # Errors
/// When nothing can be bound there.
pub(crate) fn offer(
    path: &Path,
    sockets: impl Fn() -> io::Result<Sockets> + Send + 'static,
    relieved: CancellationToken,
) -> Result<()> {
    let what = || format!("cannot wait for a successor at {}", path.display());
    let listening = || -> Result<OwnedFd> {
        let listening = socket()?;
        // At once in place of the old one, so that there is always one to be asked.
        let new = path.with_extension("new");
        let _ = std::fs::remove_file(&new);
        rustix::net::bind(&listening, &SocketAddrUnix::new(&*new)?)?;
        rustix::net::listen(&listening, 1)?;
        std::fs::rename(&new, path)?;
        Ok(listening)
    };
    let listening = listening().with_context(what)?;
    thread::Builder::new()
        .name("weir-handover".to_owned())
        .spawn(move || {
            while !relieved.is_cancelled() {
                match serve(&listening, &sockets) {
                    Ok(true) => relieved.cancel(),
                    Ok(false) => warn!("a successor ended before it served; this process goes on"),
                    Err(error) => {
                        warn!(
                            error = format!("{error:#}"),
                            "the sockets could not be handed over"
                        );
                        // Whatever is wrong is not tried again at once.
                        thread::sleep(Duration::from_secs(1));
                    }
                }
            }
        })
        .with_context(what)?;
    Ok(())
}

/// Serves one successor; whether it has taken over.
fn serve(listening: &OwnedFd, sockets: &impl Fn() -> io::Result<Sockets>) -> Result<bool> {
    let socket = rustix::net::accept(listening)?;
    let peer = socket_peercred(&socket)?;
    let own = rustix::process::geteuid();
    ensure!(
        peer.uid == own || peer.uid.is_root(),
        "another user asked for the sockets"
    );
    set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(START))?;
    info!("a successor asks for the sockets");
    send(&socket, HELLO, None)?;
    let Sockets {
        ports,
        admin,
        metrics,
    } = sockets()?;
    for (number, listener) in &ports {
        send(&socket, &format!("port {number}"), Some(listener))?;
    }
    for (name, listener) in [("admin", admin), ("metrics", metrics)] {
        if let Some(listener) = listener {
            send(&socket, name, Some(&listener))?;
        }
    }
    send(&socket, ALL, None)?;
    // Nothing comes where it ended.
    let (answer, _) = receive(&socket)?;
    Ok(answer == READY)
}

/// A socket whose messages stay apart.
fn socket() -> Result<OwnedFd> {
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    Ok(rustix::net::socket_with(
        family,
        kind,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

fn send(socket: &OwnedFd, message: &str, listener: Option<&TcpListener>) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let listeners = listener.map(AsFd::as_fd);
    let listeners = listeners.as_slice();
    if !listeners.is_empty() {
        ensure!(
            control.push(SendAncillaryMessage::ScmRights(listeners)),
            "a socket does not fit into a message"
        );
    }
    let bytes = [IoSlice::new(message.as_bytes())];
    rustix::net::sendmsg(socket, &bytes, &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// A message, and the socket that came with it. The message is empty where the other side has ended.
fn receive(socket: &OwnedFd) -> Result<(String, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; MESSAGE];
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let received =
        rustix::net::recvmsg(socket, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut listener = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(sockets) = message {
            listener = sockets.last();
        }
    }
    let message = String::from_utf8_lossy(&bytes[..received.bytes]).into_owned();
    Ok((message, listener))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_gets_the_sockets_and_relieves() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handover");
        assert!(take_over(&path).unwrap().is_none(), "nobody is there");
        let (port, admin) = (
            TcpListener::bind("127.0.0.1:0").unwrap(),
            TcpListener::bind("127.0.0.1:0").unwrap(),
        );
        let addresses = (port.local_addr().unwrap(), admin.local_addr().unwrap());
        let relieved = CancellationToken::new();
        let sockets = move || {
            Ok(Sockets {
                ports: vec![(8080, port.try_clone()?)],
                admin: Some(admin.try_clone()?),
                metrics: None,
            })
        };
        offer(&path, sockets, relieved.clone()).unwrap();
        // One that ends before it serves changes nothing.
        drop(take_over(&path).unwrap().unwrap());
        let (sockets, predecessor) = take_over(&path).unwrap().unwrap();
        assert!(!relieved.is_cancelled());
        let [(number, port)] = &sockets.ports[..] else {
            panic!("one port is handed over")
        };
        let admin = sockets.admin.as_ref().unwrap();
        assert_eq!(
            (
                *number,
                port.local_addr().unwrap(),
                admin.local_addr().unwrap()
            ),
            (8080, addresses.0, addresses.1)
        );
        assert!(sockets.metrics.is_none());
        predecessor.relieve().unwrap();
        let runtime = crate::run::runtime().unwrap();
        let told = async { tokio::time::timeout(PATIENCE, relieved.cancelled()).await };
        assert!(runtime.block_on(told).is_ok());
    }

    #[test]
    fn what_is_no_process_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "").unwrap();
        // A file that nobody listens on is what a process leaves that was killed.
        assert!(take_over(&path).unwrap().is_none());
        let long = folder.path().join("x".repeat(200));
        let error = take_over(&long).unwrap_err();
        assert!(
            format!("{error:#}").contains("cannot take over"),
            "{error:#}"
        );
    }
}
