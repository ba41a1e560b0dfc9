//! One configuration: what was read, what follows from it, and all that is to be said about it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use jiff::Timestamp;
use weir_plan::EndpointMap;
use weir_provider::Loaded;
use weir_resolve::{Context, FieldPath, Memo, Resolution, Resources, Severity, Statuses};

use crate::cli::{self, ReadingArgs};
use crate::findings::{self, Finding};
use crate::output;
use crate::overrides::{self, BackendOverride};

/// Everything that follows from the files at one moment.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) resolution: Resolution,
    pub(crate) endpoints: EndpointMap,
}

impl Configuration {
    /// Reads files once and resolves them, for commands that print something.
    ///
    /// # Errors
    /// When a path is not there or cannot be read.
    pub(crate) fn read(paths: &[PathBuf], reading: ReadingArgs) -> Result<Self> {
        output::with_progress("reading", || {
            let loaded = weir_provider::read(&cli::sources(paths))?;
            Ok(Self::resolve(
                Arc::new(loaded),
                &reading.context(),
                &[],
                &mut Memo::default(),
            ))
        })
    }

    /// Resolves what was read.
    pub(crate) fn resolve(
        loaded: Arc<Loaded>,
        context: &Context,
        overrides: &[BackendOverride],
        memo: &mut Memo,
    ) -> Self {
        let resolution = weir_resolve::resolve(&loaded.resources, context, memo);
        let mut endpoints = weir_resolve::endpoints(&loaded.resources);
        overrides::apply(overrides, &mut endpoints);
        Self {
            loaded,
            resolution,
            endpoints,
        }
    }

    /// This configuration with what was read now, where that differs in EndpointSlices alone; none: it differs in more.
    pub(crate) fn with_endpoints(
        &self,
        loaded: &Arc<Loaded>,
        overrides: &[BackendOverride],
    ) -> Option<Self> {
        let before = &self.loaded;
        let same = before.findings == loaded.findings
            && before.missing == loaded.missing
            && before.resources.is_same_but_endpoints(&loaded.resources);
        same.then(|| {
            let mut endpoints = weir_resolve::endpoints(&loaded.resources);
            overrides::apply(overrides, &mut endpoints);
            Self {
                loaded: Arc::clone(loaded),
                resolution: self.resolution.clone(),
                endpoints,
            }
        })
    }

    /// All that is wrong at a moment, sorted by place.
    pub(crate) fn findings(&self, overrides: &[BackendOverride], now: Timestamp) -> Vec<Finding> {
        let Self {
            loaded,
            resolution,
            endpoints: _,
        } = self;
        let mut found = findings::collect(loaded, resolution, now);
        found.extend(overrides::findings(overrides, &loaded.resources));
        found.extend(nothing_served(&loaded.resources, &resolution.statuses));
        found
    }

    /// What the files hold that could not be taken in, in a line for people; none where everything was. Commands that
    /// print what follows from the files say it, as nothing of that follows.
    pub(crate) fn left_out(&self) -> Option<String> {
        let mut errors = self
            .loaded
            .findings
            .iter()
            .filter(|it| it.severity == Severity::Error);
        let first = findings::of_file(errors.next()?);
        let more = match errors.count() {
            0 => String::new(),
            count => format!(" (and {count} more)"),
        };
        Some(format!(
            "left out, as it is broken: {first}{more}; `weir check` says all that is wrong"
        ))
    }

    /// What it is made of.
    pub(crate) fn counts(&self) -> Counts {
        let all = &self.loaded.resources;
        let l4_routes = all.tcp_routes.len() + all.tls_routes.len() + all.udp_routes.len();
        Counts {
            gateways: all.gateways.len(),
            listeners: self.resolution.plan.listeners.len(),
            routes: all.http_routes.len() + all.grpc_routes.len() + l4_routes,
            policies: all.policies.len() + all.client_policies.len(),
        }
    }
}

/// How much a configuration holds. `listeners` are those that are served.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Counts {
    pub(crate) gateways: usize,
    pub(crate) listeners: usize,
    pub(crate) routes: usize,
    pub(crate) policies: usize,
}

fn nothing_served(resources: &Resources, statuses: &Statuses) -> Option<Finding> {
    let message = if resources.gateways.is_empty() {
        "there is no Gateway, so nothing is served; `weir quickstart --dir DIR` writes an example"
    } else if statuses.gateways.is_empty() {
        "no Gateway has a GatewayClass of the controller that --controller-name names, so nothing is served; leave the \
         flag out to serve every class"
    } else {
        return None;
    };
    Some(Finding {
        location: None,
        severity: Severity::Warning,
        id: "nothing-served".into(),
        object: None,
        field: FieldPath::default(),
        message: message.to_owned(),
    })
}
