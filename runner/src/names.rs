//! Addresses of names, remembered for a while. ureq asks for them before each request, also if the connection of the
//! one before is still there: many small reports would keep the cluster's DNS busy, on machines that Ansible needs.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use ureq::{
    Error,
    config::Config,
    http::{Uri, uri::Authority},
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::NextTimeout,
    },
};

/// As long as CoreDNS lets others remember, where nothing else is set.
const KEEP: Duration = Duration::from_secs(30);

/// Remembers what was found last.
#[derive(Debug)]
pub struct Remembered<R = DefaultResolver> {
    resolver: R,
    keep: Duration,
    last: Mutex<Option<Found>>,
}

#[derive(Debug)]
struct Found {
    of: Authority,
    at: Instant,
    addresses: ResolvedSocketAddrs,
}

impl Default for Remembered {
    fn default() -> Self {
        Self { resolver: DefaultResolver::default(), keep: KEEP, last: Mutex::default() }
    }
}

impl<R: Resolver> Resolver for Remembered<R> {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        // The scheme counts by the port that it stands for, and whoever uses this has one scheme.
        let Some(of) = uri.authority() else { return self.resolver.resolve(uri, config, timeout) };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = last.as_ref().filter(|found| found.of == *of && found.at.elapsed() < self.keep) {
            return Ok(found.addresses.clone());
        }
        let addresses = self.resolver.resolve(uri, config, timeout)?;
        *last = Some(Found { of: of.clone(), at: Instant::now(), addresses: addresses.clone() });
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU16, Ordering};

    use super::*;

    /// Finds another address each time, and every third time none.
    #[derive(Debug, Default)]
    struct Counting(AtomicU16);

    impl Resolver for Counting {
        fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
            let n = self.0.fetch_add(1, Ordering::Relaxed) + 1;
            if n.is_multiple_of(3) {
                return Err(Error::HostNotFound);
            }
            let mut addresses = self.empty();
            addresses.push(([192, 0, 2, 1], n).into());
            Ok(addresses)
        }
    }

    fn ask(names: &Remembered<Counting>, uri: &'static str) -> Option<u16> {
        let timeout = NextTimeout::default();
        let found = names.resolve(&Uri::from_static(uri), &Config::default(), timeout).ok()?;
        Some(found[0].port())
    }

    fn remembering(keep: Duration) -> Remembered<Counting> {
        Remembered { resolver: Counting::default(), keep, last: Mutex::default() }
    }

    const API: &str = "https://runs.svc:8443/runs";
    const OTHER: &str = "https://other.svc:8443/runs";

    #[test]
    fn a_name_is_looked_up_once_and_another_one_for_itself() {
        let names = remembering(KEEP);
        assert_eq!([ask(&names, API), ask(&names, API)], [Some(1), Some(1)]);
        assert_eq!(ask(&names, OTHER), Some(2));
        assert_eq!(
            [ask(&names, API), ask(&names, API)],
            [None, Some(4)],
            "what was not found is asked again"
        );
    }

    #[test]
    fn what_is_old_is_looked_up_anew() {
        let names = remembering(Duration::ZERO);
        assert_eq!([ask(&names, API), ask(&names, API)], [Some(1), Some(2)]);
    }
}
