//! Where the host listens, and whether it may: other machines can reach it only by an explicit word.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The port that is taken unless told.
pub(crate) const PORT: u16 = 7367;

/// An address to listen on; loopback unless told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listen {
    pub address: SocketAddr,
    /// Other machines may reach the host without encryption: everyone on the way can read the token.
    pub insecure_bind: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    #[error(
        "`{0}` is no address to listen on; write an IP address and a port, such as `127.0.0.1:{PORT}` or `[::1]:{PORT}`"
    )]
    Form(String),
    #[error(
        "`{0}` can be reached by other machines, and the host speaks no TLS: everyone on the way could read the token; \
         listen on `127.0.0.1:{port}` behind a proxy that speaks TLS, or say that this is meant with `--insecure-bind`",
        port = .0.port()
    )]
    NotLoopback(SocketAddr),
}

impl Default for Listen {
    fn default() -> Self {
        Self { address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT), insecure_bind: false }
    }
}

impl Listen {
    /// An address with a port, an address alone, `localhost`, or `:PORT` for loopback. Port 0 lets the system choose.
    pub fn parse(text: &str) -> Result<Self, ListenError> {
        let text = text.trim();
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        let form = || ListenError::Form(text.chars().take(80).collect());
        let port = |text: &str| text.parse::<u16>().map_err(|_| form());
        let address = if let Ok(address) = text.parse::<SocketAddr>() {
            address
        } else if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            SocketAddr::new(ip, PORT)
        } else if text == "localhost" {
            SocketAddr::new(loopback, PORT)
        } else if let Some(rest) = text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':')) {
            SocketAddr::new(loopback, port(rest)?)
        } else {
            return Err(form());
        };
        Ok(Self { address, insecure_bind: false })
    }

    #[must_use]
    pub fn insecure_bind(mut self, meant: bool) -> Self {
        self.insecure_bind = meant;
        self
    }

    pub fn check(&self) -> Result<(), ListenError> {
        if self.address.ip().is_loopback() || self.insecure_bind {
            return Ok(());
        }
        Err(ListenError::NotLoopback(self.address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_the_forms_that_people_write() {
        let read = |text| Listen::parse(text).map(|listen| listen.address.to_string()).map_err(|_| ());
        assert_eq!(read("127.0.0.1:80"), Ok("127.0.0.1:80".into()));
        assert_eq!(read("[::1]:80"), Ok("[::1]:80".into()));
        assert_eq!(read("::1"), Ok("[::1]:7367".into()));
        assert_eq!(read("localhost"), Ok("127.0.0.1:7367".into()));
        assert_eq!(read(":0"), Ok("127.0.0.1:0".into()));
        for bad in ["", "host.example:80", "127.0.0.1:99999", "http://127.0.0.1", ":", "256.1.1.1"] {
            assert_eq!(read(bad), Err(()), "{bad:?}");
        }
    }

    #[test]
    fn an_address_that_others_can_reach_needs_the_explicit_word() {
        for (text, meant, fine) in [
            ("127.0.0.1:1", false, true),
            ("127.1.2.3:1", false, true),
            ("[::1]:1", false, true),
            ("0.0.0.0:1", false, false),
            ("[::]:1", false, false),
            ("192.0.2.1:1", false, false),
            ("0.0.0.0:1", true, true),
        ] {
            let listen = Listen::parse(text).expect("an address").insecure_bind(meant);
            assert_eq!(listen.check().is_ok(), fine, "{text} {meant}");
        }
    }
}
