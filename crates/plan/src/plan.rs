//! The plan itself: listeners, their virtual hosts and routes, and what each route does.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use serde::{Serialize, Serializer};

use crate::client::ClientPolicy;
use crate::cluster::Cluster;
use crate::features::rate_limit::HeaderNameText;
use crate::features::response_override::ReplacedBody;
use crate::filter::{Cors, Credential, Mirror, SessionPersistence};
use crate::l4::L4Listener;
use crate::matching::{HostMatch, RouteMatch};
use crate::name::{ClusterName, ListenerName, Origin, RouteName, RuleName};
use crate::policy::RoutePolicy;
use crate::tls::ListenerTls;

/// All that a data plane is to serve. Endpoints come apart from it, in an [`crate::EndpointMap`].
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plan {
    /// The listeners, by port, then from the most specific host name, then by name.
    pub listeners: Vec<Arc<Listener>>,
    /// What the routes forward to.
    pub clusters: BTreeMap<ClusterName, Arc<Cluster>>,
    /// The listeners for protocols below HTTP, by port, then by name.
    pub l4: Vec<Arc<L4Listener>>,
}

/// One listener of a Gateway. Several may share a port; a request belongs to the one whose host name fits best, and
/// takes only that listener's routes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listener {
    /// The Gateway and the listener's name.
    pub name: ListenerName,
    /// The port that the Gateway names, before any mapping to a local one.
    pub port: u16,
    /// The host names that it answers for.
    pub hostname: HostMatch,
    /// How it speaks TLS; none: it takes clear text. All listeners on a port do the one or the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Arc<ListenerTls>>,
    /// How it deals with its clients; none: as [`ClientPolicy::DEFAULT`] says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Arc<ClientPolicy>>,
    /// Its virtual hosts, from the most specific host name. One that did not change is the same `Arc` in the next plan.
    pub hosts: Vec<Arc<VirtualHost>>,
}

/// The routes of one host name within a listener.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VirtualHost {
    /// The host name.
    pub hostname: HostMatch,
    /// The routes in the Gateway API's order of precedence: the first that matches is taken.
    pub routes: Vec<Arc<Route>>,
}

/// One match of one rule under one host name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Route {
    /// Its name, unique in the listener.
    pub name: RouteName,
    /// What a request must look like.
    pub matches: RouteMatch,
    /// What is done with it; shared by all matches and host names of the rule.
    pub rule: Arc<RouteRule>,
}

/// What one rule of a route does, under one effective policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RouteRule {
    /// The rule.
    pub name: RuleName,
    /// Where the settings in `policy` came from.
    pub origin: Origin,
    /// The settings that apply to requests and responses.
    pub policy: Arc<RoutePolicy>,
    /// Whether the access log leaves its requests out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unlogged: bool,
    /// Changes to request headers, made before forwarding.
    pub request_headers: HeaderChanges,
    /// Changes to response headers, made to responses of the backend and to local replies of this route.
    pub response_headers: HeaderChanges,
    /// Which pages of other origins may use the answers. None: nothing is said about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<Box<Cors>>,
    /// What becomes of the request.
    pub action: RouteAction,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum RouteAction {
    /// It is sent to a backend.
    Forward(Forward),
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// The gateway answers by itself.
    Respond(DirectResponse),
}

/// Forwarding to one of several targets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forward {
    /// What is changed in the URL first.
    pub rewrite: Option<Box<UrlRewrite>>,
    /// A credential for the backend, added before the changes to request headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<Box<Credential>>,
    /// What keeps a client on one endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Box<SessionPersistence>>,
    /// Where copies of the requests go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<Mirror>,
    /// The targets, in the order of the rule's backendRefs; a request takes one of them by weight. Never empty, and
    /// their weights are not all zero (a rule without usable backends is a [`RouteAction::Respond`]).
    ///
    /// A rule usually has one target, whose cluster holds all its backends as localities. Each backend has a target
    /// of its own where backends have filters, mix address types, or are partly invalid.
    pub targets: Vec<WeightedTarget>,
}

/// One of the targets among which a rule's requests are split.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WeightedTarget {
    /// Its share: this weight over the sum of all.
    pub weight: u32,
    /// Where its requests go.
    pub target: SplitTarget,
    /// A credential for it, after all else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<Box<Credential>>,
    /// Changes to the request headers, after those of the rule.
    pub request_headers: HeaderChanges,
    /// Changes to the response headers, before those of the rule.
    pub response_headers: HeaderChanges,
}

/// Where a share of a rule's requests goes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum SplitTarget {
    /// To this cluster.
    Cluster(ClusterName),
    /// Nowhere: the backendRef is invalid, and its share gets this answer (flag `NC`).
    Invalid(DirectResponse),
}

/// Changes of the URL before forwarding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UrlRewrite {
    /// Where the new host name comes from.
    pub hostname: Option<HostRewrite>,
    /// Whether the host name that the client asked for is appended to `x-forwarded-host` where another takes its place.
    pub append_forwarded_host: bool,
    /// The new path. The query stays.
    pub path: Option<ForwardedPath>,
}

/// Where the host name that a backend sees comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum HostRewrite {
    /// It is this one.
    Name(Arc<str>),
    /// From this header of the request. Without one, or where it is no host name, the client's stays.
    Header(HeaderNameText),
    /// From the endpoint that the request is sent to. Where that has no name of its own, the client's stays.
    Backend,
    /// From the path as the client sent it, without its query. Where that makes no host name, the client's stays.
    PathRegex(RegexRewrite),
}

/// The path that a backend sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum ForwardedPath {
    /// The path with each match replaced. It gets a slash in front where it has none.
    ReplaceRegexMatch(RegexRewrite),
    /// What the Gateway API knows.
    #[serde(untagged)]
    Plain(PathRewrite),
}

/// A replacement of all that a regular expression matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RegexRewrite {
    /// The expression (RE2), which may match anywhere.
    pub pattern: Arc<str>,
    /// What takes the place of each match, in the syntax of the `regex` crate: `${1}` is what the first group matched, `$$` a `$`.
    pub replacement: Arc<str>,
}

/// A change of the path. The query stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum PathRewrite {
    /// This path instead of the request's.
    ReplaceFullPath(Arc<str>),
    /// This instead of the prefix that the route matched (without a trailing slash, which a rewrite to `/` may have).
    ReplacePrefixMatch(Arc<str>),
}

/// A redirect. What is `None` is taken from the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Redirect {
    /// `http` or `https`.
    pub scheme: Option<Arc<str>>,
    /// The host name.
    pub hostname: Option<Arc<str>>,
    /// The path.
    pub path: Option<PathRewrite>,
    /// The port to name. `None`: by the scheme where one is given, else the listener's; a scheme's own port is left
    /// out.
    pub port: Option<u16>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// An answer that the gateway gives by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DirectResponse {
    /// The status.
    pub status: u16,
    /// Why, for logs and explanations; never sent to the client.
    pub reason: Arc<str>,
    /// What is sent besides the status; none: nothing.
    pub content: Option<Arc<DirectContent>>,
}

/// What an answer of the gateway has besides its status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DirectContent {
    /// The body, sent as it is. Its content type is `text/plain` where `headers` do not say another.
    pub body: ReplacedBody,
    /// Changes of the answer's headers.
    pub headers: HeaderChanges,
    /// Whether body and values of headers have [operators](crate::operator) to be filled in; they are sent as they are
    /// otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub operators: bool,
}

/// Changes of headers, in this order: set, add, remove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HeaderChanges {
    /// Replaced or created.
    #[serde(serialize_with = "headers")]
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Added to those that are there.
    #[serde(serialize_with = "headers")]
    pub add: Vec<(HeaderName, HeaderValue)>,
    /// Removed.
    #[serde(serialize_with = "names")]
    pub remove: Vec<HeaderName>,
}

impl HeaderChanges {
    /// True where nothing is changed.
    pub fn is_empty(&self) -> bool {
        let Self { set, add, remove } = self;
        set.is_empty() && add.is_empty() && remove.is_empty()
    }
}

pub(crate) fn headers<S: Serializer>(
    headers: &[(HeaderName, HeaderValue)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(
        headers
            .iter()
            .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()))),
    )
}

fn names<S: Serializer>(names: &[HeaderName], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(names.iter().map(HeaderName::as_str))
}
