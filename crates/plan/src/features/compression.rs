//! Compression of responses.

use serde::Serialize;

/// One way to compress. A route has at most one for each algorithm; none: responses are not compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Compressor {
    /// The algorithm.
    pub algorithm: CompressionAlgorithm,
    /// The smallest response that is compressed, in bytes of its Content-Length.
    pub min_content_length: u32,
    /// Whether it is taken where a client likes several equally well.
    pub preferred: bool,
}

impl Compressor {
    /// Envoy's smallest response, in bytes.
    pub const DEFAULT_MIN_CONTENT_LENGTH: u32 = 30;
}

/// An algorithm. Names as in the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub enum CompressionAlgorithm {
    Gzip,
    Brotli,
    Zstd,
}
