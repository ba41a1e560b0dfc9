//! A file as its documents, each with the objects that it gives. What did not change since the last reading is kept.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use weir_resolve::object::Reading;
use weir_resolve::{Object, ObjectRef, Severity};

use crate::document::{self, Chunk, SyntaxError};
use crate::lines::Lines;
use crate::pem::{self, PemFile};

/// A file that is good YAML.
#[derive(Default)]
pub(crate) struct Parsed {
    text: Arc<str>,
    documents: Vec<Document>,
}

/// Files may hold keys, so that nothing of one is printed.
impl fmt::Debug for Parsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, documents } = self;
        f.debug_struct("Parsed")
            .field("bytes", &text.len())
            .field("documents", &documents.len())
            .finish()
    }
}

#[derive(Debug)]
struct Document {
    /// Its first line in the file, from 1.
    line: usize,
    bytes: Range<usize>,
    /// Shared with earlier readings of the same text.
    content: Arc<Content>,
}

#[derive(Debug)]
struct Content {
    entries: Vec<Entry>,
    /// The files that it names, and that are part of what it says.
    files: Vec<PemFile>,
    lines: OnceLock<Lines>,
}

/// One object of a document.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its place in the document, where that is a list.
    item: Option<usize>,
    /// Which object it is, as far as it says.
    pub(crate) reference: Option<Arc<ObjectRef>>,
    pub(crate) reading: Reading,
}

impl Parsed {
    /// Reads the documents of a file that lies in `folder`. `earlier` is the last good reading of the file; `known` gives the objects that are
    /// in force, so that an object that says the same as before stays the same object.
    ///
    /// # Errors
    /// Every document that is no YAML, with its line in the file.
    pub(crate) fn read(
        text: Arc<str>,
        folder: &Path,
        earlier: &Self,
        known: &HashMap<Arc<ObjectRef>, Object>,
    ) -> Result<Self, Vec<SyntaxError>> {
        let same: HashMap<&str, &Arc<Content>> = earlier
            .documents
            .iter()
            .map(|it| (earlier.text_of(it), &it.content))
            .collect();
        let (mut documents, mut errors) = (Vec::new(), Vec::new());
        for Chunk { line, bytes } in document::split(&text) {
            let content = match same.get(&text[bytes.clone()]) {
                Some(content) if content.is_current() => Arc::clone(content),
                Some(_) | None => match document::parse(&text[bytes.clone()]) {
                    Ok(value) => Arc::new(Content::of(value, folder, known)),
                    Err(error) => {
                        errors.push(SyntaxError {
                            line: line + error.line - 1,
                            ..error
                        });
                        continue;
                    }
                },
            };
            documents.push(Document {
                line,
                bytes,
                content,
            });
        }
        if errors.is_empty() {
            Ok(Self { text, documents })
        } else {
            Err(errors)
        }
    }

    /// Whether this is what the text says.
    pub(crate) fn is_of(&self, text: &str) -> bool {
        *self.text == *text
    }

    /// Whether the files that it names are as they were.
    pub(crate) fn is_current(&self) -> bool {
        self.documents.iter().all(|it| it.content.is_current())
    }

    /// The paths at which a change is one of what this says, besides its own.
    pub(crate) fn named(&self) -> impl Iterator<Item = &PathBuf> {
        let documents = self.documents.iter();
        documents.flat_map(|it| it.content.files.iter().flat_map(PemFile::paths))
    }

    /// Every object, with its index for [`Parsed::line`].
    pub(crate) fn entries(&self) -> impl Iterator<Item = ((usize, usize), &Entry)> {
        self.documents
            .iter()
            .enumerate()
            .flat_map(|(number, document)| {
                let entries = document.content.entries.iter().enumerate();
                entries.map(move |(entry, it)| ((number, entry), it))
            })
    }

    /// What the engine does not read, from documents that mention `word`, with its index for [`Parsed::line`].
    pub(crate) fn others(&self, word: &str) -> Vec<((usize, usize), Value)> {
        let mut others = Vec::new();
        for (number, document) in self.documents.iter().enumerate() {
            let text = self.text_of(document);
            if !text.contains(word) {
                continue;
            }
            let Ok(value) = document::parse(text) else {
                continue;
            };
            let values = as_list(value).unwrap_or_else(|value| vec![value]);
            let entries = document.content.entries.iter().zip(values).enumerate();
            others.extend(entries.filter_map(|(entry, (it, value))| {
                matches!(it.reading, Ok((None, _))).then_some(((number, entry), value))
            }));
        }
        others
    }

    /// The line of a field of an object in the file, or of the nearest field around it that is written.
    pub(crate) fn line(&self, (number, entry): (usize, usize), field: &str) -> usize {
        let document = &self.documents[number];
        let lines = document
            .content
            .lines
            .get_or_init(|| Lines::of(self.text_of(document)));
        let line = match document.content.entries[entry].item {
            None => lines.find(field),
            Some(item) => lines.find(&format!("items[{item}].{field}")),
        };
        document.line + line - 1
    }

    fn text_of(&self, document: &Document) -> &str {
        &self.text[document.bytes.clone()]
    }
}

impl Content {
    fn of(value: Value, folder: &Path, known: &HashMap<Arc<ObjectRef>, Object>) -> Self {
        let mut files = Vec::new();
        let mut entry = |mut value: Value, item| {
            let filled = pem::fill(&mut value, folder, &mut files);
            Entry::of(filled.and_then(|()| Object::read(value)), item, known)
        };
        let entries = match as_list(value) {
            Ok(items) => items
                .into_iter()
                .enumerate()
                .map(|(n, it)| entry(it, Some(n)))
                .collect(),
            Err(Value::Null) => Vec::new(),
            Err(value) => vec![entry(value, None)],
        };
        Self {
            entries,
            files,
            lines: OnceLock::new(),
        }
    }

    fn is_current(&self) -> bool {
        self.files.iter().all(PemFile::is_current)
    }
}

impl Entry {
    fn of(
        mut reading: Reading,
        item: Option<usize>,
        known: &HashMap<Arc<ObjectRef>, Object>,
    ) -> Self {
        let reference = match &mut reading {
            Ok((None, _)) => None,
            Ok((Some(object), _)) => {
                let reference = object.object_ref();
                if let Some(same) = known.get(&reference).filter(|it| *it == object) {
                    *object = same.clone();
                }
                Some(Arc::new(reference))
            }
            Err(found) => {
                let error = found.iter().find(|it| it.severity == Severity::Error);
                error
                    .filter(|it| !it.object.name.name.is_empty())
                    .map(|it| Arc::new(it.object.clone()))
            }
        };
        Self {
            item,
            reference,
            reading,
        }
    }
}

/// The items of a `List`, or of a list of one kind such as `HTTPRouteList`, whose items need not say what they are.
fn as_list(mut value: Value) -> Result<Vec<Value>, Value> {
    let text = |name: &str| {
        value
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let Some(of_kind) = kind
        .strip_suffix("List")
        .filter(|_| value.get("items").is_some_and(Value::is_array))
    else {
        return Err(value);
    };
    let Value::Array(mut items) = value["items"].take() else {
        return Err(value);
    };
    if !of_kind.is_empty() {
        for item in items.iter_mut().filter_map(Value::as_object_mut) {
            item.entry("apiVersion")
                .or_insert_with(|| api_version.clone().into());
            item.entry("kind").or_insert_with(|| of_kind.into());
        }
    }
    Ok(items)
}
