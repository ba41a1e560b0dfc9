//! Sets of characters: brackets, escapes, and the groups that have names.

use super::names;
use super::{refuse, up_to};

/// A bracket expression at the start of a text, and what follows it. The last `:]`, where a name ends, begins so many bytes
/// before the end of the text: behind it none is looked for.
pub(super) fn bracket(from: &str, last_name_end: usize) -> Result<(String, &str), String> {
    let mut rest = &from[1..];
    let negated = rest.starts_with('^');
    if negated {
        rest = &rest[1..];
    }
    let mut items = String::new();
    let mut first = true;
    while first || !rest.starts_with(']') {
        first = false;
        if rest.starts_with("[:")
            && rest.len() >= last_name_end.saturating_add(2)
            && let Some(end) = rest[2..].find(":]")
        {
            let (name, after) = rest.split_at(end + 4);
            let plain = &name[2..end + 2];
            let plain = plain.strip_prefix('^').unwrap_or(plain);
            if !names::ASCII_SETS.contains(&plain) {
                return refuse(WRONG_RANGE, name);
            }
            items.push_str(name);
            rest = after;
            continue;
        }
        if let Some((text, after)) = set(rest)? {
            items.push_str(&text);
            rest = after;
            continue;
        }
        let before = rest;
        let (low, after) = one(rest, from)?;
        rest = after;
        let mut high = low;
        if rest.starts_with('-') && rest.len() > 1 && !rest.starts_with("-]") {
            (high, rest) = one(&rest[1..], from)?;
            if high < low {
                return refuse(WRONG_RANGE, up_to(before, rest));
            }
        }
        range(&mut items, low, high);
    }
    Ok((of(negated, &items), &rest[1..]))
}

const WRONG_RANGE: &str = "invalid character class range";

/// A class of such items, which may be none.
pub(super) fn of(negated: bool, items: &str) -> String {
    match (negated, items) {
        (false, "") => format!("[^{ANY}]"),
        (true, "") => format!("[{ANY}]"),
        (false, items) => format!("[{items}]"),
        (true, items) => format!("[^{items}]"),
    }
}

const ANY: &str = r"\x{0}-\x{10FFFF}";

/// A character as itself, in a class or outside.
pub(super) fn push(out: &mut String, literal: char) {
    if r"\.+*?()|[]{}^$#&-~".contains(literal) {
        out.push('\\');
    }
    out.push(literal);
}

/// A range without the surrogates, which no text has.
fn range(items: &mut String, low: u32, high: u32) {
    let low = char::from_u32(low).unwrap_or('\u{e000}');
    let high = char::from_u32(high).unwrap_or('\u{d7ff}');
    if low > high {
        return;
    }
    push(items, low);
    if low < high {
        items.push('-');
        push(items, high);
    }
}

/// A character of a class or its escape. `class` is what to name where it does not end.
fn one<'a>(from: &'a str, class: &str) -> Result<(u32, &'a str), String> {
    match from.chars().next() {
        None => refuse("missing closing ]", class),
        Some('\\') => escape(from),
        Some(other) => Ok((u32::from(other), &from[other.len_utf8()..])),
    }
}

/// A set that an escape stands for, as an item of a class. None: the escape is another one, or there is none.
pub(super) fn set(from: &str) -> Result<Option<(String, &str)>, String> {
    let item = match from.as_bytes() {
        [b'\\', b'd', ..] => "[:digit:]",
        [b'\\', b'D', ..] => "[:^digit:]",
        [b'\\', b's', ..] => r"\t\n\f\r ",
        [b'\\', b'S', ..] => r"[^\t\n\f\r ]",
        [b'\\', b'w', ..] => "[:word:]",
        [b'\\', b'W', ..] => "[:^word:]",
        [b'\\', b'p' | b'P', ..] => return unicode(from).map(Some),
        _ => return Ok(None),
    };
    Ok(Some((item.to_owned(), &from[2..])))
}

/// A set that has a name in Unicode: `\pN`, `\p{Greek}`, `\p{^Greek}`, `\P{Greek}`.
fn unicode(from: &str) -> Result<(String, &str), String> {
    let mut negated = from.starts_with(r"\P");
    let rest = &from[2..];
    let end = match rest.chars().next() {
        Some('{') => match rest.find('}') {
            Some(end) => end + 1,
            None => return refuse(WRONG_RANGE, from),
        },
        Some(letter) => letter.len_utf8(),
        None => 0,
    };
    let (name, rest) = rest.split_at(end);
    let name = name
        .strip_prefix('{')
        .and_then(|it| it.strip_suffix('}'))
        .unwrap_or(name);
    let name = match name.strip_prefix('^') {
        Some(name) => {
            negated = !negated;
            name
        }
        None => name,
    };
    let letter = if negated { 'P' } else { 'p' };
    let loose: String = name
        .chars()
        .filter(|it| !matches!(it, '_' | '-' | ' '))
        .map(|it| it.to_ascii_lowercase())
        .collect();
    let item = match &*loose {
        // No text has a surrogate, so that the crate does not know them.
        "cs" | "surrogate" => if negated { ANY } else { "" }.to_owned(),
        it if names::CATEGORIES.contains(&it) => format!(r"\{letter}{{gc={it}}}"),
        it if names::SCRIPTS.contains(&it) => format!(r"\{letter}{{sc={it}}}"),
        _ => return refuse(WRONG_RANGE, up_to(from, rest)),
    };
    Ok((item, rest))
}

/// The character that an escape stands for, which may be a surrogate.
pub(super) fn escape(from: &str) -> Result<(u32, &str), String> {
    let mut rest = &from[1..];
    let Some(letter) = next(&mut rest) else {
        return refuse("trailing backslash at end of expression", "");
    };
    let octal = rest.bytes().take_while(|it| matches!(it, b'0'..=b'7'));
    let more = octal.take(2).count();
    let code = match letter {
        // One digit would be a back-reference.
        '1'..='7' if more == 0 => None,
        '0'..='7' => {
            let digits = &from[1..2 + more];
            rest = &rest[more..];
            u32::from_str_radix(digits, 8).ok()
        }
        'x' => hexadecimal(&mut rest),
        'a' => Some(7),
        'f' => Some(12),
        'n' => Some(10),
        'r' => Some(13),
        't' => Some(9),
        'v' => Some(11),
        other => (other.is_ascii() && !other.is_ascii_alphanumeric()).then_some(u32::from(other)),
    };
    match code {
        Some(code) => Ok((code, rest)),
        None => refuse("invalid escape sequence", up_to(from, rest)),
    }
}

/// Two digits, or any number of them in braces. What is taken from `rest` is part of the message where they are wrong.
fn hexadecimal(rest: &mut &str) -> Option<u32> {
    let digit = |it: Option<char>| it.and_then(|it| it.to_digit(16));
    let first = next(rest)?;
    if first != '{' {
        let second = next(rest);
        return Some(digit(Some(first))? * 16 + digit(second)?);
    }
    let mut code = None;
    loop {
        match next(rest)? {
            '}' => return code,
            other => {
                let larger = code.unwrap_or(0) * 16 + digit(Some(other))?;
                code = Some(larger).filter(|it| *it <= u32::from(char::MAX));
                code?;
            }
        }
    }
}

fn next(rest: &mut &str) -> Option<char> {
    let mut chars = rest.chars();
    let next = chars.next();
    *rest = chars.as_str();
    next
}
