//! Certificates and keys in PEM files beside the manifests: a Secret may name them instead of holding them.
//!
//! The annotations `weir.dev/certificate-file` and `weir.dev/key-file` stand for the entries `tls.crt` and `tls.key`. A
//! relative path starts at the folder of the file that the Secret is in. What is read is never part of a message.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use weir_plan::NamespacedName;
use weir_resolve::{Diagnostic, FieldPath, ObjectRef, Severity};

use crate::sources::Stamp;

/// The annotations, and what they stand for.
const ANNOTATIONS: [(&str, &str); 2] = [
    ("weir.dev/certificate-file", "tls.crt"),
    ("weir.dev/key-file", "tls.key"),
];
/// The most bytes that are read of a PEM file, as a Secret may hold no more either.
const MAX_BYTES: u64 = 1024 * 1024;

/// A file that a Secret names, and the state that it was read in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PemFile {
    /// As it is written, from the root.
    named: PathBuf,
    /// In its [`real`] form.
    path: PathBuf,
    /// The links among its folders.
    links: Vec<PathBuf>,
    /// Where it is, if a link leads there.
    target: Option<PathBuf>,
    stamp: Option<Stamp>,
}

/// Which files are named by which others.
#[derive(Debug, Default)]
pub(crate) struct Named(BTreeMap<PathBuf, BTreeSet<PathBuf>>);

impl Named {
    /// Takes down which files a file names now.
    pub(crate) fn note<'p>(&mut self, file: &Path, named: impl Iterator<Item = &'p PathBuf>) {
        let Self(all) = self;
        all.retain(|_, by| {
            by.remove(file);
            !by.is_empty()
        });
        for path in named {
            let by = all.entry(path.clone()).or_default();
            by.insert(file.to_owned());
        }
    }

    /// The files that name the one at this path, which may be spelled in any way.
    pub(crate) fn naming(&self, path: &Path) -> Vec<PathBuf> {
        let Self(all) = self;
        if all.is_empty() {
            return Vec::new();
        }
        all.get(&real(path))
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// Whether a file that is named lies below this folder, or will.
    pub(crate) fn has_below(&self, folder: &Path) -> bool {
        let Self(all) = self;
        !all.is_empty() && {
            let folder = real(folder);
            all.keys()
                .any(|it| *it != folder && it.starts_with(&folder))
        }
    }

    /// The folders in which they are; the nearest that there is.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &Path> {
        let Self(all) = self;
        all.keys()
            .filter_map(|path| path.ancestors().skip(1).find(|it| it.is_dir()))
    }
}

/// A path in the form in which it is compared: its folders without links and `..`, as far as they are there.
fn real(path: &Path) -> PathBuf {
    for folder in path.ancestors().skip(1) {
        if let (Ok(there), Ok(rest)) = (fs::canonicalize(folder), path.strip_prefix(folder)) {
            return there.join(rest);
        }
    }
    path.to_owned()
}

impl PemFile {
    /// Whether it is as it was when it was read.
    pub(crate) fn is_current(&self) -> bool {
        real(&self.named) == self.path && Stamp::of(&self.path) == self.stamp
    }

    /// The paths at which a change is one of this file.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.path)
            .chain(&self.target)
            .chain(&self.links)
    }
}

/// Puts into a Secret what the files hold that it names. `folder` is where relative paths start. The files are noted in
/// `files` whether or not they can be read.
///
/// # Errors
/// What cannot be read.
pub(crate) fn fill(
    document: &mut Value,
    folder: &Path,
    files: &mut Vec<PemFile>,
) -> Result<(), Vec<Diagnostic>> {
    let text = |value: &Value, name: &str| value.get(name)?.as_str().map(str::to_owned);
    if text(document, "kind").as_deref() != Some("Secret")
        || text(document, "apiVersion").as_deref() != Some("v1")
    {
        return Ok(());
    }
    let Some(metadata) = document.get("metadata") else {
        return Ok(());
    };
    let named = metadata.get("annotations").map(|annotations| {
        ANNOTATIONS.map(|(annotation, entry)| (annotation, entry, text(annotations, annotation)))
    });
    let object = ObjectRef {
        group: String::new(),
        kind: "Secret".to_owned(),
        name: NamespacedName::new(
            text(metadata, "namespace").unwrap_or_else(|| "default".to_owned()),
            text(metadata, "name").unwrap_or_default(),
        ),
    };
    let mut found = Vec::new();
    for (annotation, entry, named) in named.into_iter().flatten() {
        let Some(named) = named else { continue };
        let written = folder.join(&named);
        let links = written.ancestors().skip(1).filter(|it| it.is_symlink());
        let links = links.map(real).collect();
        let path = real(&written);
        // Before it is read: a change in between is then one that is still to be read.
        let stamp = Stamp::of(&path);
        let target = fs::canonicalize(&path).ok().filter(|it| *it != path);
        files.push(PemFile {
            named: written,
            links,
            target,
            stamp,
            path: path.clone(),
        });
        match read(&path) {
            Ok(content) => {
                let fields = document.as_object_mut();
                let entries = fields.map(|it| {
                    it.entry("stringData")
                        .or_insert_with(|| Value::Object(Map::new()))
                });
                if let Some(entries) = entries.and_then(Value::as_object_mut) {
                    entries.insert(entry.to_owned(), content.into());
                }
            }
            Err(why) => found.push(Diagnostic {
                object: object.clone(),
                field: FieldPath::new("metadata.annotations").child(annotation),
                severity: Severity::Error,
                id: "cannot-read",
                message: format!("cannot read {named}: {why}"),
            }),
        }
    }
    if found.is_empty() { Ok(()) } else { Err(found) }
}

fn read(path: &Path) -> io::Result<String> {
    // Opening a pipe would wait for whoever writes to it.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut content = Vec::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut content)?;
    if content.len() as u64 > MAX_BYTES {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    String::from_utf8(content).map_err(|_| io::Error::other("it is no text, as PEM is"))
}
