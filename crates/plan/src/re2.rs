//! Regular expressions of the API: RE2's syntax, put into that of the `regex` crate.
//!
//! The two look alike and differ in what they accept and mean. The translation reads an expression as RE2 does and writes
//! each piece of it so that it means the same wherever it stands: no flags, no names, nothing that depends on context.

mod class;
mod names;

use std::collections::BTreeSet;

/// The most groups inside each other, and repetitions of repetitions.
const MAX_DEPTH: usize = 250;
/// The most copies of a piece that counted repetitions may ask for, those of the groups around it included.
const MAX_COPIES: u32 = 1000;

/// An RE2 expression in the syntax of the `regex` crate, for its `bytes` module, with the same groups in the same order.
///
/// What this gives compiles, unless it is too large or nests too deeply for the limits that the caller sets.
///
/// # Errors
/// What is wrong, in the words of Go's `regexp` package: ``missing closing ]: `[a` ``.
///
/// ```
/// assert_eq!(weir_plan::re2::to_rust(r"/api/{id}").unwrap(), r"/api/\{id\}");
/// assert_eq!(weir_plan::re2::to_rust(r"\d+").unwrap(), "[[:digit:]]+");
/// assert_eq!(
///     weir_plan::re2::to_rust("a**").unwrap_err(),
///     "invalid nested repetition operator: `**`"
/// );
/// ```
pub fn to_rust(pattern: &str) -> Result<String, String> {
    let mut to = Translation {
        whole: pattern,
        out: String::with_capacity(pattern.len()),
        flags: Flags::default(),
        groups: Vec::new(),
        last: None,
        copies: 1,
        names: BTreeSet::new(),
    };
    let last_name_end = pattern
        .rfind(":]")
        .map_or(usize::MAX, |at| pattern.len() - at);
    let mut rest = pattern;
    // Where the repetition that ends here began: another cannot follow it directly.
    let mut repetition = None;
    while let Some(next) = rest.chars().next() {
        let before = rest;
        let mut ends_repetition = false;
        rest = match next {
            '(' if rest.starts_with("(?") => to.flags_or_group(rest)?,
            '(' => {
                to.open("(")?;
                &rest[1..]
            }
            ')' => {
                to.close()?;
                &rest[1..]
            }
            '|' => {
                to.settle();
                to.out.push('|');
                &rest[1..]
            }
            '^' => {
                to.piece(if to.flags.lines { "(?m:^)" } else { r"\A" });
                &rest[1..]
            }
            '$' => {
                to.piece(if to.flags.lines { "(?m:$)" } else { r"\z" });
                &rest[1..]
            }
            '.' => {
                to.piece(if to.flags.dot_all { "(?s:.)" } else { "." });
                &rest[1..]
            }
            '[' => {
                let (class, rest) = class::bracket(rest, last_name_end)?;
                to.folded(&class);
                rest
            }
            '*' | '+' | '?' => {
                ends_repetition = true;
                to.repeat(before, &rest[1..], None, repetition)?
            }
            '{' => match counts(rest) {
                Some((counts, after)) => {
                    ends_repetition = true;
                    to.repeat(before, after, Some(counts), repetition)?
                }
                None => {
                    to.literal('{');
                    &rest[1..]
                }
            },
            '\\' => to.escaped(rest)?,
            other => {
                to.literal(other);
                &rest[other.len_utf8()..]
            }
        };
        repetition = ends_repetition.then_some(before);
    }
    if to.groups.is_empty() {
        Ok(to.out)
    } else {
        refuse("missing closing )", pattern)
    }
}

/// What has been translated of an expression.
struct Translation<'a> {
    whole: &'a str,
    out: String,
    flags: Flags,
    /// The groups that are open.
    groups: Vec<Group>,
    /// What a repetition would repeat.
    last: Option<Piece>,
    /// The most copies of a piece of the group that is open, `last` not counted.
    copies: u32,
    /// The names of groups. Nothing refers to them, but each may be there once.
    names: BTreeSet<&'a str>,
}

#[derive(Clone, Copy, Default)]
struct Flags {
    /// `i`: upper and lower case are the same.
    fold: bool,
    /// `m`: `^` and `$` match at lines.
    lines: bool,
    /// `s`: `.` matches a line feed.
    dot_all: bool,
    /// `U`: repetitions take as little as they can, and with a `?` as much.
    lazy: bool,
}

/// A group that is open, with what comes back into force where it closes.
struct Group {
    at: usize,
    flags: Flags,
    copies: u32,
}

/// A literal, a class, an assertion or a group, with what repeats it.
struct Piece {
    at: usize,
    copies: u32,
    repetitions: usize,
}

impl<'a> Translation<'a> {
    fn piece(&mut self, text: &str) {
        self.settle();
        self.last = Some(Piece {
            at: self.out.len(),
            copies: 1,
            repetitions: 0,
        });
        self.out.push_str(text);
    }

    /// What came last is not repeated any more.
    fn settle(&mut self) {
        if let Some(piece) = self.last.take() {
            self.copies = self.copies.max(piece.copies);
        }
    }

    fn literal(&mut self, literal: char) {
        let mut text = String::new();
        class::push(&mut text, literal);
        self.folded(&text);
    }

    /// A piece whose meaning depends on the case.
    fn folded(&mut self, text: &str) {
        if self.flags.fold {
            self.piece(&format!("(?i:{text})"));
        } else {
            self.piece(text);
        }
    }

    fn open(&mut self, text: &str) -> Result<(), String> {
        if self.groups.len() == MAX_DEPTH {
            return refuse("expression nests too deeply", self.whole);
        }
        self.settle();
        self.groups.push(Group {
            at: self.out.len(),
            flags: self.flags,
            copies: self.copies,
        });
        self.copies = 1;
        self.out.push_str(text);
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        self.settle();
        let Some(Group { at, flags, copies }) = self.groups.pop() else {
            return refuse("unexpected )", self.whole);
        };
        self.out.push(')');
        self.last = Some(Piece {
            at,
            copies: self.copies,
            repetitions: 0,
        });
        self.flags = flags;
        self.copies = copies;
        Ok(())
    }

    /// Repeats the last piece; `counts` is None for `*`, `+` and `?`. The operator begins `before` and ends at `after`.
    fn repeat(
        &mut self,
        before: &'a str,
        after: &'a str,
        counts: Option<Counts>,
        previous: Option<&'a str>,
    ) -> Result<&'a str, String> {
        let operator = up_to(before, after);
        if let Some(Counts { min, max }) = counts
            && (min > MAX_COPIES || max.is_some_and(|max| max > MAX_COPIES || min > max))
        {
            return refuse("invalid repeat count", operator);
        }
        let (lazy, after) = match after.strip_prefix('?') {
            Some(after) => (!self.flags.lazy, after),
            None => (self.flags.lazy, after),
        };
        if let Some(previous) = previous {
            let both = up_to(previous, after);
            return refuse("invalid nested repetition operator", both);
        }
        let Some(piece) = &mut self.last else {
            return refuse(
                "missing argument to repetition operator",
                up_to(before, after),
            );
        };
        if let Some(Counts { min, max }) = counts {
            piece.copies = if max == Some(0) {
                0
            } else {
                piece.copies.saturating_mul(max.unwrap_or(min).max(1))
            };
            let counted = min >= 2 || max.is_some_and(|max| max >= 2);
            if counted && piece.copies > MAX_COPIES {
                return refuse("invalid repeat count", up_to(before, after));
            }
        }
        // A change of flags between two repetitions keeps them apart in RE2, but not in what is written here.
        if piece.repetitions > 0 {
            if piece.repetitions == MAX_DEPTH {
                return refuse("expression nests too deeply", self.whole);
            }
            self.out.insert_str(piece.at, "(?:");
            self.out.push(')');
        }
        piece.repetitions += 1;
        self.out.push_str(operator);
        if lazy {
            self.out.push('?');
        }
        Ok(after)
    }

    /// What begins with `(?`: a named group, one that is not counted, or a change of flags.
    fn flags_or_group(&mut self, from: &'a str) -> Result<&'a str, String> {
        let is_named = |start: &str| from.starts_with(start) && from.len() > start.len();
        let mut starts = ["(?P<", "(?<"].into_iter();
        let name_at = starts.find(|it| is_named(it)).map(str::len);
        if let Some(name_at) = name_at {
            let wrong = "invalid named capture";
            let Some(end) = from.find('>') else {
                return refuse(wrong, from);
            };
            let name = &from[name_at..end];
            let plain = name
                .bytes()
                .all(|it| it == b'_' || it.is_ascii_alphanumeric());
            if name.is_empty() || !plain || !self.names.insert(name) {
                return refuse(wrong, &from[..=end]);
            }
            self.open("(")?;
            return Ok(&from[end + 1..]);
        }
        let mut flags = self.flags;
        let (mut value, mut flag_since_minus) = (true, true);
        let mut rest = &from[2..];
        while let Some(next) = rest.chars().next() {
            rest = &rest[next.len_utf8()..];
            match next {
                'i' => flags.fold = value,
                'm' => flags.lines = value,
                's' => flags.dot_all = value,
                'U' => flags.lazy = value,
                '-' if value => {
                    (value, flag_since_minus) = (false, false);
                    continue;
                }
                ':' if flag_since_minus => {
                    self.open("(?:")?;
                    self.flags = flags;
                    return Ok(rest);
                }
                ')' if flag_since_minus => {
                    self.flags = flags;
                    return Ok(rest);
                }
                _ => break,
            }
            flag_since_minus = true;
        }
        refuse("invalid or unsupported Perl syntax", up_to(from, rest))
    }

    /// What begins with a backslash.
    fn escaped(&mut self, from: &'a str) -> Result<&'a str, String> {
        let rest = from.get(2..).unwrap_or_default();
        match from.as_bytes().get(1) {
            Some(b'A') => self.piece(r"\A"),
            Some(b'z') => self.piece(r"\z"),
            Some(b'b') => self.piece(r"(?-u:\b)"),
            Some(b'B') => self.piece(r"(?-u:\B)"),
            Some(b'C') => return refuse("invalid escape sequence", &from[..2]),
            Some(b'Q') => {
                let (text, rest) = rest.split_once(r"\E").unwrap_or((rest, ""));
                text.chars().for_each(|it| self.literal(it));
                return Ok(rest);
            }
            Some(_) | None => {
                if let Some((set, rest)) = class::set(from)? {
                    self.folded(&class::of(false, &set));
                    return Ok(rest);
                }
                let (code, rest) = class::escape(from)?;
                match char::from_u32(code) {
                    Some(literal) => self.literal(literal),
                    None => self.piece(&class::of(false, "")),
                }
                return Ok(rest);
            }
        }
        Ok(rest)
    }
}

/// `{2}`, `{2,}` or `{2,3}`.
#[derive(Clone, Copy)]
struct Counts {
    min: u32,
    max: Option<u32>,
}

/// None: the brace is a literal.
fn counts(from: &str) -> Option<(Counts, &str)> {
    let (min, rest) = number(from.strip_prefix('{')?)?;
    let (max, rest) = match rest.strip_prefix(',') {
        None => (Some(min), rest),
        Some(rest) if rest.starts_with('}') => (None, rest),
        Some(rest) => {
            let (max, rest) = number(rest)?;
            (Some(max), rest)
        }
    };
    Some((Counts { min, max }, rest.strip_prefix('}')?))
}

/// A number without zeros in front; one that is too large is the largest.
fn number(from: &str) -> Option<(u32, &str)> {
    let end = from
        .find(|it: char| !it.is_ascii_digit())
        .unwrap_or(from.len());
    let (digits, rest) = from.split_at(end);
    let valid = !digits.is_empty() && (digits.len() == 1 || !digits.starts_with('0'));
    valid.then(|| (digits.parse().unwrap_or(u32::MAX), rest))
}

/// The part of a text in front of its end `rest`.
fn up_to<'a>(text: &'a str, rest: &str) -> &'a str {
    &text[..text.len() - rest.len()]
}

fn refuse<T>(what: &str, part: &str) -> Result<T, String> {
    Err(format!("{what}: `{part}`"))
}
