//! What goes wrong between us and the API server, in words that say what to do.

use kube_client::Error;
use kube_runtime::watcher;

use super::kinds::Kind;

/// Why something could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The API server says no.
    Refused(String),
    /// It does not answer.
    Unreachable(String),
}

impl Trouble {
    /// The API server took too long.
    pub(crate) fn silence() -> Self {
        Self::Unreachable("the API server cannot be reached: it does not answer".to_owned())
    }

    /// In a sentence.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Refused(text) | Self::Unreachable(text) => text,
        }
    }
}

/// Why something could not be done with objects of a kind.
pub(crate) fn of_request(
    verb: &str,
    kind: &Kind,
    namespace: Option<&str>,
    error: &Error,
) -> Trouble {
    of_resource(verb, &kind.resource(), namespace, error)
}

/// Why something could not be done with what a path of the API calls `resource`.
pub(crate) fn of_resource(
    verb: &str,
    resource: &str,
    namespace: Option<&str>,
    error: &Error,
) -> Trouble {
    if let Error::Api(status) = error {
        refused(verb, resource, namespace, status.code, &status.message)
    } else if let Error::Auth(error) = error {
        Trouble::Refused(format!(
            "cannot get credentials for the API server: {error}"
        ))
    } else {
        unreachable(error)
    }
}

/// The same of a watch.
pub(crate) fn of_watch(kind: &Kind, namespace: Option<&str>, error: &watcher::Error) -> Trouble {
    match error {
        watcher::Error::InitialListFailed(error) => of_request("list", kind, namespace, error),
        watcher::Error::WatchStartFailed(error) => of_request("watch", kind, namespace, error),
        watcher::Error::WatchError(status) => refused(
            "watch",
            &kind.resource(),
            namespace,
            status.code,
            &status.message,
        ),
        watcher::Error::WatchFailed(error) => unreachable(error),
        watcher::Error::NoResourceVersion => {
            let resource = kind.resource();
            let text = format!("{resource} cannot be watched: the API server gives no version");
            Trouble::Refused(text)
        }
    }
}

/// Whether the API server does not know the kind.
pub(crate) fn is_unknown_kind(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error) => {
            is_not_found(error)
        }
        watcher::Error::WatchError(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => false,
    }
}

/// Whether what was asked for is not there.
pub(crate) fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 404)
}

/// Whether somebody else was quicker.
pub(crate) fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 409)
}

fn refused(
    verb: &str,
    resource: &str,
    namespace: Option<&str>,
    code: u16,
    message: &str,
) -> Trouble {
    let place = namespace.map_or_else(
        || "in the whole cluster".to_owned(),
        |it| format!("in namespace {it}"),
    );
    let text = match code {
        401 => format!("the API server does not accept the credentials: {message}"),
        403 => format!(
            "not allowed to {verb} {resource} {place}: grant the verb `{verb}` on {resource} (deploy/kubernetes/rbac.yaml \
             has all that is needed)"
        ),
        _ => format!("cannot {verb} {resource} {place}: {message} ({code})"),
    };
    Trouble::Refused(text)
}

/// The innermost cause says what happened; those around it are layers of the client.
fn unreachable(error: &Error) -> Trouble {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    Trouble::Unreachable(format!("the API server cannot be reached: {innermost}"))
}
