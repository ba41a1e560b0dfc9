//! What the system allows the process, and what its service manager is told.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tracing::{debug, warn};

/// Files that are open besides connections: listeners, logs, what is read and watched.
const BESIDES: u64 = 512;

/// Raises the number of files that may be open to what the system allows, and warns where that is too few for so many
/// connections from clients, each with one to an endpoint.
pub(crate) fn raise_file_limit(connections: usize) {
    let limits = getrlimit(Resource::Nofile);
    let Rlimit { current, maximum } = limits;
    // None: there is no limit.
    if current != maximum {
        let raised = Rlimit {
            current: maximum,
            maximum,
        };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => debug!(?current, ?maximum, "more files may be open now"),
            Err(error) => debug!(%error, "the number of files that may be open stays as it is"),
        }
    }
    let Rlimit { current, .. } = getrlimit(Resource::Nofile);
    if let Some(text) = too_few(current, connections) {
        warn!("{text}");
    }
}

/// What is said of a limit that is too low; none: it is not.
fn too_few(limit: Option<u64>, connections: usize) -> Option<String> {
    let limit = limit?;
    let wanted = 2 * u64::try_from(connections).unwrap_or(u64::MAX / 4) + BESIDES;
    (limit < wanted).then(|| {
        let served = limit.saturating_sub(BESIDES) / 2;
        format!(
            "the process may have {limit} files open, which is enough for some {served} connections from clients, each with \
             one to an endpoint; up to {connections} are accepted, and further ones will fail. Raise the limit to {wanted} \
             or more, by `ulimit -n {wanted}` or LimitNOFILE={wanted} in a systemd unit"
        )
    })
}

/// The name of the machine, as the system has it.
pub(crate) fn hostname() -> String {
    let names = rustix::system::uname();
    names.nodename().to_string_lossy().into_owned()
}

/// Tells the service manager, where there is one, that the process serves.
pub(crate) fn ready() {
    notify(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// Tells it that the process is about to end.
pub(crate) fn stopping() {
    notify(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "the service manager cannot be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_limits() {
        assert_eq!(too_few(None, 16_384), None);
        assert_eq!(too_few(Some(33_280), 16_384), None);
        let text = too_few(Some(1024), 16_384).unwrap();
        assert!(text.contains("1024 files"), "{text}");
        assert!(text.contains("some 256 connections"), "{text}");
        assert!(text.contains("LimitNOFILE=33280"), "{text}");
    }
}
