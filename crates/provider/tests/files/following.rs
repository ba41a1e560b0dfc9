//! Following files: each way in which a file can change is seen, what is broken keeps its last good version, and what did
//! not change stays the same object.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use weir_plan::NamespacedName;
use weir_provider::{Loaded, Watch};

use super::{folder, host, names, put, route, source};

/// The longest that a change may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Follows a path, and waits for what is to come.
pub(crate) struct Following {
    _watch: Watch,
    receiver: watch::Receiver<Arc<Loaded>>,
    runtime: tokio::runtime::Runtime,
}

impl Following {
    pub(crate) fn of(path: &Path) -> Self {
        let (watch, receiver) = Watch::start(source(path)).expect("the path can be followed");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime can be made");
        Self {
            _watch: watch,
            receiver,
            runtime,
        }
    }

    fn now(&self) -> Arc<Loaded> {
        Arc::clone(&self.receiver.borrow())
    }

    /// The first reading that fulfils a condition.
    pub(crate) fn until(
        &mut self,
        what: &str,
        mut holds: impl FnMut(&Loaded) -> bool,
    ) -> Arc<Loaded> {
        let waiting = async {
            tokio::time::timeout(PATIENCE, self.receiver.wait_for(|it| holds(it)))
                .await
                .map(|it| it.map(|it| Arc::clone(&it)))
        };
        let result = self.runtime.block_on(waiting);
        let Ok(Ok(loaded)) = result else {
            panic!("{what} did not come; there is {:?}", self.now())
        };
        loaded
    }

    fn until_host(&mut self, name: &str, expected: Option<&str>) -> Arc<Loaded> {
        self.until(&format!("{name} at {expected:?}"), |loaded| {
            host(loaded, name) == expected
        })
    }
}

#[test]
fn every_way_of_changing_a_file_is_seen() {
    let folder = folder(&[("a.yaml", &route("a", "one.example"))]);
    let path = folder.path();
    let mut following = Following::of(path);
    assert_eq!(host(&following.now(), "a"), Some("one.example"));

    put(path, "a.yaml", route("a", "in-place.example"));
    following.until_host("a", Some("in-place.example"));

    put(path, "a.yaml.tmp", route("a", "renamed.example"));
    fs::rename(path.join("a.yaml.tmp"), path.join("a.yaml")).unwrap();
    following.until_host("a", Some("renamed.example"));

    // As some editors do: the old file is moved away, and a new one is written.
    fs::rename(path.join("a.yaml"), path.join("a.yaml~")).unwrap();
    put(path, "a.yaml", route("a", "edited.example"));
    following.until_host("a", Some("edited.example"));

    put(path, "b.yaml", route("b", "new.example"));
    following.until_host("b", Some("new.example"));

    put(path, "deep/er/c.yaml", route("c", "deep.example"));
    following.until_host("c", Some("deep.example"));
    put(path, "deep/er/c.yaml", route("c", "deeper.example"));
    following.until_host("c", Some("deeper.example"));

    fs::rename(path.join("deep"), path.join("moved")).unwrap();
    put(path, "moved/er/d.yaml", route("d", "moved.example"));
    let loaded = following.until_host("d", Some("moved.example"));
    assert_eq!(host(&loaded, "c"), Some("deeper.example"));

    fs::remove_file(path.join("b.yaml")).unwrap();
    following.until_host("b", None);
    fs::remove_dir_all(path.join("moved")).unwrap();
    let loaded = following.until("the loss of the folder", |it| {
        names(it) == ["HTTPRoute default/a"]
    });
    assert_eq!(loaded.findings, []);
}

#[test]
fn a_mounted_config_map_is_followed() {
    let folder = folder(&[
        ("..1/a.yaml", &route("a", "one.example")),
        ("..2/a.yaml", &route("a", "two.example")),
    ]);
    let path = folder.path();
    let link = |to: &str| {
        std::os::unix::fs::symlink(to, path.join("..tmp")).unwrap();
        fs::rename(path.join("..tmp"), path.join("..data")).unwrap();
    };
    link("..1");
    std::os::unix::fs::symlink("..data/a.yaml", path.join("a.yaml")).unwrap();
    // The mounted folder, and one of its files named directly.
    for followed in [path.to_owned(), path.join("a.yaml")] {
        link("..1");
        let mut following = Following::of(&followed);
        assert_eq!(host(&following.now(), "a"), Some("one.example"));
        link("..2");
        following.until_host("a", Some("two.example"));
        link("..1");
        following.until_host("a", Some("one.example"));
    }
}

#[test]
fn a_link_to_a_file_elsewhere_is_followed() {
    let elsewhere = folder(&[("real.yaml", &route("a", "one.example"))]);
    let folder = folder(&[]);
    std::os::unix::fs::symlink(
        elsewhere.path().join("real.yaml"),
        folder.path().join("a.yaml"),
    )
    .unwrap();
    let mut following = Following::of(folder.path());
    put(elsewhere.path(), "real.yaml", route("a", "two.example"));
    following.until_host("a", Some("two.example"));
}

#[test]
fn a_file_named_directly_is_followed() {
    let folder = folder(&[("config", &route("a", "one.example"))]);
    let file = folder.path().join("config");
    let mut following = Following::of(&file);
    put(folder.path(), "config", route("a", "two.example"));
    following.until_host("a", Some("two.example"));
    // While it is away, what it said stays; when it is back, it counts again.
    fs::remove_file(&file).unwrap();
    let loaded = following.until("the loss", |it| !it.findings.is_empty());
    assert_eq!(host(&loaded, "a"), Some("two.example"));
    put(folder.path(), "config", route("a", "three.example"));
    let loaded = following.until_host("a", Some("three.example"));
    assert_eq!(loaded.findings, []);
}

#[test]
fn a_relative_path_is_followed_and_shown_as_it_was_named() {
    let folder = folder(&[("a.yaml", &route("a", "one.example"))]);
    let here = std::env::current_dir().unwrap();
    let up = here
        .components()
        .skip(1)
        .map(|_| "..")
        .collect::<Vec<_>>()
        .join("/");
    let named = Path::new(&up).join(folder.path().strip_prefix("/").unwrap());
    let mut following = Following::of(&named);
    put(folder.path(), "a.yaml", route("a", "two.example"));
    following.until_host("a", Some("two.example"));
    put(folder.path(), "a.yaml", "a: [");
    let loaded = following.until("the error", |it| !it.findings.is_empty());
    let file = named.join("a.yaml").display().to_string();
    assert_eq!(loaded.findings[0].location.as_ref().unwrap().file, file);
}

#[test]
fn a_folder_that_goes_and_comes_back_is_followed() {
    let parent = folder(&[("config/a.yaml", &route("a", "one.example"))]);
    let path = parent.path().join("config");
    let mut following = Following::of(&path);
    for round in 0..3 {
        fs::remove_dir_all(&path).unwrap();
        let loaded = following.until("the loss", |it| !it.findings.is_empty());
        assert!(host(&loaded, "a").is_some());
        let back = format!("back-{round}.example");
        put(&path, "a.yaml", route("a", &back));
        following.until("the return", |it| {
            host(it, "a") == Some(&back) && it.findings.is_empty()
        });
        let edited = format!("edited-{round}.example");
        put(&path, "a.yaml", route("a", &edited));
        following.until_host("a", Some(&edited));
    }
}

#[test]
fn a_broken_file_keeps_what_it_said() {
    let both =
        |first: &str, second: &str| format!("{}---\n{}", route("a", first), route("b", second));
    let folder = folder(&[("a.yaml", &both("one.example", "one.example"))]);
    let path = folder.path();
    let mut following = Following::of(path);

    put(path, "a.yaml", both("two.example", "[unclosed"));
    let loaded = following.until("the syntax error", |it| !it.findings.is_empty());
    assert_eq!(
        (host(&loaded, "a"), host(&loaded, "b")),
        (Some("one.example"), Some("one.example"))
    );
    assert_eq!(
        (
            loaded.findings[0].id,
            loaded.findings[0].location.as_ref().unwrap().line
        ),
        ("syntax", 15)
    );
    assert!(
        loaded.findings[0].message.ends_with("stays in force"),
        "{}",
        loaded.findings[0].message
    );
    assert!(loaded.missing.is_empty(), "it was good before");

    put(path, "a.yaml", both("two.example", "two.example"));
    let loaded = following.until_host("b", Some("two.example"));
    assert_eq!(loaded.findings, []);
}

#[test]
fn a_refused_object_keeps_its_last_good_version() {
    let both =
        |first: &str, second: &str| format!("{}---\n{}", route("a", first), route("b", second));
    let folder = folder(&[("a.yaml", &both("one.example", "one.example"))]);
    let path = folder.path();
    let mut following = Following::of(path);

    put(path, "a.yaml", both("two.example", "Not A Host"));
    let loaded = following.until_host("a", Some("two.example"));
    assert_eq!(host(&loaded, "b"), Some("one.example"));
    assert_eq!(loaded.findings[0].id, "not-admitted");
    assert!(loaded.missing.is_empty());

    // What is gone from a good file is gone, and what was never good is a finding.
    put(path, "a.yaml", route("c", "Not A Host"));
    let loaded = following.until_host("a", None);
    assert_eq!(names(&loaded), Vec::<String>::new());
    assert_eq!(loaded.findings.len(), 1);
    assert!(
        loaded.missing.is_empty(),
        "a gateway that works does not stop being ready"
    );
}

#[test]
fn what_stays_in_force_is_said_in_one_sentence() {
    let policy = |abort: &str| {
        format!(
            "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: BackendTrafficPolicy\nmetadata: {{name: p}}\nspec:\n  \
             targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: a}}]\n  \
             faultInjection: {{abort: {{{abort}}}}}\n"
        )
    };
    let folder = folder(&[("p.yaml", &policy("httpStatus: 418"))]);
    let path = folder.path();
    let mut following = Following::of(path);

    put(path, "p.yaml", policy("percentage: 100"));
    let loaded = following.until("the finding", |it| !it.findings.is_empty());
    assert_eq!(
        loaded.findings[0].message,
        "httpStatus and grpcStatus are set at least one; its last good version stays in force"
    );
}

#[test]
fn what_was_missing_at_the_start_is_missing_until_it_is_good() {
    let folder = folder(&[("a.yaml", "a: ["), ("b.yaml", &route("b", "Not A Host"))]);
    let path = folder.path();
    let mut following = Following::of(path);
    assert_eq!(following.now().missing.len(), 2);
    put(path, "a.yaml", route("a", "a.example"));
    let loaded = following.until_host("a", Some("a.example"));
    assert_eq!(loaded.missing.len(), 1);
    fs::remove_file(path.join("b.yaml")).unwrap();
    following.until("readiness", |it| it.missing.is_empty());
}

#[test]
fn what_did_not_change_stays_the_same_object() {
    let file = |host: &str| format!("{}---\n{}", route("a", "a.example"), route("b", host));
    let folder = folder(&[
        ("one.yaml", &file("one.example")),
        ("two.yaml", &route("c", "c.example")),
    ]);
    let path = folder.path();
    let mut following = Following::of(path);
    let before = following.now();
    let same = |before: &Loaded, after: &Loaded, name: &str| {
        let name = NamespacedName::new("default", name);
        Arc::ptr_eq(
            &before.resources.http_routes[&name],
            &after.resources.http_routes[&name],
        )
    };

    // A comment in front moves the first document and changes nothing in either.
    put(
        path,
        "one.yaml",
        format!("# a comment\n\n{}", file("two.example")),
    );
    let after = following.until_host("b", Some("two.example"));
    assert_eq!(
        ["a", "b", "c"].map(|name| same(&before, &after, name)),
        [true, false, true]
    );
    let object = weir_resolve::Object::HttpRoute(Arc::clone(
        &after.resources.http_routes[&NamespacedName::new("default", "a")],
    ));
    let location = after.locate(
        &object.object_ref(),
        &weir_resolve::FieldPath::new("spec.hostnames[0]"),
    );
    assert_eq!(location.map(|it| it.line), Some(9));

    // The same content in a file that is written anew is no change: the next thing to be seen is the other file's.
    put(
        path,
        "one.yaml",
        format!("# a comment\n\n{}", file("two.example")),
    );
    put(path, "two.yaml", route("c", "three.example"));
    let last = following.until_host("c", Some("three.example"));
    assert!(same(&after, &last, "a") && same(&after, &last, "b"));
}

#[test]
fn a_file_that_never_rests_does_not_hold_up_the_others() {
    let folder = folder(&[("a.yaml", &route("a", "one.example")), ("busy.yaml", "")]);
    let path = folder.path();
    let mut following = Following::of(path);
    // It is kept open and written to all the time.
    let busy = fs::File::options()
        .append(true)
        .open(path.join("busy.yaml"))
        .unwrap();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let mut busy = busy;
        while stopped.recv_timeout(Duration::from_micros(500))
            == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            busy.write_all(b"#\n").unwrap();
        }
    });
    for round in 0..3 {
        let edited = format!("edited-{round}.example");
        put(path, "a.yaml", route("a", &edited));
        following.until_host("a", Some(&edited));
    }
    drop(stop);
    writer.join().unwrap();
}

#[test]
fn a_file_that_is_being_saved_is_never_gone() {
    let folder = folder(&[("a.yaml", &route("a", "start.example"))]);
    let path = folder.path();
    let mut following = Following::of(path);
    for round in 0..30 {
        let expected = format!("host-{round}.example");
        let text = route("a", &expected);
        match round % 3 {
            // Emptied and written in pieces, as a large file is.
            0 => {
                let mut file = fs::File::create(path.join("a.yaml")).unwrap();
                for piece in text.as_bytes().chunks(40) {
                    file.write_all(piece).unwrap();
                }
            }
            1 => {
                fs::remove_file(path.join("a.yaml")).unwrap();
                put(path, "a.yaml", text);
            }
            _ => {
                fs::rename(path.join("a.yaml"), path.join("a.yaml~")).unwrap();
                put(path, "a.yaml", text);
            }
        }
        following.until(&expected, |loaded| {
            assert!(host(loaded, "a").is_some(), "{loaded:?}");
            assert_eq!(loaded.findings, []);
            host(loaded, "a") == Some(&expected)
        });
    }
}

#[test]
fn a_watch_ends_when_it_is_dropped() {
    let folder = folder(&[("a.yaml", &route("a", "one.example"))]);
    let Following {
        _watch: watch,
        mut receiver,
        runtime,
    } = Following::of(folder.path());
    drop(watch);
    let ended =
        runtime.block_on(async { tokio::time::timeout(PATIENCE, receiver.changed()).await });
    assert!(matches!(ended, Ok(Err(_))), "nobody sends any more");
}
