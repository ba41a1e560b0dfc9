//! The process that is measured: started on free ports, looked at through `/proc`, ended when it is dropped.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::interrupt;

/// A running process.
pub(crate) struct Process {
    child: Child,
    /// Where it serves.
    pub(crate) address: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// `weir run` on a folder whose Gateway listens on port 80.
pub(crate) fn weir(binary: &Path, folder: &Path, workers: Option<usize>) -> Result<Process> {
    let port = free_port()?;
    let mut command = on_core(binary, None);
    command.arg("run").arg(folder);
    command.args(["--port-map", &format!("80={port}"), "--admin", "off"]);
    command.args(["--access-log", "off", "--log-level", "warn"]);
    if let Some(workers) = workers {
        command.args(["--workers", &workers.to_string()]);
    }
    start(command, port)
}

/// A command on a core, where `taskset` is there; where `setpriv` is, it ends with this process, however that ends.
pub(crate) fn on_core(program: &Path, core: Option<usize>) -> Command {
    let mut words: Vec<OsString> = Vec::new();
    if installed("setpriv").is_some() {
        words.extend(["setpriv", "--pdeathsig", "KILL"].map(OsString::from));
    }
    if let Some(core) = core
        && installed("taskset").is_some()
    {
        words.extend(["taskset", "-c", &core.to_string()].map(OsString::from));
    }
    words.push(program.into());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// Where a program of the system is.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"]
        .map(|folder| Path::new(folder).join(name))
        .into_iter()
        .find(|path| path.exists())
}

/// Starts a command that will serve on this port of loopback, and waits until it does.
pub(crate) fn start(mut command: Command, port: u16) -> Result<Process> {
    let child = command
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let mut process = Process {
        child,
        address: SocketAddr::from(([127, 0, 0, 1], port)),
    };
    let end = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(process.address).is_err() {
        interrupt::check()?;
        if let Some(status) = process.child.try_wait()? {
            bail!("{command:?} ended at once: {status}");
        }
        if Instant::now() > end {
            bail!("{command:?} does not listen on port {port}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(process)
}

impl Process {
    /// Nanoseconds of CPU time that its threads have used so far.
    pub(crate) fn cpu_nanos(&self) -> Result<u64> {
        let mut sum = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
            sum += text
                .split(' ')
                .next()
                .context("schedstat has no first number")?
                .parse::<u64>()?;
        }
        Ok(sum)
    }

    /// CPU time of each thread, by name, in nanoseconds.
    pub(crate) fn threads(&self) -> Result<Vec<(String, u64)>> {
        let mut threads = Vec::new();
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let path = task?.path();
            let name = std::fs::read_to_string(path.join("comm"))?
                .trim()
                .to_owned();
            let text = std::fs::read_to_string(path.join("schedstat"))?;
            let nanos = text
                .split(' ')
                .next()
                .context("schedstat has no first number")?
                .parse()?;
            threads.push((name, nanos));
        }
        threads.sort();
        Ok(threads)
    }

    /// A line of `/proc/PID/status` that counts KiB, such as `VmRSS`.
    pub(crate) fn kib(&self, field: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find(|line| line.starts_with(field))
            .context("no such field")?;
        Ok(line
            .split_whitespace()
            .nth(1)
            .context("no number")?
            .parse()?)
    }
}
