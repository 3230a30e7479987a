//! Places among the requests in flight: so many in all, and so many of one client, so that none can take them all.

use super::failure::Failure;
use crate::config::Upstream;
use crate::identity::failures::network_of;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// All places.
pub(super) struct Places {
    most: usize,
    most_of_one: usize,
    all: Arc<Semaphore>,
    /// Those of clients that have one, or wait for one, by network.
    shares: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
}

/// A place, until dropped; or one that is waited for.
pub(super) struct Place {
    places: Arc<Places>,
    share: Option<(IpAddr, Arc<Semaphore>)>,
    permits: Vec<OwnedSemaphorePermit>,
}

impl Places {
    /// As many as the upstream has.
    pub(super) fn new(upstream: &Upstream) -> Arc<Self> {
        Arc::new(Self {
            most: upstream.requests,
            most_of_one: upstream.requests_per_address,
            all: Arc::new(Semaphore::new(upstream.requests)),
            shares: Mutex::default(),
        })
    }

    /// Waits for a place. `client` has a share of them; `None` takes from all.
    pub(super) async fn take(self: &Arc<Self>, client: Option<IpAddr>, patience: Duration) -> Result<Place, Failure> {
        let until = Instant::now() + patience;
        // Made before the wait, so that who gives up is cleared away too.
        let share = client.map(network_of).map(|network| (network, self.share(network)));
        let mut place = Place { places: Arc::clone(self), share, permits: Vec::with_capacity(2) };
        if let Some((_, share)) = &place.share {
            let waiting = timeout_at(until, Arc::clone(share).acquire_owned()).await;
            let Ok(Ok(permit)) = waiting else { return Err(Failure::FullShare(self.most_of_one)) };
            place.permits.push(permit);
        }
        let waiting = timeout_at(until, Arc::clone(&self.all).acquire_owned()).await;
        let Ok(Ok(permit)) = waiting else { return Err(Failure::Full(self.most)) };
        place.permits.push(permit);
        Ok(place)
    }

    /// How many are taken, and how many there are.
    pub(super) fn usage(&self) -> (usize, usize) {
        (self.most.saturating_sub(self.all.available_permits()), self.most)
    }

    fn share(&self, network: IpAddr) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(shares.entry(network).or_insert_with(|| Arc::new(Semaphore::new(self.most_of_one))))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((network, share)) = self.share.take() else { return };
        let mut shares = self.places.shares.lock().unwrap_or_else(PoisonError::into_inner);
        self.permits.clear();
        drop(share);
        // Whoever has a place, or waits for one, has a share of it.
        if shares.get(&network).is_some_and(|share| Arc::strong_count(share) == 1) {
            shares.remove(&network);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(30);

    #[tokio::test]
    async fn shares() {
        let places =
            Arc::new(Places { most: 4, most_of_one: 2, all: Arc::new(Semaphore::new(4)), shares: Mutex::default() });
        let take = async |client: Option<&str>| {
            let client = client.map(|client| client.parse().expect("an address"));
            places.take(client, SOON).await.map_err(|failure| failure.to_string())
        };
        let full_share = Err("its client has 2 requests in flight already".to_owned());
        let full = Err("4 requests are in flight already".to_owned());
        let of = |place: &Result<Place, String>| place.as_ref().map(|_| ()).map_err(Clone::clone);

        assert_eq!(places.usage(), (0, 4));
        let first = take(Some("192.0.2.1")).await;
        let second = take(Some("192.0.2.1")).await;
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(of(&take(Some("192.0.2.1")).await), full_share);
        // An IPv6 customer is one client.
        let third = take(Some("2001:db8::1")).await;
        let fourth = take(Some("2001:db8::2")).await;
        assert!(third.is_ok() && fourth.is_ok());
        assert_eq!(of(&take(Some("2001:db8::3")).await), full_share);
        assert_eq!(of(&take(Some("192.0.2.2")).await), full);
        assert_eq!(places.usage(), (4, 4));
        assert_eq!(of(&take(None).await), full);
        assert_eq!(places.shares.lock().expect("the shares").len(), 2, "who gave up left nothing behind");
        // Whoever waits gets the place that is given back.
        let waiting = {
            let places = Arc::clone(&places);
            let client = "192.0.2.1".parse().ok();
            tokio::spawn(async move { places.take(client, Duration::from_secs(10)).await.is_ok() })
        };
        tokio::time::sleep(SOON).await;
        drop(first);
        assert!(waiting.await.expect("a task"));
        drop((second, third, fourth));
        assert!(places.shares.lock().expect("the shares").is_empty(), "nothing is kept");
        // Who takes from all has no share.
        let all = [take(None).await, take(None).await, take(None).await, take(None).await];
        assert!(all.iter().all(Result::is_ok));
        assert_eq!(of(&take(Some("192.0.2.1")).await), full);
        assert!(places.shares.lock().expect("the shares").is_empty());
    }
}
