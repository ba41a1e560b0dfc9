//! The rules of `responseOverride`: what is matched, and what is answered instead.

use super::Violation;
use super::values::At;

/// Tries every rule on one override.
pub(super) fn response_override(at: &At<'_>, found: &mut Vec<Violation>) {
    let one = at.has("response") != at.has("redirect");
    at.require(
        one,
        "exactly one of response or redirect must be specified",
        found,
    );
    if let Some(matching) = at.get("match") {
        let any = matching.has("statusCodes") || matching.has("responseHeaders");
        matching.require(
            any,
            "at least one of statusCodes or responseHeaders must be specified",
            found,
        );
        for code in matching.items_of("statusCodes") {
            let kind = code.text("type").unwrap_or("Value");
            code.require(
                kind != "Value" || code.has("value"),
                "value must be set for type Value",
                found,
            );
            code.require(
                kind != "Range" || code.has("range"),
                "range must be set for type Range",
                found,
            );
            if let Some(range) = code.get("range") {
                let holds = range.number("end") > range.number("start");
                range.require(holds, "end must be greater than start", found);
            }
        }
    }
    if let Some(at) = at.follow(&["response", "body"]) {
        body(&at, found);
    }
    if let Some(header) = at.follow(&["response", "header"]) {
        header.require(
            !header.has_items("remove"),
            "Remove is not supported for header in CustomResponse",
            found,
        );
    }
    if let Some(path) = at.follow(&["redirect", "path"]) {
        let kind = path.text("type");
        path.require(
            kind == Some("ReplaceFullPath"),
            "only ReplaceFullPath is supported for path.type",
            found,
        );
        for (name, field) in [
            ("ReplaceFullPath", "replaceFullPath"),
            ("ReplacePrefixMatch", "replacePrefixMatch"),
        ] {
            let (meant, set) = (kind == Some(name), path.has(field));
            path.require(
                !meant || set,
                &format!("{field} must be specified when type is set to '{name}'"),
                found,
            );
            path.require(
                !set || meant,
                &format!("type must be '{name}' when {field} is set"),
                found,
            );
        }
    }
}

/// Tries every rule on the body of an answer.
pub(super) fn body(at: &At<'_>, found: &mut Vec<Violation>) {
    let kind = at.text("type").unwrap_or("Inline");
    at.require(
        kind != "Inline" || at.has("inline"),
        "inline must be set for type Inline",
        found,
    );
    at.require(
        kind != "ValueRef" || at.has("valueRef"),
        "valueRef must be set for type ValueRef",
        found,
    );
    let of_kind = at
        .get("valueRef")
        .is_none_or(|it| it.text("kind") == Some("ConfigMap"));
    at.require(of_kind, "only ConfigMap is supported for ValueRef", found);
}
