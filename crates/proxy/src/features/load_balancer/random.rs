//! Random: any endpoint, each as likely as the others.

use std::sync::Arc;

use crate::upstream::EndpointState;

/// Draws once.
pub(crate) fn pick<'a>(
    endpoints: &'a [Arc<EndpointState>],
    rng: &mut fastrand::Rng,
) -> Option<&'a Arc<EndpointState>> {
    endpoints.get(rng.usize(..endpoints.len().max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_as_likely_as_the_others_however_busy() {
        let endpoints: Vec<_> = (0..4).map(EndpointState::numbered).collect();
        let _busy = endpoints[0].begin();
        let mut rng = fastrand::Rng::with_seed(11);
        let mut counts = [0; 4];
        for picked in (0..4_000).filter_map(|_| pick(&endpoints, &mut rng)) {
            counts[picked.id.0 as usize] += 1;
        }
        // A thousand each; the bounds are five standard deviations wide.
        assert!(
            counts.iter().all(|it| (860..=1_140).contains(it)),
            "{counts:?}"
        );
        assert!(pick(&[], &mut rng).is_none());
    }
}
