//! Which routes a path can mean: a map for exact paths, one for prefixes of whole elements, and a list for the rest.

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;
use weir_plan::PathMatch;

/// Places of routes in their list, ascending.
type Places = SmallVec<[u32; 2]>;

/// The routes of one virtual host by their paths.
#[derive(Debug, Default)]
pub(super) struct PathIndex {
    exact: HashMap<Arc<str>, Places>,
    prefixes: HashMap<Arc<str>, Places>,
    /// The most elements that a prefix has; further elements of a request's path need not be looked at.
    deepest: usize,
    regexes: Places,
}

impl PathIndex {
    /// None: the route at that place is found otherwise.
    pub(super) fn new<'a>(paths: impl Iterator<Item = Option<&'a PathMatch>>) -> Self {
        let mut index = Self::default();
        let paths = paths.enumerate();
        for (place, path) in paths.filter_map(|(place, path)| Some((place, path?))) {
            let places = match path {
                PathMatch::Exact(path) => index.exact.entry(Arc::clone(path)).or_default(),
                PathMatch::Prefix(prefix) => {
                    let depth = prefix.bytes().filter(|&byte| byte == b'/').count();
                    index.deepest = index.deepest.max(depth);
                    index.prefixes.entry(Arc::clone(prefix)).or_default()
                }
                PathMatch::Regex(_) => &mut index.regexes,
            };
            places.push(u32::try_from(place).expect("a list of routes in memory is shorter"));
        }
        index
    }

    /// Calls `consider` with each list of routes whose path may fit: the exact path, its prefixes from the longest, then
    /// the regular expressions, whose own match is yet to be tried.
    pub(super) fn candidates(&self, path: &str, mut consider: impl FnMut(&[u32])) {
        if let Some(places) = self.exact.get(path) {
            consider(places);
        }
        if !self.prefixes.is_empty() {
            self.prefixes_of(path, &mut consider);
        }
        if !self.regexes.is_empty() {
            consider(&self.regexes);
        }
    }

    fn prefixes_of(&self, path: &str, consider: &mut impl FnMut(&[u32])) {
        // Where the element behind the deepest prefix begins, if the path goes that far.
        let mut end = path
            .match_indices('/')
            .nth(self.deepest)
            .map_or(path.len(), |(at, _)| at);
        loop {
            if let Some(places) = self.prefixes.get(&path[..end]) {
                consider(places);
            }
            match path[..end].rfind('/') {
                Some(slash) => end = slash,
                None if end > 0 => end = 0,
                None => break,
            }
        }
    }
}
