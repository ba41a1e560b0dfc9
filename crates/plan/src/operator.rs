//! Envoy's `%...%` operators in texts: those that a data plane fills in, and how a text is taken apart.

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// As it is written.
    Text(&'a str),
    /// What an operator stands for, cut off after so many bytes.
    Filled(Operator<'a>, Option<usize>),
    /// An operator of this name that is not filled in, at least not as it is written.
    Unserved(&'a str),
}

/// What an operator stands for. What there is none of is `-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator<'a> {
    /// `REQ(name?other)`: a header of the request, else the other. `:method`, `:path`, `:authority` and `:scheme` are
    /// headers as well.
    RequestHeader(&'a str, Option<&'a str>),
    /// `QUERY_PARAM(name)`: the first query parameter of this name, as it was sent.
    QueryParam(&'a str),
    /// `RESPONSE_CODE`.
    ResponseCode,
    /// `RESPONSE_CODE_DETAILS`.
    ResponseCodeDetails,
    /// `PROTOCOL`: `HTTP/1.1` and so on.
    Protocol,
    /// `START_TIME`, in the form of RFC 3339.
    StartTime,
    /// `DOWNSTREAM_REMOTE_ADDRESS`: the client's address and port.
    DownstreamRemoteAddress,
    /// `DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT`.
    DownstreamRemoteAddressWithoutPort,
    /// `ROUTE_NAME`.
    RouteName,
}

/// Takes a text apart whose operators are well-formed. `%%` is a percent sign.
pub fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('%') {
        if start > 0 {
            pieces.push(Piece::Text(&rest[..start]));
        }
        let at = &rest[start..];
        let (piece, after) = match at.strip_prefix("%%") {
            Some(after) => (Piece::Text("%"), after),
            None => operator(at),
        };
        pieces.push(piece);
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

/// The operator that a text begins with, `%NAME%`, `%NAME(parameters)%` or `%NAME(parameters):LENGTH%`, and what follows.
fn operator(at: &str) -> (Piece<'_>, &str) {
    let inside = &at[1..];
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let name_end = inside.find(|c| !is_name(c)).unwrap_or(inside.len());
    let (name, mut rest) = inside.split_at(name_end);
    let mut parameters = None;
    if let Some(within) = rest.strip_prefix('(') {
        let mut closings = within.match_indices(')').map(|(end, _)| end);
        let end = closings.find(|end| {
            let after = &within[end + 1..];
            after.starts_with('%') || length(after).is_some()
        });
        if let Some(end) = end {
            parameters = Some(&within[..end]);
            rest = &within[end + 1..];
        }
    }
    let (most, after) = match (rest.strip_prefix('%'), length(rest)) {
        (Some(after), _) => (None, after),
        (None, Some((most, after))) => (Some(most), after),
        (None, None) => return (Piece::Text(at), ""),
    };
    let piece = Operator::named(name, parameters.filter(|it| !it.is_empty()));
    let piece = piece.map_or(Piece::Unserved(name), |it| Piece::Filled(it, most));
    (piece, after)
}

/// `:LENGTH%`, and what follows.
fn length(text: &str) -> Option<(usize, &str)> {
    let (digits, after) = text.strip_prefix(':')?.split_once('%')?;
    Some((digits.parse().ok()?, after))
}

impl<'a> Operator<'a> {
    fn named(name: &str, parameters: Option<&'a str>) -> Option<Self> {
        match (name, parameters) {
            ("REQ" | "REQUEST_HEADER", Some(names)) => Some(match names.split_once('?') {
                Some((name, other)) => Self::RequestHeader(name, Some(other)),
                None => Self::RequestHeader(names, None),
            }),
            ("QUERY_PARAM", Some(name)) => Some(Self::QueryParam(name)),
            ("RESPONSE_CODE", None) => Some(Self::ResponseCode),
            ("RESPONSE_CODE_DETAILS", None) => Some(Self::ResponseCodeDetails),
            ("PROTOCOL", None) => Some(Self::Protocol),
            ("START_TIME", None) => Some(Self::StartTime),
            ("DOWNSTREAM_REMOTE_ADDRESS", None) => Some(Self::DownstreamRemoteAddress),
            ("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", None) => {
                Some(Self::DownstreamRemoteAddressWithoutPort)
            }
            ("ROUTE_NAME", None) => Some(Self::RouteName),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_taken_apart() {
        let text = Piece::Text;
        let filled = |it| Piece::Filled(it, None);
        let header = Operator::RequestHeader;
        for (written, expected) in [
            ("", vec![]),
            ("plain", vec![text("plain")]),
            (
                "100%% of %RESPONSE_CODE%",
                vec![
                    text("100"),
                    text("%"),
                    text(" of "),
                    filled(Operator::ResponseCode),
                ],
            ),
            (
                "%REQ(X-A?:path):12%%PROTOCOL()%.",
                vec![
                    Piece::Filled(header("X-A", Some(":path")), Some(12)),
                    filled(Operator::Protocol),
                    text("."),
                ],
            ),
            ("%REQ(a)b)%", vec![filled(header("a)b", None))]),
            ("%HOSTNAME%a", vec![Piece::Unserved("HOSTNAME"), text("a")]),
            ("%START_TIME(%Y/%m)%", vec![Piece::Unserved("START_TIME")]),
            ("%broken", vec![text("%broken")]),
        ] {
            assert_eq!(pieces(written), expected, "{written}");
        }
    }
}
