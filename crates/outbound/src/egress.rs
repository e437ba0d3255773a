use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Addresses at which clouds hand credentials to whoever asks from inside the machine, and which are not link-local.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Which addresses branch calls may go to: all but those that no participant has.
///
/// Loopback and private ranges are allowed, because that is where participants live. Checked on the resolved address, so
/// every spelling of a host passes through here.
#[derive(Clone, Debug, Default)]
pub struct EgressPolicy {
    own_listeners: Vec<SocketAddr>,
}

impl EgressPolicy {
    /// The default policy, for a coordinator that listens at `own_listeners`. A call to itself would let whoever can begin
    /// a transaction use the coordinator's own API in its name.
    pub fn new(own_listeners: Vec<SocketAddr>) -> Self {
        Self { own_listeners }
    }

    /// Decides about one resolved address.
    ///
    /// # Errors
    /// [`Denied`] says which rule refuses it.
    pub fn check(&self, address: SocketAddr) -> Result<(), Denied> {
        let ip = address.ip().to_canonical();
        check_range(ip)?;
        if let Some(inner) = embedded_v4(ip) {
            check_range(IpAddr::V4(inner))?;
        }
        if self.own_listeners.iter().any(|own| is_same_listener(*own, SocketAddr::new(ip, address.port()))) {
            return Err(Denied::OwnListener);
        }
        Ok(())
    }
}

/// Why an address may not be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Reaches only the local network segment; clouds serve metadata there.
    LinkLocal,
    /// A cloud's metadata service.
    Metadata,
    /// No single participant.
    Multicast,
    /// No single participant.
    Broadcast,
    /// No address at all; some systems take it for their own.
    Unspecified,
    /// The coordinator itself.
    OwnListener,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LinkLocal => "link-local",
            Self::Metadata => "a metadata service",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Unspecified => "unspecified",
            Self::OwnListener => "the coordinator itself",
        })
    }
}

fn check_range(ip: IpAddr) -> Result<(), Denied> {
    match ip {
        IpAddr::V4(v4) if v4.is_link_local() => Err(Denied::LinkLocal),
        IpAddr::V4(v4) if METADATA_V4.contains(&v4) => Err(Denied::Metadata),
        IpAddr::V4(v4) if v4.is_multicast() => Err(Denied::Multicast),
        IpAddr::V4(v4) if v4.is_broadcast() => Err(Denied::Broadcast),
        // All of 0.0.0.0/8 is "this network", not only its first address.
        IpAddr::V4(v4) if v4.octets()[0] == 0 => Err(Denied::Unspecified),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Err(Denied::LinkLocal),
        IpAddr::V6(v6) if v6 == METADATA_V6 => Err(Denied::Metadata),
        IpAddr::V6(v6) if v6.is_multicast() => Err(Denied::Multicast),
        IpAddr::V6(v6) if v6.is_unspecified() => Err(Denied::Unspecified),
        IpAddr::V4(_) | IpAddr::V6(_) => Ok(()),
    }
}

/// The IPv4 address that a translator would dial for this IPv6 address: NAT64 (RFC 6052), 6to4 (RFC 3056), and the old
/// IPv4-compatible form.
fn embedded_v4(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = ip else { return None };
    let [high, low] = match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => [high, low],
        [0x2002, high, low, ..] => [high, low],
        // `::1` and `::` have this shape too and are no IPv4 addresses.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => [high, low],
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

fn is_same_listener(own: SocketAddr, target: SocketAddr) -> bool {
    own.port() == target.port()
        && (own.ip().to_canonical() == target.ip() || own.ip().is_unspecified() && is_local(target.ip()))
}

/// Whether this machine owns the address: only then can a socket be bound to it.
fn is_local(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str) -> Result<(), Denied> {
        EgressPolicy::default().check(address.parse().unwrap())
    }

    #[test]
    fn participants_addresses_are_allowed_and_no_others() {
        let table = [
            ("127.0.0.1:80", Ok(())),
            ("127.8.9.10:80", Ok(())),
            ("10.1.2.3:80", Ok(())),
            ("172.16.0.1:80", Ok(())),
            ("192.168.1.1:80", Ok(())),
            ("100.64.0.1:80", Ok(())),
            ("8.8.8.8:80", Ok(())),
            ("[::1]:80", Ok(())),
            ("[fd12:3456::1]:80", Ok(())),
            ("[2001:db8::1]:80", Ok(())),
            ("169.254.169.254:80", Err(Denied::LinkLocal)),
            ("169.254.0.1:80", Err(Denied::LinkLocal)),
            ("[fe80::1]:80", Err(Denied::LinkLocal)),
            ("[febf::1]:80", Err(Denied::LinkLocal)),
            ("100.100.100.200:80", Err(Denied::Metadata)),
            ("168.63.129.16:80", Err(Denied::Metadata)),
            ("[fd00:ec2::254]:80", Err(Denied::Metadata)),
            ("224.0.0.1:80", Err(Denied::Multicast)),
            ("239.255.255.255:80", Err(Denied::Multicast)),
            ("[ff02::1]:80", Err(Denied::Multicast)),
            ("255.255.255.255:80", Err(Denied::Broadcast)),
            ("0.0.0.0:80", Err(Denied::Unspecified)),
            ("0.1.2.3:80", Err(Denied::Unspecified)),
            ("[::]:80", Err(Denied::Unspecified)),
        ];
        for (address, expected) in table {
            assert_eq!(check(address), expected, "{address}");
        }
    }

    #[test]
    fn an_ipv4_address_inside_an_ipv6_address_is_judged_as_what_it_is() {
        let table = [
            ("[::ffff:127.0.0.1]:80", Ok(())),
            ("[::ffff:169.254.169.254]:80", Err(Denied::LinkLocal)),
            ("[::ffff:0.0.0.0]:80", Err(Denied::Unspecified)),
            ("[::ffff:100.100.100.200]:80", Err(Denied::Metadata)),
            ("[64:ff9b::169.254.169.254]:80", Err(Denied::LinkLocal)),
            ("[64:ff9b::8.8.8.8]:80", Ok(())),
            ("[2002:a9fe:a9fe::1]:80", Err(Denied::LinkLocal)),
            ("[2002:808:808::1]:80", Ok(())),
            ("[::169.254.169.254]:80", Err(Denied::LinkLocal)),
        ];
        for (address, expected) in table {
            assert_eq!(check(address), expected, "{address}");
        }
    }

    #[test]
    fn the_coordinators_own_listener_is_refused_and_its_neighbours_are_not() {
        let policy = EgressPolicy::new(vec!["127.0.0.1:36789".parse().unwrap(), "[::1]:36789".parse().unwrap()]);
        let check = |address: &str| policy.check(address.parse().unwrap());
        assert_eq!(check("127.0.0.1:36789"), Err(Denied::OwnListener));
        assert_eq!(check("[::ffff:127.0.0.1]:36789"), Err(Denied::OwnListener));
        assert_eq!(check("[::1]:36789"), Err(Denied::OwnListener));
        assert_eq!(check("127.0.0.1:36790"), Ok(()));
        assert_eq!(check("10.0.0.1:36789"), Ok(()));
    }

    #[test]
    fn a_listener_on_every_address_is_refused_under_each_of_them() {
        let policy = EgressPolicy::new(vec!["0.0.0.0:36789".parse().unwrap()]);
        let check = |address: &str| policy.check(address.parse().unwrap());
        assert_eq!(check("127.0.0.1:36789"), Err(Denied::OwnListener));
        assert_eq!(check("127.0.0.2:36789"), Err(Denied::OwnListener));
        assert_eq!(check("127.0.0.1:80"), Ok(()));
        // TEST-NET-1 belongs to no machine.
        assert_eq!(check("192.0.2.1:36789"), Ok(()));
    }
}
