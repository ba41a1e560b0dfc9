//! The frames of a client that speaks HTTP/2, followed beside hyper for what it does not bound: how long a header block
//! may take, and how many frames may come that cost something and bring nothing.
//!
//! Nothing is decided here about what is wrong with them otherwise, since the connection ends with it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

/// What a client that speaks HTTP/2 begins with (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frames within a [`WINDOW`] that may bring nothing. Clients that mean well send one for each request that they give up.
const MAX_IDLE: u32 = 1_000;
const WINDOW: Duration = Duration::from_secs(1);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The length of a frame's head.
const HEAD: usize = 9;

/// What is known of a client's frames, for whoever drives the connection.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// Since when a header block is under way, or the beginning of a frame.
    pub(super) unfinished: Cell<Option<Instant>>,
    /// Whether too many frames came that bring nothing.
    pub(super) flooded: Cell<bool>,
}

/// Follows the frames of one connection.
#[derive(Debug)]
pub(super) struct Frames {
    /// The beginning of a frame's head, and how much of it has come.
    head: [u8; HEAD],
    come: usize,
    /// Bytes to come of the frame, or of the preface.
    left: usize,
    /// Whether the next bytes are part of a header block, and whether the block ends with this frame.
    block: bool,
    ends: bool,
    /// Frames that brought nothing, and since when they are counted.
    idle: u32,
    since: Option<Instant>,
    noted: Rc<Noted>,
}

impl Frames {
    /// A connection whose preface is the next to come.
    pub(super) fn new(noted: Rc<Noted>) -> Self {
        Self {
            head: [0; HEAD],
            come: 0,
            left: PREFACE.len(),
            block: false,
            ends: false,
            idle: 0,
            since: None,
            noted,
        }
    }

    /// Takes the next bytes; false: there are too many frames that bring nothing.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            if self.left > 0 {
                let some = self.left.min(bytes.len());
                self.left -= some;
                bytes = &bytes[some..];
            } else {
                let some = (HEAD - self.come).min(bytes.len());
                self.head[self.come..self.come + some].copy_from_slice(&bytes[..some]);
                self.come += some;
                bytes = &bytes[some..];
                if self.come == HEAD {
                    self.come = 0;
                    self.begin();
                }
            }
            self.block &= self.left > 0 || !self.ends;
        }
        let unfinished = self.block || self.come > 0;
        let since = self.noted.unfinished.get();
        match (unfinished, since) {
            (true, None) => self.noted.unfinished.set(Some(Instant::now())),
            (false, Some(_)) => self.noted.unfinished.set(None),
            (true, Some(_)) | (false, None) => {}
        }
        !self.noted.flooded.get()
    }

    /// The head of a frame has come.
    fn begin(&mut self) {
        let [a, b, c, kind, flags, ..] = self.head;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.left = length;
        match kind {
            HEADERS | CONTINUATION => {
                self.block = true;
                self.ends = flags & END_HEADERS != 0;
                if length == 0 {
                    self.idle();
                }
            }
            DATA if length > 0 || flags & END_STREAM != 0 => {}
            WINDOW_UPDATE => {}
            // Resets, pings, settings and their like.
            _ => self.idle(),
        }
    }

    fn idle(&mut self) {
        let now = Instant::now();
        match self.since {
            Some(since) if now.duration_since(since) < WINDOW => self.idle += 1,
            Some(_) | None => (self.since, self.idle) = (Some(now), 1),
        }
        if self.idle > MAX_IDLE {
            self.noted.flooded.set(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let head = [0, 0, length, kind, flags, 0, 0, 0, 1];
        [&head[..], &vec![0xff; usize::from(length)]].concat()
    }

    #[test]
    fn a_block_is_unfinished_until_its_last_frame_has_come() {
        let whole = frame(HEADERS, END_HEADERS, 5);
        let begun = frame(HEADERS, 0, 5);
        let last = frame(CONTINUATION, END_HEADERS, 5);
        let data = frame(DATA, 0, 200);
        // (what comes after the preface, whether something is unfinished)
        let cases = [
            (vec![], false),
            (whole.clone(), false),
            (whole[..8].to_vec(), true),
            (whole[..9].to_vec(), true),
            (whole[..13].to_vec(), true),
            (begun.clone(), true),
            ([begun.clone(), frame(CONTINUATION, 0, 5)].concat(), true),
            ([begun.clone(), last.clone()].concat(), false),
            ([begun, frame(CONTINUATION, END_HEADERS, 0)].concat(), false),
            (data[..100].to_vec(), false),
            ([data.clone(), whole[..3].to_vec()].concat(), true),
            ([whole, data].concat(), false),
        ];
        for (bytes, unfinished) in cases {
            let input = [PREFACE, &bytes].concat();
            for size in [1, 2, 7, 1_000] {
                let noted = Rc::<Noted>::default();
                let mut frames = Frames::new(Rc::clone(&noted));
                for piece in input.chunks(size) {
                    assert!(frames.follow(piece));
                }
                let found = noted.unfinished.get().is_some();
                assert_eq!(found, unfinished, "{bytes:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn frames_that_bring_nothing_are_counted() {
        let pings = frame(6, 0, 8);
        let cases = [
            (pings.clone(), true),
            (frame(3, 0, 4), true),
            (frame(4, 0, 0), true),
            (frame(0x20, 0, 1), true),
            (frame(DATA, 0, 0), true),
            (frame(CONTINUATION, 0, 0), true),
            (frame(DATA, END_STREAM, 0), false),
            (frame(DATA, 0, 1), false),
            (frame(WINDOW_UPDATE, 0, 4), false),
        ];
        let most = usize::try_from(MAX_IDLE).expect("it is small");
        for (one, counted) in cases {
            let mut frames = Frames::new(Rc::default());
            assert!(frames.follow(&[PREFACE, &one.repeat(most)].concat()));
            assert_eq!(frames.follow(&one), !counted, "{one:?}");
        }
        let mut frames = Frames::new(Rc::default());
        assert!(frames.follow(&[PREFACE, &pings.repeat(most)].concat()));
        let earlier = frames.since.and_then(|since| since.checked_sub(WINDOW));
        frames.since = earlier;
        assert!(
            frames.follow(&pings),
            "a second later they are counted anew"
        );
    }
}
