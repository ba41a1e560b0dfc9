//! The body of the fuzz target `wire`, over its seeds and edits of them.

#[path = "../../../fuzz/wire.rs"]
mod wire;

use std::path::Path;

/// How many edits of each seed are tried.
const EDITS: u64 = 3_000;

/// Bytes that mean something in HTTP.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"\0",
    b"0",
    b"5",
    b"ffffffffffffffff",
    b"0\r\n",
    b"Content-Length: 5\r\n",
    b"content-length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"transfer-encoding:\tchunked\r\n",
    b"connection: close\r\n",
    b"expect: 100-continue\r\n",
    b"GET / HTTP/1.1\r\nhost: h\r\n\r\n",
    b"HTTP/1.0",
    b"%2e",
    b"%2F",
    b"../",
    b"\x09",
    b"\x04",
];

#[test]
fn seeds_and_edits_of_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds-wire");
    let entries = std::fs::read_dir(root).expect("the seeds are there");
    let mut seeds: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    seeds.sort();
    assert!(!seeds.is_empty());
    for path in seeds {
        let seed = std::fs::read(&path).expect("it can be read");
        wire::from_bytes(&seed);
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..EDITS {
            let edited = edited(&seed, &mut rng);
            // What a failure leaves to look at.
            println!("{}: {}", path.display(), edited.escape_ascii());
            wire::from_bytes(&edited);
        }
    }
}

/// A few edits.
fn edited(seed: &[u8], rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=rng.usize(..4) {
        let at = rng.usize(..=bytes.len());
        let end = (at + rng.usize(..30)).min(bytes.len());
        let word = WORDS[rng.usize(..WORDS.len())].iter().copied();
        match rng.u8(..5) {
            0 => drop(bytes.drain(at..end)),
            1 => drop(bytes.splice(at..at, word)),
            2 => drop(bytes.splice(at..end, word)),
            3 => bytes.insert(at, rng.u8(..)),
            _ => {
                let copy = bytes[at..end].to_vec();
                let to = rng.usize(..=bytes.len());
                drop(bytes.splice(to..to, copy));
            }
        }
    }
    bytes
}
