//! Limits on how many requests are let through: token buckets of this process (local) and windows shared by all
//! (global).

use std::sync::Arc;

use http::{HeaderName, Method};
use ipnet::IpNet;
use serde::{Serialize, Serializer};

use crate::matching::header_name;
use crate::name::NamespacedName;
use crate::units::Rate;

/// Both kinds of limits. A request passes the local ones first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RateLimit {
    /// Token buckets, each for one route entry of this process.
    pub local: Option<LocalRateLimit>,
    /// Fixed windows, counted in a store.
    pub global: Option<GlobalRateLimit>,
}

impl RateLimit {
    /// No limit.
    pub const NONE: Self = Self {
        local: None,
        global: None,
    };
}

/// Local limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LocalRateLimit {
    /// The bucket of requests that match no rule. None: they are not limited, and their `x-ratelimit-*` headers say
    /// 4294967295.
    pub default: Option<DefaultBucket>,
    /// Whether these are sent where there is no such bucket. They are, but where a listener keeps such headers back.
    #[serde(skip_serializing_if = "Clone::clone")]
    pub headers: bool,
    /// The rules with selectors, in the order written.
    pub rules: Vec<RateLimitRule>,
}

/// The bucket of requests that match no rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DefaultBucket {
    /// The rule without selectors that it was made from.
    pub name: RateLimitRuleName,
    /// Its size and refill; `requests: 0` refuses everything.
    pub limit: Rate,
    /// Whether its `x-ratelimit-*` headers are sent.
    pub headers: bool,
}

/// Global limits: every rule that matches is counted, and any that is over its limit refuses the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GlobalRateLimit {
    /// The rules, in the order written.
    pub rules: Vec<RateLimitRule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RateLimitRule {
    /// Its name: the policy that it stands in, and its place there.
    pub name: RateLimitRuleName,
    /// Which requests it counts; all conditions must hold. Empty: every request.
    pub matches: ClientMatch,
    /// What is allowed; `requests: 0` refuses everything that matches.
    pub limit: Rate,
    /// What a request costs on arrival; 0: it is checked, not counted. Always 1 in local rules.
    pub request_cost: u64,
    /// What a request costs when its response has ended, for the requests after it. Global rules only.
    pub response_cost: Option<u64>,
    /// Metadata of the request that takes the place of these numbers where it is there. Global rules only.
    pub from_metadata: FromMetadata,
    /// Global rules: one count for all routes and gateways under the policy, rather than one for each route entry.
    pub shared: bool,
    /// Counted and reported, but never refused.
    pub shadow: bool,
    /// Whether its `x-ratelimit-*` headers are sent.
    pub headers: bool,
}

/// Where numbers of a rule come from, if not from the rule. None: from the rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FromMetadata {
    /// What is allowed.
    pub limit: Option<MetadataKey>,
    /// What a request costs on arrival.
    pub request_cost: Option<MetadataKey>,
    /// What it costs when its response has ended.
    pub response_cost: Option<MetadataKey>,
}

impl FromMetadata {
    /// All numbers are the rule's.
    pub const NONE: Self = Self {
        limit: None,
        request_cost: None,
        response_cost: None,
    };
}

/// A place in the metadata of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MetadataKey {
    /// Whose metadata.
    pub namespace: Arc<str>,
    /// The key in it.
    pub key: Arc<str>,
}

/// Names a rule: `namespace/policy/rule/INDEX`, as Envoy Gateway does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RateLimitRuleName {
    /// The policy that the rule was written in.
    pub policy: NamespacedName,
    /// Its place in the policy's list of rules.
    pub index: usize,
}

impl std::fmt::Display for RateLimitRuleName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/rule/{}", self.policy, self.index)
    }
}

impl Serialize for RateLimitRuleName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Which requests a rule counts. All conditions must hold; methods are alternatives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClientMatch {
    /// On headers.
    pub headers: Vec<NamedMatch<HeaderNameText>>,
    /// On methods; empty: any.
    pub methods: Vec<MethodMatch>,
    /// On the path as sent, the query included.
    pub path: Option<InvertibleMatch<PathPattern>>,
    /// On the client's address.
    pub source_cidr: Option<CidrMatch>,
    /// On query parameters, decoded; the first of several counts.
    pub query_params: Vec<NamedMatch<Arc<str>>>,
}

impl ClientMatch {
    /// True where every request is meant.
    pub fn is_empty(&self) -> bool {
        let Self {
            headers,
            methods,
            path,
            source_cidr,
            query_params,
        } = self;
        headers.is_empty()
            && methods.is_empty()
            && path.is_none()
            && source_cidr.is_none()
            && query_params.is_empty()
    }
}

/// A header name that serializes as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct HeaderNameText(#[serde(serialize_with = "header_name")] pub HeaderName);

/// A condition on a named value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedMatch<N> {
    /// The name.
    pub name: N,
    /// The condition.
    pub value: LimitValueMatch,
}

/// A condition on a value of a limit rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum LimitValueMatch {
    /// Each distinct value has a count of its own; where there is none, the rule does not apply.
    Distinct,
    /// This value; inverted: anything else, none included.
    Exact {
        /// The value.
        value: Arc<str>,
        /// Whether the opposite is meant.
        invert: bool,
    },
    /// A regular expression (RE2) that the whole value fulfils; inverted: anything else, none included.
    Regex {
        /// The expression.
        pattern: Arc<str>,
        /// Whether the opposite is meant.
        invert: bool,
    },
}

/// A method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodMatch {
    /// The method.
    pub method: Method,
    /// Whether the others are meant.
    pub invert: bool,
}

impl Serialize for MethodMatch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!(
            "{}{}",
            if self.invert { "!" } else { "" },
            self.method
        ))
    }
}

/// A condition, or its opposite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InvertibleMatch<T> {
    /// The condition.
    pub value: T,
    /// Whether the opposite is meant.
    pub invert: bool,
}

/// A condition on the path with its query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum PathPattern {
    /// The whole, letter for letter, the query included.
    Exact(Arc<str>),
    /// A prefix that ends where an element, query or fragment begins: `/a` means `/a`, `/a/b` and `/a?b`, not `/ab`.
    Prefix(Arc<str>),
    /// A regular expression that the whole fulfils.
    Regex(Arc<str>),
}

/// A condition on the client's address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CidrMatch {
    /// The range.
    pub cidr: IpNet,
    /// Whether each address within it has a count of its own.
    pub distinct: bool,
    /// Whether addresses outside are meant.
    pub invert: bool,
}
