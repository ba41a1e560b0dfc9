//! What a service manager is told, and the unit for systemd.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::process::{Weir, weir, workspace};
use crate::run::Site;

#[test]
fn the_service_manager_is_told_when_it_serves_and_when_it_ends() {
    let site = Site::new();
    let path = site.path().join(".notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("it has timeouts");
    let mut command = weir();
    command
        .args(["run", site.path().to_str().expect("it is text")])
        .args([
            "--admin",
            "127.0.0.1:0",
            "--port-map",
            "8080=0",
            "--access-log",
            "off",
        ])
        .args(["--log-format", "json"])
        .env("NOTIFY_SOCKET", &path);
    let told = || {
        let mut bytes = [0; 256];
        let length = manager.recv(&mut bytes).expect("it is told");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let mut weir = Weir::start(command);
    assert!(told().contains("READY=1"));
    // What is told is true.
    assert!(
        weir.log()
            .iter()
            .any(|line| line.contains("configuration in force"))
    );
    weir.signal("TERM");
    assert!(told().contains("STOPPING=1"));
    assert_eq!(weir.wait().code(), Some(0));
}

#[test]
fn the_unit_starts_with_flags_that_there_are() {
    let unit = workspace().join("deploy/systemd/weir@.service");
    let text = std::fs::read_to_string(&unit).expect("the unit is there");
    let start = text
        .lines()
        .find_map(|it| it.strip_prefix("ExecStart=/usr/local/bin/weir "));
    let start = start.expect("it starts the binary");
    let output = weir()
        .args(start.split(' '))
        .arg("--help")
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{start}");
}
