//! Addresses of host names, looked up on a thread of their own, so that no worker ever waits for a resolver.
//!
//! A name is looked up again every 30 seconds while an endpoint has it. Where that fails, the last addresses stay.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

/// How often names are looked up.
const REFRESH: Duration = Duration::from_secs(30);
/// How soon a name is looked up again that has never had an address.
const RETRY: Duration = Duration::from_secs(1);
/// The most addresses of a name that are used.
const MAX_ADDRESSES: usize = 64;

/// Looks up names. Clones share the names and the thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolver(Arc<Names>);

#[derive(Debug, Default)]
struct Names {
    names: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    names: HashMap<(Arc<str>, u16), Weak<Resolution>>,
    running: bool,
}

/// What is known about a name.
#[derive(Debug)]
pub(crate) struct Resolution {
    name: Arc<str>,
    port: u16,
    known: watch::Sender<Known>,
    next: Mutex<Option<Instant>>,
}

/// The addresses of a name: nothing yet, those of the last look-up that found any, or why there are none.
type Known = Option<Result<Arc<[SocketAddr]>, Arc<str>>>;

impl Resolver {
    /// Begins to look a name up, or joins those that do. It goes on until the last holder drops the resolution.
    pub(crate) fn resolve(&self, name: &Arc<str>, port: u16) -> Arc<Resolution> {
        let mut state = self.0.names.lock();
        let key = (Arc::clone(name), port);
        if let Some(known) = state.names.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        let resolution = Arc::new(Resolution {
            name: Arc::clone(name),
            port,
            known: watch::Sender::new(None),
            next: Mutex::default(),
        });
        state.names.insert(key, Arc::downgrade(&resolution));
        if state.running {
            self.0.changed.notify_one();
        } else {
            let names = Arc::clone(&self.0);
            let thread = std::thread::Builder::new().name("weir-resolve".to_owned());
            state.running = thread.spawn(move || names.run()).is_ok();
        }
        resolution
    }
}

impl Names {
    /// Looks up what is due, until nobody wants a name any more.
    fn run(&self) {
        loop {
            let due = {
                let mut state = self.names.lock();
                state.names.retain(|_, name| name.strong_count() > 0);
                if state.names.is_empty() {
                    state.running = false;
                    return;
                }
                let names: Vec<_> = state.names.values().filter_map(Weak::upgrade).collect();
                let now = Instant::now();
                let next = names.iter().filter_map(|name| *name.next.lock()).min();
                let due: Vec<_> = names
                    .into_iter()
                    .filter(|name| name.next.lock().is_none_or(|next| next <= now))
                    .collect();
                if due.is_empty() {
                    let until = next.map_or(REFRESH, |next| next.saturating_duration_since(now));
                    self.changed.wait_for(&mut state, until);
                }
                due
            };
            for name in due {
                name.look_up();
            }
        }
    }
}

impl Resolution {
    fn look_up(&self) {
        let found = (&*self.name, self.port).to_socket_addrs();
        let found = found
            .map(|addresses| addresses.take(MAX_ADDRESSES).collect::<Arc<[SocketAddr]>>())
            .map_err(|error| Arc::from(format!("cannot resolve {}: {error}", self.name)));
        let wait = if found.is_ok() { REFRESH } else { RETRY };
        self.known
            .send_if_modified(|known| match (&*known, &found) {
                (Some(Ok(before)), Ok(now)) if before == now => false,
                (Some(Ok(_)), Err(_)) => false,
                (None | Some(_), _) => {
                    *known = Some(found);
                    true
                }
            });
        *self.next.lock() = Some(Instant::now() + wait);
    }

    /// The addresses, as soon as they are known.
    ///
    /// # Errors
    /// Why there are none.
    pub(crate) async fn addresses(&self) -> Result<Arc<[SocketAddr]>, Arc<str>> {
        let mut known = self.known.subscribe();
        match known.wait_for(Option::is_some).await {
            Ok(known) => known.clone().unwrap_or_else(|| Ok(Arc::default())),
            Err(_) => Err(Arc::from(format!("cannot resolve {}: stopped", self.name))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_are_looked_up_once_for_all_and_forgotten_when_unused() {
        let resolver = Resolver::default();
        let name: Arc<str> = Arc::from("localhost");
        let (one, other) = (resolver.resolve(&name, 80), resolver.resolve(&name, 80));
        assert!(Arc::ptr_eq(&one, &other));
        let addresses = one.addresses().await.expect("localhost has an address");
        assert!(
            addresses
                .iter()
                .all(|it| it.ip().is_loopback() && it.port() == 80),
            "{addresses:?}"
        );
        drop((one, other));
        while resolver.0.names.lock().running {
            resolver.0.changed.notify_one();
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_name_without_addresses_says_why() {
        let name: Arc<str> = Arc::from("no such name");
        let error = Resolver::default()
            .resolve(&name, 80)
            .addresses()
            .await
            .expect_err("no address");
        assert!(
            error.starts_with("cannot resolve no such name: "),
            "{error}"
        );
    }

    #[test]
    fn the_last_addresses_stay_when_a_look_up_fails() {
        let resolution = Resolution {
            name: Arc::from("no such name"),
            port: 80,
            known: watch::Sender::new(Some(Ok(Arc::from([([127, 0, 0, 1], 80).into()])))),
            next: Mutex::default(),
        };
        resolution.look_up();
        assert!(matches!(&*resolution.known.borrow(), Some(Ok(addresses)) if addresses.len() == 1));
    }
}
