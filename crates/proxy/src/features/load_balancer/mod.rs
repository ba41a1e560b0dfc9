//! Enforces `loadBalancer`: which endpoint of a cluster a request goes to.
//!
//! First the locality, by weight, then the endpoint within it. The state of the choice (rotations) belongs to one
//! worker each; what it looks at (requests in progress) to all.

pub(crate) mod least_request;
pub(crate) mod random;
pub(crate) mod round_robin;

use std::sync::Arc;

use weir_plan::features::load_balancer::Algorithm;

use crate::upstream::{EndpointId, EndpointState};
use round_robin::{Rotation, Spread};

/// How often a retry looks for an endpoint that it has not tried, as Envoy Gateway sets it.
const REPICKS: usize = 5;

/// The endpoints of a cluster that a request can go to, by locality. Localities without endpoints are left out.
#[derive(Debug)]
pub(crate) struct Members {
    localities: Vec<Locality>,
    spread: Spread,
    rotation: Rotation,
}

#[derive(Debug)]
struct Locality {
    weight: u32,
    endpoints: Vec<Arc<EndpointState>>,
    rotation: Rotation,
}

impl Members {
    /// Members from (weight, endpoints) of each locality; rotations start at random.
    pub(crate) fn new(
        localities: Vec<(u32, Vec<Arc<EndpointState>>)>,
        workers: usize,
        rng: &mut fastrand::Rng,
    ) -> Self {
        let localities: Vec<Locality> = localities
            .into_iter()
            .filter(|(weight, endpoints)| *weight > 0 && !endpoints.is_empty())
            .map(|(weight, endpoints)| Locality {
                weight,
                endpoints,
                rotation: Rotation::new(workers, rng),
            })
            .collect();
        Self {
            spread: Spread::new(localities.iter().map(|it| u64::from(it.weight)).sum()),
            localities,
            rotation: Rotation::new(workers, rng),
        }
    }

    /// Every endpoint, once for each locality that it is in.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Arc<EndpointState>> {
        self.localities.iter().flat_map(|it| &it.endpoints)
    }

    /// The endpoint for a request on a worker; one in `tried` only where five more choices bring no other.
    pub(crate) fn pick(
        &self,
        algorithm: &Algorithm,
        worker: usize,
        rng: &mut fastrand::Rng,
        tried: &[EndpointId],
    ) -> Option<&Arc<EndpointState>> {
        let mut picked = self.pick_any(algorithm, worker, rng)?;
        for _ in 0..REPICKS {
            if !tried.contains(&picked.id) {
                break;
            }
            picked = self.pick_any(algorithm, worker, rng)?;
        }
        Some(picked)
    }

    fn pick_any(
        &self,
        algorithm: &Algorithm,
        worker: usize,
        rng: &mut fastrand::Rng,
    ) -> Option<&Arc<EndpointState>> {
        let Locality {
            weight: _,
            endpoints,
            rotation,
        } = self.locality(worker)?;
        match algorithm {
            // Slow starts are not enforced yet.
            Algorithm::RoundRobin { slow_start: _ } => {
                round_robin::pick(endpoints, rotation, worker)
            }
            Algorithm::LeastRequest { slow_start: _ } => least_request::pick(endpoints, rng),
            Algorithm::Random => random::pick(endpoints, rng),
            // Not enforced yet.
            Algorithm::ConsistentHash(_)
            | Algorithm::BackendUtilization(_)
            | Algorithm::DynamicModule(_) => least_request::pick(endpoints, rng),
        }
    }

    fn locality(&self, worker: usize) -> Option<&Locality> {
        if self.localities.len() < 2 {
            return self.localities.first();
        }
        let mut place = self.rotation.place(worker, &self.spread);
        self.localities.iter().find(|locality| {
            let weight = u64::from(locality.weight);
            let found = place < weight;
            place = place.saturating_sub(weight);
            found
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Members with so many endpoints at each weight; the endpoints are numbered through from 0.
    fn members(localities: &[(u32, u64)]) -> Members {
        let mut ids = 0..;
        let localities = localities
            .iter()
            .map(|(weight, endpoints)| {
                let endpoints = ids.by_ref().take(*endpoints as usize);
                (*weight, endpoints.map(EndpointState::numbered).collect())
            })
            .collect();
        Members::new(localities, 1, &mut fastrand::Rng::with_seed(7))
    }

    const ROUND_ROBIN: Algorithm = Algorithm::RoundRobin { slow_start: None };
    const LEAST_REQUEST: Algorithm = Algorithm::LeastRequest { slow_start: None };

    fn picks(members: &Members, algorithm: &Algorithm, count: usize) -> Vec<u64> {
        let mut rng = fastrand::Rng::with_seed(7);
        (0..count)
            .map(|_| {
                members
                    .pick(algorithm, 0, &mut rng, &[])
                    .expect("there are endpoints")
                    .id
                    .0
            })
            .collect()
    }

    fn counts(picks: &[u64]) -> BTreeMap<u64, usize> {
        let mut counts = BTreeMap::new();
        for pick in picks {
            *counts.entry(*pick).or_default() += 1;
        }
        counts
    }

    #[test]
    fn localities_share_by_weight_exactly() {
        let cases: [&[(u32, u64)]; 5] = [
            &[(3, 1), (1, 1)],
            &[(90, 1), (10, 1)],
            &[(1, 1), (1, 1), (1, 1)],
            &[(5, 1), (0, 1), (2, 1)],
            &[(4, 1), (6, 0), (1, 1)],
        ];
        for localities in cases {
            let members = members(localities);
            let used = localities
                .iter()
                .filter(|(weight, endpoints)| weight * *endpoints as u32 > 0);
            let total: u32 = used.map(|(weight, _)| weight).sum();
            let counts = counts(&picks(&members, &ROUND_ROBIN, total as usize * 10));
            let mut shares: Vec<usize> = counts.into_values().collect();
            shares.sort_unstable();
            let mut expected: Vec<usize> = localities
                .iter()
                .filter(|(_, endpoints)| *endpoints > 0)
                .map(|(weight, _)| *weight as usize * 10)
                .filter(|share| *share > 0)
                .collect();
            expected.sort_unstable();
            assert_eq!(shares, expected, "{localities:?}");
        }
    }

    #[test]
    fn equal_localities_take_turns() {
        let picks = picks(&members(&[(1, 1), (1, 1)]), &ROUND_ROBIN, 10);
        assert!(picks.windows(2).all(|pair| pair[0] != pair[1]), "{picks:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_picks() {
        for algorithm in [&ROUND_ROBIN, &LEAST_REQUEST, &Algorithm::Random] {
            let (one, other) = (members(&[(3, 4), (2, 5)]), members(&[(3, 4), (2, 5)]));
            assert_eq!(picks(&one, algorithm, 50), picks(&other, algorithm, 50));
        }
    }

    #[test]
    fn a_retry_goes_elsewhere_where_it_can() {
        let two = members(&[(1, 2)]);
        let one = members(&[(1, 1)]);
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..20 {
            let picked = two.pick(&ROUND_ROBIN, 0, &mut rng, &[EndpointId(0)]);
            assert_eq!(picked.map(|it| it.id), Some(EndpointId(1)));
            let picked = one.pick(&ROUND_ROBIN, 0, &mut rng, &[EndpointId(0)]);
            assert_eq!(picked.map(|it| it.id), Some(EndpointId(0)));
        }
        assert!(
            members(&[])
                .pick(&LEAST_REQUEST, 0, &mut rng, &[])
                .is_none()
        );
    }
}
