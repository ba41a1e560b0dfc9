//! The keys of WebSocket's opening handshake, which HTTP/1.1 has and HTTP/2 has not (RFC 8441): made up where only the
//! backend speaks HTTP/1.1, answered where only the client does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY};
use http::{HeaderMap, HeaderValue};
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

/// What is hashed behind a key (RFC 6455, section 1.3).
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What an answer has to say, or is told, about keys.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Client and backend are to agree by themselves, or neither has any.
    Theirs,
    /// The backend is to answer the gateway's own key like this.
    Own(HeaderValue),
    /// The client is to see this answer to its key.
    Answered(HeaderValue),
}

/// Makes a request's key what the backend expects.
pub(crate) fn ask(
    headers: &mut HeaderMap,
    (from_http2, to_http2): (bool, bool),
    rng: &mut fastrand::Rng,
) -> Keys {
    match (from_http2, to_http2) {
        (false, false) => Keys::Theirs,
        (true, false) => {
            let key = STANDARD.encode(rng.u128(..).to_be_bytes());
            let key = HeaderValue::try_from(key).expect("base64 is a header value");
            let expected = accept(key.as_bytes());
            headers.insert(SEC_WEBSOCKET_KEY, key);
            Keys::Own(expected)
        }
        (_, true) => match headers.remove(SEC_WEBSOCKET_KEY) {
            Some(key) if !from_http2 => Keys::Answered(accept(key.as_bytes())),
            Some(_) | None => Keys::Theirs,
        },
    }
}

impl Keys {
    /// Makes the answer what the client expects. False: the backend has not read the request.
    pub(crate) fn conclude(self, headers: &mut HeaderMap) -> bool {
        match self {
            Self::Theirs => true,
            Self::Own(expected) => headers.remove(SEC_WEBSOCKET_ACCEPT) == Some(expected),
            Self::Answered(answer) => {
                headers.insert(SEC_WEBSOCKET_ACCEPT, answer);
                true
            }
        }
    }
}

/// The answer to a key.
fn accept(key: &[u8]) -> HeaderValue {
    let mut hash = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key);
    hash.update(MAGIC);
    let text = STANDARD.encode(hash.finish());
    HeaderValue::try_from(text).expect("base64 is a header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_answered_as_in_the_standard() {
        let answer = accept(b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn keys_are_for_http1_only() {
        let mut rng = fastrand::Rng::with_seed(1);
        let theirs = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        // (versions, the key that the backend sees, whether the answer of the standard will do)
        let cases = [
            ((false, false), Some(theirs.clone()), true),
            ((true, true), None, true),
            ((false, true), None, true),
        ];
        for (versions, seen, agreed) in cases {
            let mut headers = HeaderMap::from_iter([(SEC_WEBSOCKET_KEY, theirs.clone())]);
            let keys = ask(&mut headers, versions, &mut rng);
            assert_eq!(headers.get(SEC_WEBSOCKET_KEY), seen.as_ref());
            let mut answer = HeaderMap::new();
            assert_eq!(keys.conclude(&mut answer), agreed);
            let told = answer.get(SEC_WEBSOCKET_ACCEPT).cloned();
            let expected = (versions == (false, true)).then(|| accept(theirs.as_bytes()));
            assert_eq!(told, expected);
        }
        let mut headers = HeaderMap::new();
        let keys = ask(&mut headers, (true, false), &mut rng);
        let own = accept(headers[SEC_WEBSOCKET_KEY].as_bytes());
        let mut answer = HeaderMap::from_iter([(SEC_WEBSOCKET_ACCEPT, own)]);
        assert!(keys.conclude(&mut answer));
        assert!(answer.is_empty(), "no business of a client in HTTP/2");
        let keys = ask(&mut headers, (true, false), &mut rng);
        assert!(!keys.conclude(&mut HeaderMap::new()));
    }
}
