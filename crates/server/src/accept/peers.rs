use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the open connections of each address.
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
        let address = peer.ip().to_canonical();
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
}
