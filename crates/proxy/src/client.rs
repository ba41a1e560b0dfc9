//! How listeners deal with their clients, compiled once per plan, and found by connection: by the port in clear text, by
//! the listener within TLS.
//!
//! Listeners without a policy share one value, so that a request without settings costs a look-up in an empty map.

pub(crate) mod certificate;
pub(crate) mod detection;
pub(crate) mod header_rules;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use weir_plan::{ClientPolicy, ListenerName, ListenerTls, Plan};

use crate::connection::Connection;
use crate::options::Limits;
use crate::pattern::Patterns;
use header_rules::{HeaderRules, Texts};

/// What applies where no policy says anything.
static DEFAULT: ClientPolicy = ClientPolicy::DEFAULT;

/// How each listener of a plan deals with its clients.
#[derive(Debug)]
pub(crate) struct Clients {
    /// The first settings of a port: in clear text, those of all its listeners.
    ports: HashMap<u16, Arc<ClientSettings>>,
    listeners: HashMap<ListenerName, Arc<ClientSettings>>,
    default: Arc<ClientSettings>,
}

/// How a listener deals with its clients, compiled.
#[derive(Debug)]
pub(crate) struct ClientSettings {
    /// None: the defaults, and the bounds of the process.
    policy: Option<Arc<ClientPolicy>>,
    /// Changes of requests before all else.
    pub(crate) early_request: Option<HeaderRules>,
    /// Changes of responses after all else.
    pub(crate) late_response: Option<HeaderRules>,
    /// Upgrades that are overlooked.
    pub(crate) ignored_upgrades: Texts,
    /// The URIs of the certificate that the listener shows.
    pub(crate) shown: Vec<String>,
    /// What `shown` was made from.
    tls: Option<Arc<ListenerTls>>,
}

/// How long a connection may be in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionTimes {
    /// Without a request. None: as long as it likes.
    pub(crate) idle: Option<Duration>,
    /// In the middle of a request's head.
    pub(crate) head: Duration,
    /// From the first byte of a request to its last. None: only other limits count.
    pub(crate) request: Option<Duration>,
}

impl Clients {
    /// Nobody has settings.
    pub(crate) fn none() -> Self {
        Self {
            ports: HashMap::new(),
            listeners: HashMap::new(),
            default: Arc::new(ClientSettings::new(None, None, &mut Patterns::default())),
        }
    }

    /// Compiles a plan; what stays is taken over from the previous one.
    pub(crate) fn build(plan: &Plan, previous: Option<&Self>, patterns: &mut Patterns) -> Self {
        let Self {
            mut ports,
            mut listeners,
            default,
        } = Self::none();
        let default = previous.map_or(default, |it| Arc::clone(&it.default));
        for listener in &plan.listeners {
            let Some(policy) = &listener.client else {
                continue;
            };
            let known = previous.and_then(|it| it.listeners.get(&listener.name));
            let settings = match known
                .filter(|it| it.policy.as_ref() == Some(policy) && it.tls == listener.tls)
            {
                Some(known) => Arc::clone(known),
                None => Arc::new(ClientSettings::new(
                    Some(policy),
                    listener.tls.as_ref(),
                    patterns,
                )),
            };
            ports
                .entry(listener.port)
                .or_insert_with(|| Arc::clone(&settings));
            listeners.insert(listener.name.clone(), settings);
        }
        Self {
            ports,
            listeners,
            default,
        }
    }

    /// What holds on a port before it is known whose listener a connection is.
    pub(crate) fn of_port(&self, port: u16) -> &Arc<ClientSettings> {
        self.ports.get(&port).unwrap_or(&self.default)
    }

    /// What holds for a connection.
    pub(crate) fn of(&self, connection: &Connection) -> &Arc<ClientSettings> {
        match &connection.tls {
            _ if self.ports.is_empty() => &self.default,
            Some(tls) => self.listeners.get(&tls.listener).unwrap_or(&self.default),
            None => self.of_port(connection.port),
        }
    }
}

impl ClientSettings {
    fn new(
        policy: Option<&Arc<ClientPolicy>>,
        tls: Option<&Arc<ListenerTls>>,
        patterns: &mut Patterns,
    ) -> Self {
        let said = policy.map_or(&DEFAULT, |it| &**it);
        Self {
            policy: policy.cloned(),
            early_request: HeaderRules::new(&said.headers.early_request, patterns),
            late_response: HeaderRules::new(&said.headers.late_response, patterns),
            ignored_upgrades: Texts::new(&said.http1.ignored_upgrades, patterns),
            shown: certificate::shown_by(tls.map(|it| &**it)),
            tls: tls.cloned(),
        }
    }

    /// The policy, or the defaults.
    pub(crate) fn policy(&self) -> &ClientPolicy {
        self.policy.as_deref().unwrap_or(&DEFAULT)
    }

    /// How long connections may be in one state. Where no policy says anything, the process's own limits count.
    pub(crate) fn times(&self, limits: &Limits) -> ConnectionTimes {
        let idle = match &self.policy {
            Some(policy) => policy.timeout.idle,
            None => Some(limits.idle_timeout),
        };
        let timeout = &self.policy().timeout;
        ConnectionTimes {
            idle,
            head: timeout
                .request_headers_received
                .unwrap_or(limits.head_timeout),
            request: timeout.request_received,
        }
    }
}
