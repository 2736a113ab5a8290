//! Which address a request comes from: the peer's, or what a trusted proxy says of it.
//!
//! `X-Forwarded-For` is read from its end, for each proxy adds whom it heard from, and only as long
//! as those who say it are trusted: what stands before may have been written by anybody.

use std::net::IpAddr;
use std::str::FromStr;

use http::HeaderMap;

/// A proxy's address, or a network of them: `192.0.2.1`, `10.0.0.0/8`, `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    /// How many bits of the address count.
    bits: u32,
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address = address.parse::<IpAddr>().map_err(|_| "not an address or network")?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(all), str::parse).map_err(|_| "not an address or network")?;
        if bits > all { Err("more bits than an address has") } else { Ok(Self { address, bits }) }
    }
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let differing = ours.to_bits() ^ theirs.to_bits();
                differing.leading_zeros() >= self.bits
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let differing = ours.to_bits() ^ theirs.to_bits();
                differing.leading_zeros() >= self.bits
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// The address that a request from `peer` is counted for.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, proxies: &[Network]) -> IpAddr {
    let trusted = |address: IpAddr| proxies.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    if !trusted(client) {
        // The usual case, without a look at the headers.
        return client;
    }
    let said = headers.get_all("x-forwarded-for").iter().rev();
    let mut said = said.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
    while trusted(client) {
        // What cannot be read is as good as nothing, and then the proxy itself is counted.
        let Some(before) = said.next().and_then(|text| text.trim().parse::<IpAddr>().ok()) else {
            break;
        };
        client = before.to_canonical();
    }
    client
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_network_is_an_address_and_some_bits() {
        let network = |text: &str| text.parse::<Network>();
        let ten = network("10.0.0.0/8").expect("a network");
        let (inside, outside) = ("10.255.0.1", "11.0.0.0");
        assert!(ten.contains(inside.parse().expect("an address")));
        assert!(!ten.contains(outside.parse().expect("an address")));
        assert!(!ten.contains("::ffff:a00:1".parse().expect("an address")));
        let all = network("0.0.0.0/0").expect("a network");
        assert!(all.contains("203.0.113.7".parse().expect("an address")));
        let one = network("2001:db8::1").expect("a network");
        assert!(one.contains("2001:db8::1".parse().expect("an address")));
        assert!(!one.contains("2001:db8::2".parse().expect("an address")));
        for bad in ["", "proxy", "10.0.0.0/33", "10.0.0.0/x", "2001:db8::/129", "10.0.0.0/"] {
            assert!(network(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let proxies: Vec<Network> =
            ["127.0.0.1", "10.0.0.0/8"].map(|text| text.parse().expect("a network")).into();
        let table: [(&str, &[&'static str], &str); 9] = [
            ("198.51.100.1", &[], "198.51.100.1"),
            ("198.51.100.1", &["203.0.113.7"], "198.51.100.1"),
            ("127.0.0.1", &["203.0.113.7"], "203.0.113.7"),
            ("127.0.0.1", &["192.0.2.66, 203.0.113.7, 10.1.2.3"], "203.0.113.7"),
            ("127.0.0.1", &["192.0.2.66", "203.0.113.7"], "203.0.113.7"),
            ("::ffff:127.0.0.1", &["2001:db8::7"], "2001:db8::7"),
            ("127.0.0.1", &[], "127.0.0.1"),
            ("127.0.0.1", &["nonsense"], "127.0.0.1"),
            ("127.0.0.1", &["203.0.113.7, nonsense"], "127.0.0.1"),
        ];
        for (peer, values, expected) in table {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-forwarded-for", HeaderValue::from_static(value));
            }
            let client = client(peer.parse().expect("an address"), &headers, &proxies);
            assert_eq!(client.to_string(), expected, "{peer} {values:?}");
        }
    }
}
