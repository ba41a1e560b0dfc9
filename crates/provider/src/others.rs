//! Documents of kinds that the engine does not read, such as tests of policies: their values, and where they stand.

use std::sync::Arc;

use serde_json::Value;
use weir_resolve::FieldPath;

use crate::parsed::Parsed;
use crate::{Loaded, Location};

/// A document of a kind that the engine does not read.
#[derive(Debug)]
pub struct OtherDocument {
    /// The file, as the user named it; `-` for standard input.
    pub file: String,
    /// What it says.
    pub value: Value,
    parsed: Arc<Parsed>,
    entry: (usize, usize),
}

impl OtherDocument {
    /// Where the document, or a field of it, stands. The nearest field that is written is taken.
    pub fn locate(&self, field: &FieldPath) -> Location {
        Location {
            file: self.file.clone(),
            line: self.parsed.line(self.entry, field.as_str()),
        }
    }
}

impl Loaded {
    /// The documents of an API group that the engine does not read, in the order of files and lines. They are parsed
    /// again for this, so that nobody pays for them who does not ask.
    pub fn others(&self, group: &str) -> Vec<OtherDocument> {
        let begin = format!("{group}/");
        let mut others = Vec::new();
        for (file, parsed) in self.places.files() {
            for (entry, value) in parsed.others(&begin) {
                let of_group = value["apiVersion"]
                    .as_str()
                    .is_some_and(|it| it.starts_with(&begin));
                if of_group {
                    others.push(OtherDocument {
                        file: file.clone(),
                        value,
                        parsed: Arc::clone(parsed),
                        entry,
                    });
                }
            }
        }
        others
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{Source, read};

    #[test]
    fn what_is_not_read_is_found_with_its_lines_and_is_no_finding() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write(
            "a.yaml",
            "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: 80}]}\n---\n\
             apiVersion: example.org/v1\nkind: Thing\nspec:\n  size: 1\n",
        );
        write(
            "b.yaml",
            "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: other.example.org/v1, kind: Thing}\n\
             - apiVersion: example.org/v1\n  kind: Thing\n  spec: {size: 2}\n",
        );
        let loaded = read(&[Source::Path(folder.path().to_owned())]).unwrap();
        assert_eq!(loaded.findings, []);
        let others = loaded.others("example.org");
        let found: Vec<_> = others
            .iter()
            .map(|it| {
                let line = it.locate(&FieldPath::new("spec.size")).line;
                (
                    it.file.ends_with("a.yaml"),
                    it.value["spec"]["size"].as_i64(),
                    line,
                )
            })
            .collect();
        assert_eq!(found, [(true, Some(1), 9), (false, Some(2), 7)]);
    }
}
