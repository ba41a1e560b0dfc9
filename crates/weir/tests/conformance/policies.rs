//! What the engine makes of resources: the statuses of policies, letter for letter, as the cases' README defines.
//!
//! The resources reach it without admission, as in the reference's own tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use weir_plan::{Feature, Support};
use weir_resolve::status::PolicyAncestorStatus;
use weir_resolve::{Context, Memo, Object, Resolution, Resources};

use super::{documents, verdict};

const CONTROLLER: &str = "gateway.envoyproxy.io/gatewayclass-controller";
/// What follows is worded by the library that reads regular expressions.
const FREE_WORDING: &str = "error parsing regexp:";

/// One test per case.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn trials(folder: &Path) -> Result<Vec<Trial>, String> {
    trials_of(folder, "policies", policies)
}

/// A test of each case, under its name.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn trials_of(
    folder: &Path,
    sort: &str,
    test: fn(&Path) -> Result<(), Failed>,
) -> Result<Vec<Trial>, String> {
    let unreadable = |error| format!("cannot read {}: {error}", folder.display());
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let case = entry.map_err(unreadable)?.path();
        if case.join("input.yaml").is_file() {
            cases.push(case);
        }
    }
    cases.sort();
    Ok(cases
        .into_iter()
        .map(|case| trial(sort, case, test))
        .collect())
}

fn trial(sort: &str, case: PathBuf, test: fn(&Path) -> Result<(), Failed>) -> Trial {
    let name = case.file_name().unwrap_or_default().to_string_lossy();
    Trial::test(format!("{sort}::{name}"), move || test(&case))
}

/// The resources of a case, and what the engine makes of them.
///
/// # Errors
/// When they cannot be read.
pub(crate) fn resolved(case: &Path) -> Result<(Resources, Resolution), Failed> {
    let resources = resources(&case.join("input.yaml"))?;
    let context = Context {
        controller_name: CONTROLLER.to_owned(),
        every_class: false,
        support: |_: Feature| Support::Full,
        client_support: Support::Full,
        allow_unenforced: false,
        allow_loopback: true,
        addresses: weir_resolve::Addresses::PerGateway,
    };
    let resolution = weir_resolve::resolve(&resources, &context, &mut Memo::default());
    Ok((resources, resolution))
}

fn policies(case: &Path) -> Result<(), Failed> {
    let (_, resolution) = resolved(case)?;
    let expected = expected(&documents(&case.join("expect.yaml"))?)?;
    let mut actual = BTreeMap::new();
    for (name, ancestors) in resolution.statuses.policies.iter() {
        actual.insert(
            name.to_string(),
            ancestors.iter().map(said).collect::<BTreeSet<_>>(),
        );
    }
    compare(&expected, &actual)
}

/// What each policy is told: for each ancestor its text, followed by the conditions in their order.
type Told = BTreeMap<String, BTreeSet<Vec<String>>>;

fn compare(expected: &Told, actual: &Told) -> Result<(), Failed> {
    let none = BTreeSet::new();
    let mut differences = String::new();
    for policy in expected
        .keys()
        .chain(actual.keys())
        .collect::<BTreeSet<_>>()
    {
        let (expected, actual) = (
            expected.get(policy).unwrap_or(&none),
            actual.get(policy).unwrap_or(&none),
        );
        for (sign, ancestors) in [
            ("missing", expected - actual),
            ("surplus", actual - expected),
        ] {
            for ancestor in ancestors {
                differences += &format!("{policy}: {sign}\n    {}\n", ancestor.join("\n      "));
            }
        }
    }
    verdict(differences)
}

fn said(status: &PolicyAncestorStatus) -> Vec<String> {
    let PolicyAncestorStatus {
        ancestor_ref,
        controller_name: _,
        conditions,
    } = status;
    let section = ancestor_ref.section_name.as_deref();
    let namespace = ancestor_ref.namespace.as_deref().unwrap_or_default();
    let mut lines = vec![ancestor(
        &ancestor_ref.kind,
        namespace,
        &ancestor_ref.name,
        section,
    )];
    lines.extend(conditions.iter().map(|it| {
        condition(
            &it.r#type,
            &format!("{:?}", it.status),
            &it.reason,
            &it.message,
        )
    }));
    lines
}

fn expected(documents: &[Value]) -> Result<Told, Failed> {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let [document] = documents else {
        return Err("expect.yaml is not one document".into());
    };
    let mut told = Told::new();
    for policy in list(document, "policies") {
        let mut ancestors = BTreeSet::new();
        for status in list(&policy, "ancestors") {
            let reference = &status["ancestorRef"];
            let section = reference["sectionName"].as_str();
            let (kind, name) = (text(reference, "kind"), text(reference, "name"));
            let mut lines = vec![ancestor(
                &kind,
                &text(reference, "namespace"),
                &name,
                section,
            )];
            lines.extend(list(&status, "conditions").iter().map(|it| {
                condition(
                    &text(it, "type"),
                    &text(it, "status"),
                    &text(it, "reason"),
                    &text(it, "message"),
                )
            }));
            ancestors.insert(lines);
        }
        told.insert(
            format!("{}/{}", text(&policy, "namespace"), text(&policy, "name")),
            ancestors,
        );
    }
    Ok(told)
}

fn ancestor(kind: &str, namespace: &str, name: &str, section: Option<&str>) -> String {
    format!("{kind} {namespace}/{name}#{}", section.unwrap_or_default())
}

fn condition(r#type: &str, status: &str, reason: &str, message: &str) -> String {
    let message = message
        .split_once(FREE_WORDING)
        .map_or(message, |(before, _)| before);
    format!("{type}={status} {reason}: {message}")
}

fn resources(path: &Path) -> Result<Resources, Failed> {
    let mut resources = Resources::default();
    for document in documents(path)? {
        let (object, _warnings) =
            Object::read_unadmitted(document).map_err(|found| format!("{found:?}"))?;
        if let Some(object) = object {
            resources.insert(object);
        }
    }
    Ok(resources)
}
