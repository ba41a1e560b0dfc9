//! The proxies: where they are, which version they have, and how each is started for a case.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::{Case, Site, envoy, haproxy, nginx, weir};
use crate::process::{Process, installed};

/// A proxy, by where its program is.
pub(crate) enum Peer {
    Weir(PathBuf),
    /// Another build of Weir.
    Other(PathBuf),
    Envoy(PathBuf),
    Haproxy(PathBuf),
    Nginx(PathBuf),
}

impl Peer {
    /// Weir and those beside it: the ones named, all of which have to be there, else those that are.
    pub(crate) fn all(
        weir: &Path,
        other: Option<&Path>,
        named: Option<&[String]>,
    ) -> Result<Vec<Self>> {
        let mut peers = vec![Self::Weir(weir.to_owned())];
        peers.extend(other.map(|other| Self::Other(other.to_owned())));
        let all = ["envoy", "haproxy", "nginx"];
        if let Some(unknown) = named
            .into_iter()
            .flatten()
            .find(|name| !all.contains(&name.as_str()) && *name != "none")
        {
            bail!("{unknown} is none of {}", all.join(", "));
        }
        for name in all {
            if named.is_some_and(|named| !named.iter().any(|it| it == name)) {
                continue;
            }
            let place = match std::env::var_os("ENVOY") {
                Some(path) if name == "envoy" => Some(PathBuf::from(path)),
                _ => installed(name),
            };
            match place {
                Some(place) => peers.push(match name {
                    "envoy" => Self::Envoy(place),
                    "haproxy" => Self::Haproxy(place),
                    _ => Self::Nginx(place),
                }),
                None if named.is_some() => bail!("{name} is not installed"),
                None => eprintln!("{name} is not installed, so it is left out"),
            }
        }
        Ok(peers)
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Self::Weir(_) => "Weir".to_owned(),
            Self::Other(path) => path.display().to_string(),
            Self::Envoy(_) => "Envoy".to_owned(),
            Self::Haproxy(_) => "HAProxy".to_owned(),
            Self::Nginx(_) => "nginx".to_owned(),
        }
    }

    /// The name with the version of the program.
    pub(crate) fn version(&self) -> Result<String> {
        let (path, option) = match self {
            Self::Weir(path) | Self::Other(path) | Self::Envoy(path) => (path, "--version"),
            Self::Haproxy(path) | Self::Nginx(path) => (path, "-v"),
        };
        let output = Command::new(path)
            .arg(option)
            .output()
            .with_context(|| format!("cannot run {}", path.display()))?;
        let text = String::from_utf8([output.stdout, output.stderr].concat())?;
        ensure!(
            output.status.success(),
            "{} {option}: {text}",
            path.display()
        );
        let version = text
            .split(|it: char| it.is_whitespace() || it == '/')
            .map(|word| word.trim_start_matches('v'))
            .find(|word| word.contains('.') && word.starts_with(|it: char| it.is_ascii_digit()))
            .unwrap_or("of unknown version");
        Ok(format!("{} {version}", self.name()))
    }

    pub(crate) fn start(&self, case: &Case, site: &Site) -> Result<Process> {
        match self {
            Self::Weir(path) | Self::Other(path) => weir::start(path, case, site),
            Self::Envoy(path) => envoy::start(path, case, site),
            Self::Haproxy(path) => haproxy::start(path, case, site),
            Self::Nginx(path) => nginx::start(path, case, site),
        }
        .with_context(|| format!("{} does not start", self.name()))
    }
}
