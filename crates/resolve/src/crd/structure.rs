//! A schema of admission as a structural schema of Kubernetes (OpenAPI v3), with its rules in CEL and with descriptions.

use serde_json::{Map, Value, json};

use crate::admission::cel::{Rule, null_safe};
use crate::admission::schema::{Field, List, Schema, Unique};

/// The structural schema of a spec.
///
/// `never_null` names the fields of the spec below which nothing may be null; none: nothing may be anywhere.
pub(super) fn of(
    spec: &Schema,
    rules: &[Rule],
    described: &Describer,
    never_null: Option<&[&str]>,
) -> Value {
    let place = Place {
        path: String::new(),
        nullable: never_null.is_some(),
        described: Some(&described.root),
    };
    Writer {
        rules,
        described,
        never_null: never_null.unwrap_or_default(),
    }
    .structure(spec, &place)
}

struct Writer<'a> {
    rules: &'a [Rule],
    described: &'a Describer,
    never_null: &'a [&'a str],
}

/// Where in a spec one is.
struct Place<'a> {
    /// As rules write it.
    path: String,
    /// Whether optional fields may be null here. Within lists they may not: a JSON merge patch takes them as they are.
    nullable: bool,
    described: Option<&'a Value>,
}

impl Writer<'_> {
    fn structure(&self, schema: &Schema, place: &Place<'_>) -> Value {
        let mut structure = self.plain(schema, place);
        let rules: Vec<Value> = self
            .rules
            .iter()
            .filter(|rule| rule.at == place.path)
            .map(
                |Rule {
                     at: _,
                     cel,
                     message,
                 }| {
                    let cel = if place.nullable {
                        null_safe(cel)
                    } else {
                        (*cel).to_owned()
                    };
                    json!({"rule": cel, "message": message})
                },
            )
            .collect();
        if !rules.is_empty() {
            structure["x-kubernetes-validations"] = rules.into();
        }
        structure
    }

    fn plain(&self, schema: &Schema, place: &Place<'_>) -> Value {
        match schema {
            Schema::Any => json!({"x-kubernetes-preserve-unknown-fields": true}),
            Schema::Bool => json!({"type": "boolean"}),
            Schema::Number => json!({"type": "number"}),
            Schema::Integer(least, most) => {
                let mut structure = json!({"type": "integer", "format": "int64"});
                if *least != i64::MIN {
                    structure["minimum"] = json!(least);
                }
                if *most != i64::MAX {
                    structure["maximum"] = json!(most);
                }
                structure
            }
            Schema::Int32(least) => {
                let mut structure = json!({"type": "integer", "format": "int32"});
                if *least != i64::MIN {
                    structure["minimum"] = json!(least);
                }
                structure
            }
            Schema::Codes(codes) => json!({"type": "integer", "enum": codes}),
            Schema::Words(words) => json!({"type": "string", "enum": words}),
            Schema::Text(least, most, pattern) => {
                let mut structure = json!({"type": "string"});
                if *least > 0 {
                    structure["minLength"] = json!(least);
                }
                if *most != usize::MAX {
                    structure["maxLength"] = json!(most);
                }
                if let Some(pattern) = pattern {
                    structure["pattern"] = json!(pattern.regex);
                }
                structure
            }
            Schema::ByteSize => json!({
                "anyOf": [{"type": "integer"}, {"type": "string"}],
                "pattern": crate::admission::pattern::BYTE_SIZE.regex,
                "x-kubernetes-int-or-string": true,
            }),
            Schema::Object(fields) => self.object(fields, place),
            Schema::Map(values) => {
                let mut values = self.structure(
                    values,
                    &Place {
                        path: format!("{}{{}}", place.path),
                        nullable: false,
                        described: self.described.values(place.described),
                    },
                );
                // An entry can be deleted as a whole.
                if place.nullable {
                    values["nullable"] = json!(true);
                }
                json!({"type": "object", "additionalProperties": values})
            }
            Schema::List(list) => self.list(list, place),
        }
    }

    fn object(&self, fields: &[Field], place: &Place<'_>) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for Field {
            name,
            required: needed,
            schema,
        } in fields
        {
            let described = self.described.field(place.described, name);
            let at_top = place.path.is_empty();
            let nullable = place.nullable && !(at_top && self.never_null.contains(name));
            let inner = Place {
                path: if at_top {
                    (*name).to_owned()
                } else {
                    format!("{}.{name}", place.path)
                },
                nullable,
                described,
            };
            let mut structure = self.structure(schema, &inner);
            if let Some(description) = self.described.description(described) {
                structure["description"] = json!(description);
            }
            if *needed {
                required.push(*name);
            } else if nullable {
                nullable_words(&mut structure);
                structure["nullable"] = json!(true);
            }
            properties.insert((*name).to_owned(), structure);
        }
        let mut structure = json!({"type": "object"});
        if !properties.is_empty() {
            structure["properties"] = properties.into();
        }
        if !required.is_empty() {
            structure["required"] = json!(required);
        }
        structure
    }

    fn list(&self, list: &List, place: &Place<'_>) -> Value {
        let List {
            items,
            least,
            most,
            unique,
        } = list;
        let items = self.structure(
            items,
            &Place {
                path: format!("{}[]", place.path),
                nullable: false,
                described: self.described.items(place.described),
            },
        );
        let mut structure = json!({"type": "array", "items": items});
        if *least > 0 {
            structure["minItems"] = json!(least);
        }
        if *most != usize::MAX {
            structure["maxItems"] = json!(most);
        }
        match unique {
            Unique::Nothing => {}
            Unique::Items => structure["x-kubernetes-list-type"] = json!("set"),
            Unique::Key(key) => {
                structure["x-kubernetes-list-type"] = json!("map");
                structure["x-kubernetes-list-map-keys"] = json!([key]);
            }
        }
        structure
    }
}

/// A text that is one of some words, or null: API servers do not find null among the words of an `enum`, whether it is
/// there or not, so a rule says which words there are.
fn nullable_words(structure: &mut Value) {
    let fields = structure.as_object_mut();
    let Some(words) = fields.and_then(|it| it.remove("enum")) else {
        return;
    };
    let words: Vec<&str> = words
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    structure["x-kubernetes-validations"] = json!([{
        "rule": format!("self in ['{}']", words.join("', '")),
        "message": format!("Unsupported value: supported values: \"{}\"", words.join("\", \"")),
    }]);
}

/// What the API types say of themselves: their JSON schema, whose descriptions are their documentation.
pub(super) struct Describer {
    pub(super) root: Value,
}

impl Describer {
    pub(super) fn new(schema: schemars::Schema) -> Self {
        Self {
            root: schema.to_value(),
        }
    }

    /// A field of an object.
    pub(super) fn field<'a>(&'a self, of: Option<&'a Value>, name: &str) -> Option<&'a Value> {
        self.resolved(of?)?.get("properties")?.get(name)
    }

    /// The names of the fields of an object, where its type says them.
    #[cfg(test)]
    pub(super) fn fields<'a>(&'a self, of: Option<&'a Value>) -> Option<Vec<&'a str>> {
        let properties = self.resolved(of?)?.get("properties")?.as_object()?;
        Some(properties.keys().map(String::as_str).collect())
    }

    /// The items of a list.
    pub(super) fn items<'a>(&'a self, of: Option<&'a Value>) -> Option<&'a Value> {
        self.resolved(of?)?.get("items")
    }

    /// The values of a map.
    pub(super) fn values<'a>(&'a self, of: Option<&'a Value>) -> Option<&'a Value> {
        self.resolved(of?)?.get("additionalProperties")
    }

    /// What is said of a field: by the field itself, else by its type.
    pub(super) fn description<'a>(&'a self, of: Option<&'a Value>) -> Option<&'a str> {
        let own = of?.get("description");
        let text = own.or_else(|| self.resolved(of?)?.get("description"))?;
        text.as_str()
    }

    /// The type itself behind references and options.
    fn resolved<'a>(&'a self, node: &'a Value) -> Option<&'a Value> {
        let mut node = node;
        // A reference leads to a type, which may be an option of another: few steps.
        for _ in 0..8 {
            if let Some(reference) = node.get("$ref").and_then(Value::as_str) {
                node = self.root.pointer(reference.strip_prefix('#')?)?;
                continue;
            }
            let options = node.get("anyOf").and_then(Value::as_array);
            let something = options.and_then(|it| it.iter().find(|it| it["type"] != "null"));
            match something {
                Some(something) => node = something,
                None => return Some(node),
            }
        }
        None
    }
}
