//! Where in the files each object and each of its fields stands.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use weir_resolve::{FieldPath, ObjectRef};

use crate::Location;
use crate::parsed::Parsed;

/// The files with their objects. The index is made when the first place is asked for.
#[derive(Debug, Default)]
pub(crate) struct Places {
    files: Vec<(String, Arc<Parsed>)>,
    index: OnceLock<HashMap<Arc<ObjectRef>, Place>>,
}

/// A file, and an object in it.
type Place = (usize, (usize, usize));

impl Places {
    /// The places of objects in files that are in the order in which the first one wins.
    pub(crate) fn new(files: Vec<(String, Arc<Parsed>)>) -> Self {
        Self {
            files,
            index: OnceLock::new(),
        }
    }

    /// The files, with their names.
    pub(crate) fn files(&self) -> &[(String, Arc<Parsed>)] {
        &self.files
    }

    /// Where a field stands, or the nearest one around it that is written.
    pub(crate) fn locate(&self, object: &ObjectRef, field: &FieldPath) -> Option<Location> {
        let index = self.index.get_or_init(|| {
            let mut index = HashMap::new();
            for (number, (_, parsed)) in self.files.iter().enumerate() {
                for (entry, it) in parsed.entries() {
                    if let Some(reference) = &it.reference {
                        index
                            .entry(Arc::clone(reference))
                            .or_insert((number, entry));
                    }
                }
            }
            index
        });
        let (number, entry) = index.get(object)?;
        let (file, parsed) = &self.files[*number];
        Some(Location {
            file: file.clone(),
            line: parsed.line(*entry, field.as_str()),
        })
    }
}
