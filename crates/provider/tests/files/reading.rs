//! One reading: what the files give, and what is wrong in them, with file and line.

use weir_provider::{Location, ReadError, Source, read};
use weir_resolve::{Diagnostic, FieldPath, ObjectRef, Severity};

use super::{folder, host, load, names, place, put, route};

#[test]
fn files_are_read_in_every_form() {
    let two = format!(
        "{}---\n{}",
        route("a", "a.example"),
        route("b", "b.example")
    );
    let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: s}\n- apiVersion: apps/v1\n  kind: Deployment\n  metadata: {name: d}\n";
    let typed = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRouteList\nitems:\n- metadata: {name: c, namespace: other}\n  spec: {}\n";
    let json = "{\n\t\"apiVersion\": \"gateway.networking.k8s.io/v1\",\n\t\"kind\": \"HTTPRoute\",\n\t\"metadata\": {\"name\": \"j\"},\n\t\"spec\": {}\n}\n";
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "a.yaml",
            &two,
            &["HTTPRoute default/a", "HTTPRoute default/b"],
        ),
        ("a.yml", list, &["Service default/s"]),
        ("deep/er/a.yaml", typed, &["HTTPRoute other/c"]),
        ("a.json", json, &["HTTPRoute default/j"]),
        (
            "bom.yaml",
            &format!("\u{feff}{}", route("a", "a.example")),
            &["HTTPRoute default/a"],
        ),
        (
            "crlf.yaml",
            &two.replace('\n', "\r\n"),
            &["HTTPRoute default/a", "HTTPRoute default/b"],
        ),
        ("empty.yaml", "", &[]),
        ("comments.yaml", "# nothing\n---\n# at all\n", &[]),
        ("notes.txt", &two, &[]),
        (".hidden.yaml", &two, &[]),
        (".git/a.yaml", &two, &[]),
    ];
    for (name, text, expected) in cases {
        let folder = folder(&[(name, text)]);
        let loaded = load(folder.path());
        assert_eq!(loaded.findings, [], "{name}");
        assert_eq!(names(&loaded), *expected, "{name}");
        assert!(loaded.missing.is_empty(), "{name}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let policy = "\
# the policy of the shop
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata:
  name: shop
spec:
  targetRefs:
  - {kind: HTTPRoute, name: shop}
";
    let with = |more: &str| format!("{}---\n{policy}{more}", route("a", "a.example"));
    // The policy begins on line 9.
    let cases: &[(&str, &[(&str, &str)])] = &[
        (
            &with("  retry:\n    perRetry:\n      backoff: {}\n"),
            &[(
                "a.yaml:19 unknown-field spec.retry.perRetry.backoff",
                "did you mean \"backOff\"",
            )],
        ),
        (
            &with("  timeout:\n    http: {requestTimeout: 5.4s}\n"),
            &[(
                "a.yaml:18 not-admitted spec.timeout.http.requestTimeout",
                "should match",
            )],
        ),
        (
            &with("  retry:\n    numRetries: \"2\"\n"),
            &[(
                "a.yaml:18 wrong-type spec.retry.numRetries",
                "must be of type integer",
            )],
        ),
        (
            &with("  rateLimit:\n    local: {requests: 3}\n"),
            &[(
                "a.yaml:18 missing-field spec.rateLimit.local.rules[0].limit.unit",
                "Required value",
            )],
        ),
        (
            &with("  faultInjection: {}\n"),
            &[("a.yaml:17 not-admitted spec.faultInjection", "at least one")],
        ),
        (
            &with("  retry: {}\n  retry: {}\n"),
            &[("a.yaml:18 syntax", "duplicate")],
        ),
        (&with("  retry: {\n"), &[("a.yaml:17 syntax", "unclosed")]),
        (
            "a: 1\n---\nb: [\n---\nc: 'x\n",
            &[
                ("a.yaml:3 syntax", "unclosed"),
                ("a.yaml:5 syntax", "unclosed quote"),
            ],
        ),
        (
            "- a\n- b\n",
            &[("a.yaml:1 wrong-type", "not an object of Kubernetes")],
        ),
        (
            "kind: Service\nmetadata: {name: a}\n",
            &[("a.yaml:1 missing-field apiVersion", "apiVersion is missing")],
        ),
        (
            "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata:\n    name: A\n- 5\n",
            &[
                ("a.yaml:7 invalid-name metadata.name", "invalid name"),
                ("a.yaml:8 wrong-type", "not an object"),
            ],
        ),
        (
            &format!(
                "{}---\n{}",
                route("a", "a.example"),
                route("a", "b.example")
            ),
            &[(
                "a.yaml:9 duplicate-object",
                "HTTPRoute default/a is also in ",
            )],
        ),
        (
            "apiVersion: gateway.networking.x-k8s.io/v1alpha1\nkind: XMesh\nmetadata: {name: a}\n",
            &[("a.yaml:2 not-read kind", "not read")],
        ),
    ];
    for (text, expected) in cases {
        let folder = folder(&[("a.yaml", text)]);
        let findings = load(folder.path()).findings;
        let found: Vec<_> = findings.iter().map(|it| place(folder.path(), it)).collect();
        let places: Vec<_> = expected.iter().map(|(place, _)| *place).collect();
        assert_eq!(found, places, "{text}\n{findings:?}");
        for (finding, (_, message)) in findings.iter().zip(*expected) {
            assert!(
                finding.message.contains(message),
                "{finding:?} does not say {message}"
            );
        }
    }
}

#[test]
fn what_is_no_text_is_told() {
    let large = vec![b'#'; usize::try_from(weir_provider::MAX_FILE_BYTES).unwrap() + 1];
    let cases: [(&[u8], &str); 3] = [
        (b"a: 1\nb: \xff\n", "a.yaml:2 not-utf-8"),
        (b"\xff\xfea\0:\0", "a.yaml:1 not-utf-8"),
        (&large, "a.yaml:1 too-large"),
    ];
    for (bytes, expected) in cases {
        let folder = folder(&[]);
        put(folder.path(), "a.yaml", bytes);
        let loaded = load(folder.path());
        let found: Vec<_> = loaded
            .findings
            .iter()
            .map(|it| place(folder.path(), it))
            .collect();
        assert_eq!(found, [expected]);
        assert_eq!(loaded.missing.len(), 1);
    }
}

#[test]
fn a_broken_file_and_a_broken_object_are_missing_and_the_rest_is_served() {
    let refused = route("refused", "Not A Host");
    let folder = folder(&[
        (
            "a.yaml",
            &format!("{}---\n{refused}", route("good", "a.example")),
        ),
        ("b.yaml", "a: [\n"),
        ("c.yaml", &route("other", "c.example")),
    ]);
    let loaded = load(folder.path());
    assert_eq!(
        names(&loaded),
        ["HTTPRoute default/good", "HTTPRoute default/other"]
    );
    let missing: Vec<_> = loaded
        .missing
        .iter()
        .map(|it| it.replace(&format!("{}/", folder.path().display()), ""))
        .collect();
    assert_eq!(missing.len(), 2, "{missing:?}");
    assert!(missing[0].starts_with("b.yaml:1: "), "{missing:?}");
    assert!(
        missing[1].starts_with("a.yaml:15: HTTPRoute default/refused: spec.hostnames[0]: "),
        "{missing:?}"
    );
}

#[test]
fn of_two_with_one_name_the_first_by_path_counts() {
    let folder = folder(&[
        ("b.yaml", &route("a", "b.example")),
        ("a/z.yaml", &route("a", "z.example")),
    ]);
    let loaded = load(folder.path());
    assert_eq!(host(&loaded, "a"), Some("z.example"));
    let [finding] = &loaded.findings[..] else {
        panic!("{:?}", loaded.findings)
    };
    assert_eq!(place(folder.path(), finding), "b.yaml:1 duplicate-object");
    assert!(
        finding.message.contains("a/z.yaml:1"),
        "{}",
        finding.message
    );
}

#[test]
fn a_file_reached_in_several_ways_is_taken_once() {
    let folder = folder(&[("real/a.yaml", &route("a", "a.example"))]);
    let path = folder.path();
    std::os::unix::fs::symlink(path.join("real/a.yaml"), path.join("link.yaml")).unwrap();
    std::os::unix::fs::symlink(path, path.join("real/loop")).unwrap();
    std::os::unix::fs::symlink(path.join("nowhere"), path.join("dangling.yaml")).unwrap();
    let sources = [
        Source::Path(path.to_owned()),
        Source::Path(path.join("real")),
        Source::Path(path.join("real/a.yaml")),
    ];
    let loaded = read(&sources).unwrap();
    assert_eq!(loaded.findings, []);
    assert_eq!(names(&loaded), ["HTTPRoute default/a"]);
}

#[test]
fn findings_are_bounded() {
    let broken: String = (0..1_500)
        .map(|n| format!("---\n{}", route(&format!("r{n}"), "Bad Host")))
        .collect();
    let folder = folder(&[("a.yaml", &broken)]);
    let loaded = load(folder.path());
    assert_eq!(loaded.findings.len(), 1_001);
    let last = loaded.findings.last().unwrap();
    assert_eq!(
        (last.id, last.severity),
        ("too-many-findings", Severity::Error)
    );
    assert!(last.message.contains("500 more"), "{}", last.message);
}

#[test]
fn fields_are_located_for_the_engine() {
    let text = format!(
        "{}---\n{}",
        route("a", "a.example"),
        route("b", "b.example")
    );
    let folder = folder(&[("a.yaml", &text)]);
    let loaded = load(folder.path());
    let object = |name| ObjectRef {
        group: "gateway.networking.k8s.io".to_owned(),
        kind: "HTTPRoute".to_owned(),
        name: weir_plan::NamespacedName::new("default", name),
    };
    let file = folder.path().join("a.yaml").display().to_string();
    for (name, field, line) in [
        ("a", "", 1),
        ("a", "spec.hostnames[0]", 7),
        ("b", "spec.hostnames[0]", 15),
        ("b", "spec.rules[0].name", 13),
    ] {
        let location = loaded.locate(&object(name), &FieldPath::new(field));
        assert_eq!(
            location,
            Some(Location {
                file: file.clone(),
                line
            }),
            "{name} {field}"
        );
    }
    assert_eq!(loaded.locate(&object("c"), &FieldPath::default()), None);
    let diagnostic = Diagnostic {
        object: object("b"),
        field: FieldPath::new("spec.hostnames[0]"),
        severity: Severity::Warning,
        id: "some-finding",
        message: "so and so".to_owned(),
    };
    let finding = loaded.finding(&diagnostic).unwrap();
    assert_eq!(
        place(folder.path(), &finding),
        "a.yaml:15 some-finding spec.hostnames[0]"
    );
}

#[test]
fn a_path_that_is_not_there_cannot_be_read() {
    let folder = folder(&[]);
    let Err(ReadError::Io { path, source }) = read(&[Source::Path(folder.path().join("none"))])
    else {
        panic!("there is nothing to read")
    };
    assert!(path.ends_with("none"));
    assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
    assert_eq!(load(folder.path()).findings, []);
}
