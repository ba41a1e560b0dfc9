//! What tests are asked against: a set of resources, resolved, and compiled for looking requests up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::Result;
use weir_provider::OtherDocument;
use weir_proxy::Router;
use weir_resolve::Severity;

use crate::cli::ReadingArgs;
use crate::configuration::Configuration;
use crate::findings::{self, Finding};

/// A set of resources.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) configuration: Configuration,
    router: OnceLock<Router>,
}

/// The sets that tests name, each read once. The first is everything that was named to the command.
#[derive(Debug)]
pub(crate) struct Worlds {
    everything: World,
    named: BTreeMap<Vec<PathBuf>, World>,
    reading: ReadingArgs,
}

impl World {
    fn read(paths: &[PathBuf], reading: &ReadingArgs) -> Result<Self> {
        Ok(Self {
            configuration: Configuration::read(paths, reading.clone())?,
            router: OnceLock::new(),
        })
    }

    pub(crate) fn router(&self) -> &Router {
        self.router
            .get_or_init(|| Router::new(&self.configuration.resolution.plan))
    }

    /// What keeps a part of the files from being read, tests included.
    pub(crate) fn unreadable(&self) -> Vec<Finding> {
        let mut found = self.errors();
        found.retain(|it| it.object.is_none());
        found
    }

    /// What is not as it is written, because it was not read or not admitted.
    pub(crate) fn errors(&self) -> Vec<Finding> {
        let found = self.configuration.loaded.findings.iter();
        let mut found: Vec<Finding> = found.map(findings::of_file).collect();
        found.retain(|it| it.severity == Severity::Error);
        found
    }
}

impl Worlds {
    /// # Errors
    /// When a path is not there or cannot be read.
    pub(crate) fn read(paths: &[PathBuf], reading: ReadingArgs) -> Result<Self> {
        Ok(Self {
            everything: World::read(paths, &reading)?,
            named: BTreeMap::new(),
            reading,
        })
    }

    /// Everything that was named to the command.
    pub(crate) fn everything(&self) -> &World {
        &self.everything
    }

    /// The resources that a document names.
    ///
    /// # Errors
    /// When a path is not there or cannot be read.
    pub(crate) fn of(&mut self, document: &OtherDocument, resources: &[String]) -> Result<&World> {
        if resources.is_empty() {
            return Ok(&self.everything);
        }
        let folder = Path::new(&document.file).parent();
        let folder = folder
            .filter(|it| !it.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let paths: Vec<PathBuf> = resources.iter().map(|it| folder.join(it)).collect();
        if !self.named.contains_key(&paths) {
            let world = World::read(&paths, &self.reading)?;
            self.named.insert(paths.clone(), world);
        }
        Ok(&self.named[&paths])
    }
}
