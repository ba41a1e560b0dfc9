//! The patterns of texts: the regular expression that messages quote, and a function that does the same quickly.

use std::sync::LazyLock;

use regex::Regex;

/// A pattern: what texts that fit it are, its text for messages, and the function that does the same.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) is: &'static str,
    pub(crate) regex: &'static str,
    pub(crate) matches: fn(&str) -> bool,
}

/// A duration of the Gateway API (GEP-2257).
pub(crate) const DURATION: &Pattern = &Pattern {
    is: "duration",
    regex: "^([0-9]{1,5}(h|m|s|ms)){1,4}$",
    matches: |text| duration_millis(text).is_some(),
};
/// A number of bytes with an optional suffix.
pub(crate) const BYTE_SIZE: &Pattern = &Pattern {
    is: "size in bytes",
    regex: "^[1-9]+[0-9]*([EPTGMK]i|[EPTGMk])?$",
    matches: is_byte_size,
};
/// A host name, and a DNS subdomain.
pub(crate) const HOSTNAME: &Pattern = &Pattern {
    is: "host name",
    regex: r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    matches: is_hostname,
};
/// A host name whose first label may be `*`.
pub(crate) const WILDCARD_HOSTNAME: &Pattern = &Pattern {
    is: "host name, whose first label may be `*`",
    regex: r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    matches: |text| is_hostname(text.strip_prefix("*.").unwrap_or(text)),
};
/// A host name that may end with a dot.
pub(crate) const FQDN: &Pattern = &Pattern {
    is: "host name",
    regex: r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\.?$",
    matches: |text| is_hostname(text.strip_suffix('.').unwrap_or(text)),
};
/// A name of one label, such as a namespace.
pub(crate) const LABEL: &Pattern = &Pattern {
    is: "name of one label",
    regex: "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    matches: is_label,
};
/// An API group; the core group is empty.
pub(crate) const GROUP: &Pattern = &Pattern {
    is: "API group",
    regex: r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    matches: |text| text.is_empty() || is_hostname(text),
};
/// A kind of objects.
pub(crate) const KIND: &Pattern = &Pattern {
    is: "kind",
    regex: "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$",
    matches: is_kind,
};
/// A token of HTTP, such as the name of a header.
pub(crate) const TOKEN: &Pattern = &Pattern {
    is: "token of HTTP",
    regex: r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$",
    matches: is_token,
};
/// An `:authority`.
pub(crate) const AUTHORITY: &Pattern = &Pattern {
    is: "text of one line",
    regex: r"^[^\x00\n\r]*$",
    matches: is_one_line,
};
/// A part of a header name.
pub(crate) const HEADER_PREFIX: &Pattern = &Pattern {
    is: "text of one line",
    regex: r"^[^\r\n\x00]*$",
    matches: is_one_line,
};
/// A module of the reference's data plane.
pub(crate) const MODULE: &Pattern = &Pattern {
    is: "name of lower-case letters, digits, dots and hyphens",
    regex: "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
    matches: is_module,
};
/// A set of well-known certificate authorities.
pub(crate) const CA_SET: &Pattern = &Pattern {
    is: "`System`, or a name with a domain in front",
    regex: r"^(System|([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]))$",
    matches: is_ca_set,
};
/// An IP address, roughly. Whether it is one after all is for the engine to say: what the reference admits is admitted.
pub(crate) const ADDRESS: &Pattern = &Pattern {
    is: "IP address",
    regex: ADDRESS_REGEX,
    matches: |text| ADDRESSES.is_match(text),
};
const ADDRESS_REGEX: &str = r"^((25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)\.){3}(25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)$|^(([0-9a-fA-F]{1,4}:){1,7}[0-9a-fA-F]{1,4}|::|(([0-9a-fA-F]{1,4}:){0,5})?(:[0-9a-fA-F]{1,4}){1,2})$";
static ADDRESSES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(ADDRESS_REGEX).expect("the pattern is well formed"));

/// A network, roughly, as [`ADDRESS`] is an address.
pub(crate) const CIDR: &Pattern = &Pattern {
    is: "network, such as `10.0.0.0/8`",
    regex: CIDR_REGEX,
    matches: |text| NETWORKS.is_match(text),
};
const CIDR_REGEX: &str = r"((25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)\.(25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)\.(25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)\.(25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)\/([0-9]+))|((([0-9a-fA-F]{1,4}:){7,7}[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,7}:|([0-9a-fA-F]{1,4}:){1,6}:[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,5}(:[0-9a-fA-F]{1,4}){1,2}|([0-9a-fA-F]{1,4}:){1,4}(:[0-9a-fA-F]{1,4}){1,3}|([0-9a-fA-F]{1,4}:){1,3}(:[0-9a-fA-F]{1,4}){1,4}|([0-9a-fA-F]{1,4}:){1,2}(:[0-9a-fA-F]{1,4}){1,5}|[0-9a-fA-F]{1,4}:((:[0-9a-fA-F]{1,4}){1,6})|:((:[0-9a-fA-F]{1,4}){1,7}|:)|fe80:(:[0-9a-fA-F]{0,4}){0,4}%[0-9a-zA-Z]{1,}|::(ffff(:0{1,4}){0,1}:){0,1}((25[0-5]|(2[0-4]|1{0,1}[0-9]){0,1}[0-9])\.){3,3}(25[0-5]|(2[0-4]|1{0,1}[0-9]){0,1}[0-9])|([0-9a-fA-F]{1,4}:){1,4}:((25[0-5]|(2[0-4]|1{0,1}[0-9]){0,1}[0-9])\.){3,3}(25[0-5]|(2[0-4]|1{0,1}[0-9]){0,1}[0-9]))\/([0-9]+))";
static NETWORKS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(CIDR_REGEX).expect("the pattern is well formed"));
/// A header name of letters, digits and hyphens.
pub(crate) const PLAIN_HEADER: &Pattern = &Pattern {
    is: "header name of letters, digits and hyphens",
    regex: "^[A-Za-z0-9-]+$",
    matches: |text| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'),
};

fn is_byte_size(text: &str) -> bool {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, suffix) = text.split_at(digits);
    !number.is_empty()
        && !number.starts_with('0')
        && matches!(
            suffix,
            "" | "k" | "M" | "G" | "T" | "P" | "E" | "Ki" | "Mi" | "Gi" | "Ti" | "Pi" | "Ei"
        )
}

/// The milliseconds of a duration: one to four parts, each of one to five digits and a unit.
pub(crate) fn duration_millis(text: &str) -> Option<u64> {
    // `ms` before `m`: a part cannot begin with `s`.
    const UNITS: [(&str, u64); 4] = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let (mut rest, mut sum, mut parts) = (text, 0, 0);
    while !rest.is_empty() && parts < 4 {
        let (number, after) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
        let (next, unit) = UNITS
            .iter()
            .find_map(|(unit, millis)| Some((after.strip_prefix(unit)?, millis)))?;
        if number.len() > 5 {
            return None;
        }
        sum += number.parse::<u64>().ok()? * unit;
        (rest, parts) = (next, parts + 1);
    }
    (rest.is_empty() && parts > 0).then_some(sum)
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

fn is_one_line(text: &str) -> bool {
    !text.contains(['\0', '\r', '\n'])
}

/// Labels of lower-case letters, digits and inner hyphens, with dots between them.
pub(crate) fn is_hostname(text: &str) -> bool {
    text.split('.').all(is_label)
}

/// Lower-case letters, digits and inner hyphens.
pub(crate) fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_kind(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !text.ends_with('-')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

fn is_module(text: &str) -> bool {
    let outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(outer)
        && text.ends_with(outer)
        && text.chars().all(|c| outer(c) || c == '.' || c == '-')
}

fn is_ca_set(text: &str) -> bool {
    let Some((domain, name)) = text.split_once('/') else {
        return text == "System";
    };
    let outer = |c: char| c.is_ascii_alphanumeric();
    is_hostname(domain)
        && name.len() <= 63
        && name.starts_with(outer)
        && name.ends_with(outer)
        && name.chars().all(|c| outer(c) || "-_.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_say_what_their_regular_expressions_say() {
        let texts = [
            "",
            "0s",
            "1h30m",
            "15s",
            "250ms",
            "5.4s",
            "1d",
            "-1s",
            "1s1s1s1s",
            "1s1s1s1s1s",
            "123456s",
            "12345s",
            "1",
            "s",
            "1 s",
            "1m1ms",
            "10Ki",
            "0",
            "01",
            "1k",
            "1K",
            "1m",
            "1Mi",
            "100",
            "9E",
            "a",
            "a.b",
            "a..b",
            "-a",
            "a-",
            "a-b.c",
            "A",
            "a_b",
            ".",
            "a.",
            "*.a",
            "*",
            "a b",
            "a\nb",
            "a\n",
            "a\0",
            "x-y!",
            "Kind-1",
            "Kind-",
            "1Kind",
            "System",
            "a.b/c",
            "a.b/-",
            "a.b/",
            "/c",
            "1.2.3.4",
            "::1",
        ];
        let patterns = [
            DURATION,
            BYTE_SIZE,
            HOSTNAME,
            WILDCARD_HOSTNAME,
            FQDN,
            LABEL,
            GROUP,
            KIND,
            TOKEN,
            AUTHORITY,
            HEADER_PREFIX,
            MODULE,
            CA_SET,
            ADDRESS,
        ];
        for Pattern {
            is: _,
            regex,
            matches,
        } in patterns
        {
            let regex = regex::Regex::new(regex).unwrap();
            for text in texts {
                assert_eq!(matches(text), regex.is_match(text), "{text:?} and {regex}");
            }
        }
    }
}
