//! All that is known of the cluster: the objects in force, what is wrong with others, and the statuses that the API server
//! has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube_core::DynamicObject;
use kube_core::discovery::ApiResource;
use kube_runtime::watcher::Event;
use weir_plan::NamespacedName;
use weir_resolve::{Object, ObjectRef, Resources};

use super::Namespaces;
use super::kinds::{Keeps, Kind, Scope};
use super::observed::{Current, Observed};
use super::reading;
use super::referenced::{Reference, references};
use super::stream::{Fetched, News, Stream, Unfetched};
use super::trouble::Trouble;
use crate::places::Places;
use crate::store::limit;
use crate::{Finding, Loaded};

/// The cluster as it is known.
#[derive(Debug)]
pub(crate) struct Known {
    namespaces: Namespaces,
    streams: Vec<State>,
    resources: Resources,
    entries: BTreeMap<ObjectRef, Entry>,
    /// What is wrong with objects.
    findings: BTreeMap<ObjectRef, Vec<Finding>>,
    /// The Secrets and ConfigMaps that there are, with their versions.
    listed: BTreeMap<Reference, Listed>,
    /// Those of them that something refers to, and how often.
    referenced: BTreeMap<Reference, usize>,
    /// Those that are in force or being fetched, with the version that was asked for.
    held: BTreeMap<Reference, String>,
    fetching: BTreeSet<Reference>,
    statuses: Arc<Observed>,
}

/// One stream.
#[derive(Debug)]
struct State {
    stream: Stream,
    resource: Option<ApiResource>,
    /// Whether all of it is known.
    listed: bool,
    /// What a list that is not at its end yet has named.
    relisted: Option<BTreeSet<ObjectRef>>,
    trouble: Option<Trouble>,
}

#[derive(Debug)]
struct Entry {
    stream: usize,
    object: Option<Object>,
    references: Vec<Reference>,
}

#[derive(Debug)]
struct Listed {
    stream: usize,
    version: String,
}

/// A Secret or ConfigMap whose content is wanted.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(crate) stream: usize,
    pub(crate) kind: &'static Kind,
    pub(crate) resource: ApiResource,
    pub(crate) name: NamespacedName,
    pub(crate) version: String,
}

impl Known {
    pub(crate) fn new(namespaces: Namespaces, streams: &[Stream], statuses: Arc<Observed>) -> Self {
        let state = |stream: &Stream| State {
            stream: stream.clone(),
            resource: None,
            listed: false,
            relisted: None,
            trouble: None,
        };
        Self {
            namespaces,
            streams: streams.iter().map(state).collect(),
            resources: Resources::default(),
            entries: BTreeMap::new(),
            findings: BTreeMap::new(),
            listed: BTreeMap::new(),
            referenced: BTreeMap::new(),
            held: BTreeMap::new(),
            fetching: BTreeSet::new(),
            statuses,
        }
    }

    /// Takes in what happened. Says whether anything changed that a snapshot shows.
    pub(crate) fn take(&mut self, number: usize, news: News) -> bool {
        match news {
            News::Version(resource) => {
                self.streams[number].resource = Some(resource);
                false
            }
            News::Trouble(trouble) => {
                self.trouble(number, trouble);
                false
            }
            News::Reached => {
                tracing::info!("the API server is reached again");
                for state in &mut self.streams {
                    state
                        .trouble
                        .take_if(|it| matches!(it, Trouble::Unreachable(_)));
                }
                false
            }
            News::Unknown => self.unknown(number),
            News::Fetched(fetched) => self.fetched(number, fetched),
            News::Unfetched(Unfetched { name, version }) => {
                let reference = named(self.streams[number].stream.kind, name);
                // It is wanted again then, in the version that there is by now.
                if self.held.get(&reference) == Some(&version) {
                    self.held.remove(&reference);
                }
                false
            }
            News::Event(event) => {
                self.streams[number].trouble = None;
                self.event(number, *event)
            }
        }
    }

    /// Whether everything was listed once.
    pub(crate) fn is_listed(&self) -> bool {
        self.streams.iter().all(|it| it.listed)
    }

    /// What is not known yet, so that there is no snapshot; empty: all is.
    pub(crate) fn waiting(&self) -> Vec<String> {
        let waiting = self.streams.iter().filter(|it| !it.listed);
        let mut texts: Vec<String> = waiting
            .map(|it| match &it.trouble {
                Some(trouble) => trouble.text().to_owned(),
                None => format!("{} are not listed yet", it.stream.kind.resource()),
            })
            .collect();
        texts.dedup();
        texts
    }

    /// Whether Secrets or ConfigMaps are on their way.
    pub(crate) fn is_fetching(&self) -> bool {
        !self.fetching.is_empty()
    }

    /// The Secrets and ConfigMaps whose content has to be asked for, and drops those that nobody refers to.
    pub(crate) fn wanted(&mut self) -> (Vec<Fetch>, bool) {
        let unused: Vec<Reference> = self
            .held
            .keys()
            .filter(|it| !self.referenced.contains_key(it) || !self.listed.contains_key(it))
            .cloned()
            .collect();
        let mut changed = false;
        for reference in unused {
            self.held.remove(&reference);
            self.fetching.remove(&reference);
            changed |= self.remove(&object_ref(&reference));
        }
        let mut fetches = Vec::new();
        for reference in self.referenced.keys() {
            let Some(Listed { stream, version }) = self.listed.get(reference) else {
                continue;
            };
            let state = &self.streams[*stream];
            let Some(resource) = &state.resource else {
                continue;
            };
            if self.held.get(reference) == Some(version) {
                continue;
            }
            self.held.insert(reference.clone(), version.clone());
            self.fetching.insert(reference.clone());
            fetches.push(Fetch {
                stream: *stream,
                kind: state.stream.kind,
                resource: resource.clone(),
                name: reference.name.clone(),
                version: version.clone(),
            });
        }
        (fetches, changed)
    }

    /// All objects at this moment.
    pub(crate) fn snapshot(&self) -> Loaded {
        let mut findings: Vec<Finding> = self.findings.values().flatten().cloned().collect();
        limit(&mut findings);
        Loaded {
            resources: self.selected(),
            findings,
            missing: Vec::new(),
            places: Arc::<Places>::default(),
        }
    }

    /// The objects of the namespaces that are watched.
    fn selected(&self) -> Resources {
        let Namespaces::Labelled(labels) = &self.namespaces else {
            return self.resources.clone();
        };
        let is_selected = |name: &str| {
            let namespace = NamespacedName::new("", name);
            let namespace = self.resources.namespaces.get(&namespace);
            let has = namespace.and_then(|it| it.metadata.labels.as_ref());
            labels
                .iter()
                .all(|(key, value)| has.and_then(|it| it.get(key)) == Some(value))
        };
        let mut selected = BTreeMap::new();
        let mut resources = Resources::default();
        for object in self.resources.objects() {
            let namespace = object.object_ref().name.namespace;
            let wanted = namespace.is_empty()
                || *selected
                    .entry(namespace.clone())
                    .or_insert_with(|| is_selected(&namespace));
            if wanted {
                resources.insert(object);
            }
        }
        resources
    }

    fn trouble(&mut self, number: usize, trouble: Trouble) {
        let is_told = |it: &State| match (&it.trouble, &trouble) {
            // That it cannot be reached is said once, in the words of whoever noticed first.
            (Some(Trouble::Unreachable(_)), Trouble::Unreachable(_)) => true,
            (told, trouble) => told.as_ref() == Some(trouble),
        };
        if !self.streams.iter().any(is_told) {
            let text = trouble.text();
            tracing::warn!("{text}; it is tried again, and what was last read stays in force");
        }
        self.streams[number].trouble = Some(trouble);
    }

    fn unknown(&mut self, number: usize) -> bool {
        let state = &mut self.streams[number];
        let kind = state.stream.kind;
        if state.resource.is_some() || !state.listed {
            tracing::info!(
                "the cluster has no {}: none are read until its CustomResourceDefinition is there",
                kind.resource()
            );
        }
        state.resource = None;
        state.trouble = None;
        state.relisted = None;
        let first = !std::mem::replace(&mut state.listed, true);
        self.retain(number, &BTreeSet::new()) || first
    }

    fn event(&mut self, number: usize, event: Event<DynamicObject>) -> bool {
        match event {
            Event::Init => {
                self.streams[number].relisted = Some(BTreeSet::new());
                false
            }
            Event::InitApply(object) => {
                let reference = self.reference(number, &object);
                if let Some(relisted) = &mut self.streams[number].relisted {
                    relisted.insert(reference);
                }
                self.apply(number, object)
            }
            Event::InitDone => {
                let state = &mut self.streams[number];
                let first = !std::mem::replace(&mut state.listed, true);
                let relisted = state.relisted.take();
                let removed = relisted.is_some_and(|it| self.retain(number, &it));
                removed || first
            }
            Event::Apply(object) => self.apply(number, object),
            Event::Delete(object) => {
                let reference = self.reference(number, &object);
                self.forget(self.streams[number].stream.kind, &reference)
            }
        }
    }

    fn reference(&self, number: usize, object: &DynamicObject) -> ObjectRef {
        let kind = self.streams[number].stream.kind;
        let text = |it: &Option<String>| it.as_deref().unwrap_or_default().to_owned();
        let namespace = match kind.scope {
            Scope::Cluster => String::new(),
            Scope::Namespaced => text(&object.metadata.namespace),
        };
        ObjectRef {
            group: kind.group.to_owned(),
            kind: kind.kind.to_owned(),
            name: NamespacedName::new(&*namespace, &*text(&object.metadata.name)),
        }
    }

    fn apply(&mut self, number: usize, object: DynamicObject) -> bool {
        let reference = self.reference(number, &object);
        let kind = self.streams[number].stream.kind;
        match kind.keeps {
            Keeps::All => self.keep(number, reference, object),
            Keeps::Referenced => {
                let version = object.metadata.resource_version.unwrap_or_default();
                let listed = Listed {
                    stream: number,
                    version,
                };
                self.listed.insert(named(kind, reference.name), listed);
                false
            }
        }
    }

    fn fetched(&mut self, number: usize, fetched: Fetched) -> bool {
        let Fetched {
            name,
            version,
            object,
        } = fetched;
        self.streams[number].trouble = None;
        let reference = named(self.streams[number].stream.kind, name);
        if self.held.get(&reference) != Some(&version) {
            return false; // Another version is on its way, or nobody refers to it any more.
        }
        self.fetching.remove(&reference);
        match object {
            Some(object) => self.keep(number, object_ref(&reference), *object),
            None => self.remove(&object_ref(&reference)),
        }
    }

    /// Reads an object and puts it in force. One that cannot be read is reported, and its last good version stays.
    fn keep(&mut self, number: usize, reference: ObjectRef, mut object: DynamicObject) -> bool {
        self.note_status(number, &reference, &mut object);
        let namespace = Arc::clone(&reference.name.namespace);
        let refers = references(&object.data["spec"], &namespace);
        let last = self
            .entries
            .get(&reference)
            .and_then(|it| it.object.clone());
        let (object, found) = reading::read(self.streams[number].stream.kind, object);
        let findings = self.note_findings(&reference, found);
        let object = object.or_else(|| last.clone());
        let same = object == last;
        let object = if same { last } else { object };
        if !same && let Some(object) = &object {
            self.resources.insert(object.clone());
        }
        let entry = Entry {
            stream: number,
            object,
            references: refers,
        };
        for reference in &entry.references {
            *self.referenced.entry(reference.clone()).or_default() += 1;
        }
        if let Some(before) = self.entries.insert(reference, entry) {
            self.release(&before.references);
        }
        findings || !same
    }

    fn note_status(&mut self, number: usize, reference: &ObjectRef, object: &mut DynamicObject) {
        let status = object
            .data
            .as_object_mut()
            .and_then(|it| it.remove("status"))
            .unwrap_or_default();
        let state = &self.streams[number];
        if let Some(resource) = state.resource.as_ref().filter(|_| state.stream.kind.status) {
            let current = Current {
                kind: state.stream.kind,
                resource: resource.clone(),
                version: object.metadata.resource_version.clone().unwrap_or_default(),
                status,
            };
            self.statuses.note(reference, Some(current));
        }
    }

    /// Notes what is wrong with an object. Says whether that is something else than before.
    fn note_findings(&mut self, reference: &ObjectRef, found: Vec<Finding>) -> bool {
        if found.is_empty() {
            return self.findings.remove(reference).is_some();
        }
        let before = self.findings.insert(reference.clone(), found);
        before.as_ref() != self.findings.get(reference)
    }

    /// Forgets an object that is gone.
    fn forget(&mut self, kind: &Kind, reference: &ObjectRef) -> bool {
        match kind.keeps {
            Keeps::All => self.remove(reference),
            Keeps::Referenced => {
                self.listed.remove(&named(kind, reference.name.clone()));
                false // What is in force of it goes with the next look at what is wanted.
            }
        }
    }

    fn remove(&mut self, reference: &ObjectRef) -> bool {
        self.statuses.note(reference, None);
        let findings = self.findings.remove(reference).is_some();
        let Some(entry) = self.entries.remove(reference) else {
            return findings;
        };
        self.release(&entry.references);
        if let Some(object) = &entry.object {
            self.resources.remove(object);
        }
        true
    }

    fn release(&mut self, references: &[Reference]) {
        for reference in references {
            if let Some(count) = self.referenced.get_mut(reference) {
                *count -= 1;
                if *count == 0 {
                    self.referenced.remove(reference);
                }
            }
        }
    }

    /// Forgets what a stream had and has not any more.
    fn retain(&mut self, number: usize, there: &BTreeSet<ObjectRef>) -> bool {
        if self.streams[number].stream.kind.keeps == Keeps::Referenced {
            self.listed
                .retain(|it, listed| listed.stream != number || there.contains(&object_ref(it)));
            return false;
        }
        let gone: Vec<ObjectRef> = self
            .entries
            .iter()
            .filter(|(reference, entry)| entry.stream == number && !there.contains(reference))
            .map(|(reference, _)| reference.clone())
            .collect();
        let mut changed = false;
        for reference in gone {
            changed |= self.remove(&reference);
        }
        changed
    }
}

fn named(kind: &Kind, name: NamespacedName) -> Reference {
    Reference {
        kind: kind.kind,
        name,
    }
}

fn object_ref(reference: &Reference) -> ObjectRef {
    let Reference { kind, name } = reference.clone();
    ObjectRef {
        group: String::new(),
        kind: kind.to_owned(),
        name,
    }
}

#[cfg(test)]
mod tests;
