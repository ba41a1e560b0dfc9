//! LeastRequest: of two endpoints drawn at random, the one with fewer requests in progress.

use std::sync::Arc;

use crate::upstream::EndpointState;

/// Draws twice (perhaps the same endpoint); the first draw wins ties. Requests are counted over all workers.
pub(crate) fn pick<'a>(
    endpoints: &'a [Arc<EndpointState>],
    rng: &mut fastrand::Rng,
) -> Option<&'a Arc<EndpointState>> {
    let first = endpoints.get(rng.usize(..endpoints.len().max(1)))?;
    let second = &endpoints[rng.usize(..endpoints.len())];
    Some(if second.active() < first.active() {
        second
    } else {
        first
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_less_busy_of_two_draws_is_taken() {
        let endpoints: Vec<_> = (0..2).map(EndpointState::numbered).collect();
        let mut rng = fastrand::Rng::with_seed(11);
        let shares = |rng: &mut fastrand::Rng| {
            let picks = (0..4_000).filter_map(|_| pick(&endpoints, rng));
            picks.filter(|it| it.id.0 == 0).count()
        };
        // Idle alike: half each. One busy: it is taken only when both draws hit it, a quarter of the time. The
        // bounds are more than five standard deviations wide.
        let equal = shares(&mut rng);
        assert!((1_840..=2_160).contains(&equal), "{equal}");
        let _busy = endpoints[0].begin();
        let busy = shares(&mut rng);
        assert!((860..=1_140).contains(&busy), "{busy}");
        assert!(pick(&[], &mut rng).is_none());
    }
}
