//! Reads the files of cases. Each says at its top how it is written.

/// One case.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// What is sent: bytes, or the header block of a request in HTTP/2 and the frames of its body.
    pub(super) input: Vec<Vec<u8>>,
    pub(super) trailers: Option<Vec<u8>>,
    pub(super) expected: Expected,
    /// What a backend gets that speaks HTTP/2, where that differs.
    pub(super) in_http2: Option<Vec<u8>>,
}

/// What must become of it.
#[derive(Debug)]
pub(super) enum Expected {
    /// A backend gets this.
    Passed(Vec<u8>),
    /// A client gets this status and body.
    Answer(u16, String),
    /// It is answered with one of these.
    Statuses(Vec<u16>),
    /// Its stream is reset, or it is answered with one of these.
    Reset(Vec<u16>),
    /// No backend sees it whole.
    Broken,
    /// The same, or a backend gets this.
    BrokenOr(Vec<u8>),
}

/// The cases of a file.
pub(super) fn cases(file: &'static str) -> Vec<Case> {
    let (_, cases) = file.split_once("\n\n# ").expect("a file has cases");
    let cases = cases.split("\n\n# ").map(case);
    cases.collect()
}

fn case(text: &'static str) -> Case {
    let mut lines = text.trim_end_matches('\n').split('\n');
    let mut case = Case {
        name: lines.next().expect("a case has a name"),
        input: Vec::new(),
        trailers: None,
        expected: Expected::Broken,
        in_http2: None,
    };
    for line in lines {
        let (mark, rest) = line.split_once(' ').expect("a mark and a space");
        match mark {
            "<" | "+" => case.input.push(unescaped(rest)),
            "^" => case.trailers = Some(unescaped(rest)),
            ">2" => case.in_http2 = Some(unescaped(rest)),
            ">" => case.expected = expected(rest),
            _ => panic!("a line that begins with {mark:?} in {}", case.name),
        }
    }
    assert!(!case.input.is_empty(), "{}: nothing is sent", case.name);
    case
}

fn expected(text: &str) -> Expected {
    let statuses = |text: &str| {
        text.split_ascii_whitespace()
            .map(|it| it.parse().expect("a status"))
            .collect()
    };
    if let Some(request) = text
        .strip_prefix("200 ")
        .filter(|it| it.contains(" HTTP/1.1"))
    {
        return Expected::Passed(unescaped(request));
    }
    if let Some((status, body)) = text.split_once('=') {
        return Expected::Answer(status.parse().expect("a status"), body.to_owned());
    }
    if let Some(request) = text.strip_prefix("broken 200 ") {
        return Expected::BrokenOr(unescaped(request));
    }
    match text.strip_prefix("reset") {
        Some(rest) => Expected::Reset(statuses(rest)),
        None if text == "broken" => Expected::Broken,
        None => Expected::Statuses(statuses(text)),
    }
}

/// A text with `\r`, `\n`, `\t`, `\0`, `\\` and `\xNN`, as bytes.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next().expect("something is escaped") {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'0' => 0,
            b'\\' => b'\\',
            b'x' => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&digits, 16).expect("two digits")
            }
            other => panic!("\\{} means nothing", char::from(other)),
        });
    }
    bytes
}
