//! The document of a test: its fields, and what of it cannot be meant. What the fields say is in
//! docs/policies/testing.md.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;
use weir_resolve::foreign::{self, Misfit};
use weir_resolve::{FieldPath, suggest};

use super::contradiction;
use crate::asked_request::{self, Asked};

/// The API group of tests.
pub(crate) const GROUP: &str = "weir.dev";
const API_VERSION: &str = "weir.dev/v1alpha1";
const KIND: &str = "PolicyTest";

/// The tests of one document.
#[derive(Debug)]
pub(crate) struct Suite {
    pub(crate) name: String,
    /// Files and folders, from the folder of the test's own file. Empty: everything that was named to the command.
    pub(crate) resources: Vec<String>,
    pub(crate) tests: Vec<Test>,
}

/// One test.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) name: String,
    pub(crate) subject: Subject,
    pub(crate) expect: Expect,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    // These two are looked at before the rest is read; here, they are known fields.
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Spec {
    #[serde(default)]
    resources: Vec<String>,
    tests: Vec<WrittenTest>,
}

#[derive(Debug, Deserialize)]
struct WrittenTest {
    name: String,
    request: Option<Request>,
    route: Option<String>,
    listener: Option<String>,
    policy: Option<String>,
    expect: Expect,
}

#[derive(Debug, Deserialize)]
struct Request {
    #[serde(default = "get")]
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<Header>,
    /// The client's address. Limits can tell clients apart by it.
    source: Option<IpAddr>,
}

#[derive(Debug, Deserialize)]
struct Header {
    name: String,
    value: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Expect {
    pub(crate) route: Option<String>,
    pub(crate) no_route: Option<bool>,
    pub(crate) listener: Option<String>,
    #[serde(default)]
    pub(crate) settings: BTreeMap<String, Value>,
    #[serde(default)]
    pub(crate) from: BTreeMap<String, String>,
    pub(crate) policies: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) lost: Vec<LostPolicy>,
    pub(crate) invalid: Option<bool>,
    pub(crate) action: Option<Action>,
    pub(crate) limits: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) conditions: Vec<ExpectedCondition>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct LostPolicy {
    pub(crate) policy: String,
    /// Words of the reason.
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Action {
    pub(crate) forward: Option<Vec<String>>,
    pub(crate) redirect: Option<ExpectedRedirect>,
    pub(crate) respond: Option<ExpectedResponse>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ExpectedRedirect {
    pub(crate) status: Option<u16>,
    pub(crate) location: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ExpectedResponse {
    pub(crate) status: u16,
    /// Words of the reason.
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ExpectedCondition {
    pub(crate) r#type: String,
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
    /// Words of the message.
    pub(crate) message: Option<String>,
    /// The Gateway or other parent that the condition is about. Default: each one that has a condition of this type.
    pub(crate) ancestor: Option<String>,
}

/// What a test is about.
#[derive(Debug)]
pub(crate) enum Subject {
    /// The rule that a request takes, if any.
    Request { asked: Box<Asked>, source: IpAddr },
    /// Every rule that fits.
    Rules {
        route: Option<String>,
        listener: Option<String>,
    },
    /// A policy's status.
    Policy(String),
}

/// Reads a document of our group.
///
/// # Errors
/// All that is wrong with it: with its fields, or with what they say together.
pub(crate) fn read(value: &Value) -> Result<Suite, Vec<Misfit>> {
    let text = |name: &str| value[name].as_str().unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if kind != KIND {
        let meant = suggest(kind, [KIND]).map_or_else(
            || format!("known is {KIND}"),
            |it| format!("did you mean {it:?}?"),
        );
        let message = format!("unknown kind {kind:?} in {GROUP}: {meant}");
        return Err(vec![misfit("kind", message)]);
    }
    if api_version != API_VERSION {
        let message = format!("unknown version {api_version:?}: write {API_VERSION}");
        return Err(vec![misfit("apiVersion", message)]);
    }
    let Document {
        _api_version: _,
        _kind: _,
        metadata: Metadata { name },
        spec: Spec { resources, tests },
    } = foreign::read(value)?;
    let mut misfits = Vec::new();
    let mut read = Vec::new();
    if tests.is_empty() {
        misfits.push(misfit("spec.tests", "there is no test in it".to_owned()));
    }
    for (index, test) in tests.into_iter().enumerate() {
        let at = FieldPath::new("spec.tests").index(index);
        match subject(&test, &at) {
            Ok(subject) => {
                let has_source = test.request.as_ref().is_some_and(|it| it.source.is_some());
                let expect = at.child("expect");
                misfits.extend(contradiction::find(
                    &test.expect,
                    &subject,
                    has_source,
                    &expect,
                ));
                read.push(Test {
                    name: test.name,
                    subject,
                    expect: test.expect,
                });
            }
            Err(wrong) => misfits.push(wrong),
        }
    }
    if misfits.is_empty() {
        Ok(Suite {
            name,
            resources,
            tests: read,
        })
    } else {
        Err(misfits)
    }
}

/// Expected settings one by one: mappings are gone into, everything else is expected as a whole.
pub(crate) fn leaves(settings: &BTreeMap<String, Value>) -> Vec<(FieldPath, &Value)> {
    fn go<'v>(path: FieldPath, value: &'v Value, leaves: &mut Vec<(FieldPath, &'v Value)>) {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                for (name, value) in fields {
                    go(path.child(name), value, leaves);
                }
            }
            Value::Object(_)
            | Value::Array(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_) => leaves.push((path, value)),
        }
    }
    let mut leaves = Vec::new();
    for (path, value) in settings {
        go(FieldPath::new(path.as_str()), value, &mut leaves);
    }
    leaves
}

fn get() -> String {
    "GET".to_owned()
}

fn misfit(at: &str, message: String) -> Misfit {
    Misfit {
        at: FieldPath::new(at),
        id: "invalid-test",
        message,
    }
}

fn subject(test: &WrittenTest, at: &FieldPath) -> Result<Subject, Misfit> {
    let WrittenTest {
        name: _,
        request,
        route,
        listener,
        policy,
        expect: _,
    } = test;
    match (request, route, listener, policy) {
        (Some(request), None, None, None) => {
            let Request {
                method,
                url,
                headers,
                source,
            } = request;
            let headers: Vec<String> = headers
                .iter()
                .map(|Header { name, value }| format!("{name}: {value}"))
                .collect();
            let asked = asked_request::parse(&format!("{method} {url}"), &headers);
            let asked = asked.map_err(|error| Misfit {
                at: at.child("request"),
                id: "invalid-test",
                message: format!("{error:#}"),
            })?;
            let source = source
                .unwrap_or(IpAddr::from([127, 0, 0, 1]))
                .to_canonical();
            Ok(Subject::Request {
                asked: Box::new(asked),
                source,
            })
        }
        (None, None, None, Some(policy)) => Ok(Subject::Policy(policy.clone())),
        (None, Some(_), _, None) | (None, None, Some(_), None) => Ok(Subject::Rules {
            route: route.clone(),
            listener: listener.clone(),
        }),
        (None, None, None, None) | (Some(_), ..) | (None, _, _, Some(_)) => Err(Misfit {
            at: at.clone(),
            id: "invalid-test",
            message:
                "a test is about one of these: a request, a policy, or a route, a listener or both"
                    .to_owned(),
        }),
    }
}
