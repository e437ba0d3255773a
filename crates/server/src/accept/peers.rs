use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the open connections of each address; of IPv6, of each /64 network, because whoever has one address of it has
/// all.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    max: usize,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One counted connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Peer {
    peers: Peers,
    address: IpAddr,
}

impl Peers {
    pub(super) fn new(max: usize) -> Self {
        Self { max, open: Arc::default() }
    }

    /// Counts one more connection; `None` if the address has its fill.
    pub(super) fn admit(&self, peer: SocketAddr) -> Option<Peer> {
        let address = counted_as(peer.ip());
        let mut open = self.lock();
        let count = open.entry(address).or_insert(0);
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Peer { peers: self.clone(), address })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let mut open = self.peers.lock();
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_count_and_gets_back_what_it_closes() {
        let peers = Peers::new(2);
        let admit = |address: &str| peers.admit(address.parse().unwrap());
        let first = admit("10.0.0.1:1").unwrap();
        let _second = admit("[::ffff:10.0.0.1]:2").unwrap();
        assert!(admit("10.0.0.1:3").is_none());
        let other = admit("10.0.0.2:1").unwrap();
        drop(first);
        assert!(admit("10.0.0.1:4").is_some());
        drop(other);
        assert_eq!(peers.lock().len(), 1);
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_peer() {
        let peers = Peers::new(1);
        let admit = |address: &str| peers.admit(address.parse().unwrap());
        let _first = admit("[2001:db8:0:1::1]:1").unwrap();
        assert!(admit("[2001:db8:0:1:ffff::2]:1").is_none());
        assert!(admit("[2001:db8:0:2::1]:1").is_some());
        assert!(admit("10.0.0.1:1").is_some());
    }
}
