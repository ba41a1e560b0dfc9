//! Who has series of its own: rules, limits and clusters get them when they have something to show, up to a bound. What
//! comes later is counted together under the name `other`.
//!
//! Each is decided on once, so that no counter ever falls: what has its own series keeps them, and what went into `other`
//! leaves its counts there when it goes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::cluster::Counter;

/// How many rules, how many limits and how many clusters have series of their own.
pub const MOST: usize = 2_000;

/// The label of all others.
pub(crate) const OTHER: &str = "other";

/// What is counted under a name.
pub(crate) trait Counted: Default + Send + Sync + 'static {
    /// All its counters, in one order.
    fn counters(&self) -> Vec<&Counter>;

    /// Where they are shown.
    fn series(&self) -> &Series<Self>;
}

/// Where something is shown. Not decided as long as there is nothing to show.
#[derive(Debug, Default)]
pub(crate) struct Series<T>(OnceLock<Shown<T>>);

#[derive(Debug)]
enum Shown<T> {
    Own,
    /// With others, which are counted here when they are gone.
    In(Arc<T>),
}

impl<T: Counted> Series<T> {
    /// What is done when something that is counted goes.
    pub(crate) fn leave(counted: &T) {
        if let Some(Shown::In(other)) = counted.series().0.get() {
            add(counted, other);
        }
    }
}

/// Those that have something to show.
pub(crate) struct Divided<N, Holder, T> {
    /// With series of their own.
    pub(crate) own: Vec<(N, Holder)>,
    /// The sum of all others, where there are or were any.
    pub(crate) other: Option<T>,
    /// Those others that are there.
    pub(crate) others: Vec<Holder>,
}

/// What became of the others of one kind.
#[derive(Debug, Default)]
pub(crate) struct Others<T> {
    gone: Arc<T>,
    told: AtomicBool,
}

impl<T: Counted> Others<T> {
    /// Divides those that are counted. `kind` names them in the log, once.
    pub(crate) fn divide<N, Holder>(
        &self,
        kind: &'static str,
        counted: impl IntoIterator<Item = (N, Holder)>,
        of: impl Fn(&Holder) -> &T,
        has_something: impl Fn(&Holder) -> bool,
    ) -> Divided<N, Holder, T> {
        let counted: Vec<_> = counted.into_iter().collect();
        let is_own = |it: &Holder| matches!(of(it).series().0.get(), Some(Shown::Own));
        let mut own = counted.iter().filter(|(_, it)| is_own(it)).count();
        let other = T::default();
        add(&*self.gone, &other);
        let (mut shown, mut others) = (Vec::new(), Vec::new());
        for (name, it) in counted {
            let series = &of(&it).series().0;
            if series.get().is_none() {
                if !has_something(&it) {
                    continue;
                }
                let decided = if own < MOST {
                    own += 1;
                    Shown::Own
                } else {
                    self.tell(kind);
                    Shown::In(Arc::clone(&self.gone))
                };
                // Somebody else who asks at the same time may have decided it: either will do.
                let _ = series.set(decided);
            }
            if is_own(&it) {
                shown.push((name, it));
            } else {
                add(of(&it), &other);
                others.push(it);
            }
        }
        let any = other.counters().iter().any(|counter| counter.get() > 0);
        let other = (any || !others.is_empty()).then_some(other);
        Divided {
            own: shown,
            other,
            others,
        }
    }

    fn tell(&self, kind: &'static str) {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "more than {MOST} {kind} have something to show in the metrics; further ones are counted together as \
                 {OTHER}"
            );
        }
    }
}

/// Adds the counts of one to another.
fn add<T: Counted>(from: &T, to: &T) {
    for (from, to) in from.counters().into_iter().zip(to.counters()) {
        to.add(from.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::LimitStats;

    fn ok(stats: Option<&LimitStats>) -> u64 {
        stats.map_or(0, |it| it.ok.get())
    }

    #[test]
    fn the_first_that_count_have_their_own_series_and_no_counter_falls() {
        let others = Others::default();
        let mut all: Vec<Arc<LimitStats>> = (0..MOST + 3).map(|_| Arc::default()).collect();
        let divide = |all: &[Arc<LimitStats>]| {
            let named = all.iter().cloned().enumerate();
            let Divided { own, other, .. } =
                others.divide("limits", named, |it| &**it, |it| it.ok.get() > 0);
            let own: Vec<usize> = own.into_iter().map(|(name, _)| name).collect();
            (own, ok(other.as_ref()))
        };
        assert_eq!(divide(&all), (vec![], 0));
        // The first one counts last, so it comes too late.
        for it in &all[1..=MOST] {
            it.ok.count();
        }
        assert_eq!(divide(&all), ((1..=MOST).collect(), 0));
        for it in &all {
            it.ok.count();
        }
        assert_eq!(divide(&all), ((1..=MOST).collect(), 3));
        // One of the others goes: what it counted stays. One with its own series goes: there is room for the next.
        all.remove(0);
        all.remove(0);
        let last = Arc::<LimitStats>::default();
        last.ok.count();
        all.push(last);
        let (own, other) = divide(&all);
        assert_eq!((own.len(), own.last(), other), (MOST, Some(&(MOST + 1)), 3));
    }
}
