//! The pages about policies tell the truth: their YAML loads and takes effect, and their table is the code's.
//!
//! A block that begins with three backticks and `yaml` must give no finding and only accepted policies. One that goes on
//! with `weir-expect=ID` must give findings of that sort and no other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use weir_plan::{Feature, Support};
use weir_provider::Source;
use weir_proxy::metrics::{DOCS, MetricDoc};
use weir_resolve::api::DEFAULT_CONTROLLER_NAME;
use weir_resolve::status::ConditionStatus;
use weir_resolve::{Context, Memo};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/policies")
}

fn page(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).expect("the page can be read")
}

/// A YAML example on a page.
struct Example {
    /// The page and the line that it begins on.
    at: String,
    yaml: String,
    /// The sort of finding that it is to give; none: it gives no findings.
    expect: Option<String>,
}

fn examples() -> Vec<Example> {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .expect("the folder can be read")
        .map(|entry| {
            entry
                .expect("the entry can be read")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.ends_with(".md"))
        .collect();
    names.sort();
    names.iter().flat_map(|name| examples_of(name)).collect()
}

fn examples_of(name: &str) -> Vec<Example> {
    let text = page(name);
    let mut found = Vec::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        let Some(mark) = line.strip_prefix("```yaml") else {
            continue;
        };
        let expect = mark.trim().strip_prefix("weir-expect=").map(str::to_owned);
        assert!(
            mark.is_empty() || expect.is_some(),
            "{name}:{number}: what does {mark:?} mean?"
        );
        let yaml: Vec<&str> = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| *line != "```")
            .collect();
        found.push(Example {
            at: format!("{name}:{number}"),
            yaml: yaml.join("\n") + "\n",
            expect,
        });
    }
    found
}

/// All that is wrong with an example, as sort and text.
fn findings(yaml: &str) -> Vec<(String, String)> {
    let files = tempfile::tempdir().expect("a temporary folder can be had");
    let write = |name: &str, text: &str| {
        std::fs::write(files.path().join(name), text).expect("a file can be written");
    };
    write("base.yaml", &page("base.yaml"));
    write("example.yaml", yaml);
    let loaded = weir_provider::read(&[Source::Path(files.path().to_owned())])
        .expect("the folder can be read");
    let context = Context {
        controller_name: DEFAULT_CONTROLLER_NAME.to_owned(),
        every_class: true,
        support: weir_proxy::support,
        client_support: weir_proxy::CLIENT_SUPPORT,
        allow_unenforced: false,
        allow_loopback: true,
        addresses: weir_resolve::Addresses::Shared,
    };
    let resolution = weir_resolve::resolve(&loaded.resources, &context, &mut Memo::default());

    let line = |it: &weir_provider::Finding| it.location.as_ref().map_or(0, |it| it.line);
    let mut found: Vec<(String, String)> = loaded
        .findings
        .iter()
        .map(|it| {
            (
                it.id.to_owned(),
                format!("{}: {}: {}", line(it), it.field, it.message),
            )
        })
        .collect();
    let lints = weir_resolve::lint::lint(&loaded.resources, &resolution);
    found.extend(resolution.diagnostics.iter().chain(&lints).map(|it| {
        (
            it.id.to_owned(),
            format!("{}: {}: {}", it.object, it.field, it.message),
        )
    }));
    let (resources, statuses) = (&loaded.resources, &resolution.statuses);
    let of_backends = resources.policies.keys();
    let of_backends = of_backends.map(|it| (it, statuses.policies.get(it)));
    let of_clients = resources.client_policies.keys();
    let of_clients = of_clients.map(|it| (it, statuses.client_policies.get(it)));
    for (name, ancestors) in of_backends.chain(of_clients) {
        let ancestors = ancestors.map_or(&[][..], |ancestors| ancestors);
        if ancestors.is_empty() {
            found.push(("no-effect".to_owned(), format!("{name} reaches nothing")));
        }
        // Why a policy is not accepted is said by a diagnostic as well.
        let said = resolution
            .diagnostics
            .iter()
            .any(|it| it.object.name == *name);
        for condition in ancestors.iter().flat_map(|ancestor| &ancestor.conditions) {
            if condition.r#type == "Accepted" && condition.status != ConditionStatus::True && !said
            {
                found.push((
                    "not-accepted".to_owned(),
                    format!("{name}: {}", condition.message),
                ));
            }
        }
    }
    found
}

#[test]
fn the_examples_load_and_take_effect() {
    let examples = examples();
    assert!(
        examples.len() > 10,
        "only {} examples: are the pages there?",
        examples.len()
    );
    let mut broken = Vec::new();
    for Example { at, yaml, expect } in examples {
        let found = findings(&yaml);
        for (id, text) in &found {
            if Some(id) != expect.as_ref() {
                broken.push(format!("{at}: {id}: {text}"));
            }
        }
        if let Some(expect) = expect
            && !found.iter().any(|(id, _)| *id == expect)
        {
            broken.push(format!("{at}: gives no finding {expect}"));
        }
    }
    assert!(
        broken.is_empty(),
        "mend the examples in docs/policies:\n{}",
        broken.join("\n")
    );
}

#[test]
fn the_tests_on_the_pages_pass() {
    let mut count = 0;
    for Example {
        at,
        yaml,
        expect: _,
    } in examples()
    {
        if !yaml.contains("kind: PolicyTest") {
            continue;
        }
        count += 1;
        let files = tempfile::tempdir().expect("a temporary folder can be had");
        for (name, text) in [("base.yaml", &page("base.yaml")), ("example.yaml", &yaml)] {
            std::fs::write(files.path().join(name), text).expect("a file can be written");
        }
        let output = Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(["test", "."])
            .current_dir(&files)
            .output()
            .expect("weir runs");
        assert!(
            output.status.success(),
            "{at}:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert!(count > 0, "no page shows a test any more");
}

#[test]
fn the_page_about_tls_serves_what_it_shows() {
    let [example] = &examples_of("../tls.md")[..] else {
        panic!("the page has one example")
    };
    let key = rcgen::KeyPair::generate().expect("a key can be made");
    let certificate = rcgen::CertificateParams::new(vec!["shop.example.com".to_owned()])
        .and_then(|it| it.self_signed(&key))
        .expect("a certificate can be made");
    let files = tempfile::tempdir().expect("a temporary folder can be had");
    for (name, text) in [
        ("example.yaml", &example.yaml),
        ("tls.crt", &certificate.pem()),
        ("tls.key", &key.serialize_pem()),
    ] {
        std::fs::write(files.path().join(name), text).expect("a file can be written");
    }
    let weir = |command: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(command)
            .current_dir(&files)
            .output()
            .expect("weir runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("weir writes text")
    };
    assert!(
        weir(&["check", "."]).contains("0 errors, 1 warning"),
        "no GatewayClass is all there is to say"
    );
    let plan = weir(&["translate", "--to", "plan", "."]);
    assert!(
        plan.contains("Secret/default/shop") && plan.contains("shop.example.com"),
        "{plan}"
    );
    assert!(
        !plan.contains("key:") && !plan.contains("PRIVATE"),
        "{plan}"
    );
}

#[test]
fn the_table_of_features_is_the_codes() {
    let text = page("README.md");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert_eq!(
        rows.len(),
        Feature::ALL.len(),
        "docs/policies/README.md has one row for each feature"
    );
    for (feature, row) in Feature::ALL.into_iter().zip(rows) {
        let [name, enforced, missing, page] = row[..] else {
            panic!("{row:?} has four cells")
        };
        assert_eq!(
            name,
            format!("`{}`", feature.stem()),
            "the rows are in the order of Feature::ALL"
        );
        let listed: BTreeSet<&str> = missing
            .split(',')
            .map(|item| item.trim().trim_matches('`'))
            .filter(|item| !item.is_empty())
            .collect();
        let (expected, settings) = match weir_proxy::support(feature) {
            Support::Full => ("yes", ""),
            Support::Partial(settings) => ("in part", settings),
            Support::No => ("no", ""),
        };
        assert_eq!(enforced, expected, "docs/policies/README.md, {name}");
        assert_eq!(
            listed,
            settings.split_whitespace().collect(),
            "docs/policies/README.md, {name}"
        );
        let link = format!("({}.md)", feature.stem().replace('_', "-"));
        assert_eq!(
            page.ends_with(&link),
            expected != "no",
            "docs/policies/README.md, {name}: link to its page"
        );
    }
}

fn operations() -> String {
    let path = folder().join("../operations.md");
    std::fs::read_to_string(path).expect("docs/operations.md can be read")
}

/// Whoever sees a flag or a condition finds what to do.
#[test]
fn the_runbook_has_every_flag_and_every_condition_of_policies() {
    let path = folder().join("../runbook.md");
    let runbook = std::fs::read_to_string(path).expect("docs/runbook.md can be read");
    let operations = operations();
    let (_, flags) = operations
        .split_once("## Response flags")
        .expect("docs/operations.md lists the flags");
    let flags: Vec<&str> = flags
        .lines()
        .skip_while(|line| !line.starts_with("| `"))
        .map_while(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    assert!(flags.len() >= 16, "{flags:?}");
    for flag in flags {
        assert!(runbook.contains(&format!("\n### `{flag}`: ")), "{flag}");
    }
    let status = page("status.md");
    let rows = status.lines().filter(|line| line.starts_with('|'));
    let reasons: Vec<&str> = rows
        .filter_map(|line| {
            line.split('|')
                .nth(3)?
                .trim()
                .strip_prefix('`')?
                .strip_suffix('`')
        })
        .filter(|reason| *reason != "Accepted")
        .collect();
    assert!(reasons.len() >= 7, "{reasons:?}");
    let (_, policies) = runbook.split_once("### Policies").expect("it has policies");
    for reason in reasons {
        // A condition that holds has its own name for a reason.
        let there = policies.contains(&format!("`{reason}`"))
            || policies.contains(&format!("`{reason}=True`"));
        assert!(there || reason == "SettingsNotEnforced", "{reason}");
    }
}

#[test]
fn the_metrics_of_traffic_are_documented() {
    let text = operations();
    let rows: BTreeSet<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| `weir_"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    for MetricDoc {
        name,
        kind,
        labels,
        help: _,
    } in DOCS
    {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, labels) = (format!("`{name}`"), labels.join(", "));
        let row = rows.iter().find(|row| row[0] == name);
        let row = row.unwrap_or_else(|| panic!("{name} has no row in docs/operations.md"));
        assert_eq!(
            (row[1], row[2]),
            (*kind, labels.as_str()),
            "docs/operations.md, {name}: kind and labels"
        );
    }
}

#[test]
fn the_flags_of_run_are_documented() {
    let text = operations();
    let help = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["run", "--help"])
        .output()
        .expect("weir runs");
    let help = String::from_utf8(help.stdout).expect("help is UTF-8");
    let flags: Vec<&str> = help
        .lines()
        .map(str::trim_start)
        .filter_map(|line| line.find("--").filter(|at| *at <= 4).map(|at| &line[at..]))
        .map(|line| line.split([' ', '=', ',']).next().unwrap_or_default())
        .filter(|flag| !matches!(*flag, "--help" | "--version"))
        .collect();
    assert!(
        flags.len() > 5,
        "these are not the flags of weir run: {flags:?}"
    );
    let missing: Vec<&&str> = flags
        .iter()
        .filter(|flag| {
            !text.contains(&format!("| `{flag} ")) && !text.contains(&format!("| `{flag}`"))
        })
        .collect();
    assert!(
        missing.is_empty(),
        "docs/operations.md lacks the flags {missing:?}"
    );
}

/// What a command prints in a folder, with the example of the quickstart in `my-gateway`, edited.
fn printed(edit: (&str, &str, &str), args: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder can be had");
    let gateway = folder.path().join("my-gateway");
    std::fs::create_dir(&gateway).expect("a folder can be made");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/quickstart");
    let (edited, from, to) = edit;
    for entry in std::fs::read_dir(example).expect("the example can be read") {
        let path = entry.expect("the entry can be read").path();
        let name = path.file_name().expect("a file has a name");
        let text = std::fs::read_to_string(&path).expect("the file can be read");
        let text = if name == edited {
            text.replace(from, to)
        } else {
            text
        };
        std::fs::write(gateway.join(name), text).expect("a file can be written");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(args)
        .current_dir(&folder)
        .output()
        .expect("weir runs");
    String::from_utf8(output.stdout).expect("weir prints UTF-8")
}

/// `WEIR_BLESS=1` (scripts/bless) writes the page anew.
#[test]
fn the_readme_shows_what_weir_prints() {
    let path = folder().join("../../README.md");
    let readme = std::fs::read_to_string(&path).expect("README.md can be read");
    let explained = printed(
        ("checkout.yaml", "requests: 5\n", "requests: 50\n"),
        &["explain", "checkout", "./my-gateway"],
    );
    let tested = printed(
        ("checkout.yaml", "requests: 5\n", "requests: 50\n"),
        &["test", "./my-gateway"],
    );
    let checked = printed(
        ("reports.yaml", "maxParallel", "maxParalel"),
        &["check", "./my-gateway"],
    );
    let plan = printed(("", "", ""), &["translate", "./my-gateway", "--to", "plan"]);
    let begin: Vec<&str> = plan.lines().take(23).collect();
    let blocks = [
        (
            "target/release/weir explain checkout ./my-gateway",
            explained,
        ),
        ("weir check ./my-gateway", checked),
        ("weir test ./my-gateway", tested),
        (
            "weir translate ./my-gateway --to plan",
            begin.join("\n") + "\n...\n",
        ),
    ];
    let mut wanted = readme.clone();
    for (command, text) in blocks {
        assert!(text.lines().count() > 1, "{command} printed nothing");
        let begin = format!("```console\n$ {command}\n");
        let (before, rest) = wanted
            .split_once(&begin)
            .unwrap_or_else(|| panic!("README.md shows no {command}"));
        let (_, after) = rest.split_once("```").expect("the block ends");
        wanted = format!("{before}{begin}{text}```{after}");
    }
    if std::env::var_os("WEIR_BLESS").is_some() {
        std::fs::write(&path, wanted).expect("README.md can be written");
    } else {
        assert_eq!(
            readme, wanted,
            "README.md shows something else; run scripts/bless and read the difference"
        );
    }
}
