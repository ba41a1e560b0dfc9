//! The cookies of a request.

use http::HeaderMap;
use http::header::COOKIE;

/// The value of the first cookie of a name, without the quotes that may stand around it.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let values = headers.get_all(COOKIE).iter().map(|it| it.as_bytes());
    let mut cookies = values.flat_map(|it| it.split(|byte| *byte == b';'));
    let value = cookies.find_map(|cookie| {
        let value = cookie.trim_ascii().strip_prefix(name.as_bytes())?;
        value.strip_prefix(b"=")
    })?;
    let quoted = value
        .strip_prefix(b"\"")
        .and_then(|it| it.strip_suffix(b"\""));
    Some(quoted.unwrap_or(value))
}
