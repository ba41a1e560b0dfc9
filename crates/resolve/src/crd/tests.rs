//! What the definitions are made from holds together: tables and types have the same fields, and a rule in CEL says what
//! its function says.

use std::collections::{BTreeMap, BTreeSet};

use cel::{Context, Program, Value as CelValue};
use serde_json::{Map, Value, json};

use super::structure::Describer;
use super::{KINDS, Kind};
use crate::admission::cel::Rule;
use crate::admission::schema::{Field, List, Schema};
use crate::admission::{Violation, backend, client_traffic_policy, http_route_filter, policy};

#[test]
fn the_tables_and_the_types_have_the_same_fields_and_each_is_described() {
    let mut wrong = Vec::new();
    for Kind {
        kind,
        spec,
        described,
        ..
    } in KINDS
    {
        let describer = Describer::new(described());
        compare(spec, Some(&describer.root), &describer, kind, &mut wrong);
    }
    assert_eq!(wrong, Vec::<String>::new());
}

fn compare(
    schema: &Schema,
    of: Option<&Value>,
    types: &Describer,
    at: &str,
    wrong: &mut Vec<String>,
) {
    match schema {
        Schema::Object(fields) => {
            let in_type = types.fields(of);
            let names: BTreeSet<&str> = fields.iter().map(|it| it.name).collect();
            for name in in_type.iter().flatten().filter(|it| !names.contains(**it)) {
                wrong.push(format!("{at}.{name} is no field of the table"));
            }
            for Field { name, schema, .. } in *fields {
                let of = types.field(of, name);
                let at = format!("{at}.{name}");
                if types.description(of).is_none() {
                    wrong.push(format!("{at} is not described"));
                }
                compare(schema, of, types, &at, wrong);
            }
        }
        Schema::List(list) => {
            let (of, at) = (types.items(of), format!("{at}[]"));
            compare(&list.items, of, types, &at, wrong);
        }
        Schema::Map(values) => {
            compare(values, types.values(of), types, &format!("{at}{{}}"), wrong);
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

/// Values that the schema allows, drawn at random: each must be refused by the rules in CEL for the same reasons as by the
/// functions. Between them the values break and keep every rule.
#[test]
fn a_rule_in_cel_says_what_its_function_says() {
    for (
        Kind {
            kind, spec, rules, ..
        },
        check,
    ) in KINDS.iter().zip([
        policy::check,
        backend::check,
        http_route_filter::check,
        client_traffic_policy::check,
    ]) {
        let compiled: Vec<(&Rule, Program)> = rules
            .iter()
            .map(|rule| {
                (
                    rule,
                    Program::compile(rule.cel)
                        .unwrap_or_else(|error| panic!("{}: {error}", rule.cel)),
                )
            })
            .collect();
        let known: BTreeSet<&str> = rules.iter().map(|it| it.message).collect();
        let mut draw = Draw(fastrand::Rng::with_seed(7));
        let (mut broken, mut kept) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..2_000 {
            let value = draw.value(spec, 0);
            let by_function = said(&check(&value), &known);
            let mut by_cel = BTreeMap::new();
            for (rule, program) in &compiled {
                for place in places(&value, rule.at) {
                    if holds(program, place) {
                        kept.insert(rule.message);
                    } else {
                        *by_cel.entry(rule.message.to_owned()).or_insert(0) += 1;
                        broken.insert(rule.message);
                    }
                }
            }
            assert_eq!(by_cel, by_function, "{kind}: {value}");
        }
        let untried: Vec<_> = known
            .iter()
            .filter(|it| !broken.contains(*it) || !kept.contains(*it))
            .collect();
        assert_eq!(
            untried,
            Vec::<&&str>::new(),
            "{kind}: no value breaks these, or none keeps them"
        );
    }
}

/// How often each rule is broken. What the schema refuses is not asked about here.
fn said(violations: &[Violation], known: &BTreeSet<&str>) -> BTreeMap<String, usize> {
    let mut said = BTreeMap::new();
    for Violation { at, message, .. } in violations {
        assert!(known.contains(message.as_str()), "{at}: {message}");
        *said.entry(message.clone()).or_insert(0) += 1;
    }
    said
}

/// The values at a rule's place; a null counts as absent.
fn places<'a>(value: &'a Value, at: &str) -> Vec<&'a Value> {
    if at.is_empty() {
        return vec![value];
    }
    let (name, rest) = at.split_once('.').unwrap_or((at, ""));
    let (name, many) = name
        .strip_suffix("[]")
        .map_or((name, false), |name| (name, true));
    let Some(inner) = value.get(name) else {
        return Vec::new();
    };
    let inner: Vec<&Value> = if many {
        inner.as_array().into_iter().flatten().collect()
    } else {
        vec![inner]
    };
    inner.into_iter().flat_map(|it| places(it, rest)).collect()
}

fn holds(program: &Program, this: &Value) -> bool {
    let mut context = Context::default();
    context
        .add_variable("self", this.clone())
        .expect("JSON is a value");
    match program.execute(&context) {
        Ok(CelValue::Bool(holds)) => holds,
        other => panic!("{this}: {other:?}"),
    }
}

/// Draws values that a schema allows.
struct Draw(fastrand::Rng);

impl Draw {
    fn value(&mut self, schema: &Schema, depth: usize) -> Value {
        match schema {
            Schema::Any => json!({}),
            Schema::Bool => json!(self.0.bool()),
            Schema::Number => json!(self.0.u8(..)),
            Schema::Integer(least, most) => json!(
                self.0
                    .i64((*least).max(0)..=(*most).min((*least).max(0) + 120))
            ),
            Schema::Int32(least) => {
                let least = (*least).max(0);
                json!(self.0.i64(least..=least + 120))
            }
            Schema::Codes(codes) => json!(self.0.choice(*codes)),
            Schema::Words(words) => json!(self.0.choice(*words)),
            Schema::ByteSize => json!("10Mi"),
            Schema::Text(least, most, pattern) => {
                let texts = [
                    "HTTPRoute",
                    "Gateway",
                    "ConfigMap",
                    "Pod",
                    "gateway.networking.k8s.io",
                    "other.io",
                    "a",
                    "a.b",
                    "0s",
                    "1s",
                    "500ms",
                    "2s",
                    "POST",
                    "put",
                    "GET",
                    "CONNECT",
                    "Replace",
                    "JSONMerge",
                    "1.2.3.4",
                    "10.0.0.0/8",
                    "System",
                    "aaa",
                    "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                ];
                let fitting: Vec<_> = texts
                    .iter()
                    .filter(|it| {
                        (*least..=*most).contains(&it.len())
                            && pattern.is_none_or(|p| (p.matches)(it))
                    })
                    .collect();
                json!(self.0.choice(fitting).expect("one of the texts fits"))
            }
            Schema::Object(fields) => self.object(fields, depth),
            Schema::Map(values) => json!({"a": self.value(values, depth + 1)}),
            Schema::List(list) => self.list(list, depth),
        }
    }

    /// Few fields at the top, so that most values break few rules, and more below.
    fn object(&mut self, fields: &[Field], depth: usize) -> Value {
        let few = if depth == 0 { 6 } else { 2 };
        let mut object = Map::new();
        for Field {
            name,
            required,
            schema,
        } in fields
        {
            let often = ["targetRefs", "targetRef", "targetSelectors"].contains(name);
            if *required || self.0.usize(..if often { 2 } else { few }) == 0 {
                object.insert((*name).to_owned(), self.value(schema, depth + 1));
            }
        }
        object.into()
    }

    fn list(&mut self, list: &List, depth: usize) -> Value {
        let most = list.most.min(list.least + 2);
        let count = self.0.usize(list.least..=most);
        let mut items: Vec<Value> = Vec::new();
        for _ in 0..count {
            let item = self.value(&list.items, depth + 1);
            let key = |it: &Value| match list.unique {
                crate::admission::schema::Unique::Key(name) => it.get(name).cloned(),
                crate::admission::schema::Unique::Items => Some(it.clone()),
                crate::admission::schema::Unique::Nothing => None,
            };
            if key(&item).is_none() || items.iter().all(|it| key(it) != key(&item)) {
                items.push(item);
            }
        }
        items.into()
    }
}
