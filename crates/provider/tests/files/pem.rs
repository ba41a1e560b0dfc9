//! Secrets whose certificates are in PEM files: what they say, how changes are seen, and what cannot be read.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use weir_plan::{Certificate, NamespacedName};
use weir_provider::Loaded;

use super::following::Following;
use super::{folder, load, place, put};

/// A certificate for this name, with its key.
fn pair(name: &str) -> (String, String) {
    let key = KeyPair::generate().expect("keys can be made");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("it is a host name");
    let certificate = params.self_signed(&key).expect("a certificate can be made");
    (certificate.pem(), key.serialize_pem())
}

/// A Secret that names these files.
fn secret(certificate: &str, key: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: cert\n  annotations:\n    \
         weir.dev/certificate-file: {certificate}\n    weir.dev/key-file: {key}\ntype: kubernetes.io/tls\n"
    )
}

fn certificate(loaded: &Loaded) -> Option<Arc<Certificate>> {
    let name = NamespacedName::new("default", "cert");
    let secret = loaded.resources.secrets.get(&name)?;
    secret.certificate.clone()?.ok()
}

/// Whether the certificate in force is the one for this name.
fn is_for(name: &str) -> impl Fn(&Loaded) -> bool {
    move |loaded| certificate(loaded).is_some_and(|it| *it.hostnames == [name.into()])
}

fn put_pair(folder: &Path, (certificate, key): &(String, String)) {
    put(folder, "tls.crt", certificate);
    put(folder, "tls.key", key);
}

#[test]
fn relative_paths_start_at_the_folder_of_the_manifest() {
    let (certificate, key) = pair("shop.example.com");
    let folder = folder(&[(
        "manifests/shop/cert.yaml",
        &secret("../../certs/tls.crt", "tls.key"),
    )]);
    put(folder.path(), "certs/tls.crt", certificate);
    put(folder.path(), "manifests/shop/tls.key", &key);
    let loaded = load(&folder.path().join("manifests"));
    assert_eq!(loaded.findings, []);
    assert!(is_for("shop.example.com")(&loaded));
    assert!(!format!("{loaded:?}").contains(&key[40..80]));
}

#[test]
fn a_list_may_hold_such_secrets() {
    let folder = folder(&[]);
    put_pair(folder.path(), &pair("shop.example.com"));
    let document = format!("  {}", secret("tls.crt", "tls.key").replace('\n', "\n  "));
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {}\n",
        document.trim()
    );
    put(folder.path(), "list.yaml", list);
    assert!(is_for("shop.example.com")(&load(folder.path())));
}

#[test]
fn what_cannot_be_read_is_said_of_the_annotation() {
    let (certificate, key) = pair("shop.example.com");
    let large = " ".repeat(1024 * 1024) + &key;
    let cases = [
        (
            "absent.crt",
            "tls.key",
            "cannot-read metadata.annotations[\"weir.dev/certificate-file\"]",
        ),
        (
            "tls.crt",
            "folder.yaml.d",
            "cannot-read metadata.annotations[\"weir.dev/key-file\"]",
        ),
        (
            "/dev/zero",
            "tls.key",
            "cannot-read metadata.annotations[\"weir.dev/certificate-file\"]",
        ),
        (
            "tls.crt",
            "large.key",
            "cannot-read metadata.annotations[\"weir.dev/key-file\"]",
        ),
        (
            "tls.crt",
            "tls.crt",
            "certificate-unusable data[\"tls.key\"]",
        ),
    ];
    for (certificate_file, key_file, expected) in cases {
        let folder = folder(&[
            ("cert.yaml", &secret(certificate_file, key_file)),
            ("tls.crt", &certificate),
            ("tls.key", &key),
            ("large.key", &large),
            ("folder.yaml.d/file", ""),
        ]);
        let loaded = load(folder.path());
        let [finding] = &loaded.findings[..] else {
            panic!("one finding is expected: {:?}", loaded.findings)
        };
        assert!(
            place(folder.path(), finding).ends_with(expected),
            "{finding:?}"
        );
        assert_eq!(loaded.missing.len(), 1);
        assert!(!format!("{loaded:?}").contains(&key[40..80]));
    }
}

#[test]
fn another_certificate_is_seen_and_a_broken_one_is_not_taken() {
    let manifests = folder(&[]);
    let certs = folder(&[]);
    let path = |name: &str| certs.path().join(name).display().to_string();
    put(
        manifests.path(),
        "cert.yaml",
        secret(&path("tls.crt"), &path("tls.key")),
    );
    put_pair(certs.path(), &pair("a.example.com"));
    let mut following = Following::of(manifests.path());
    following.until("the first certificate", is_for("a.example.com"));

    put_pair(certs.path(), &pair("b.example.com"));
    following.until("the second certificate", is_for("b.example.com"));

    put(
        certs.path(),
        "tls.crt",
        "-----BEGIN CERTIFICATE-----\nnonsense\n",
    );
    let broken = following.until("what is wrong", |it| !it.findings.is_empty());
    assert!(is_for("b.example.com")(&broken), "the last good one stays");
    assert!(
        broken.findings[0]
            .message
            .ends_with("its last good version stays in force")
    );

    let (certificate, key) = pair("c.example.com");
    put(certs.path(), "tls.crt", &certificate);
    put(certs.path(), "tls.key", &key);
    let mended = following.until("the third certificate", is_for("c.example.com"));
    assert_eq!(mended.findings, []);

    // As tools for certificates do it: a new file is put in the place of the old one.
    let (certificate, key) = pair("d.example.com");
    for (name, text) in [("tls.crt", certificate), ("tls.key", key)] {
        put(certs.path(), "new", text);
        fs::rename(certs.path().join("new"), certs.path().join(name)).expect("it can be moved");
    }
    following.until("the fourth certificate", is_for("d.example.com"));
}

#[test]
fn files_behind_links_are_followed() {
    let manifests = folder(&[]);
    let certs = folder(&[]);
    let root = certs.path();
    for (number, name) in [(1, "a.example.com"), (2, "b.example.com")] {
        put_pair(&root.join(format!("archive/{number}")), &pair(name));
    }
    fs::create_dir(root.join("live")).expect("a folder can be made");
    let point_at = |number: u32| {
        for name in ["tls.crt", "tls.key"] {
            symlink(format!("../archive/{number}/{name}"), root.join("live/new"))
                .expect("links can be made");
            fs::rename(root.join("live/new"), root.join("live").join(name))
                .expect("it can be moved");
        }
    };
    point_at(1);
    let path = |name: &str| root.join("live").join(name).display().to_string();
    put(
        manifests.path(),
        "cert.yaml",
        secret(&path("tls.crt"), &path("tls.key")),
    );
    let mut following = Following::of(manifests.path());
    following.until("the first certificate", is_for("a.example.com"));
    point_at(2);
    following.until("the second certificate", is_for("b.example.com"));
    // The file that a link leads to may change, too.
    put_pair(&root.join("archive/2"), &pair("c.example.com"));
    following.until("the third certificate", is_for("c.example.com"));
    // A link to the folder may be moved as a whole, to one that is not watched yet.
    put_pair(&root.join("archive/3"), &pair("d.example.com"));
    fs::rename(root.join("live"), root.join("gone")).expect("it can be moved");
    symlink("archive/3", root.join("live")).expect("links can be made");
    following.until("the fourth certificate", is_for("d.example.com"));
    put_pair(&root.join("archive/4"), &pair("e.example.com"));
    symlink("archive/4", root.join("next")).expect("links can be made");
    fs::rename(root.join("next"), root.join("live")).expect("it can be moved");
    following.until("the fifth certificate", is_for("e.example.com"));
}

#[test]
fn a_folder_may_be_known_under_several_names() {
    let outer = folder(&[("real/other.yaml", "")]);
    let (real, link) = (outer.path().join("real"), outer.path().join("link"));
    symlink(&real, &link).expect("links can be made");
    put_pair(&real, &pair("a.example.com"));
    // The manifests are followed through a link, their files named by absolute paths and around corners.
    let path = |name: &str| real.join("../real").join(name).display().to_string();
    put(
        &real,
        "cert.yaml",
        secret(&path("tls.crt"), &path("tls.key")),
    );
    let mut following = Following::of(&link);
    following.until("the first certificate", is_for("a.example.com"));
    put_pair(&real, &pair("b.example.com"));
    following.until("the second certificate", is_for("b.example.com"));
    put_pair(&real, &pair("c.example.com"));
    put(&real, "cert.yaml", secret("tls.crt", "../link/tls.key"));
    following.until("the third certificate", is_for("c.example.com"));
    put_pair(&real, &pair("d.example.com"));
    following.until("the fourth certificate", is_for("d.example.com"));
    put(&real, "cert.yaml", secret("tls.crt", "absent"));
    following.until("that a file is missing", |it| !it.findings.is_empty());
}

#[test]
fn files_may_come_later_than_the_secret() {
    let folder = folder(&[("manifests/other.yaml", "")]);
    let manifests = folder.path().join("manifests");
    let mut following = Following::of(&manifests);
    put(
        &manifests,
        "cert.yaml",
        secret("../certs/live/tls.crt", "../certs/live/tls.key"),
    );
    following.until("what is missing", |it| it.findings.len() == 2);
    put_pair(&folder.path().join("certs/live"), &pair("a.example.com"));
    let loaded = following.until("the certificate", is_for("a.example.com"));
    assert_eq!(loaded.findings, []);
}
