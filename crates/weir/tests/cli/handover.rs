//! A process that takes the place of another while requests come in: none is refused, reset or lost.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::http::try_get;
use crate::process::eventually;
use crate::run::{Site, route, version, wait_for_version};

/// Clients that ask again and again, each time over a new connection.
struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    clients: Vec<std::thread::JoinHandle<Vec<String>>>,
}

impl Load {
    fn on(address: SocketAddr) -> Self {
        let (stop, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let clients = (0..4).map(|_| {
            let (stop, asked) = (Arc::clone(&stop), Arc::clone(&asked));
            std::thread::spawn(move || {
                let mut failures = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match try_get(address, "/cart") {
                        Ok(answer) if answer.status == 200 => {}
                        Ok(answer) => failures.push(answer.head),
                        Err(error) => failures.push(error.to_string()),
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                failures
            })
        });
        let clients = clients.collect();
        Self {
            stop,
            asked,
            clients,
        }
    }

    /// Waits for so many more requests.
    fn goes_on_for(&self, more: usize) {
        let until = self.asked.load(Ordering::Relaxed) + more;
        eventually("requests come in", || {
            (self.asked.load(Ordering::Relaxed) >= until).then_some(())
        });
    }

    fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let clients = self.clients.into_iter();
        clients
            .flat_map(|it| it.join().expect("a client ends"))
            .collect()
    }
}

#[test]
fn a_successor_takes_over_under_load() {
    let site = Site::new();
    let socket = site.path().join(".handover");
    let handover = ["--handover", socket.to_str().expect("it is text")];
    let mut first = site.run_with(&handover);
    let address = first.listening(8080);
    let admin = first.admin();
    let load = Load::on(address);
    load.goes_on_for(50);
    // A request in progress ends with the process that it began with.
    let mut slow = TcpStream::connect(address).expect("it listens");
    let request =
        format!("GET /cart?delay=700ms HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    slow.write_all(request.as_bytes()).expect("it reads");
    // The next one serves what the files say by now, on the same addresses.
    site.write("route.yaml", &route("2"));
    let admin_text = admin.to_string();
    let port_map = format!("8080={}", address.port());
    let mut args = vec!["--admin", &admin_text, "--port-map", &port_map];
    args.extend(handover);
    let second = site.run_alone(&args);
    second.wait_for_log("took over from the process before");
    assert_eq!(first.wait().code(), Some(0), "{:#?}", first.log());
    let line = first.wait_for_log("draining: no new connections");
    assert_eq!(line["reason"], "another process has taken over");
    let mut answer = String::new();
    slow.read_to_string(&mut answer).expect("it is answered");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    load.goes_on_for(50);
    assert_eq!(load.end(), Vec::<String>::new());
    assert_eq!(second.admin(), admin);
    wait_for_version(address, "2");

    // The second one is a predecessor as well.
    let load = Load::on(address);
    load.goes_on_for(20);
    let third = site.run_alone(&args);
    third.wait_for_log("took over from the process before");
    load.goes_on_for(20);
    assert_eq!(load.end(), Vec::<String>::new());
}

#[test]
fn a_successor_that_cannot_start_changes_nothing() {
    let site = Site::new();
    let socket = site.path().join(".handover");
    let handover = ["--handover", socket.to_str().expect("it is text")];
    let mut first = site.run_with(&handover);
    let address = first.listening(8080);
    let failed = crate::process::weir()
        .args(["run", "/nothing/here", "--admin", "off"])
        .args(handover)
        .output()
        .expect("the binary runs");
    assert_eq!(failed.status.code(), Some(2));
    first.wait_for_log("a successor ended before it served");
    assert!(first.is_running());
    let answer = try_get(address, "/cart").expect("it serves");
    assert_eq!(version(&answer).as_deref(), Some("1"));
    // One that was killed leaves its socket, which stops nobody.
    drop(first);
    assert!(socket.exists());
    let second = site.run_with(&handover);
    second.listening(8080);
}

#[test]
fn a_successor_that_would_not_be_ready_changes_nothing() {
    let site = Site::new();
    let socket = site.path().join(".handover");
    let handover = ["--handover", socket.to_str().expect("it is text")];
    let mut first = site.run_with(&handover);
    let address = first.listening(8080);
    let load = Load::on(address);
    load.goes_on_for(20);
    // The one that runs has a last good version of what is broken now; the next one has none.
    site.write("route.yaml", "kind: [");
    eventually("it is read", || {
        let findings = first.api("/api/findings").body;
        findings.contains("\"syntax\"").then_some(())
    });
    let empty = tempfile::tempdir().expect("a temporary folder");
    let port_map = format!("8080={}", address.port());
    for path in [site.path(), empty.path()] {
        let failed = crate::process::weir()
            .arg("run")
            .arg(path)
            .args(["--admin", "off", "--port-map", &port_map])
            .args(handover)
            .output()
            .expect("the binary runs");
        let log = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert_eq!(failed.status.code(), Some(1), "{path:?}: {log}");
        assert!(log.contains("the one before goes on"), "{log}");
    }
    load.goes_on_for(20);
    assert_eq!(load.end(), Vec::<String>::new());
    assert!(first.is_running());
    // What is mended is taken over.
    site.write("route.yaml", &route("2"));
    wait_for_version(address, "2");
    let mut args = vec!["--admin", "127.0.0.1:0", "--port-map", &port_map];
    args.extend(handover);
    let second = site.run_alone(&args);
    second.wait_for_log("took over from the process before");
    assert_eq!(first.wait().code(), Some(0), "{:#?}", first.log());
}
