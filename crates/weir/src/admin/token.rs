//! The token that the admin API asks for.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use http::{HeaderMap, header};

/// The shortest token that is taken, in bytes: 16 characters of a random text cannot be guessed over a network.
const LEAST: usize = 16;
/// The longest.
const MOST: usize = 4096;

/// A token. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(Box<str>);

impl Token {
    /// Reads the token of a file; blanks around it do not count.
    ///
    /// # Errors
    /// When the file cannot be read, or holds no token.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read the admin token from {}", file.display()))?;
        let text = text.trim();
        ensure!(
            (LEAST..=MOST).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_graphic()),
            "{} holds no admin token: expected {LEAST} to {MOST} letters, digits and signs on one line",
            file.display()
        );
        Ok(Self(text.into()))
    }

    /// The value of the header that carries it.
    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Whether a request carries it. How long that takes does not tell how much of it was right.
    pub(super) fn is_in(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION);
        let given = given.map_or(&[][..], |it| it.as_bytes());
        // The scheme may be written in any case (RFC 9110, 11.1).
        let Some((scheme, given)) = given.split_at_checked("Bearer ".len()) else {
            return false;
        };
        if !scheme.eq_ignore_ascii_case(b"Bearer ") {
            return false;
        }
        let expected = self.0.as_bytes();
        let mut difference = given.len() ^ expected.len();
        for (index, byte) in expected.iter().enumerate() {
            difference |= usize::from(byte ^ given.get(index).unwrap_or(&0));
        }
        difference == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_texts_are_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        for (text, is_token) in [
            ("0123456789abcdef\n", true),
            ("  0123456789abcdef  ", true),
            ("0123456789abcde", false),
            ("0123456789 abcdef", false),
            ("", false),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(Token::read(&file).is_ok(), is_token, "{text:?}");
        }
        let long = "x".repeat(MOST + 1);
        std::fs::write(&file, long).unwrap();
        assert!(Token::read(&file).is_err());
    }

    #[test]
    fn a_request_must_carry_all_of_it() {
        let token = Token("0123456789abcdef".into());
        assert_eq!(format!("{token:?}"), "Token");
        for (value, carries) in [
            ("Bearer 0123456789abcdef", true),
            ("Bearer 0123456789abcdeg", false),
            ("Bearer 0123456789abcde", false),
            ("Bearer 0123456789abcdef0", false),
            ("bearer 0123456789abcdef", true),
            ("BEARER 0123456789abcdef", true),
            ("Bearer 0123456789ABCDEF", false),
            ("Basic 0123456789abcdef", false),
            ("0123456789abcdef", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            assert_eq!(token.is_in(&headers), carries, "{value}");
        }
        assert!(!token.is_in(&HeaderMap::new()));
    }
}
