//! The cases of h2spec, a program that tests HTTP/2 servers, against a gateway.
//!
//! `H2SPEC` names the program; `scripts/h2spec` builds it, and `scripts/test` has it built. Without it the test is ignored.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

#[path = "traffic/backend.rs"]
#[expect(dead_code, reason = "the traffic tests use the rest")]
mod backend;
#[path = "traffic/client.rs"]
#[expect(dead_code, reason = "the traffic tests use the rest")]
mod client;
#[path = "traffic/gateway.rs"]
#[expect(dead_code, reason = "the traffic tests use the rest")]
mod gateway;

use backend::Backend;
use gateway::{EDGE, Gateway, route_all};

/// The cases that fail, and why that is right.
const FAIL: [&str; 1] = [
    // Ports speak HTTP/1.1 as well, in which such a request line is answered (400) before the connection is closed.
    "Sends invalid connection preface",
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let program = std::env::var_os("H2SPEC").filter(|it| !it.is_empty());
    let trial = match program {
        Some(program) => Trial::test("http2_is_as_specified", || specified(program)),
        None => {
            let name = "http2_is_as_specified (needs h2spec, which scripts/h2spec builds with Go)";
            Trial::test(name, || Ok(())).with_ignored_flag(true)
        }
    };
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}

fn specified(program: OsString) -> Result<(), Failed> {
    let backend = Backend::named("app");
    let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
    let port = gateway.address().port().to_string();
    let output = Command::new(program)
        .args(["--strict", "-h", "127.0.0.1", "-p", &port])
        .output()?;
    let output = String::from_utf8_lossy(&output.stdout);
    let (_, summary) = output
        .rsplit_once("Finished in")
        .ok_or("it did not come to an end")?;
    // A case that fails is listed twice: in its place, and at the end.
    let failed: BTreeSet<_> = output
        .lines()
        .filter_map(|line| line.rsplit_once("\u{d7} ")?.1.split_once(": "))
        .map(|(_, title)| title)
        .collect();
    if !summary.contains("146 tests") || failed != FAIL.into() {
        return Err(format!("{failed:?}\n{output}").into());
    }
    Ok(())
}
