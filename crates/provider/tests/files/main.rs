//! Reading and following files, on real folders: what is in force, what is told about it and where.

mod following;
mod hostile;
mod pem;
mod reading;

use std::fs;
use std::path::Path;

use weir_provider::{Finding, Loaded, Source, read};

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for (name, text) in files {
        put(folder.path(), name, text);
    }
    folder
}

/// Writes a file, and the folders around it.
fn put(folder: &Path, name: &str, text: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a file has a parent")).expect("a folder can be made");
    fs::write(path, text).expect("a file can be written");
}

fn source(path: &Path) -> Vec<Source> {
    vec![Source::Path(path.to_owned())]
}

fn load(folder: &Path) -> Loaded {
    read(&source(folder)).expect("the folder can be read")
}

/// `file:line id field`, with the file's place in the folder.
fn place(folder: &Path, finding: &Finding) -> String {
    let location = finding.location.as_ref().expect("files have places");
    let file = Path::new(&location.file);
    let file = file.strip_prefix(folder).unwrap_or(file).display();
    format!("{file}:{} {} {}", location.line, finding.id, finding.field)
        .trim_end()
        .to_owned()
}

/// The names of what is in force.
fn names(loaded: &Loaded) -> Vec<String> {
    let routes = loaded
        .resources
        .http_routes
        .keys()
        .map(|it| format!("HTTPRoute {it}"));
    let policies = loaded
        .resources
        .policies
        .keys()
        .map(|it| format!("BackendTrafficPolicy {it}"));
    let services = loaded
        .resources
        .services
        .keys()
        .map(|it| format!("Service {it}"));
    routes.chain(policies).chain(services).collect()
}

/// A route with this name and host.
fn route(name: &str, host: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: {name}\nspec:\n  hostnames:\n  - {host}\n"
    )
}

/// The host of a route in the namespace `default`.
fn host<'l>(loaded: &'l Loaded, name: &str) -> Option<&'l str> {
    let name = weir_plan::NamespacedName::new("default", name);
    let route = loaded.resources.http_routes.get(&name)?;
    Some(route.spec.hostnames.as_ref()?.first()?.as_str())
}
