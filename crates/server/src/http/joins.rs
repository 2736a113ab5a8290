//! How often one address may join a line.
//!
//! A bucket for each address (GCRA, the cell rate algorithm of ATM: one number says when the bucket
//! is full again), behind a lock that only joins from other machines take. Addresses of IPv6 count
//! by their network of 64 bits. The listener says what the address is ([`ClientAddress`]); where it
//! does not, and for this machine itself, nothing is limited.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;

use domain::time::Timestamp;

use super::problem::Edge;

/// Addresses that are remembered, at most. Beyond that new ones are let in, for the line itself is
/// bounded, and refusing strangers for an attacker's sake would be worse.
const ADDRESSES_MAX: usize = 100_000;

/// How often one address may join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JoinLimit {
    /// Joins each second, at most; none are counted when zero.
    pub(crate) per_second: u32,
    /// Joins at once, at most.
    pub(crate) burst: u32,
}

impl Default for JoinLimit {
    fn default() -> Self {
        Self { per_second: 20, burst: 200 }
    }
}

/// Where a request comes from; the listener puts it among the request's extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

/// Counts joins by address.
#[derive(Debug)]
pub(super) struct JoinLimiter {
    limit: JoinLimit,
    /// For each address, when its bucket is full again, in microseconds of node time.
    full_at: Mutex<HashMap<IpAddr, u64>>,
}

impl JoinLimiter {
    pub(super) fn new(limit: JoinLimit) -> Self {
        Self { limit, full_at: Mutex::default() }
    }

    /// Counts a join.
    ///
    /// # Errors
    /// `rate_limited`; the join is then not counted.
    pub(super) fn count(&self, from: Option<IpAddr>, now: Timestamp) -> Result<(), Edge> {
        let JoinLimit { per_second, burst } = self.limit;
        if per_second == 0 {
            return Ok(());
        }
        let Some(address) = from.and_then(network) else { return Ok(()) };
        let (now, interval) = (now.0 * 1000, 1_000_000 / u64::from(per_second));
        let mut full_at = self.full_at.lock().expect("counting does not panic");
        if full_at.len() >= ADDRESSES_MAX {
            full_at.retain(|_, at| *at > now);
        }
        let at = full_at.get(&address).copied().unwrap_or_default().max(now);
        if at + interval > now + u64::from(burst) * interval {
            return Err(Edge::RateLimited { per_second, burst });
        }
        if full_at.len() < ADDRESSES_MAX || full_at.contains_key(&address) {
            full_at.insert(address, at + interval);
        }
        Ok(())
    }
}

/// What counts as one address; none for this machine itself.
fn network(address: IpAddr) -> Option<IpAddr> {
    let address = address.to_canonical();
    if address.is_loopback() {
        return None;
    }
    match address {
        IpAddr::V4(_) => Some(address),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Some(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joins(limiter: &JoinLimiter, from: &str, times: u32, now: u64) -> u32 {
        let from = from.parse().unwrap();
        let counted = |_: &u32| limiter.count(Some(from), Timestamp(now)).is_ok();
        u32::try_from((0..times).filter(counted).count()).unwrap()
    }

    #[test]
    fn two_hundred_at_once_then_twenty_a_second() {
        let limiter = JoinLimiter::new(JoinLimit::default());
        assert_eq!(joins(&limiter, "192.0.2.1", 500, 1_000_000), 200);
        assert_eq!(joins(&limiter, "192.0.2.1", 500, 1_001_000), 20);
        assert_eq!(joins(&limiter, "192.0.2.2", 500, 1_001_000), 200, "others are not concerned");
        assert_eq!(joins(&limiter, "192.0.2.1", 500, 1_061_000), 200, "no more than that");
    }

    #[test]
    fn another_limit_holds_as_it_was_set_and_none_when_it_is_zero() {
        let limiter = JoinLimiter::new(JoinLimit { per_second: 3_000, burst: 5 });
        assert_eq!(joins(&limiter, "192.0.2.1", 50, 1_000), 5);
        assert_eq!(joins(&limiter, "192.0.2.1", 50, 1_001), 3);
        let off = JoinLimiter::new(JoinLimit { per_second: 0, burst: 1 });
        assert_eq!(joins(&off, "192.0.2.1", 1_000, 1_000), 1_000);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_this_machine_is_none() {
        let limiter = JoinLimiter::new(JoinLimit::default());
        assert_eq!(joins(&limiter, "2001:db8::1", 200, 0), 200);
        assert_eq!(joins(&limiter, "2001:db8::ffff:2", 10, 0), 0);
        assert_eq!(joins(&limiter, "2001:db8:0:1::1", 10, 0), 10);
        assert_eq!(joins(&limiter, "::ffff:192.0.2.1", 200, 0), 200);
        assert_eq!(joins(&limiter, "192.0.2.1", 1, 0), 0);
        for this in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(joins(&limiter, this, 1_000, 0), 1_000, "{this}");
        }
        assert!(limiter.count(None, Timestamp(0)).is_ok());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let limiter = JoinLimiter::new(JoinLimit::default());
        for n in 0..u32::try_from(ADDRESSES_MAX).unwrap() + 10 {
            let _ = limiter.count(Some(IpAddr::from(n.to_be_bytes())), Timestamp(1_000));
        }
        assert!(limiter.full_at.lock().unwrap().len() <= ADDRESSES_MAX);
        assert_eq!(joins(&limiter, "192.0.2.1", 1, 2_000), 1);
        assert_eq!(limiter.full_at.lock().unwrap().len(), 1, "those that are full again are gone");
    }
}
