//! What there is to know of each field of our kinds, for a page that people read: the same that the definitions say.

use weir_plan::{Feature, Support};

use super::structure::Describer;
use super::{KINDS, Kind};
use crate::admission::cel::Rule;
use crate::admission::schema::{Field, List, Schema, Unique};
use crate::enforcement;
pub use crate::enforcement::Enforced;

/// A kind, and the fields of its spec.
#[derive(Clone, Debug, PartialEq)]
pub struct KindReference {
    /// Such as `BackendTrafficPolicy`.
    pub kind: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// The rules for the spec as a whole: what an API server says where they do not hold.
    pub rules: Vec<&'static str>,
    /// All fields, those of an object behind the object.
    pub fields: Vec<FieldReference>,
}

/// A field of a spec.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldReference {
    /// Its path below `spec`. Items of lists are `[]`, the keys of a map `KEY`.
    pub path: String,
    /// What it takes and how much of it, as text.
    pub shape: String,
    /// Whether the object that it is part of must have it.
    pub required: bool,
    /// What it means, with unit and default.
    pub description: String,
    /// The rules that hold for it: what an API server says where they do not.
    pub rules: Vec<&'static str>,
    /// The feature of policies that it belongs to.
    pub feature: Option<Feature>,
    /// How far the data plane enforces it.
    pub enforced: Enforced,
}

/// All of our kinds. `support` is how far the data plane enforces the features of policies, `clients` what
/// ClientTrafficPolicies say.
pub fn kinds(support: fn(Feature) -> Support, clients: Support) -> Vec<KindReference> {
    let kinds = KINDS.iter();
    kinds.map(|it| of_kind(it, support, clients)).collect()
}

fn of_kind(
    Kind {
        kind,
        plural: _,
        short: _,
        description,
        spec,
        rules,
        described,
        status: _,
        columns: _,
        never_null: _,
    }: &Kind,
    support: fn(Feature) -> Support,
    clients: Support,
) -> KindReference {
    let types = Describer::new(described());
    let mut writer = Writer {
        rules,
        types: &types,
        enforced: &|path| enforcement::of_field(kind, path, support, clients),
        fields: Vec::new(),
    };
    writer.below(spec, "", Some(&types.root));
    KindReference {
        kind,
        description,
        rules: writer.rules_at(""),
        fields: writer.fields,
    }
}

struct Writer<'a> {
    rules: &'a [Rule],
    types: &'a Describer,
    enforced: &'a dyn Fn(&str) -> Enforced,
    fields: Vec<FieldReference>,
}

impl Writer<'_> {
    /// Adds the fields below a value.
    fn below(&mut self, schema: &Schema, path: &str, of: Option<&serde_json::Value>) {
        match schema {
            Schema::Object(fields) => {
                for field in *fields {
                    self.field(field, path, of);
                }
            }
            Schema::Map(values) => {
                self.below(values, &format!("{path}.KEY"), self.types.values(of));
            }
            Schema::List(List { items, .. }) => {
                self.below(items, &format!("{path}[]"), self.types.items(of));
            }
            Schema::Any
            | Schema::Bool
            | Schema::Integer(..)
            | Schema::Int32(_)
            | Schema::Codes(_)
            | Schema::Number
            | Schema::Text(..)
            | Schema::Words(_)
            | Schema::ByteSize => {}
        }
    }

    fn field(
        &mut self,
        Field {
            name,
            required,
            schema,
        }: &Field,
        above: &str,
        of: Option<&serde_json::Value>,
    ) {
        let path = if above.is_empty() {
            (*name).to_owned()
        } else {
            format!("{above}.{name}")
        };
        let described = self.types.field(of, name);
        let description = self.types.description(described).unwrap_or_default();
        let mut rules = self.rules_at(&path);
        if let Schema::List(_) = schema {
            rules.extend(self.rules_at(&format!("{path}[]")));
        }
        self.fields.push(FieldReference {
            shape: shape(schema),
            required: *required,
            description: description.replace('\n', " "),
            rules,
            feature: enforcement::feature(path.split(['.', '[']).next().unwrap_or_default()),
            enforced: (self.enforced)(&path),
            path: path.clone(),
        });
        self.below(schema, &path, described);
    }

    fn rules_at(&self, path: &str) -> Vec<&'static str> {
        let at = path.replace(".KEY", "{}");
        let rules = self.rules.iter().filter(|it| it.at == at);
        rules.map(|it| it.message).collect()
    }
}

/// What a schema takes.
fn shape(schema: &Schema) -> String {
    match schema {
        Schema::Any => "anything".to_owned(),
        Schema::Bool => "`true` or `false`".to_owned(),
        Schema::Number => "number".to_owned(),
        Schema::Integer(least, most) => format!("whole number{}", bounds(least, most)),
        Schema::Int32(least) => {
            format!("whole number{}", bounds(least, &i64::from(i32::MAX)))
        }
        Schema::Codes(codes) => one_of(codes.iter().map(ToString::to_string)),
        Schema::Words(words) => one_of(words.iter().map(|it| (*it).to_owned())),
        Schema::Text(least, most, pattern) => {
            let what = pattern.as_ref().map_or("text", |it| it.is);
            let least = if pattern.is_some() && *least <= 1 {
                0
            } else {
                *least
            };
            let length = match (least, *most) {
                (0, usize::MAX) => String::new(),
                (1, usize::MAX) => ", not empty".to_owned(),
                (least, usize::MAX) => format!(", {least} characters at least"),
                (0, most) => format!(", {most} characters at most"),
                (least, most) => format!(", {least} to {most} characters"),
            };
            format!("{what}{length}")
        }
        Schema::ByteSize => "size in bytes".to_owned(),
        Schema::Object(_) => "object".to_owned(),
        Schema::Map(values) => format!("map of {}", shape(values)),
        Schema::List(List {
            items,
            least,
            most,
            unique,
        }) => {
            let number = match (*least, *most) {
                (0, usize::MAX) => String::new(),
                (least, usize::MAX) => format!(", {least} at least"),
                (0, most) => format!(", {most} at most"),
                (least, most) => format!(", {least} to {most}"),
            };
            let unique = match unique {
                Unique::Nothing => String::new(),
                Unique::Items => ", no two alike".to_owned(),
                Unique::Key(key) => format!(", no two with one `{key}`"),
            };
            format!("list of {}{number}{unique}", plural(items))
        }
    }
}

/// The items of a list.
fn plural(items: &Schema) -> String {
    match items {
        Schema::Object(_) => "objects".to_owned(),
        Schema::Text(_, _, None) => "texts".to_owned(),
        other @ (Schema::Any
        | Schema::Bool
        | Schema::Integer(..)
        | Schema::Int32(_)
        | Schema::Codes(_)
        | Schema::Number
        | Schema::Text(_, _, Some(_))
        | Schema::Words(_)
        | Schema::ByteSize
        | Schema::Map(_)
        | Schema::List(_)) => format!("({})", shape(other)),
    }
}

fn bounds(least: &i64, most: &i64) -> String {
    match (*least, *most) {
        (i64::MIN, i64::MAX) => String::new(),
        (least, i64::MAX) => format!(", {least} or more"),
        (i64::MIN, most) => format!(", {most} at most"),
        (least, most) => format!(", {least} to {most}"),
    }
}

fn one_of(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.map(|it| format!("`{it}`")).collect();
    match words.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        _ => words.concat(),
    }
}
