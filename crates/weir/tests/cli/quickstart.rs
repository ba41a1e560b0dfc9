//! `weir quickstart`: what it prints is what happens.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::process::{eventually, output, weir};

/// The quickstart on free ports, with what it printed.
struct Quickstart {
    child: Child,
    printed: Vec<String>,
    _stdout: BufReader<std::process::ChildStdout>,
}

impl Quickstart {
    fn start(args: &[&str]) -> Self {
        let mut command = weir();
        command
            .args(["quickstart", "--port", "0", "--admin", "127.0.0.1:0"])
            .args(args);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut printed = Vec::new();
        // The last of the commands to try is the one that explains.
        while !printed
            .iter()
            .any(|line: &String| line.contains("/api/explain"))
        {
            let mut line = String::new();
            assert!(
                stdout.read_line(&mut line).expect("it can be read") > 0,
                "it ended early: {printed:#?}"
            );
            printed.push(line.trim_end().to_owned());
        }
        Self {
            child,
            printed,
            _stdout: stdout,
        }
    }

    /// The folder that it says it serves.
    fn dir(&self) -> String {
        let line = self
            .printed
            .iter()
            .find_map(|line| line.trim().strip_prefix("files"))
            .expect("it names the folder");
        line.trim()
            .split(' ')
            .next()
            .expect("the folder comes first")
            .to_owned()
    }

    /// The command printed under the step with this number.
    fn command(&self, step: usize) -> &str {
        let heading = format!("{step}. ");
        let at = self
            .printed
            .iter()
            .position(|line| line.starts_with(&heading))
            .expect("the step is printed");
        self.printed[at + 1].trim()
    }

    /// What a shell makes of the command of a step.
    fn try_step(&self, step: usize) -> String {
        let command = self.command(step);
        let output = Command::new("bash")
            .args(["-c", command])
            .output()
            .expect("bash runs");
        assert!(
            output.status.success(),
            "{command}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("it is text")
    }
}

impl Drop for Quickstart {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_it_prints_is_what_happens() {
    let dir = tempfile::tempdir().unwrap();
    let quickstart = Quickstart::start(&["--dir", dir.path().to_str().unwrap()]);
    assert_eq!(quickstart.dir(), dir.path().to_str().unwrap());

    let flaky = quickstart.try_step(1);
    assert!(flaky.starts_with("HTTP/1.1 200"), "{flaky}");
    assert!(
        flaky.contains("\"request\": 3"),
        "two attempts failed before: {flaky}"
    );

    let limited = quickstart.try_step(2);
    assert_eq!(
        limited.split_whitespace().collect::<Vec<_>>(),
        ["200", "200", "200", "200", "200", "429"]
    );

    let edited = quickstart.try_step(3);
    if edited.trim() != "200" {
        // On a busy machine the edit may take longer than a person would wait.
        let url = quickstart.command(3).split(' ').next_back().unwrap();
        eventually("the edit takes effect", || {
            let output = Command::new("curl")
                .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", url])
                .output();
            (output.unwrap().stdout == b"200").then_some(())
        });
    }

    let mut broken: Vec<String> = quickstart
        .try_step(4)
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    broken.sort();
    assert_eq!(broken, ["200", "200", "503", "503"]);

    let explained = quickstart.try_step(5);
    assert!(
        explained.contains("checkout-limit") && explained.contains("everywhere"),
        "{explained}"
    );
}

#[test]
fn the_files_of_a_user_stay_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let mine = "# mine\n";
    fs::write(dir.path().join("reports.yaml"), mine).unwrap();
    let quickstart = Quickstart::start(&["--dir", dir.path().to_str().unwrap()]);
    assert_eq!(
        fs::read_to_string(dir.path().join("reports.yaml")).unwrap(),
        mine
    );
    assert!(dir.path().join("checkout.yaml").exists());
    assert!(
        quickstart
            .printed
            .iter()
            .any(|line| line.contains("left as they were: reports.yaml")),
        "{:#?}",
        quickstart.printed
    );
}

#[test]
fn without_a_folder_a_temporary_one_is_served_and_removed() {
    let mut quickstart = Quickstart::start(&[]);
    let dir = quickstart.dir();
    assert!(std::path::Path::new(&dir).join("gateway.yaml").exists());
    let killed = Command::new("kill")
        .args(["-s", "INT", &quickstart.child.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
    let status = eventually("it ends", || quickstart.child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    assert!(!std::path::Path::new(&dir).exists());
}

#[test]
fn a_port_in_use_is_said_with_the_way_out() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let cases = [
        ["--port", &port, "--admin", "off"],
        ["--port", "0", "--admin", &format!("127.0.0.1:{port}")],
    ];
    for args in cases {
        let run = output(&[&["quickstart"], &args[..]].concat());
        assert_eq!(run.status.code(), Some(1), "{args:?}");
        let message = String::from_utf8_lossy(&run.stderr);
        assert!(
            message.contains(&port) && message.contains("in use"),
            "{message}"
        );
        assert!(
            message.contains("--port") && message.contains("--admin"),
            "{message}"
        );
        assert!(
            !message.contains("--port-map"),
            "it has no such flag: {message}"
        );
    }
}

#[test]
fn its_files_are_clean() {
    let check = output(&["check", "examples/quickstart"]);
    assert_eq!(
        check.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&check.stdout)
    );
}
