//! The binary as a child process: its log, its addresses, and conditions to wait for.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http;

/// How long a condition may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The binary, with no setting of the surroundings.
pub(crate) fn weir() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command
        .env_remove("WEIR_LOG")
        .env_remove("NO_COLOR")
        .current_dir(workspace())
        .stdin(Stdio::null());
    command
}

/// The root of the workspace, where `examples` is.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the workspace is there")
}

/// Runs a command to its end.
pub(crate) fn output(args: &[&str]) -> Output {
    weir().args(args).output().expect("the binary runs")
}

/// Waits for a condition.
pub(crate) fn eventually<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, condition)
}

/// Waits for a condition that has a limit of its own.
pub(crate) fn within<T>(
    patience: Duration,
    what: &str,
    mut condition: impl FnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(
            start.elapsed() < patience,
            "not within {patience:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A gateway as a child process. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Weir {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Weir {
    /// `weir run` with an admin API on a free port and a JSON log.
    pub(crate) fn run(args: &[&str]) -> Self {
        let mut command = weir();
        command.args(["run", "--log-format", "json"]).args(args);
        for default in [["--admin", "127.0.0.1:0"], ["--access-log", "off"]] {
            if !args.contains(&default[0]) {
                command.args(default);
            }
        }
        Self::start(command)
    }

    /// Any command that serves.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = child.stderr.take().expect("it is piped");
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().expect("no reader panics").push(line);
            }
        });
        Self { child, log }
    }

    /// The log so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().expect("no reader panics").clone()
    }

    /// The first log line with this message, as JSON.
    pub(crate) fn wait_for_log(&self, message: &str) -> Value {
        eventually(
            &format!("a log line {message:?}; there are {:#?}", self.log()),
            || {
                let lines = self.log();
                let mut lines = lines
                    .iter()
                    .filter_map(|line| serde_json::from_str::<Value>(line).ok());
                lines.find(|line| {
                    line["message"]
                        .as_str()
                        .is_some_and(|it| it.contains(message))
                })
            },
        )
    }

    /// Where the admin API is.
    pub(crate) fn admin(&self) -> SocketAddr {
        let line = self.wait_for_log("the admin API listens");
        line["address"]
            .as_str()
            .and_then(|it| it.parse().ok())
            .expect("the line has the address")
    }

    /// Asks the admin API.
    pub(crate) fn api(&self, path: &str) -> http::Answer {
        http::get(self.admin(), path)
    }

    /// Where a port of the Gateways is served, once it is.
    pub(crate) fn listening(&self, port: u16) -> SocketAddr {
        eventually(
            &format!("port {port} is served; the log is {:#?}", self.log()),
            || {
                let answer = http::try_get(self.admin(), "/api/status")
                    .ok()
                    .filter(|it| it.status == 200)?;
                let listening = answer.json()["listening"].as_array()?.clone();
                listening.iter().find(|it| it["port"] == port)?["address"]
                    .as_str()?
                    .parse()
                    .ok()
            },
        )
    }

    /// Sends a signal by its name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        Self::kill(&format!("kill -s {name} {}", self.child.id()));
    }

    /// Sends a signal twice, with nothing in between.
    pub(crate) fn signal_twice(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.child.id());
        Self::kill(&format!("{kill}; {kill}"));
    }

    fn kill(command: &str) {
        let status = Command::new("sh").args(["-c", command]).status();
        assert!(status.expect("a shell runs").success());
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        eventually("the process ends", || {
            self.child.try_wait().expect("the child can be waited for")
        })
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("the child can be waited for")
            .is_none()
    }

    /// The child's standard input, where it is piped.
    pub(crate) fn stdin(&mut self) -> std::process::ChildStdin {
        self.child.stdin.take().expect("standard input is piped")
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An echo backend as a child process.
#[derive(Debug)]
pub(crate) struct Echo {
    _process: Weir,
    pub(crate) address: SocketAddr,
}

impl Echo {
    pub(crate) fn start(name: &str) -> Self {
        let mut command = weir();
        command.args([
            "echo",
            "--listen",
            "127.0.0.1:0",
            "--name",
            name,
            "--log-format",
            "json",
        ]);
        let process = Weir::start(command);
        let line = process.wait_for_log("the echo backend listens");
        let address = line["address"]
            .as_str()
            .and_then(|it| it.parse().ok())
            .expect("the line has the address");
        Self {
            _process: process,
            address,
        }
    }
}
