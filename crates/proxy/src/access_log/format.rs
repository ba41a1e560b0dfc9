//! Lines of the access log as a text of Envoy's command operators, and the headers that are kept of a request for them.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use weir_plan::operator::{Operator, Piece, Plain, WITH_PARAMETERS, pieces};

use crate::exchange::Exchange;
use crate::operators::{self, Filling, Known};

/// How a line is written, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFormat(Arc<Parts>);

#[derive(Debug, PartialEq, Eq)]
struct Parts {
    pieces: Box<[Piece<'static>]>,
    /// The name of the machine.
    hostname: Box<str>,
    /// The headers of requests that it needs, not those that begin with a colon.
    request: Box<[HeaderName]>,
    response: Box<[HeaderName]>,
    trailers: Box<[HeaderName]>,
}

/// Headers that a request's line needs, in the order of the names above; none: it had none of that name.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    request: Box<[Option<HeaderValue>]>,
    response: Box<[Option<HeaderValue>]>,
    trailers: Box<[Option<HeaderValue>]>,
}

/// What is known of a request when its answer has ended, beside its exchange.
pub(crate) struct Ended<'a> {
    parts: &'a Parts,
    pub(crate) received: u64,
    pub(crate) duration: Duration,
    pub(crate) hostname: &'a str,
}

impl TextFormat {
    /// Takes a format apart. `%HOSTNAME%` stands for `hostname`. It lives as long as the process, as logs do.
    ///
    /// # Errors
    /// When it has an operator that there is not, in words for whoever wrote it.
    pub fn new(text: &str, hostname: &str) -> Result<Self, String> {
        // Piece by piece it would be a type with a life of its own for one value per process.
        let pieces: Box<[_]> = pieces(Box::leak(text.into())).into();
        let (mut request, mut response, mut trailers) = (Vec::new(), Vec::new(), Vec::new());
        for piece in &pieces {
            let operator = match piece {
                Piece::Text("%") => continue,
                Piece::Text(text) if text.starts_with('%') => return Err(no_operator(text)),
                Piece::Text(_) => continue,
                Piece::Unserved(name) => return Err(unserved(name)),
                Piece::Filled(operator, _) => operator,
            };
            let (names, name, other) = match operator {
                Operator::RequestHeader(name, other) => (&mut request, name, other),
                Operator::ResponseHeader(name, other) => (&mut response, name, other),
                Operator::ResponseTrailer(name, other) => (&mut trailers, name, other),
                Operator::QueryParam(_) | Operator::StartTime(_) | Operator::Plain(_) => continue,
            };
            for name in std::iter::once(name).chain(other) {
                if matches!(operator, Operator::RequestHeader(..)) && is_pseudo(name) {
                    continue;
                }
                let parsed = HeaderName::try_from(*name);
                let parsed = parsed.map_err(|_| format!("{name:?} is no name of a header"))?;
                if !names.contains(&parsed) {
                    names.push(parsed);
                }
            }
        }
        Ok(Self(Arc::new(Parts {
            pieces,
            hostname: hostname.into(),
            request: request.into(),
            response: response.into(),
            trailers: trailers.into(),
        })))
    }

    /// Keeps what is needed of a request's headers.
    pub(crate) fn keep_request(&self, kept: &mut Option<Box<Kept>>, headers: &HeaderMap) {
        let Parts { request, .. } = &*self.0;
        if !request.is_empty() {
            kept.get_or_insert_default().request = chosen(request, headers);
        }
    }

    /// Keeps what is needed of its response's headers.
    pub(crate) fn keep_response(&self, kept: &mut Option<Box<Kept>>, headers: &HeaderMap) {
        let Parts { response, .. } = &*self.0;
        if !response.is_empty() {
            kept.get_or_insert_default().response = chosen(response, headers);
        }
    }

    /// Keeps what is needed of the trailers of its response.
    pub(crate) fn keep_trailers(&self, kept: &mut Option<Box<Kept>>, headers: &HeaderMap) {
        let Parts { trailers, .. } = &*self.0;
        if !trailers.is_empty() {
            kept.get_or_insert_default().trailers = chosen(trailers, headers);
        }
    }

    /// Appends the line of an exchange that has ended.
    pub(super) fn write(
        &self,
        line: &mut Vec<u8>,
        exchange: &Exchange,
        received: u64,
        duration: Duration,
    ) {
        let ended = Ended {
            parts: &self.0,
            received,
            duration,
            hostname: &self.0.hostname,
        };
        let filling = Filling {
            exchange,
            status: exchange.status.map_or(0, |it| it.as_u16()),
            details: &exchange.details,
            known: Known::Ended(&ended),
        };
        let mut value = String::new();
        for piece in &self.0.pieces {
            match piece {
                Piece::Text(text) => line.extend_from_slice(text.as_bytes()),
                Piece::Filled(operator, most) => {
                    value.clear();
                    operators::append(&mut value, *operator, *most, &filling);
                    escape(line, &value);
                }
                Piece::Unserved(_) => line.push(b'-'),
            }
        }
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
    }
}

impl Ended<'_> {
    pub(crate) fn request_header(
        &self,
        out: &mut String,
        exchange: &Exchange,
        name: &str,
    ) -> Option<()> {
        let request = &exchange.request;
        if !is_pseudo(name) {
            let kept = exchange.kept.as_ref()?;
            return found(out, &self.parts.request, &kept.request, name);
        }
        match name.to_ascii_lowercase().as_str() {
            ":path" => out.push_str(request.target.path_and_query()?.as_str()),
            ":method" => out.push_str(request.method.as_str()),
            ":scheme" => out.push_str(exchange.connection.scheme()),
            _ => operators::push(out, request.authority.as_ref()?),
        }
        Some(())
    }

    pub(crate) fn response_header(
        &self,
        out: &mut String,
        exchange: &Exchange,
        name: &str,
    ) -> Option<()> {
        let kept = exchange.kept.as_ref()?;
        found(out, &self.parts.response, &kept.response, name)
    }

    pub(crate) fn response_trailer(
        &self,
        out: &mut String,
        exchange: &Exchange,
        name: &str,
    ) -> Option<()> {
        let kept = exchange.kept.as_ref()?;
        found(out, &self.parts.trailers, &kept.trailers, name)
    }
}

fn chosen(names: &[HeaderName], headers: &HeaderMap) -> Box<[Option<HeaderValue>]> {
    names
        .iter()
        .map(|name| headers.get(name).cloned())
        .collect()
}

fn found(
    out: &mut String,
    names: &[HeaderName],
    kept: &[Option<HeaderValue>],
    name: &str,
) -> Option<()> {
    let place = names
        .iter()
        .position(|it| it.as_str().eq_ignore_ascii_case(name))?;
    operators::push(out, kept.get(place)?.as_ref()?);
    Some(())
}

fn is_pseudo(name: &str) -> bool {
    [":path", ":method", ":scheme", ":authority"]
        .iter()
        .any(|it| it.eq_ignore_ascii_case(name))
}

/// Appends a value so that whoever sent it can begin no line and end no quotation.
fn escape(line: &mut Vec<u8>, value: &str) {
    let is_harmless = |c: char| !c.is_control() && c != '"' && c != '\\';
    if value.chars().all(is_harmless) {
        return line.extend_from_slice(value.as_bytes());
    }
    for c in value.chars() {
        if is_harmless(c) {
            line.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        } else if c.is_control() {
            line.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
        } else {
            line.extend_from_slice(&[b'\\', c as u8]);
        }
    }
}

fn no_operator(text: &str) -> String {
    let shown: String = text.chars().take(40).collect();
    format!("there is no operator at {shown:?}; a % that is meant as one is written %%")
}

fn unserved(name: &str) -> String {
    if name == "ENVIRONMENT" {
        let why = "environments often hold secrets, which belong into no log";
        return format!("operator ENVIRONMENT is not filled in: {why}");
    }
    format!(
        "there is no operator {name} that is written like this; there are {}, each perhaps with :LENGTH, and {}",
        WITH_PARAMETERS.join(", "),
        Plain::NAMES.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_that_cannot_be_used_say_why() {
        for (text, expected) in [
            ("%REQ(a)% %SPAN_ID%", "there is no operator SPAN_ID"),
            ("%REQ%", "there is no operator REQ "),
            ("%START_TIME(%Q)%", "START_TIME(format)"),
            ("%ENVIRONMENT(HOME)%", "secrets"),
            ("100% of it", "no operator at \"% of it\""),
            ("%REQ(a b)%", "\"a b\" is no name of a header"),
            ("%RESP(:status)%", "\":status\" is no name of a header"),
        ] {
            let why = TextFormat::new(text, "host").unwrap_err();
            assert!(why.contains(expected), "{text}: {why}");
        }
        assert!(TextFormat::new("100%% %REQ(:Path?:authority)% %REQ(a):3%", "host").is_ok());
    }

    #[test]
    fn headers_are_kept_once_and_only_where_the_format_needs_them() {
        let form = TextFormat::new("%REQ(A?:path)% %REQ(a)% %RESP(b?c)%", "host").unwrap();
        let names = |of: &[HeaderName]| of.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&form.0.request), ["a"]);
        assert_eq!(names(&form.0.response), ["b", "c"]);
        let mut kept = None;
        form.keep_trailers(&mut kept, &HeaderMap::new());
        assert!(kept.is_none());
        form.keep_request(&mut kept, &HeaderMap::new());
        assert_eq!(kept.unwrap().request.len(), 1);
    }

    #[test]
    fn values_begin_no_line_and_end_no_quotation() {
        let mut line = Vec::new();
        escape(&mut line, "a\"b\\c\td\u{9b}é");
        assert_eq!(String::from_utf8(line).unwrap(), r#"a\"b\\c\u0009d\u009bé"#);
    }
}
