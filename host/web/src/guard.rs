//! Keeps browsers on other sites out: which names this host answers to, and from where a page may call it.
//!
//! Invariants: a name that an attacker's resolver points at us (DNS rebinding) is refused, since it is not in the list;
//! a request that a browser makes for another site is refused before any route sees it. A token in no cookie does the
//! rest.

use crate::error::Error;
use axum::extract::Request;
use hostler_model::Kind;
use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Method};
use std::net::IpAddr;

/// Names and addresses under which this host may be called.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hosts {
    names: Vec<String>,
    addresses: Vec<IpAddr>,
    /// It listens on all addresses, so that any of them may be the one. A rebinding attack needs a name.
    any_address: bool,
}

impl Hosts {
    /// Loopback only.
    pub fn loopback() -> Self {
        Self { names: vec!["localhost".into()], ..Self::default() }
    }

    /// Loopback, the address that is listened on, and the names of the config (compared without regard to case).
    pub fn new(listen: IpAddr, names: &[String]) -> Self {
        let mut hosts = Self::loopback();
        hosts.names.extend(names.iter().map(|name| name.to_ascii_lowercase()));
        hosts.addresses.push(listen);
        hosts.any_address = listen.is_unspecified();
        hosts
    }

    /// `host` as in a Host header: a name, or an address, with or without a port.
    fn know(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        match name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(address) => address.is_loopback() || self.any_address || self.addresses.contains(&address),
            Err(_) => self.names.iter().any(|known| *known == name.trim_end_matches('.')),
        }
    }
}

fn without_port(host: &str) -> &str {
    if let Some(end) = host.strip_prefix('[').and_then(|rest| rest.find(']')) {
        return &host[..end + 2];
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

/// Is this request for us, and not made by a browser for another site?
pub(crate) fn check(hosts: &Hosts, request: &Request) -> Result<(), Error> {
    let host = host(request)?;
    if !hosts.know(&host) {
        let shown: String = host.chars().take(80).collect();
        return Err(Error::new(Kind::Denied, format!("this host does not answer to the name `{shown}`"))
            .hint("call it by its address, or add the name to `hosts` in the config"));
    }
    check_site(request.headers(), request.method(), &host)
}

fn host(request: &Request) -> Result<String, Error> {
    let mut values = request.headers().get_all(HOST).iter();
    let header = values.next().and_then(|value| value.to_str().ok());
    if values.next().is_some() {
        return Err(Error::invalid("the request has more than one `Host` header"));
    }
    // The absolute form names the host a second time; both must be known, and a proxy may rewrite only one.
    match (header, request.uri().authority()) {
        (Some(header), Some(authority)) if !authority.as_str().eq_ignore_ascii_case(header) => {
            Err(Error::invalid("the request's target and its `Host` header name two hosts"))
        }
        (Some(header), _) => Ok(header.to_owned()),
        (None, _) => Err(Error::invalid("the request has no `Host` header")),
    }
}

fn check_site(headers: &HeaderMap, method: &Method, host: &str) -> Result<(), Error> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let foreign = || {
        Error::new(Kind::Denied, "pages of other sites may not call this host")
            .hint("use the `hostler` command or another program that is no browser")
    };
    if let Some(origin) = headers.get(ORIGIN) {
        let own = ["http://", "https://"].iter().any(|scheme| {
            origin
                .to_str()
                .ok()
                .and_then(|origin| origin.strip_prefix(scheme))
                .is_some_and(|rest| rest.eq_ignore_ascii_case(host))
        });
        if !own {
            return Err(foreign());
        }
    }
    match text("sec-fetch-site") {
        None | Some("same-origin" | "none") => Ok(()),
        // Following a link to the reference page is no call: it reads a public page into a tab of its own.
        Some(_)
            if method == Method::GET
                && text("sec-fetch-mode") == Some("navigate")
                && text("sec-fetch-dest") == Some("document") =>
        {
            Ok(())
        }
        Some(_) => Err(foreign()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn answer(hosts: &Hosts, method: &str, headers: &[(&str, &str)]) -> Result<(), Kind> {
        let builder = http::Request::builder().method(method).uri("/api/v1/whoami");
        let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        check(hosts, &builder.body(Body::empty()).expect("a request")).map_err(|error| error.kind)
    }

    #[test]
    fn only_own_names_and_addresses_are_answered() {
        let hosts = Hosts::new("192.0.2.7".parse().expect("an address"), &["Build.example".into()]);
        for good in [
            "localhost",
            "localhost:7000",
            "127.0.0.1:7000",
            "127.9.9.9",
            "[::1]:7000",
            "192.0.2.7:80",
            "build.example",
            "BUILD.example.:7000",
        ] {
            assert_eq!(answer(&hosts, "GET", &[("host", good)]), Ok(()), "{good}");
        }
        for bad in
            ["evil.example", "localhost.evil.example", "192.0.2.8", "", "build.example.evil:7000", "[2001:db8::1]"]
        {
            assert_eq!(answer(&hosts, "GET", &[("host", bad)]), Err(Kind::Denied), "{bad}");
        }
        assert_eq!(answer(&hosts, "GET", &[]), Err(Kind::Invalid));
        assert_eq!(answer(&hosts, "GET", &[("host", "localhost"), ("host", "localhost")]), Err(Kind::Invalid));
        let any = Hosts::new("0.0.0.0".parse().expect("an address"), &[]);
        assert_eq!(answer(&any, "GET", &[("host", "192.0.2.8:7000")]), Ok(()));
        assert_eq!(answer(&any, "GET", &[("host", "evil.example:7000")]), Err(Kind::Denied));
    }

    #[test]
    fn a_page_of_another_site_can_call_nothing() {
        let hosts = Hosts::loopback();
        let with =
            |method, more: &[(&str, &str)]| answer(&hosts, method, &[&[("host", "localhost:7000")], more].concat());
        assert_eq!(with("POST", &[("origin", "http://localhost:7000"), ("sec-fetch-site", "same-origin")]), Ok(()));
        for origin in [
            "http://evil.example",
            "null",
            "http://localhost:7001",
            "http://localhost:7000.evil.example",
            "ftp://localhost:7000",
        ] {
            assert_eq!(with("POST", &[("origin", origin)]), Err(Kind::Denied), "{origin}");
        }
        for site in ["cross-site", "same-site", "anything"] {
            assert_eq!(with("GET", &[("sec-fetch-site", site)]), Err(Kind::Denied), "{site}");
        }
        let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        assert_eq!(with("GET", &link), Ok(()));
        assert_eq!(with("POST", &link), Err(Kind::Denied));
        assert_eq!(with("GET", &[("sec-fetch-site", "none")]), Ok(()));
    }
}
