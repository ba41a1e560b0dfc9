//! `weir run --provider kubernetes` against a real API server: traffic, statuses, outages, and who writes.
//!
//! `WEIR_TEST_KUBERNETES` names the folder of the API server, which `tests/kubernetes/build` makes with Go and prints;
//! `scripts/test` does so. Without it the tests are ignored. They share the server, so they run one after the other.

mod cluster;
mod election;
mod outages;
mod serving;
mod statuses;
mod strangers;

#[path = "../cli/http.rs"]
mod http;
#[path = "../cli/process.rs"]
#[expect(dead_code, reason = "the tests of commands use the rest")]
mod process;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, OnceLock};

use libtest_mimic::{Arguments, Trial};

use cluster::Cluster;

/// A test, with the name of its namespace.
type Test = fn(&Cluster, &str);

/// All tests, by their names. Each gets a namespace of its own, called like it.
const TESTS: [(&str, Test); 10] = [
    ("traffic-follows-the-cluster", serving::follows),
    ("secrets-are-read-when-referenced", serving::secrets),
    ("statuses-are-true", statuses::are_true),
    ("entries-of-others-stay", statuses::of_others),
    ("nothing-is-written-twice", statuses::once),
    ("a-broken-object-stays-alone", strangers::broken),
    ("a-kind-that-appears-is-read", strangers::appears),
    ("an-outage-is-survived", outages::survived),
    ("a-start-waits-and-says-why", outages::start),
    ("one-replica-writes", election::one_writes),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let folder = std::env::var_os("WEIR_TEST_KUBERNETES").filter(|it| !it.is_empty());
    let trials = match folder {
        Some(folder) => TESTS
            .map(|(name, test)| {
                let folder = PathBuf::from(&folder);
                Trial::test(name, move || {
                    test(cluster(&folder), name);
                    Ok(())
                })
            })
            .into(),
        None => {
            let name =
                "kubernetes (needs an API server, which tests/kubernetes/build makes with Go)";
            vec![Trial::test(name, || Ok(())).with_ignored_flag(true)]
        }
    };
    let conclusion = libtest_mimic::run(&arguments, trials);
    // A static is never dropped, and the API server ends with its standard input.
    if let Some(cluster) = CLUSTER.get() {
        cluster.end();
    }
    conclusion.exit_code()
}

static CLUSTER: OnceLock<Cluster> = OnceLock::new();

/// The API server of all tests, started by the first.
fn cluster(folder: &Path) -> &'static Cluster {
    static STARTING: Mutex<()> = Mutex::new(());
    let _one = STARTING.lock();
    CLUSTER.get_or_init(|| Cluster::start(folder))
}
