use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::connector::CONNECT_TIMEOUT;

/// Lookups at once. Each keeps a thread, for as long as the system's resolver waits for a name server; the threads are few,
/// and the store needs some too.
const LOOKUPS_MAX: usize = 64;

/// Turns the host of a URL into addresses.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// All addresses of `host`, a name or any spelling of an address, with `port`.
    ///
    /// # Errors
    /// What the resolver says.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The operating system's resolver. A host is looked up once for all who ask at the same time, so that a name server which
/// does not answer for one host costs the others little.
#[derive(Clone)]
pub struct SystemResolver {
    look_up: Arc<LookUp>,
    running: Arc<Mutex<HashMap<String, Lookup>>>,
    threads: Arc<Semaphore>,
}

/// Blocks until the addresses of a host are known.
type LookUp = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// A lookup on its way, for all who wait for it.
type Lookup = Shared<BoxFuture<'static, Result<Arc<[IpAddr]>, io::ErrorKind>>>;

impl fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemResolver").finish_non_exhaustive()
    }
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self::new(|host| Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect()))
    }
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![(address, port).into()]);
        }
        let addresses = self.lookup(host).await?;
        Ok(addresses.iter().map(|&address| (address, port).into()).collect())
    }
}

impl SystemResolver {
    fn new(look_up: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        Self { look_up: Arc::new(look_up), running: Arc::default(), threads: Arc::new(Semaphore::new(LOOKUPS_MAX)) }
    }

    /// The lookup of this host that is on its way, or a new one.
    fn lookup(&self, host: &str) -> Lookup {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = running.get(host) {
            return lookup.clone();
        }
        // A task of its own: it goes on when those who wait for it have given up.
        let task = tokio::spawn(self.clone().run(host.to_owned()));
        let lookup = async { task.await.unwrap_or(Err(io::ErrorKind::Other)) }.boxed().shared();
        running.insert(host.to_owned(), lookup.clone());
        lookup
    }

    async fn run(self, host: String) -> Result<Arc<[IpAddr]>, io::ErrorKind> {
        let found = self.look_up_on_a_thread(host.clone()).await;
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&host);
        found
    }

    async fn look_up_on_a_thread(&self, host: String) -> Result<Arc<[IpAddr]>, io::ErrorKind> {
        let thread = timeout(CONNECT_TIMEOUT, Arc::clone(&self.threads).acquire_owned()).await;
        let Ok(Ok(thread)) = thread else { return Err(io::ErrorKind::TimedOut) };
        let look_up = Arc::clone(&self.look_up);
        let found = tokio::task::spawn_blocking(move || {
            let _until_done = thread;
            look_up(&host)
        });
        match found.await {
            Ok(found) => found.map(Arc::from).map_err(|error| error.kind()),
            Err(_) => Err(io::ErrorKind::Other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    /// A resolver that waits for a word, or the end of words, before it answers for `slow…`; and how often it was asked.
    fn resolver() -> (SystemResolver, std::sync::mpsc::Sender<()>, Arc<AtomicUsize>) {
        let (go_on, word) = std::sync::mpsc::channel::<()>();
        let (word, asked) = (Mutex::new(word), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&asked);
        let resolver = SystemResolver::new(move |host| {
            counted.fetch_add(1, Ordering::Relaxed);
            if host.starts_with("slow") {
                let _ = word.lock().unwrap().recv();
            }
            Ok(vec![ADDRESS])
        });
        (resolver, go_on, asked)
    }

    #[tokio::test]
    async fn a_host_is_looked_up_once_for_all_who_ask_and_again_for_the_next() {
        let (resolver, go_on, asked) = resolver();
        let waiting: Vec<_> = (0..100).map(|_| resolver.lookup("slow")).collect();
        assert_eq!(resolver.resolve("quick", 80).await.unwrap(), [(ADDRESS, 80).into()]);
        go_on.send(()).unwrap();
        for lookup in waiting {
            assert_eq!(*lookup.await.unwrap(), [ADDRESS]);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        drop(go_on);
        resolver.resolve("slow", 80).await.unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), 3);
        assert!(resolver.running.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn hosts_whose_lookup_hangs_take_a_bounded_number_of_threads() {
        let (resolver, go_on, asked) = resolver();
        let hanging: Vec<_> = (0..LOOKUPS_MAX).map(|number| resolver.lookup(&format!("slow{number}"))).collect();
        let refused = resolver.resolve("quick", 80).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
        assert_eq!(
            resolver.resolve("10.0.0.1", 80).await.unwrap(),
            [(ADDRESS, 80).into()],
            "an address needs no lookup"
        );
        drop(go_on);
        for lookup in hanging {
            lookup.await.unwrap();
        }
        resolver.resolve("quick", 80).await.unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), LOOKUPS_MAX + 1);
    }

    #[tokio::test]
    async fn what_the_resolver_says_is_passed_on() {
        let resolver = SystemResolver::new(|_| Err(io::ErrorKind::NotFound.into()));
        assert_eq!(resolver.resolve("nowhere", 80).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
