//! Fills the resources from files or from a cluster, keeps what was last good, and says where in a file a finding is.
//!
//! [`read`] reads files once; [`Watch`] reads and follows them. Both give a [`Loaded`], and so does `kubernetes::Watch`.

#![warn(missing_docs)]

mod burst;
mod document;
mod followed;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
mod lines;
mod others;
mod parsed;
mod pem;
mod places;
mod sources;
mod store;
mod watch;
mod watcher;

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use weir_resolve::{Diagnostic, FieldPath, ObjectRef, Resources, Severity};

pub use others::OtherDocument;
use places::Places;
pub use sources::{MAX_FILE_BYTES, is_hidden, is_read};
pub use watch::{Watch, read};

/// Where resources are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, or a folder with all that is in it (`*.yaml`, `*.yml`, `*.json`).
    Path(PathBuf),
    /// Standard input, read once.
    Stdin,
}

/// All objects of the sources at one moment, and what was wrong with the rest.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The objects; where one is broken now, the version that was last good.
    pub resources: Resources,
    /// What is wrong in the files, by file and line. At most 1,000; one more says how many there are besides.
    pub findings: Vec<Finding>,
    /// What is not served because it was never good since the start. `/readyz` answers 503 while there is any. What is
    /// added later and broken is a finding only: it must not take a gateway out of service that works.
    pub missing: Vec<String>,
    /// Where everything stands.
    places: Arc<Places>,
}

/// Where in a file something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Location {
    /// The file, as the user named it; `-` for standard input.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

/// Something wrong in a file, or with an object of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Where; none: it does not stand in a file.
    pub location: Option<Location>,
    /// How bad it is.
    pub severity: Severity,
    /// The object, where there is one.
    pub object: Option<ObjectRef>,
    /// Where in the object.
    pub field: FieldPath,
    /// The sort of finding, such as `syntax` or `unknown-field`.
    pub id: &'static str,
    /// What is wrong, and what to do.
    pub message: String,
}

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A path is not there or cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The path.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Loaded {
    /// Where an object, or a field of it, stands. The nearest field that is written is taken.
    pub fn locate(&self, object: &ObjectRef, field: &FieldPath) -> Option<Location> {
        self.places.locate(object, field)
    }

    /// A finding of the engine with its place in the files.
    pub fn finding(&self, diagnostic: &Diagnostic) -> Option<Finding> {
        let Diagnostic {
            object,
            field,
            severity,
            id,
            message,
        } = diagnostic.clone();
        let location = self.locate(&object, &field)?;
        Some(Finding {
            location: Some(location),
            severity,
            object: Some(object),
            field,
            id,
            message,
        })
    }
}
