//! Wires the parts together, from files or a cluster to traffic, and lives until a signal.
//!
//! Provider -> the follower (resolves) -> the proxy; the admin API looks on.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use weir_proxy::{ListenError, Options, Proxy};
use weir_resolve::{Context, Memo};

use crate::admin::{self, AdminState, Token};
use crate::cli::Admin;
use crate::follow::Follower;
use crate::handover::{self, Sockets};
use crate::history::History;
use crate::in_force::InForce;
use crate::metrics::Metrics;
use crate::overload;
use crate::overrides::BackendOverride;
use crate::provided::{Followed, Provider, Watching};
use crate::shutdown::{Signals, Stop};
use crate::system;
use crate::telemetry::LogControl;

/// Orders that wait to be obeyed.
const ORDERS: usize = 8;

/// What a gateway is run with.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) provider: Provider,
    pub(crate) context: Context,
    pub(crate) overrides: Vec<BackendOverride>,
    pub(crate) proxy: Options,
    pub(crate) exposure: Exposure,
    pub(crate) log: LogControl,
    pub(crate) drain_timeout: Duration,
    /// Where the process before and the one after are met.
    pub(crate) handover: Option<PathBuf>,
    /// Bytes of memory above which new work is refused; none: what the system allows says.
    pub(crate) max_memory: Option<u64>,
}

/// Where the process can be looked at and told what to do.
#[derive(Debug)]
pub(crate) struct Exposure {
    pub(crate) admin: Admin,
    /// What the admin API asks for.
    pub(crate) token: Option<Token>,
    /// A further address for probes and metrics.
    pub(crate) metrics: Option<SocketAddr>,
}

/// A gateway that serves its first configuration, and follows the files.
#[derive(Debug)]
pub(crate) struct Gateway {
    proxy: Arc<Proxy>,
    in_force: watch::Receiver<Option<Arc<InForce>>>,
    admin: Option<SocketAddr>,
    /// Cancelled when the gateway is to serve no new configurations or connections.
    draining: CancellationToken,
    /// Cancelled when another process has taken this one's place.
    relieved: CancellationToken,
    drain_timeout: Duration,
    /// Ends the watch when dropped.
    watching: Watching,
}

/// Runs a gateway until a signal. `started` is called when the first configuration is in force.
pub(crate) fn run(setup: Setup, started: impl FnOnce(&Gateway) -> Result<()>) -> Result<ExitCode> {
    let runtime = runtime()?;
    let outcome = runtime.block_on(live(setup, started));
    // What still blocks, such as reading standard input, is not waited for.
    runtime.shutdown_background();
    outcome
}

/// A runtime for a thread that waits most of its time.
pub(crate) fn runtime() -> Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .thread_name("weir-blocking")
        .build()
        .context("cannot start a runtime")
}

/// Starts a named thread that runs a future on a runtime of its own.
pub(crate) fn spawn<F>(name: &str, future: F) -> Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = runtime()?;
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || runtime.block_on(future))
        .with_context(|| format!("cannot start the thread {name}"))?;
    Ok(())
}

async fn live(setup: Setup, started: impl FnOnce(&Gateway) -> Result<()>) -> Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let starting = tokio::task::spawn_blocking(move || Gateway::start(setup));
    let gateway = tokio::select! {
        gateway = starting => gateway.context("the gateway could not start")??,
        stop = signals.next() => return Ok(stopped_at_once(stop)),
    };
    started(&gateway)?;
    system::ready();
    let relieved = gateway.relieved.clone();
    let reason = tokio::select! {
        stop = signals.next() => stop.name(),
        () = relieved.cancelled() => "another process has taken over",
    };
    system::stopping();
    info!(reason, timeout = ?gateway.drain_timeout, "draining: no new connections, requests in progress may end");
    let draining = tokio::task::spawn_blocking(move || gateway.drain());
    tokio::select! {
        drained = draining => {
            if drained.context("draining failed")? {
                info!("drained");
                Ok(ExitCode::SUCCESS)
            } else {
                warn!("the drain timeout is over; requests in progress were cut off");
                Ok(ExitCode::FAILURE)
            }
        }
        stop = signals.another() => Ok(stopped_at_once(stop)),
    }
}

fn stopped_at_once(stop: Stop) -> ExitCode {
    warn!(signal = stop.name(), "stopped at once");
    ExitCode::from(stop.exit_code())
}

impl Gateway {
    fn start(setup: Setup) -> Result<Self> {
        let Setup {
            provider,
            context,
            overrides,
            proxy,
            exposure:
                Exposure {
                    admin,
                    token,
                    metrics: probes,
                },
            log,
            drain_timeout,
            handover,
            max_memory,
        } = setup;
        let (publish, in_force) = watch::channel(None);
        let metrics = Arc::new(Metrics::new());
        let draining = CancellationToken::new();
        let relieved = CancellationToken::new();
        let taken = match &handover {
            Some(path) => handover::take_over(path)?,
            None => None,
        };
        let (inherited, predecessor) = taken.unzip();
        let Sockets {
            ports,
            admin: admin_before,
            metrics: probes_before,
        } = inherited.unwrap_or_default();
        // Before anything is read: that a port is taken is best known at once.
        let admin_listener = admin::bind(admin, token.as_ref(), admin_before)?;
        let probes_listener = probes
            .map(|address| admin::bind_probes(address, probes_before))
            .transpose()?;
        let opened = provider.open()?;
        let local = |listener: &TcpListener| {
            let address = listener.local_addr();
            address.context("cannot tell an address that was bound")
        };
        let admin = admin_listener.as_ref().map(local).transpose()?;
        let (orders, ordered) = mpsc::channel(ORDERS);
        let history = Arc::<History>::default();
        let port_map = proxy.port_map.clone();
        system::raise_file_limit(proxy.limits.max_connections);
        let proxy = Arc::new(Proxy::start(proxy)?);
        proxy.inherit(ports);
        overload::watch(max_memory, &proxy, Arc::clone(&metrics))?;
        let copy = |listener: &Option<TcpListener>| {
            let copy = listener.as_ref().map(TcpListener::try_clone);
            copy.transpose().context("no file descriptor is left")
        };
        let (admin_copy, probes_copy) = (copy(&admin_listener)?, copy(&probes_listener)?);
        let state = |address| AdminState {
            address,
            token: token.clone(),
            sources: opened.names(),
            waiting: opened.waiting(),
            in_force: in_force.clone(),
            proxy: Arc::clone(&proxy),
            metrics: Arc::clone(&metrics),
            draining: draining.clone(),
            history: Arc::clone(&history),
            orders: orders.clone(),
            log: log.clone(),
        };
        if let (Some(listener), Some(address)) = (admin_listener, admin) {
            let serving = admin::serve(listener, state(address), relieved.clone());
            spawn("weir-admin", serving)?;
            info!(%address, "the admin API listens");
        }
        if let Some(listener) = probes_listener {
            let address = local(&listener)?;
            let serving = admin::serve_probes(listener, state(address), relieved.clone());
            spawn("weir-probes", serving)?;
            info!(%address, "probes and metrics are served");
        }
        let Followed {
            watching,
            mut loaded,
            statuses,
        } = opened.first()?;
        let follower_proxy = Arc::clone(&proxy);
        let mut follower = Follower {
            context,
            overrides,
            proxy: follower_proxy,
            metrics,
            memo: Memo::default(),
            in_force: publish,
            statuses,
            history,
            waiting: None,
        };
        let first = Arc::clone(&loaded.borrow_and_update());
        if predecessor.is_some() {
            // Before it is in force, since connections are accepted from then on.
            refuse_to_take_over(&first.missing)?;
        }
        follower.apply(first);
        refuse_to_serve_nothing(in_force.borrow().as_deref(), &watching)?;
        if let (Some(_), true, Some(in_force)) = (
            &predecessor,
            watching.ends_unserved(),
            in_force.borrow().as_deref(),
        ) {
            refuse_to_take_over(&in_force.reasons_not_ready())?;
        }
        warn_of_idle_mappings(&port_map, in_force.borrow().as_deref());
        spawn(
            "weir-follow",
            follower.follow(loaded, ordered, draining.clone()),
        )?;
        if let Some(predecessor) = predecessor {
            match predecessor.relieve() {
                Ok(()) => info!("took over from the process before"),
                Err(error) => warn!("{error:#}"),
            }
        }
        if let Some(path) = &handover {
            let proxy = Arc::downgrade(&proxy);
            let sockets = move || {
                // It is gone when the process is about to end.
                let proxy = proxy.upgrade().ok_or(std::io::ErrorKind::NotConnected)?;
                Ok(Sockets {
                    ports: proxy.sockets()?,
                    admin: admin_copy
                        .as_ref()
                        .map(TcpListener::try_clone)
                        .transpose()?,
                    metrics: probes_copy
                        .as_ref()
                        .map(TcpListener::try_clone)
                        .transpose()?,
                })
            };
            handover::offer(path, sockets, relieved.clone())?;
        }
        Ok(Self {
            proxy,
            in_force,
            admin,
            draining,
            relieved,
            drain_timeout,
            watching,
        })
    }

    /// The configuration in force.
    pub(crate) fn in_force(&self) -> Option<Arc<InForce>> {
        self.in_force.borrow().clone()
    }

    /// Where the admin API is.
    pub(crate) fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    fn drain(self) -> bool {
        let Self {
            proxy,
            in_force: _,
            admin: _,
            draining,
            relieved: _,
            drain_timeout,
            watching,
        } = self;
        draining.cancel();
        watching.stop();
        proxy.drain(drain_timeout)
    }
}

/// A gateway that can serve none of its ports at the start is better ended, so that somebody sees it.
fn refuse_to_serve_nothing(in_force: Option<&InForce>, watching: &Watching) -> Result<()> {
    let Some(in_force) = in_force else {
        bail!("the policy engine failed on these files, which is a defect of Weir")
    };
    if watching.ends_unserved()
        && in_force.addresses.is_empty()
        && !in_force.unserved.errors.is_empty()
    {
        let errors = in_force
            .unserved
            .errors
            .iter()
            .map(|ListenError { message, .. }| message.as_str());
        bail!("{}", errors.collect::<Vec<_>>().join("; "));
    }
    Ok(())
}

/// The process before may hold last good versions of what is broken, which this one does not have: it is better left in
/// place by one that would not be ready.
fn refuse_to_take_over(reasons: &[String]) -> Result<()> {
    let Some(first) = reasons.first() else {
        return Ok(());
    };
    let more = match reasons.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    bail!(
        "this process would not be ready, so the one before goes on: {first}{more}; `weir check` says what is wrong. To \
         start all the same, stop the one before first"
    );
}

/// A mapping of a port that no listener has may be meant for one to come, or be misspelt.
fn warn_of_idle_mappings(port_map: &BTreeMap<u16, u16>, in_force: Option<&InForce>) {
    let Some(in_force) = in_force else {
        return;
    };
    let listeners = &in_force.configuration.resolution.plan.listeners;
    let idle = port_map
        .iter()
        .filter(|(port, _)| listeners.iter().all(|it| it.port != **port));
    for (port, local) in idle {
        warn!(
            "--port-map {port}={local} has no effect yet: no listener that is served has the port {port}"
        );
    }
}
