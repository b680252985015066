//! Resolving names for calls to the outside: whatever answers, only addresses that may be called are passed on.

use std::net::SocketAddr;
use std::sync::Arc;

use plane::destinations::Destinations;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Asks the operating system.
pub(super) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Asks another resolver and drops what may not be called.
pub(super) struct Vetted {
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) destinations: Destinations,
    /// Pass only what lies in networks that were allowed: for calls that are not encrypted.
    pub(super) only_allowed: bool,
}

impl Resolve for Vetted {
    fn resolve(&self, name: Name) -> Resolving {
        let (destinations, only_allowed) = (self.destinations.clone(), self.only_allowed);
        let asked = self.resolver.resolve(name);
        Box::pin(async move {
            let may_be_called = |address: &SocketAddr| match only_allowed {
                true => destinations.is_allowed(address.ip()),
                false => destinations.permits(address.ip()),
            };
            let survivors: Vec<SocketAddr> = asked.await?.filter(may_be_called).collect();
            // The same words as for a name that does not exist: callers must not learn which names do.
            if survivors.is_empty() {
                Err("the name has no address that may be called".into())
            } else {
                Ok(Box::new(survivors.into_iter()) as Addrs)
            }
        })
    }
}
