//! Envoy's `%...%` operators in texts: those that a data plane fills in, and how a text is taken apart.

mod time;

pub use time::TimeFormat;

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
    /// `RESP(name?other)`: a header of the response, likewise.
    ResponseHeader(&'a str, Option<&'a str>),
    /// `TRAILER(name?other)`: a trailer of the response, likewise.
    ResponseTrailer(&'a str, Option<&'a str>),
    /// `QUERY_PARAM(name)`: the first query parameter of this name, as it was sent.
    QueryParam(&'a str),
    /// `START_TIME(form)`: when the request began.
    StartTime(TimeFormat<'a>),
    /// One that takes nothing in parentheses.
    Plain(Plain),
}

macro_rules! plain {
    ($($(#[$doc:meta])* $variant:ident $name:literal $at_answer:literal,)*) => {
        /// Operators that take nothing in parentheses.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Plain {
            $($(#[$doc])* $variant,)*
        }

        impl Plain {
            /// Each name there is.
            pub const NAMES: &[&str] = &[$($name,)*];

            /// How it is written.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }

            const fn is_known_at_answer(self) -> bool {
                match self {
                    $(Self::$variant => $at_answer,)*
                }
            }
        }
    };
}

// Each with whether it is known when the gateway answers, rather than when the answer has ended.
plain! {
    /// Bytes of the request's body.
    BytesReceived "BYTES_RECEIVED" false,
    /// Bytes of the response's body.
    BytesSent "BYTES_SENT" false,
    /// The address from which the connection comes.
    DownstreamDirectRemoteAddress "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" true,
    /// The same without its port.
    DownstreamDirectRemoteAddressWithoutPort "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" true,
    /// Its port.
    DownstreamDirectRemotePort "DOWNSTREAM_DIRECT_REMOTE_PORT" true,
    /// Our address, as the client sees it.
    DownstreamLocalAddress "DOWNSTREAM_LOCAL_ADDRESS" true,
    /// The same without its port.
    DownstreamLocalAddressWithoutPort "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" true,
    /// Its port.
    DownstreamLocalPort "DOWNSTREAM_LOCAL_PORT" true,
    /// The client's address and port.
    DownstreamRemoteAddress "DOWNSTREAM_REMOTE_ADDRESS" true,
    /// The client's address.
    DownstreamRemoteAddressWithoutPort "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" true,
    /// The client's port.
    DownstreamRemotePort "DOWNSTREAM_REMOTE_PORT" true,
    /// The cipher suite of the client's TLS.
    DownstreamTlsCipher "DOWNSTREAM_TLS_CIPHER" true,
    /// The version of the client's TLS.
    DownstreamTlsVersion "DOWNSTREAM_TLS_VERSION" true,
    /// Milliseconds from the request's head to the end of the response.
    Duration "DURATION" false,
    /// The name of the machine.
    Hostname "HOSTNAME" false,
    /// `HTTP/1.1` and so on.
    Protocol "PROTOCOL" true,
    /// The server name of the client's TLS.
    RequestedServerName "REQUESTED_SERVER_NAME" true,
    /// The status.
    ResponseCode "RESPONSE_CODE" true,
    /// Why, in one word.
    ResponseCodeDetails "RESPONSE_CODE_DETAILS" true,
    /// What happened, in short names.
    ResponseFlags "RESPONSE_FLAGS" false,
    /// The same in long names.
    ResponseFlagsLong "RESPONSE_FLAGS_LONG" false,
    /// The route.
    RouteName "ROUTE_NAME" true,
    /// What the request was forwarded to.
    UpstreamCluster "UPSTREAM_CLUSTER" false,
    /// The endpoint's address and port.
    UpstreamHost "UPSTREAM_HOST" false,
    /// The same.
    UpstreamRemoteAddress "UPSTREAM_REMOTE_ADDRESS" false,
    /// The endpoint's address.
    UpstreamRemoteAddressWithoutPort "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" false,
    /// The endpoint's port.
    UpstreamRemotePort "UPSTREAM_REMOTE_PORT" false,
    /// How often the request was sent.
    UpstreamRequestAttemptCount "UPSTREAM_REQUEST_ATTEMPT_COUNT" false,
    /// Why no connection could be made.
    UpstreamTransportFailureReason "UPSTREAM_TRANSPORT_FAILURE_REASON" false,
}

/// How the operators that take something are written, for people.
pub const WITH_PARAMETERS: [&str; 5] = [
    "REQ(name?other)",
    "RESP(name?other)",
    "TRAILER(name?other)",
    "QUERY_PARAM(name)",
    "START_TIME(format)",
];

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
    /// Whether it is known when the gateway answers by itself. Others are for logs.
    pub const fn is_known_at_answer(&self) -> bool {
        match self {
            Self::RequestHeader(..) | Self::QueryParam(_) | Self::StartTime(_) => true,
            Self::ResponseHeader(..) | Self::ResponseTrailer(..) => false,
            Self::Plain(plain) => plain.is_known_at_answer(),
        }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RequestHeader(..) => "REQ",
            Self::ResponseHeader(..) => "RESP",
            Self::ResponseTrailer(..) => "TRAILER",
            Self::QueryParam(_) => "QUERY_PARAM",
            Self::StartTime(_) => "START_TIME",
            Self::Plain(plain) => plain.name(),
        }
    }

    fn named(name: &str, parameters: Option<&'a str>) -> Option<Self> {
        let names = |of: &'a str| match of.split_once('?') {
            Some((name, other)) => (name, Some(other)),
            None => (of, None),
        };
        let Some(parameters) = parameters else {
            return match name {
                "START_TIME" => Some(Self::StartTime(TimeFormat::DEFAULT)),
                name => Plain::named(name).map(Self::Plain),
            };
        };
        let (header, other) = names(parameters);
        match name {
            "REQ" | "REQUEST_HEADER" => Some(Self::RequestHeader(header, other)),
            "RESP" | "RESPONSE_HEADER" => Some(Self::ResponseHeader(header, other)),
            "TRAILER" | "RESPONSE_TRAILER" => Some(Self::ResponseTrailer(header, other)),
            "QUERY_PARAM" => Some(Self::QueryParam(parameters)),
            "START_TIME" => TimeFormat::new(parameters).map(Self::StartTime),
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
                    filled(Operator::Plain(Plain::ResponseCode)),
                ],
            ),
            (
                "%REQ(X-A?:path):12%%PROTOCOL()%.",
                vec![
                    Piece::Filled(header("X-A", Some(":path")), Some(12)),
                    filled(Operator::Plain(Plain::Protocol)),
                    text("."),
                ],
            ),
            ("%REQ(a)b)%", vec![filled(header("a)b", None))]),
            ("%SPAN_ID%a", vec![Piece::Unserved("SPAN_ID"), text("a")]),
            (
                "%START_TIME(%Y/%m)%",
                vec![filled(Operator::StartTime(
                    TimeFormat::new("%Y/%m").unwrap(),
                ))],
            ),
            ("%START_TIME(%Q)%", vec![Piece::Unserved("START_TIME")]),
            ("%DURATION(x)%", vec![Piece::Unserved("DURATION")]),
            ("%broken", vec![text("%broken")]),
        ] {
            assert_eq!(pieces(written), expected, "{written}");
        }
    }
}
