//! The body of the fuzz target, over its seeds and edits of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../../fuzz/body.rs"]
mod body;

use std::path::Path;

/// How many edits of each seed are tried.
const EDITS: u64 = 1_000;

/// Bytes that mean something to YAML or to the engine.
const WORDS: &[&[u8]] = &[
    b"\n",
    b"\r",
    b"\t",
    b"  ",
    b"- ",
    b": ",
    b"---\n",
    b"...\n",
    b"{",
    b"}",
    b"[",
    b"]",
    b"&a ",
    b"*a",
    b"<<: ",
    b"? ",
    b"| ",
    b"\"",
    b"'",
    b"#",
    b"!!str ",
    b"%",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"null",
    b"-1",
    b"1e999",
    b"99999999999999999999",
    b"0s",
    b"99999h",
    b"spec",
    b"name",
    b"Gateway",
    b"HTTPRoute",
    b"(",
    b"%REQ(",
    b"JSONMerge",
    b"*.",
];

#[test]
fn seeds_and_edits_of_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    let mut seeds: Vec<_> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty());
    let folder = tempfile::tempdir().unwrap();
    for path in seeds {
        let seed = std::fs::read(&path).unwrap();
        body::from_bytes(folder.path(), &seed);
        for number in 0..EDITS {
            let edited = edited(&seed, number);
            // What a failure leaves to look at, since the folder is gone by then.
            println!(
                "{} {number}: {:?}",
                path.display(),
                String::from_utf8_lossy(&edited)
            );
            body::from_bytes(folder.path(), &edited);
        }
    }
}

/// A few edits, decided by the number alone.
fn edited(seed: &[u8], number: u64) -> Vec<u8> {
    let mut state = number;
    let mut below = |bound: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % bound.max(1)
    };
    let mut bytes = seed.to_vec();
    for _ in 0..=below(4) {
        let at = below(bytes.len());
        let end = (at + below(30)).min(bytes.len());
        match below(4) {
            0 => drop(bytes.drain(at..end)),
            1 => drop(bytes.splice(at..at, WORDS[below(WORDS.len())].iter().copied())),
            2 => drop(bytes.splice(at..end, WORDS[below(WORDS.len())].iter().copied())),
            _ => {
                let copy = bytes[at..end].to_vec();
                let to = below(bytes.len());
                drop(bytes.splice(to..to, copy));
            }
        }
    }
    bytes
}
