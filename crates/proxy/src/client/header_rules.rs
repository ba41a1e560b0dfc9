//! Changes of headers that hold for a whole listener, and matches on their names.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};
use regex::bytes::Regex;
use weir_plan::{HeaderChanges, ListenerHeaderChanges, StringMatch};

use crate::pattern::Patterns;

/// What says whom a message is for and where it ends, which no match on names removes. No change by name can be one of
/// these: the engine refuses it.
const KEPT: [HeaderName; 3] = [CONTENT_LENGTH, HOST, TRANSFER_ENCODING];

/// Changes of headers, compiled.
#[derive(Debug)]
pub(crate) struct HeaderRules {
    plain: HeaderChanges,
    add_if_absent: Vec<(HeaderName, HeaderValue)>,
    remove_on_match: Texts,
}

impl HeaderRules {
    /// None: nothing changes.
    pub(crate) fn new(changes: &ListenerHeaderChanges, patterns: &mut Patterns) -> Option<Self> {
        let ListenerHeaderChanges {
            plain,
            add_if_absent,
            remove_on_match,
        } = changes;
        (!changes.is_none()).then(|| Self {
            plain: plain.clone(),
            add_if_absent: add_if_absent.clone(),
            remove_on_match: Texts::new(remove_on_match, patterns),
        })
    }

    /// Makes the changes: set, add, add where absent, remove, remove what matches.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        let Self {
            plain: HeaderChanges { set, add, remove },
            add_if_absent,
            remove_on_match,
        } = self;
        for (name, value) in set {
            headers.insert(name, value.clone());
        }
        for (name, value) in add {
            headers.append(name, value.clone());
        }
        for (name, value) in add_if_absent {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        for name in remove {
            headers.remove(name);
        }
        if !remove_on_match.is_empty() {
            let gone: smallvec::SmallVec<[HeaderName; 4]> = headers
                .keys()
                .filter(|name| remove_on_match.any(name.as_str()) && !KEPT.contains(name))
                .cloned()
                .collect();
            for name in gone {
                headers.remove(name);
            }
        }
    }
}

/// Matches on texts in lower case.
#[derive(Debug)]
pub(crate) struct Texts(Box<[Text]>);

#[derive(Debug)]
enum Text {
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    /// None: it does not compile, which was logged, and matches nothing.
    Pattern(Option<Arc<Regex>>),
}

impl Texts {
    pub(crate) fn new(matches: &[StringMatch], patterns: &mut Patterns) -> Self {
        let lower = |text: &Arc<str>| text.to_ascii_lowercase().into_boxed_str();
        let compiled = matches.iter().map(|it| match it {
            StringMatch::Exact(text) => Text::Exact(lower(text)),
            StringMatch::Prefix(text) => Text::Prefix(lower(text)),
            StringMatch::Suffix(text) => Text::Suffix(lower(text)),
            StringMatch::RegularExpression(text) => {
                // Of letters, upper and lower case are one.
                Text::Pattern(patterns.whole(&format!("(?i:{text})").into()))
            }
        });
        Self(compiled.collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any of them fits a text in lower case.
    pub(crate) fn any(&self, text: &str) -> bool {
        self.0.iter().any(|it| match it {
            Text::Exact(exact) => text == &**exact,
            Text::Prefix(prefix) => text.starts_with(&**prefix),
            Text::Suffix(suffix) => text.ends_with(&**suffix),
            Text::Pattern(pattern) => {
                let pattern = pattern.as_ref();
                pattern.is_some_and(|it| it.is_match(text.as_bytes()))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_made_in_their_order() {
        let pair = |name: &'static str, value: &'static str| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        let changes = ListenerHeaderChanges {
            plain: HeaderChanges {
                set: vec![pair("a", "set")],
                add: vec![pair("b", "added")],
                remove: vec![HeaderName::from_static("c")],
            },
            add_if_absent: vec![pair("d", "absent"), pair("e", "absent"), pair("c", "x")],
            remove_on_match: vec![
                StringMatch::Prefix("X-Secret-".into()),
                StringMatch::Suffix("-Tmp".into()),
                StringMatch::Exact("Gone".into()),
                StringMatch::RegularExpression("n[0-9]+".into()),
            ],
        };
        let rules = HeaderRules::new(&changes, &mut Patterns::default()).expect("changes");
        let mut headers = HeaderMap::new();
        for name in [
            "a",
            "b",
            "c",
            "d",
            "x-secret-1",
            "x-secret",
            "y-tmp",
            "gone",
            "gone-not",
            "n12",
            "n12a",
        ] {
            headers.append(name, HeaderValue::from_static("theirs"));
        }
        rules.apply(&mut headers);
        let mut left: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
            .collect();
        left.sort_unstable();
        let expected = [
            "a=set",
            "b=added",
            "b=theirs",
            "d=theirs",
            "e=absent",
            "gone-not=theirs",
            "n12a=theirs",
            "x-secret=theirs",
        ];
        assert_eq!(left, expected);
    }

    #[test]
    fn no_changes_cost_nothing() {
        let none = HeaderRules::new(&ListenerHeaderChanges::NONE, &mut Patterns::default());
        assert!(none.is_none());
    }
}
