//! RoundRobin: one endpoint after the other. Each worker has a rotation of its own, which starts anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::upstream::EndpointState;

/// The next endpoint in turn.
pub(crate) fn pick<'a>(
    endpoints: &'a [Arc<EndpointState>],
    rotation: &Rotation,
    worker: usize,
) -> Option<&'a Arc<EndpointState>> {
    let count = endpoints.len() as u64;
    (count > 0).then(|| &endpoints[(rotation.next(worker) % count) as usize])
}

/// Whose turn it is, for each worker.
#[derive(Debug, Default)]
pub(crate) struct Rotation(Box<[AtomicU64]>);

impl Rotation {
    /// A rotation for so many workers, each with its own start.
    pub(crate) fn new(workers: usize, rng: &mut fastrand::Rng) -> Self {
        // Far from the end, so that counting up never wraps.
        Self(
            (0..workers)
                .map(|_| AtomicU64::new(u64::from(rng.u32(..))))
                .collect(),
        )
    }

    fn next(&self, worker: usize) -> u64 {
        self.0
            .get(worker)
            .map_or(0, |turn| turn.fetch_add(1, Ordering::Relaxed))
    }

    /// The worker's next place.
    pub(crate) fn place(&self, worker: usize, spread: &Spread) -> u64 {
        spread.place(self.next(worker))
    }
}

/// An order of so many places in which each comes once before any comes again, and neighbours are far apart in time.
/// Weighted entries that own ranges of places thus get exact shares without bursts.
#[derive(Debug)]
pub(crate) struct Spread {
    total: u64,
    step: u64,
}

impl Spread {
    /// An order of `total` places. A step near the golden section that has no factor in common with `total` visits
    /// all of them.
    pub(crate) fn new(total: u64) -> Self {
        let golden = (total as f64 * 0.618_033_988_75).round() as u64;
        let step = (golden.max(1)..)
            .find(|step| gcd(*step, total) == 1)
            .unwrap_or(1);
        Self { total, step }
    }

    fn place(&self, turn: u64) -> u64 {
        let total = u128::from(self.total.max(1));
        (u128::from(turn) % total * u128::from(self.step) % total) as u64
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_take_turns_on_each_worker() {
        let endpoints: Vec<_> = (0..3).map(EndpointState::numbered).collect();
        let rotation = Rotation::new(2, &mut fastrand::Rng::with_seed(3));
        for worker in 0..2 {
            let picks: Vec<u64> = (0..7)
                .filter_map(|_| pick(&endpoints, &rotation, worker).map(|it| it.id.0))
                .collect();
            assert!(
                picks.windows(2).all(|pair| pair[1] == (pair[0] + 1) % 3),
                "{picks:?}"
            );
        }
        assert!(pick(&[], &rotation, 0).is_none());
    }

    #[test]
    fn every_place_comes_once_and_far_from_its_neighbours() {
        for total in [1, 2, 3, 4, 5, 10, 100, 101, 4_294_967_296] {
            let rotation = Rotation::new(1, &mut fastrand::Rng::with_seed(5));
            let (spread, turns) = (Spread::new(total), total.min(1_000));
            let mut places: Vec<u64> = (0..turns).map(|_| rotation.place(0, &spread)).collect();
            let near = places
                .windows(2)
                .filter(|pair| pair[0].abs_diff(pair[1]) < total / 5);
            assert!(total < 10 || near.count() == 0, "{total}");
            places.sort_unstable();
            places.dedup();
            assert_eq!(places.len() as u64, turns, "{total}");
        }
    }
}
