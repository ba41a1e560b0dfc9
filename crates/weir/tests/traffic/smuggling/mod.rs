//! Request smuggling: the cases of the files beside this one, over every pair of protocols.
//!
//! Whatever comes is refused, or passed on as one message that nobody can read differently.

mod backends;
mod cases;

use std::sync::Arc;

use http_body_util::Full;

use self::backends::{Seen, answering, http1_backend, http2_backend, in_http2, sorted, taken};
use self::cases::{Case, Expected, cases};
use crate::client::{Client, get};
use crate::frames::{
    self, Connection, DATA, END_HEADERS, END_STREAM, HEADERS, Outcome, block, frame,
};
use crate::gateway::{EDGE, Gateway, route_all};
use crate::http2;

/// A request that a desynchronised gateway or backend would take for a second one.
const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n";

/// Sends a case's bytes and what is smuggled behind them; the statuses of the answers, of which there may be two.
fn over_http1(gateway: &Gateway, input: &[u8]) -> Vec<u16> {
    let mut client = Client::connect(gateway.address());
    client.send(&[input, SMUGGLED].concat());
    let answers = std::iter::from_fn(|| client.try_receive().ok());
    let statuses = answers.map(|answer| answer.status);
    statuses.filter(|status| *status != 100).take(2).collect()
}

/// What a backend speaks, a gateway in front of it, and what it gets.
struct Side {
    http2: bool,
    gateway: Gateway,
    seen: Seen,
    _runtime: Option<tokio::runtime::Runtime>,
}

impl Side {
    fn both() -> [Self; 2] {
        [false, true].map(|http2| {
            let seen = Seen::default();
            let (runtime, yaml) = match http2 {
                false => (None, http1_backend(&seen)),
                true => {
                    let (runtime, yaml) = http2_backend(&seen);
                    (Some(runtime), yaml)
                }
            };
            Self {
                http2,
                gateway: Gateway::start(&[EDGE, &yaml, &route_all("app")]),
                seen,
                _runtime: runtime,
            }
        })
    }

    fn got(&self) -> Vec<Vec<u8>> {
        taken(&self.seen).iter().map(|it| sorted(it)).collect()
    }

    /// Adds a case to what is wrong, unless what came of it is what should. `passed`: what a backend got of it, where
    /// it is answered as one that passes.
    fn judge(
        &self,
        case: &Case,
        outcome: &[Outcome],
        got: &[Vec<u8>],
        passed: Option<&[u8]>,
        wrong: &mut Vec<String>,
    ) {
        let fine = |it: &Outcome| matches!(it, Outcome::Status(..400));
        let refused = got.is_empty() && !outcome.iter().any(fine);
        let answered = outcome.iter().any(|it| matches!(it, Outcome::Status(_)));
        let only = |allowed: &[u16]| {
            outcome.iter().all(|it| match it {
                Outcome::Status(status) => allowed.contains(status),
                Outcome::Reset(_) | Outcome::Closed(_) => true,
            })
        };
        let same = |request: &[u8]| match self.http2 {
            false => passed == Some(request),
            true => {
                let own = case.in_http2.clone();
                passed == Some(&own.unwrap_or_else(|| in_http2(request)))
            }
        };
        let right = match &case.expected {
            Expected::Passed(request) => same(request),
            Expected::Statuses(allowed) => refused && answered && only(allowed),
            Expected::Reset(allowed) => refused && only(allowed),
            Expected::Broken => refused,
            Expected::BrokenOr(request) => refused || same(request),
            Expected::Answer(status, body) => panic!("{status} {body} is no end of a request"),
        };
        if !right {
            let got: Vec<_> = got.iter().map(|it| it.escape_ascii().to_string()).collect();
            let to = if self.http2 { "HTTP/2" } else { "HTTP/1.1" };
            wrong.push(format!("{} to {to}: {outcome:?} {got:#?}", case.name));
        }
    }
}

#[test]
fn http1_has_one_meaning() {
    let mut wrong = Vec::new();
    for side in Side::both() {
        for case in cases(include_str!("http1.txt")) {
            let statuses = over_http1(&side.gateway, &case.input[0]);
            let got = side.got();
            let passed = match &got[..] {
                [first, second] if statuses == [200, 200] && second == SMUGGLED => Some(&first[..]),
                _ => None,
            };
            let outcome: Vec<_> = statuses.into_iter().map(Outcome::Status).collect();
            side.judge(&case, &outcome, &got, passed, &mut wrong);
            let other = get(side.gateway.address(), "h", "/");
            assert_eq!(other.status, 200, "{}: others are served", case.name);
            taken(&side.seen);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A header block that names the request of a case: what is not said is that of a GET of http://h/a.
fn head(fields: &[u8]) -> Vec<u8> {
    let said = divided(fields);
    let usual: [(&[u8], &[u8]); 4] = [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"h"),
        (b":path", b"/a"),
    ];
    let says = |name: &[u8]| {
        let out = [b"-", name].concat();
        let all = said.iter();
        all.filter(|(it, _)| *it == name || *it == out).count()
    };
    // Pseudo-headers come first; one that is said twice, or late, stays where it stands.
    let usual = usual.into_iter().filter(|(name, _)| says(name) == 0);
    let mut all: Vec<_> = usual.collect();
    all.extend(said.iter().filter(|(name, _)| !name.starts_with(b"-")));
    block(&all)
}

/// Fields divided by ` | `, each a name, a colon, a space and a value.
fn divided(fields: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut found = Vec::new();
    let mut rest = fields;
    loop {
        let end = rest.windows(3).position(|it| it == b" | ");
        let field = &rest[..end.unwrap_or(rest.len())];
        let from = usize::from(field.starts_with(b":"));
        let colon = field[from..].windows(2).position(|it| it == b": ");
        found.push(match colon {
            Some(colon) => (&field[..from + colon], &field[from + colon + 2..]),
            None => (field, &b""[..]),
        });
        match end {
            Some(end) => rest = &rest[end + 3..],
            None => return found,
        }
    }
}

/// Sends a case's frames on a stream; what becomes of it.
fn over_http2(client: &mut Connection, stream: u32, case: &Case) -> Outcome {
    let head = head(&case.input[0]);
    let mut frames = Vec::new();
    let bodies = case.input.len() - 1;
    let ends = |last: bool| if last { END_STREAM } else { 0 };
    let last = bodies == 0 && case.trailers.is_none();
    frames.extend(frame(HEADERS, END_HEADERS | ends(last), stream, &head));
    for (number, body) in case.input[1..].iter().enumerate() {
        let last = number + 1 == bodies && case.trailers.is_none();
        frames.extend(frame(DATA, ends(last), stream, body));
    }
    if let Some(trailers) = &case.trailers {
        let trailers = block(&divided(trailers));
        frames.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &trailers));
    }
    let _ = client.send(&frames); // it may be closed already
    client.outcome(stream)
}

#[test]
fn http2_has_one_meaning() {
    let mut wrong = Vec::new();
    for side in Side::both() {
        for case in cases(include_str!("http2.txt")) {
            let mut client = Connection::open(side.gateway.address());
            let outcome = over_http2(&mut client, 1, &case);
            if !matches!(outcome, Outcome::Closed(_)) {
                let next = client.request(3, &frames::get("/next"), true);
                next.expect("the connection is open");
                assert_eq!(client.outcome(3), Outcome::Status(200), "{}", case.name);
                let next = side.seen.lock().expect("no thread panics with it").pop();
                assert!(next.is_some_and(|it| it.starts_with(b"GET /next ")));
            }
            let got = side.got();
            let passed = match &got[..] {
                [only] if outcome == Outcome::Status(200) => Some(&only[..]),
                _ => None,
            };
            side.judge(&case, &[outcome], &got, passed, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a client gets.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    Whole(u16, String),
    Broken,
}

/// The answer to a request as a client of HTTP/1.1 gets it, on a connection of its own.
fn answer_in_http1(gateway: &Gateway, method: &str, path: &str) -> Got {
    let mut client = Client::connect(gateway.address());
    client.send(format!("{method} {path} HTTP/1.1\r\nhost: h\r\n\r\n").as_bytes());
    let answer = match method {
        "HEAD" => Ok(client.receive_head()),
        _ => client.try_receive(),
    };
    match answer {
        Ok(answer) if answer.complete => Got::Whole(answer.status, answer.text()),
        Ok(_) | Err(_) => Got::Broken,
    }
}

/// The same for HTTP/2.
fn answer_in_http2(gateway: &Gateway, method: &str, path: &str) -> Got {
    let client = http2::Client::connect(gateway.address());
    let request = http::Request::builder()
        .method(method)
        .uri(format!("http://h{path}"));
    let sent = client.send(request.body(Full::default()).expect("a request"));
    match client.try_whole(sent) {
        Some((status, text)) => Got::Whole(status, text),
        None => Got::Broken,
    }
}

#[test]
fn answers_have_one_end() {
    let answer = Arc::default();
    let gateway = Gateway::start(&[EDGE, &answering(&answer), &route_all("app")]);
    let mut wrong = Vec::new();
    for ask in [answer_in_http1, answer_in_http2] {
        for Case {
            name,
            input,
            expected,
            ..
        } in cases(include_str!("responses.txt"))
        {
            let at = input[0].iter().position(|byte| *byte == b' ');
            let (method, bytes) = input[0].split_at(at.expect("a method"));
            let method = std::str::from_utf8(method).expect("a method");
            *answer.lock().expect("no thread panics with it") = bytes[1..].to_vec();
            let got = ask(&gateway, method, "/");
            let right = match &expected {
                Expected::Answer(502, _) => matches!(got, Got::Whole(502, _)),
                Expected::Answer(status, body) => got == Got::Whole(*status, body.clone()),
                Expected::Broken => got == Got::Broken,
                Expected::Passed(_)
                | Expected::Statuses(_)
                | Expected::Reset(_)
                | Expected::BrokenOr(_) => panic!("{name}: that is no answer"),
            };
            let next = ask(&gateway, "GET", "/next");
            if !right || next != Got::Whole(200, "next".to_owned()) {
                wrong.push(format!("{name}: {got:?}, then {next:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
