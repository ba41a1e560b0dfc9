//! All files with what they gave last, and what follows from them: the objects in force, findings, and what is missing.
//!
//! Last good is kept by file for syntax (a file that is no YAML keeps what it gave before) and by object for the rest
//! (an object that is refused keeps its version in force). What is gone from a good file is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_resolve::{Diagnostic, FieldPath, Object, ObjectRef, Resources, Severity};

use crate::document::SyntaxError;
use crate::parsed::{Entry, Parsed};
use crate::pem::Named;
use crate::places::Places;
use crate::sources::{Problem, Unreadable};
use crate::{Finding, Loaded, Location};

/// Findings that are told; the rest is counted.
const MAX_FINDINGS: usize = 1_000;

/// The files, and what is in force.
#[derive(Default)]
pub(crate) struct Store {
    files: BTreeMap<PathBuf, File>,
    /// The PEM files that they name.
    pub(crate) named: Named,
    /// What could not be listed.
    problems: BTreeMap<PathBuf, Problem>,
    /// The objects in force, by name and by kind.
    served: HashMap<Arc<ObjectRef>, Object>,
    resources: Resources,
    /// What was missing at the start, and is still; none before the start.
    awaited: Option<BTreeSet<Subject>>,
}

/// Files may hold keys, so that nothing of them is printed.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<_> = self.files.keys().collect();
        f.debug_struct("Store")
            .field("files", &files)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct File {
    /// As the user would write it.
    name: String,
    /// The last good reading.
    good: Arc<Parsed>,
    /// Whether there was a good reading.
    was_good: bool,
    /// Why the newest content is not read, by line.
    broken: Vec<Broken>,
    /// The newest content, where it is broken: it need not be tried again.
    broken_text: Option<String>,
    /// Whether the file is gone, and may be back at once.
    held: bool,
}

#[derive(Debug, PartialEq)]
struct Broken {
    line: usize,
    id: &'static str,
    message: String,
}

/// What can be missing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    File(PathBuf),
    Object(ObjectRef),
    /// Something in a file that does not say its name.
    Unnamed(String, usize),
}

impl Store {
    /// Whether something could not be listed.
    pub(crate) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    /// The name of a file that is known.
    pub(crate) fn name_of(&self, path: &Path) -> Option<String> {
        self.files.get(path).map(|file| file.name.clone())
    }

    /// Whether a file that is known lies below `folder`.
    pub(crate) fn has_below(&self, folder: &Path) -> bool {
        self.files
            .range(folder.to_owned()..)
            .next()
            .is_some_and(|(path, _)| path.starts_with(folder))
    }

    /// Takes the newest content of a file. Says whether anything changed.
    pub(crate) fn update(
        &mut self,
        path: &Path,
        name: &str,
        content: Result<String, Unreadable>,
    ) -> bool {
        let file = self.files.entry(path.to_owned()).or_default();
        name.clone_into(&mut file.name);
        let was_held = std::mem::take(&mut file.held);
        let (broken, text) = match content {
            Err(Unreadable::Io(error)) => (
                vec![Broken {
                    line: 1,
                    id: "cannot-read",
                    message: format!("cannot read the file: {error}"),
                }],
                None,
            ),
            Err(Unreadable::Content { line, message, id }) => {
                (vec![Broken { line, id, message }], None)
            }
            Ok(text) if file.was_good && file.good.is_of(&text) && file.good.is_current() => {
                (Vec::new(), None)
            }
            Ok(text) if file.broken_text.as_ref() == Some(&text) => return was_held,
            Ok(text) => match Parsed::read(
                text.as_str().into(),
                path.parent().unwrap_or(Path::new("")),
                &file.good,
                &self.served,
            ) {
                Ok(parsed) => {
                    (file.good, file.was_good) = (Arc::new(parsed), true);
                    (file.broken, file.broken_text) = (Vec::new(), None);
                    self.named.note(path, file.good.named());
                    return true;
                }
                Err(errors) => {
                    let broken = |SyntaxError { line, message }| Broken {
                        line,
                        id: "syntax",
                        message,
                    };
                    (errors.into_iter().map(broken).collect(), Some(text))
                }
            },
        };
        let changed = was_held || file.broken != broken;
        (file.broken, file.broken_text) = (broken, text);
        changed
    }

    /// Whether this is what a file said last, so that nothing would change.
    pub(crate) fn says(&self, path: &Path, text: &str) -> bool {
        self.files
            .get(path)
            .is_some_and(|file| match &file.broken_text {
                Some(broken) => broken == text,
                None => file.was_good && file.good.is_of(text),
            })
    }

    /// The files that are not among these. What lies where nothing can be listed is not known to be absent.
    pub(crate) fn absent_from(&self, files: &BTreeMap<PathBuf, String>) -> Vec<PathBuf> {
        let unknown = |path: &Path| self.problems.keys().any(|it| path.starts_with(it));
        let absent = self
            .files
            .keys()
            .filter(|path| !files.contains_key(*path) && !unknown(path));
        absent.cloned().collect()
    }

    /// Keeps what a file said that is gone, for now: what others say counts before it.
    pub(crate) fn hold(&mut self, path: &Path) {
        if let Some(file) = self.files.get_mut(path) {
            file.held = true;
        }
    }

    /// Forgets a file. Says whether it was known.
    pub(crate) fn remove(&mut self, path: &Path) -> bool {
        self.named.note(path, std::iter::empty());
        self.files.remove(path).is_some()
    }

    /// Takes what could not be listed. Says whether anything changed.
    pub(crate) fn note_problems(&mut self, problems: BTreeMap<PathBuf, Problem>) -> bool {
        let changed = self.problems != problems;
        self.problems = problems;
        changed
    }

    /// What all of this comes to.
    pub(crate) fn load(&mut self) -> Loaded {
        let mut gathered = Gathered::default();
        for (path, Problem { name, message }) in &self.problems {
            let kept = if self.has_below(path) {
                "; what was read before stays in force"
            } else {
                ""
            };
            gathered.file(name, 1, "cannot-read", format!("{message}{kept}"));
        }
        for held in [false, true] {
            for (path, file) in self.files.iter().filter(|(_, file)| file.held == held) {
                gathered.file_of(path, file, &self.served);
            }
        }
        let Gathered {
            claimed,
            mut findings,
            missing,
        } = gathered;
        let served = claimed
            .into_iter()
            .filter_map(|(object, claim)| Some((Arc::clone(object), claim.object?)));
        let served: HashMap<_, _> = served.collect();

        let awaited = match self.awaited.take() {
            None => missing.keys().cloned().collect(),
            Some(awaited) => awaited
                .into_iter()
                .filter(|it| missing.contains_key(it))
                .collect::<BTreeSet<_>>(),
        };
        let missing = awaited
            .iter()
            .filter_map(|it| missing.get(it).cloned())
            .collect();
        findings.sort_unstable();
        findings.dedup();
        limit(&mut findings);

        let places = self
            .files
            .values()
            .map(|file| (file.name.clone(), Arc::clone(&file.good)));
        let places = Arc::new(Places::new(places.collect()));
        for (_, gone) in self
            .served
            .iter()
            .filter(|(it, _)| !served.contains_key(*it))
        {
            self.resources.remove(gone);
        }
        for (object, new) in &served {
            if !self.served.get(object).is_some_and(|old| old.is_same(new)) {
                self.resources.insert(new.clone());
            }
        }
        self.served = served;
        self.awaited = Some(awaited);
        Loaded {
            resources: self.resources.clone(),
            findings,
            missing,
            places,
        }
    }
}

/// What is gathered from file after file, in the order of their paths.
#[derive(Default)]
struct Gathered<'f> {
    /// Where each object stands first.
    claimed: HashMap<&'f Arc<ObjectRef>, Claim<'f>>,
    findings: Vec<Finding>,
    missing: BTreeMap<Subject, String>,
}

/// An object in a file.
struct Claim<'f> {
    place: Place<'f>,
    /// The version to be in force; none if it was never good.
    object: Option<Object>,
}

/// Where an object stands.
#[derive(Clone, Copy)]
struct Place<'f> {
    file: &'f str,
    parsed: &'f Parsed,
    entry: (usize, usize),
}

impl<'f> Gathered<'f> {
    fn file_of(
        &mut self,
        path: &'f Path,
        file: &'f File,
        before: &HashMap<Arc<ObjectRef>, Object>,
    ) {
        for Broken { line, id, message } in &file.broken {
            let kept = if file.was_good {
                "; what the file said before stays in force"
            } else {
                ""
            };
            self.file(&file.name, *line, id, format!("{message}{kept}"));
        }
        if let Some(Broken { line, message, .. }) = file.broken.first()
            && !file.was_good
        {
            let subject = Subject::File(path.to_owned());
            self.missing
                .insert(subject, format!("{}:{line}: {message}", file.name));
        }
        for (entry, it) in file.good.entries() {
            let place = Place {
                file: &file.name,
                parsed: &file.good,
                entry,
            };
            self.object(place, it, before, file);
        }
    }

    fn object(
        &mut self,
        place: Place<'f>,
        it: &'f Entry,
        before: &HashMap<Arc<ObjectRef>, Object>,
        file: &File,
    ) {
        let Entry {
            reference, reading, ..
        } = it;
        if let Some(reference) = reference
            && let Some(first) = self.claimed.get(reference).map(|it| it.place)
        {
            if !file.held {
                self.duplicate(reference, place, first);
            }
            return;
        }
        let (found, kept, object) = match reading {
            Ok((object, warnings)) => (warnings, "", object.clone()),
            Err(found) => {
                let last = reference.as_ref().and_then(|it| before.get(it)).cloned();
                let kept = if last.is_some() {
                    "; its last good version stays in force"
                } else {
                    ""
                };
                if last.is_none() {
                    self.miss(place, reference.as_deref(), found);
                }
                (found, kept, last)
            }
        };
        // What is wrong with an older version of a file is of no interest.
        if file.broken.is_empty() {
            self.found(place, found, kept);
        }
        if let Some(reference) = reference {
            self.claimed.insert(reference, Claim { place, object });
        }
    }

    /// Tells what is wrong with a file as a whole.
    fn file(&mut self, name: &str, line: usize, id: &'static str, message: String) {
        let location = Location {
            file: name.to_owned(),
            line,
        };
        let (severity, field) = (Severity::Error, FieldPath::default());
        self.findings.push(Finding {
            location: Some(location),
            severity,
            object: None,
            field,
            id,
            message,
        });
    }

    fn found(&mut self, place: Place<'_>, found: &[Diagnostic], kept: &str) {
        for diagnostic in found {
            let Diagnostic {
                object,
                field,
                severity,
                id,
                message,
            } = diagnostic.clone();
            let kept = if severity == Severity::Error {
                kept
            } else {
                ""
            };
            let location = Some(place.location(field.as_str()));
            // An API server's sentences may end in a full stop, after which nothing goes on.
            let message = if kept.is_empty() {
                message
            } else {
                format!("{}{kept}", message.trim_end_matches('.'))
            };
            let object = Some(object).filter(|it| !it.kind.is_empty());
            self.findings.push(Finding {
                location,
                severity,
                object,
                field,
                id,
                message,
            });
        }
    }

    fn duplicate(&mut self, object: &ObjectRef, place: Place<'_>, first: Place<'_>) {
        let Location { file, line } = first.location("");
        let message = format!(
            "{object} is also in {file}:{line}, which is the one that counts: remove one of them"
        );
        let (location, object) = (Some(place.location("")), Some(object.clone()));
        let (severity, field) = (Severity::Error, FieldPath::default());
        self.findings.push(Finding {
            location,
            severity,
            object,
            field,
            id: "duplicate-object",
            message,
        });
    }

    fn miss(&mut self, place: Place<'_>, object: Option<&ObjectRef>, found: &[Diagnostic]) {
        let Some(error) = found.iter().find(|it| it.severity == Severity::Error) else {
            return;
        };
        let location = place.location(error.field.as_str());
        let place = format!("{}:{}", location.file, location.line);
        let field = if error.field.as_str().is_empty() {
            ""
        } else {
            &format!(": {}", error.field)
        };
        let (subject, name) = match object {
            Some(object) => (Subject::Object(object.clone()), format!(": {object}")),
            None => (
                Subject::Unnamed(location.file.clone(), location.line),
                String::new(),
            ),
        };
        self.missing
            .insert(subject, format!("{place}{name}{field}: {}", error.message));
    }
}

impl Place<'_> {
    fn location(&self, field: &str) -> Location {
        Location {
            file: self.file.to_owned(),
            line: self.parsed.line(self.entry, field),
        }
    }
}

/// Keeps the first findings and counts the rest.
pub(crate) fn limit(findings: &mut Vec<Finding>) {
    let more = findings.len().saturating_sub(MAX_FINDINGS);
    let Some(first) = findings.get(MAX_FINDINGS) else {
        return;
    };
    let (location, severity) = (
        first.location.clone(),
        findings[MAX_FINDINGS..].iter().map(|it| it.severity).min(),
    );
    findings.truncate(MAX_FINDINGS);
    findings.push(Finding {
        location,
        severity: severity.unwrap_or(Severity::Error),
        object: None,
        field: FieldPath::default(),
        id: "too-many-findings",
        message: format!("and {more} more findings: mend those above first"),
    });
}
