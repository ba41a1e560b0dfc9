//! Other answers in place of a backend's or the gateway's own.

use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::features::rate_limit::HeaderNameText;
use crate::plan::HeaderChanges;

/// One rule. Of the rules of a route, the first that matches an answer counts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResponseOverride {
    /// Which answers it replaces, by their status: one of these ranges holds it. Empty: any.
    #[serde(serialize_with = "ranges")]
    pub statuses: Vec<RangeInclusive<u16>>,
    /// And by their headers: all of these conditions hold.
    pub headers: Vec<ResponseHeaderMatch>,
    /// And by where they come from.
    pub source: ResponseSource,
    /// What the client gets instead.
    pub with: Replacement,
}

/// A condition on a header of an answer. One that is not there fulfils none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResponseHeaderMatch {
    /// Its name.
    pub name: HeaderNameText,
    /// Its value.
    pub value: TextMatch,
}

/// A condition on a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum TextMatch {
    /// This text.
    Exact(Arc<str>),
    /// It begins with this.
    Prefix(Arc<str>),
    /// It ends with this.
    Suffix(Arc<str>),
    /// A regular expression that the whole fulfils.
    Regex(Arc<str>),
}

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ResponseSource {
    /// Anywhere.
    All,
    /// From the gateway itself.
    Local,
    /// From a backend.
    Backend,
}

/// What the client gets instead of an answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Replacement {
    /// The answer, changed.
    Response(ReplacedResponse),
    /// What the gateway answers to another request, which it makes for the client.
    Redirect(InternalRedirect),
}

/// A request that is made in place of the client's: a GET without a body, through the routes again. What is `None` is
/// the client's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InternalRedirect {
    /// `http` or `https`.
    pub scheme: Option<Arc<str>>,
    /// The host name.
    pub hostname: Option<Arc<str>>,
    /// The path.
    pub path: Option<Arc<str>>,
    /// The port.
    pub port: Option<u16>,
    /// The status that the answer gets.
    pub status: u16,
}

impl InternalRedirect {
    /// Envoy Gateway's status.
    pub const DEFAULT_STATUS: u16 = 302;
}

/// The changes of an answer. What is `None` stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplacedResponse {
    /// The status.
    pub status: Option<u16>,
    /// The content type.
    pub content_type: Option<Arc<str>>,
    /// The body, in which `%...%` operators are replaced; of a ConfigMap it is what that holds.
    pub body: Option<ReplacedBody>,
    /// Changes of headers, in whose values operators are replaced.
    pub headers: HeaderChanges,
}

/// A body. It serializes as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplacedBody(pub Arc<[u8]>);

impl Serialize for ReplacedBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(&self.0))
    }
}

fn ranges<S: Serializer>(ranges: &[RangeInclusive<u16>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(
        ranges
            .iter()
            .map(|range| match (range.start(), range.end()) {
                (start, end) if start == end => start.to_string(),
                (start, end) => format!("{start}-{end}"),
            }),
    )
}
