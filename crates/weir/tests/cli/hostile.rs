//! `weir check` on files that mean harm: a clear finding with file and line, or a pass, in bounded memory and never a crash.

use std::process::{Command, Output, Stdio};

use crate::process::workspace;

/// How much address space the binary gets, in KiB. It takes a third of it where it takes most.
const MEMORY: &str = "1500000";

const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: weir}
spec: {controllerName: weir.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec: {gatewayClassName: weir, listeners: [{name: http, protocol: HTTP, port: 8080}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: web, port: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
";

const SERVICE: &str =
    "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 80}]}\n";

/// A policy of the route. The spec begins on line 6.
fn policy(spec: &str) -> String {
    format!(
        "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: BackendTrafficPolicy\nmetadata: {{name: p}}\nspec:\n  \
        targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: web}}]\n  {spec}\n"
    )
}

/// A local rate limit for those with a header that this expression matches.
fn limit_by_header(expression: &str) -> String {
    policy(&format!(
        "rateLimit: {{local: {{rules: [{{limit: {{requests: 1, unit: Second}}, \
        clientSelectors: [{{headers: [{{name: a, type: RegularExpression, value: \"{expression}\"}}]}}]}}]}}}}"
    ))
}

/// Runs `weir check` on the file, beside a Gateway with a route.
fn check(content: &[u8]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("gateway.yaml"), GATEWAY).expect("it is written");
    std::fs::write(path("bad.yaml"), content).expect("it is written");
    Command::new("sh")
        .args([
            "-c",
            "ulimit -v \"$1\" && exec \"$2\" check \"$3\"",
            "sh",
            MEMORY,
        ])
        .args([
            env!("CARGO_BIN_EXE_weir").as_ref(),
            folder.path().as_os_str(),
        ])
        .current_dir(workspace())
        .stdin(Stdio::null())
        .output()
        .expect("it runs")
}

/// The line, the id and a part of the text of the first error; none: there is no error.
type Expected<'a> = Option<(usize, &'a str, &'a str)>;

/// Checks the first error by its line, id and text, or that there is none, and that little is printed.
fn assert_found(what: &str, content: &[u8], expected: Expected<'_>) {
    let output = check(content);
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let told = format!("{what}: {} {stdout:.2000} {stderr:.2000}", output.status);
    assert_eq!(
        output.status.code(),
        Some(i32::from(expected.is_some())),
        "{told}"
    );
    assert_eq!(stderr, "", "{told}");
    assert!(stdout.len() < 20_000, "{told}");
    let mut errors = stdout.lines().filter(|line| line.contains(": error["));
    let Some((line, id, message)) = expected else {
        assert_eq!(errors.next(), None, "{told}");
        return;
    };
    let found = errors.next().unwrap_or_default();
    assert!(
        found.contains(&format!("bad.yaml:{line}: error[{id}]: ")),
        "{told}"
    );
    assert!(found.contains(message), "{told}");
}

#[test]
fn small_files_with_bad_intent() {
    let after = |text: &[u8]| [SERVICE.as_bytes(), text].concat();
    let cases: Vec<(&str, Vec<u8>, Expected<'_>)> = vec![
        (
            "a number without end",
            policy("circuitBreaker: {maxConnections: 1e999}").into(),
            Some((6, "syntax", "`1e999` is not a finite number")),
        ),
        (
            "two to the power of 70",
            policy("circuitBreaker: {maxConnections: 1180591620717411303424}").into(),
            Some((6, "wrong-type", "must be of type integer")),
        ),
        (
            "a size beyond all sizes",
            policy("requestBuffer: {limit: 99999999999999999999Ei}").into(),
            Some((6, "invalid-policy", "limit must be convertible to an int64")),
        ),
        (
            "not UTF-8",
            after(b"# \xff\n"),
            Some((5, "not-utf-8", "the file is not UTF-8 from here on")),
        ),
        (
            "NUL",
            after(b"x: \0\n"),
            Some((5, "syntax", "unexpected character")),
        ),
        (
            "NUL in a name",
            SERVICE.replace("name: s", "name: \"a\\0b\"").into(),
            Some((3, "invalid-name", "metadata.name: invalid name")),
        ),
        ("BOM", [b"\xef\xbb\xbf", SERVICE.as_bytes()].concat(), None),
        ("CRLF", SERVICE.replace('\n', "\r\n").into(), None),
        (
            "CRLF and an error",
            policy("retry: {numRetires: 1}")
                .replace('\n', "\r\n")
                .into(),
            Some((6, "unknown-field", "spec.retry.numRetires")),
        ),
        (
            "a key twice",
            after(b"spec: {}\n"),
            Some((5, "syntax", "duplicate mapping key `spec`")),
        ),
        (
            "an expression that unfolds to a million",
            limit_by_header("((a{100}){100}){100}").into(),
            Some((6, "invalid-policy", "invalid repeat count: `{100}`")),
        ),
        (
            "an expression that is small as RE2 counts, and large",
            limit_by_header(r"\\pL{1000}").into(),
            Some((6, "invalid-policy", r"expression too large: `\pL{1000}`")),
        ),
        (
            "an expression that is long",
            limit_by_header(&"(a|".repeat(100_000)).into(),
            Some((
                6,
                "not-admitted",
                "Too long: may not be more than 1024 bytes",
            )),
        ),
        (
            "a scalar of 1 MB where any text is allowed",
            policy(&format!("mergeType: {}", "a".repeat(1_000_000))).into(),
            None,
        ),
        (
            "a scalar of 1 MB where a word is meant",
            policy(&format!(
                "loadBalancer: {{type: {}}}",
                "a".repeat(1_000_000)
            ))
            .into(),
            Some((6, "not-admitted", "spec.loadBalancer.type")),
        ),
        (
            "nesting without end",
            after(["x: ", &"[".repeat(100_000)].concat().as_bytes()),
            Some((5, "syntax", "recursion limit exceeded")),
        ),
        (
            "nesting with an end",
            format!("x: {}{}", "[".repeat(100_000), "]".repeat(100_000)).into(),
            Some((1, "syntax", "recursion limit exceeded")),
        ),
    ];
    for (what, content, expected) in cases {
        assert_found(what, &content, expected);
    }
}

#[test]
fn aliases_that_unfold_without_end() {
    let list = |item: &str| [item; 9].join(", ");
    let bomb: String = (1..20).fold(format!("a0: &a0 [{}]\n", list("x")), |text, n| {
        text + &format!("a{n}: &a{n} [{}]\n", list(&format!("*a{}", n - 1)))
    });
    assert_found(
        "aliases",
        bomb.as_bytes(),
        Some((6, "syntax", "too large or too complex")),
    );
}

#[test]
fn a_mapping_of_10_mb() {
    let keys: String = (0..800_000).map(|n| format!("k{n}: v\n")).collect();
    let value = "a".repeat(10_000_000 - keys.len());
    let text = format!("{SERVICE}{keys}last: {value}\n");
    let message = "there may be more findings about this object";
    assert_found(
        "10 MB",
        text.as_bytes(),
        Some((1, "too-many-findings", message)),
    );
}

#[test]
fn a_limit_with_100_000_rules() {
    let rules = "      - {limit: {requests: 1, unit: Second}}\n".repeat(100_000);
    let text = policy(&format!("rateLimit:\n    local:\n      rules:\n{rules}"));
    let message = "Too many: 100000: must have at most 16 items";
    assert_found("rules", text.as_bytes(), Some((8, "not-admitted", message)));
}

#[test]
fn a_policy_with_100_000_targets() {
    let targets =
        "  - {group: gateway.networking.k8s.io, kind: HTTPRoute, name: web}\n".repeat(100_000);
    let text = policy("circuitBreaker: {maxConnections: 5}").replace(
        "targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: web}]\n",
        &format!("targetRefs:\n{targets}"),
    );
    let message = "99899 more findings about this object are left out";
    assert_found(
        "targets",
        text.as_bytes(),
        Some((1, "too-many-findings", message)),
    );
}
