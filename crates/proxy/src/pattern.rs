//! Regular expressions of a plan, compiled once each however many routes use them.

use std::collections::HashMap;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};
use weir_plan::re2;

/// What one expression may take once compiled, in bytes; the engine's own default.
const SIZE_LIMIT: usize = 10 << 20;
/// How many constructs may be inside each other; the engine's own default, and the anchors.
const NEST_LIMIT: u32 = 252;

/// The compiled expressions that are in use, by how much they must match and their text.
#[derive(Debug, Default)]
pub(crate) struct Patterns(HashMap<(Extent, Arc<str>), Arc<Regex>>);

/// How much of a text an expression must match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Extent {
    Whole,
    Part,
}

impl Patterns {
    /// The expressions of a previous plan that something still holds.
    pub(crate) fn still_used(&self) -> Self {
        let used = self.0.iter().filter(|(_, it)| Arc::strong_count(it) > 1);
        Self(
            used.map(|(key, it)| (key.clone(), Arc::clone(it)))
                .collect(),
        )
    }

    /// An expression that matches only the whole of a text. `None`, with a log line, where it does not compile: the
    /// engine that makes plans refuses those, so only one that is too large to compile comes this far.
    pub(crate) fn whole(&mut self, text: &Arc<str>) -> Option<Arc<Regex>> {
        self.compiled(Extent::Whole, text)
    }

    /// The same of an expression that may match any part of a text.
    pub(crate) fn part(&mut self, text: &Arc<str>) -> Option<Arc<Regex>> {
        self.compiled(Extent::Part, text)
    }

    fn compiled(&mut self, extent: Extent, text: &Arc<str>) -> Option<Arc<Regex>> {
        let key = (extent, Arc::clone(text));
        if let Some(regex) = self.0.get(&key) {
            return Some(Arc::clone(regex));
        }
        match compile(extent, text) {
            Ok(regex) => {
                let regex = Arc::new(regex);
                self.0.insert(key, Arc::clone(&regex));
                Some(regex)
            }
            Err(error) => {
                tracing::error!(pattern = %text, %error, "an expression cannot be compiled; it matches nothing");
                None
            }
        }
    }
}

fn compile(extent: Extent, text: &str) -> Result<Regex, String> {
    let mut translated = re2::to_rust(text)?;
    if extent == Extent::Whole {
        translated = format!(r"\A(?:{translated})\z");
    }
    RegexBuilder::new(&translated)
        .size_limit(SIZE_LIMIT)
        .nest_limit(NEST_LIMIT)
        .build()
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_means_the_whole_text_and_is_compiled_once() {
        let mut patterns = Patterns::default();
        let text: Arc<str> = "a|bc".into();
        let regex = patterns.whole(&text).expect("compiles");
        for (input, matches) in [("a", true), ("bc", true), ("ab", false), ("xbc", false)] {
            assert_eq!(regex.is_match(input.as_bytes()), matches, "{input}");
        }
        assert!(Arc::ptr_eq(
            &regex,
            &patterns.whole(&text).expect("is there")
        ));
        assert!(patterns.whole(&"(".into()).is_none());
        for (re2, input, matches) in [
            ("/api/{id}", "/api/{id}", true),
            (r"\d+", "12", true),
            (r"\d+", "\u{662}", false),
            ("[a&&b]", "&", true),
            ("(?i)k", "K", true),
            ("a$", "a\n", false),
        ] {
            let regex = patterns.whole(&re2.into()).expect("compiles");
            assert_eq!(regex.is_match(input.as_bytes()), matches, "{re2} {input}");
        }
        let part = patterns.part(&text).expect("compiles");
        assert!(part.is_match(b"xbc"));
        drop((regex, part));
        assert!(patterns.still_used().0.is_empty());
    }
}
