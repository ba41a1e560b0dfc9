//! Whole requests are held before they are forwarded.

use serde::Serialize;

/// A request is forwarded when all of it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RequestBuffer {
    /// The most bytes of a body, 1 or more; a larger one is answered 413.
    pub limit: u32,
}
