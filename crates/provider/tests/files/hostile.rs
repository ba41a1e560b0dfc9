//! Input that means harm: it gets a clear error, soon, and never a panic.

use proptest::prelude::*;

use super::{folder, load, names, put, route};

#[test]
fn hostile_files_get_an_error() {
    let bomb: String = (1..20).fold(
        "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(),
        |text, n| {
            let aliases = vec![format!("*a{}", n - 1); 9].join(", ");
            text + &format!("a{n}: &a{n} [{aliases}]\n")
        },
    );
    let cases = [
        ("alias bomb", bomb),
        ("deep flow", "[".repeat(1_000_000)),
        (
            "deep block",
            (0..5_000)
                .map(|n| format!("{}a:\n", " ".repeat(n)))
                .collect(),
        ),
        ("deep json", "{\"a\":".repeat(100_000)),
        (
            "huge number",
            format!(
                "apiVersion: v1\nkind: Service\nmetadata: {{name: s}}\nspec: {{ports: [{{port: {}}}]}}\n",
                "9".repeat(400)
            ),
        ),
        (
            "long name",
            format!(
                "apiVersion: v1\nkind: Service\nmetadata: {{name: {}}}\n",
                "a".repeat(1_000_000)
            ),
        ),
        (
            "long key",
            format!(
                "apiVersion: v1\nkind: Service\nmetadata: {{name: s}}\nspec: {{{}: 1}}\n",
                "a".repeat(100_000)
            ),
        ),
    ];
    for (what, text) in cases {
        let folder = folder(&[("bad.yaml", &text), ("good.yaml", &route("a", "a.example"))]);
        let loaded = load(folder.path());
        assert_eq!(names(&loaded), ["HTTPRoute default/a"], "{what}");
        assert_eq!(loaded.findings.len(), 1, "{what}: {:?}", loaded.findings);
        assert!(loaded.findings[0].message.len() < 2_000, "{what}");
    }
}

#[test]
fn an_object_full_of_errors_is_told_of_in_part_and_soon() {
    let fields: String = (0..10_000).map(|n| format!("  field{n}: {n}\n")).collect();
    let items = "  - {nmae: 1}\n".repeat(10_000);
    let policy = "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: BackendTrafficPolicy\nmetadata: {name: p}\nspec:\n";
    let route =
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\nspec:\n";
    let cases = [
        format!("{policy}{fields}"),
        format!("{route}{fields}"),
        format!("{policy}  targetRefs:\n{items}"),
        format!("{policy}  responseOverride:\n{items}"),
        format!("{route}  parentRefs:\n{items}"),
    ];
    for text in cases {
        let folder = folder(&[("bad.yaml", &text)]);
        let loaded = load(folder.path());
        assert!(names(&loaded).is_empty());
        assert!(
            (1..=101).contains(&loaded.findings.len()),
            "{}",
            loaded.findings.len()
        );
    }
}

/// Text that is near enough to an object to get past the first checks.
fn nearly_an_object() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("apiVersion: gateway.networking.k8s.io/v1"),
        Just("apiVersion: gateway.envoyproxy.io/v1alpha1"),
        Just("apiVersion: v1"),
        Just("kind: HTTPRoute"),
        Just("kind: BackendTrafficPolicy"),
        Just("kind: List"),
        Just("metadata: {name: a}"),
        Just("items: [{}, 1, null]"),
        Just("spec:"),
        Just("  rules: [{matches: [{path: {value: 1}}]}]"),
        Just("  rateLimit: {local: {requests: -1}}"),
        Just("  targetRefs: {}"),
        Just("  &a x: *a"),
        Just("  <<: {a: b}"),
        Just("---"),
        Just("..."),
        Just("%YAML 1.2"),
        Just("\t"),
        Just("? {a: b}"),
        Just("- |"),
    ];
    proptest::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let folder = folder(&[]);
        put(folder.path(), "a.yaml", &bytes);
        load(folder.path());
    }

    #[test]
    fn near_objects_are_read_without_a_panic(text in nearly_an_object()) {
        let folder = folder(&[("a.yaml", &text)]);
        let loaded = load(folder.path());
        // Every finding has a line of the file.
        for finding in loaded.findings {
            prop_assert!((1..=text.lines().count().max(1)).contains(&finding.location.as_ref().unwrap().line), "{:?}", finding);
        }
    }
}
