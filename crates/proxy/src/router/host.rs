//! Host names: how requests spell them, and a map that finds the most specific entry for one.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use weir_plan::HostMatch;

/// A host name as it is compared: without port and trailing dot, in lower case. Borrowed where it is so already.
pub(crate) fn host_name(authority: &str) -> Cow<'_, str> {
    let host = match authority.rfind(':') {
        // The colons of an IPv6 address stand within brackets.
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        Some(_) | None => authority,
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

/// Values by host name: the most specific one that means a name is found in time that does not grow with their number.
#[derive(Clone, Debug)]
pub(crate) struct ByHost<T> {
    exact: HashMap<Arc<str>, T>,
    suffixes: HashMap<Arc<str>, T>,
    /// Of the suffixes; longer ones need not be looked for, however long the name in a request.
    longest: usize,
    any: Option<T>,
}

impl<T> Default for ByHost<T> {
    fn default() -> Self {
        Self {
            exact: HashMap::new(),
            suffixes: HashMap::new(),
            longest: 0,
            any: None,
        }
    }
}

impl<T> ByHost<T> {
    /// Makes room for so many more.
    pub(crate) fn reserve(&mut self, more: usize) {
        self.exact.reserve(more);
    }

    /// Puts a value in. The first of several for one host name stays.
    pub(crate) fn insert(&mut self, host: &HostMatch, value: T) {
        match host {
            HostMatch::Exact(name) => {
                self.exact.entry(Arc::clone(name)).or_insert(value);
            }
            HostMatch::Suffix(suffix) => {
                self.longest = self.longest.max(suffix.len());
                self.suffixes.entry(Arc::clone(suffix)).or_insert(value);
            }
            HostMatch::Any => {
                self.any.get_or_insert(value);
            }
        }
    }

    /// The value of the most specific host name that means this one.
    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.exact
            .get(name)
            .or_else(|| self.by_suffix(name))
            .or(self.any.as_ref())
    }

    fn by_suffix(&self, name: &str) -> Option<&T> {
        if self.suffixes.is_empty() {
            return None;
        }
        let bytes = name.as_bytes();
        // At least one character stands in front of a suffix.
        let first = bytes.len().saturating_sub(self.longest).max(1);
        (first..bytes.len())
            .filter(|&at| bytes[at] == b'.')
            .find_map(|at| self.suffixes.get(&name[at..]))
    }

    /// The value that was put in for this host name.
    pub(crate) fn get_same(&self, host: &HostMatch) -> Option<&T> {
        match host {
            HostMatch::Exact(name) => self.exact.get(name),
            HostMatch::Suffix(suffix) => self.suffixes.get(suffix),
            HostMatch::Any => self.any.as_ref(),
        }
    }

    /// Every value.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.exact
            .values()
            .chain(self.suffixes.values())
            .chain(&self.any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_compared_in_one_form() {
        let cases = [
            ("example.com", "example.com"),
            ("Example.COM:8080", "example.com"),
            ("example.com.", "example.com"),
            ("example.com.:80", "example.com"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ];
        for (written, compared) in cases {
            assert_eq!(host_name(written), compared, "{written}");
        }
    }

    #[test]
    fn the_most_specific_host_name_is_found() {
        let names = ["*", "*.com", "*.example.com", "a.example.com", "*.com"];
        let mut hosts = ByHost::default();
        for name in names {
            hosts.insert(&HostMatch::parse(name), name);
        }
        let cases = [
            ("a.example.com", "a.example.com"),
            ("b.example.com", "*.example.com"),
            ("a.b.example.com", "*.example.com"),
            ("example.com", "*.com"),
            (".example.com", "*.com"),
            (".com", "*"),
            ("com", "*"),
            ("", "*"),
        ];
        for (name, found) in cases {
            assert_eq!(hosts.get(name), Some(&found), "{name}");
        }
        assert_eq!(hosts.values().count(), 4);
    }
}
