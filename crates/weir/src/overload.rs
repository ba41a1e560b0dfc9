//! Refuses new work while the process holds too much memory, so that what is in progress can end.

use std::fs;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tracing::{info, warn};
use weir_proxy::Proxy;

use crate::metrics::Metrics;

/// How often the memory is looked at.
const EVERY: Duration = Duration::from_millis(100);
/// Work is taken again below this share of the ceiling, in percent, lest it be refused and taken in turns.
const AGAIN: u64 = 95;
/// The share of what the control group allows that is the ceiling where none is given, in percent.
const OF_GROUP: u64 = 90;

/// Watches the memory of the process, and refuses new work above `ceiling` bytes. None: 90 percent of what the control
/// group of the process allows; where that allows any amount, only the metric is kept.
pub(crate) fn watch(ceiling: Option<u64>, proxy: &Arc<Proxy>, metrics: Arc<Metrics>) -> Result<()> {
    let ceiling = ceiling.or_else(of_group);
    if let Some(ceiling) = ceiling {
        info!(
            ceiling,
            "memory is bounded: above so many bytes the process takes no new work"
        );
    }
    let proxy = Arc::downgrade(proxy);
    thread::Builder::new()
        .name("weir-memory".to_owned())
        .spawn(move || follow(ceiling, &proxy, &metrics))
        .context("cannot start the thread weir-memory")?;
    Ok(())
}

fn follow(ceiling: Option<u64>, proxy: &Weak<Proxy>, metrics: &Metrics) {
    let mut refusing = false;
    loop {
        thread::sleep(EVERY);
        let Some(proxy) = proxy.upgrade() else {
            return;
        };
        let resident = fs::read_to_string("/proc/self/status").ok();
        let Some(resident) = resident.as_deref().and_then(resident_bytes) else {
            warn!(
                "the memory of the process cannot be told from /proc/self/status, so it is not bounded"
            );
            return;
        };
        let refuse = ceiling
            .is_some_and(|ceiling| refuses(resident, ceiling, proxy.active_requests(), refusing));
        if refuse != refusing {
            proxy.refuse_new_work(refuse);
            if refuse {
                warn!(
                    resident,
                    ceiling, "new work is refused: the process holds too much memory"
                );
            } else {
                info!(resident, ceiling, "new work is taken again");
            }
        }
        refusing = refuse;
        metrics.memory(resident, refusing);
    }
}

/// Whether new work is refused. With nothing in progress there is nothing to wait for: memory that the process keeps then
/// is what it keeps for later.
fn refuses(resident: u64, ceiling: u64, active: usize, refusing: bool) -> bool {
    let limit = if refusing {
        ceiling / 100 * AGAIN
    } else {
        ceiling
    };
    resident > limit && active > 0
}

/// The resident memory that `/proc/PID/status` tells, in bytes.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// What the control group (version 2) of the process allows, as far as it is bounded.
fn of_group() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|it| it.strip_prefix("0::/"))?;
    let file = format!("/sys/fs/cgroup/{group}/memory.max");
    let bytes: u64 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    Some(bytes / 100 * OF_GROUP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_work_is_refused() {
        for (resident, active, refusing, expected) in [
            (1_000, 5, false, false),
            (1_001, 5, false, true),
            (1_001, 0, false, false),
            (951, 5, true, true),
            (950, 5, true, false),
            (5_000, 0, true, false),
        ] {
            assert_eq!(
                refuses(resident, 1_000, active, refusing),
                expected,
                "{resident} {active} {refusing}"
            );
        }
    }

    #[test]
    fn the_memory_of_a_process_is_told_by_the_system() {
        let status = "Name:\tweir\nVmRSS:\t   13636 kB\nThreads:\t4\n";
        assert_eq!(resident_bytes(status), Some(13_636 * 1024));
        assert_eq!(resident_bytes("Name:\tweir\n"), None);
    }
}
