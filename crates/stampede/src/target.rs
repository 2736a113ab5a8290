//! Whom the crowd goes to: an address that was given, and whether it is this machine.

use std::net::{IpAddr, SocketAddr};

/// A box office, by its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port; 80 when the URL has none.
    pub port: u16,
}

impl Target {
    /// Reads `http://HOST[:PORT]`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, String> {
        if url.starts_with("https://") {
            return Err("A crowd speaks http:// only: point it at the box office itself, not at \
                the balancer in front of it that ends TLS."
                .to_owned());
        }
        let wrong = || format!("{url:?} is not http://HOST:PORT.");
        let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (host, port) = bracketed.split_once(']').ok_or_else(wrong)?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
                (host, port.strip_prefix(':').or_else(|| port.is_empty().then_some("80")))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, Some("80")),
            },
        };
        let port = port.and_then(|port| port.parse().ok()).ok_or_else(wrong)?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_name) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }

    /// What a request's `Host` says.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Whether all that a name leads to is this machine. One address that is not is enough to be asked
/// whose it is.
#[must_use]
pub fn is_this_machine(addresses: &[SocketAddr]) -> bool {
    let is_loopback = |address: &SocketAddr| match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => ip.is_loopback(),
            None => ip.is_loopback(),
        },
    };
    !addresses.is_empty() && addresses.iter().all(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_and_a_port() {
        let table = [
            ("http://127.0.0.1:8080", "127.0.0.1", 8080, "127.0.0.1:8080"),
            ("http://localhost:8080/", "localhost", 8080, "localhost:8080"),
            ("http://tickets.example", "tickets.example", 80, "tickets.example:80"),
            ("http://[::1]:8080", "::1", 8080, "[::1]:8080"),
            ("http://[::1]", "::1", 80, "[::1]:80"),
        ];
        for (url, host, port, authority) in table {
            let target = Target::parse(url).unwrap();
            assert_eq!((&*target.host, target.port), (host, port), "{url}");
            assert_eq!(target.authority(), authority);
        }
        for url in [
            "127.0.0.1:8080",
            "http://",
            "http://:80",
            "http://a:b",
            "http://a:70000",
            "http://a/b",
            "http://a b",
            "http://u@a",
            "http://[::1",
            "http://[x]:1",
            "http://[::1]80",
            "ftp://a",
        ] {
            assert!(Target::parse(url).unwrap_err().contains("http://HOST:PORT"), "{url}");
        }
        assert!(Target::parse("https://tickets.example").unwrap_err().contains("http:// only"));
    }

    #[test]
    fn this_machine_is_loopback_and_nothing_else() {
        let all = |addresses: &[&str]| {
            let addresses: Vec<_> =
                addresses.iter().map(|address| address.parse().unwrap()).collect();
            is_this_machine(&addresses)
        };
        assert!(all(&["127.0.0.1:80"]));
        assert!(all(&["127.9.9.9:80", "[::1]:80", "[::ffff:127.0.0.1]:80"]));
        assert!(!all(&[]));
        assert!(!all(&["127.0.0.1:80", "192.0.2.1:80"]));
        assert!(!all(&["0.0.0.0:80"]));
        assert!(!all(&["[::ffff:192.0.2.1]:80"]));
    }
}
