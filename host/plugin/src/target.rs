//! Where a request goes, and patterns of such places: scheme, host, port and the beginning of a path.
//!
//! A pattern is written as a URL: `https://api.example.com/v1/`, `https://*.example.com/`, `https://*/` (any host),
//! `https://*:*/` (any host and port). It matches one scheme; its path matches whole segments. Invariant: a target has
//! been through the URL parser, so what is compared is what is sent.

use serde::{Deserialize, Serialize};
use std::fmt;
use url::Url;

const URL_BYTES_MAX: usize = 8 << 10;

/// Where one request goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    url: Url,
}

impl Target {
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > URL_BYTES_MAX {
            return Err(format!("a URL may have {URL_BYTES_MAX} bytes, this has {}", text.len()));
        }
        let url = Url::parse(text).map_err(|error| format!("`{text}` is no URL: {error}"))?;
        Self::from_url(url)
    }

    fn from_url(url: Url) -> Result<Self, String> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("`{}` is no http or https URL", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a URL may hold no user or password; name a credential".into());
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err("the URL has no host".into());
        }
        let mut url = url;
        url.set_fragment(None);
        // A path that an other side may decode into another one is none of ours: `/a/%2e%2e/b`.
        let lower = url.path().to_ascii_lowercase();
        if lower.contains("%2e") || lower.contains("%2f") || lower.contains("%5c") {
            return Err("a path may not hold an encoded slash, backslash or dot".into());
        }
        Ok(Self { url })
    }

    /// Where a redirect leads from here.
    pub(crate) fn join(&self, location: &str) -> Result<Self, String> {
        let url =
            self.url.join(location).map_err(|error| format!("the redirect to `{location}` is no URL: {error}"))?;
        Self::from_url(url)
    }

    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// An address that stands in the URL itself.
    pub(crate) fn literal(&self) -> Option<std::net::IpAddr> {
        match self.url.host()? {
            url::Host::Ipv4(address) => Some(address.into()),
            url::Host::Ipv6(address) => Some(address.into()),
            url::Host::Domain(_) => None,
        }
    }

    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(443)
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }

    pub(crate) fn same_origin(&self, other: &Self) -> bool {
        self.url.origin() == other.url.origin()
    }

    pub(crate) fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// What stands in the request line: path and query.
    pub(crate) fn path_and_query(&self) -> String {
        let query = self.url.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{query}", self.url.path())
    }

    /// Host with the port where it is not the scheme's own, as the `host` header has it.
    pub(crate) fn authority(&self) -> String {
        match self.url.port() {
            Some(port) => format!("{}:{port}", self.host()),
            None => self.host().into(),
        }
    }

    /// For people and logs: without the query, which may hold what is nobody's business.
    pub fn shown(&self) -> String {
        format!("{}://{}{}", self.url.scheme(), self.authority(), self.url.path())
    }
}

/// Places that are granted together.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UrlPattern {
    scheme: String,
    host: Host,
    /// None: any.
    port: Option<u16>,
    path: String,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Host {
    Any,
    /// All below this domain, not the domain itself.
    Below(String),
    Exactly(String),
}

const WILD: &str = "wildcard-of-hostler";

impl UrlPattern {
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            |why: String| format!("`{text}` is no URL pattern: {why}; one looks like https://api.example.com/v1/");
        // The parser knows no star in a host, so a name stands in for it.
        let spelled = text.replacen("://*", &format!("://{WILD}"), 1);
        // Nor one in place of a port.
        let (front, any_port) = match spelled.split_once("://").and_then(|(_, rest)| rest.split_once(":*")) {
            Some((_, rest)) if rest.is_empty() || rest.starts_with('/') => (spelled.replacen(":*", "", 1), true),
            Some(_) | None => (spelled, false),
        };
        let spelled = front;
        let target = Target::parse(&spelled).map_err(|why| wrong(why.replace(WILD, "*")))?;
        if target.url.query().is_some() {
            return Err(wrong("it may have no query".into()));
        }
        let host = match target.host().strip_prefix(WILD) {
            None => Host::Exactly(target.host().into()),
            Some("") => Host::Any,
            Some(below) => match below.strip_prefix('.') {
                Some(domain) if !domain.is_empty() => Host::Below(domain.into()),
                _ => return Err(wrong("a star stands for a whole label".into())),
            },
        };
        if text.matches('*').count() > usize::from(!matches!(host, Host::Exactly(_))) + usize::from(any_port) {
            return Err(wrong("a star may stand at the beginning of the host and for the port".into()));
        }
        let (scheme, port) = (target.url.scheme().to_owned(), (!any_port).then(|| target.port()));
        Ok(Self { scheme, host, port, path: target.url.path().into() })
    }

    /// All paths of the place where this target is.
    pub(crate) fn origin_of(target: &Target) -> Self {
        let scheme = target.url.scheme().to_owned();
        Self { scheme, host: Host::Exactly(target.host().into()), port: Some(target.port()), path: "/".into() }
    }

    pub fn matches(&self, target: &Target) -> bool {
        let host = match &self.host {
            Host::Any => true,
            Host::Exactly(host) => host == target.host(),
            Host::Below(domain) => below(target.host(), domain),
        };
        let port = self.port.is_none_or(|port| port == target.port());
        host && port && self.scheme == target.url.scheme() && self.holds(target.url.path())
    }

    /// Whether each target of the other is one of this.
    pub fn covers(&self, other: &Self) -> bool {
        let host = match (&self.host, &other.host) {
            (Host::Any, _) => true,
            (Host::Below(domain), Host::Exactly(host)) => below(host, domain),
            (Host::Below(domain), Host::Below(inner)) => inner == domain || below(inner, domain),
            (Host::Exactly(one), Host::Exactly(two)) => one == two,
            (Host::Exactly(_) | Host::Below(_), Host::Any) | (Host::Exactly(_), Host::Below(_)) => false,
        };
        let port = self.port.is_none() || self.port == other.port;
        host && port && self.scheme == other.scheme && self.holds(&other.path)
    }

    /// Whether the pattern names this one host, spelled as an address or a name.
    pub(crate) fn names(&self, host: &str) -> bool {
        matches!(&self.host, Host::Exactly(named) if named == host)
    }

    fn holds(&self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix(&self.path) else { return false };
        rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/')
    }
}

fn below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
}

impl fmt::Display for UrlPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match &self.host {
            Host::Any => "*".into(),
            Host::Below(domain) => format!("*.{domain}"),
            Host::Exactly(host) => host.clone(),
        };
        let own = if self.scheme == "https" { 443 } else { 80 };
        let port = match self.port {
            None => ":*".into(),
            Some(port) if port == own => String::new(),
            Some(port) => format!(":{port}"),
        };
        write!(f, "{}://{host}{port}{}", self.scheme, self.path)
    }
}

impl TryFrom<String> for UrlPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<UrlPattern> for String {
    fn from(this: UrlPattern) -> Self {
        this.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, target: &str) -> bool {
        UrlPattern::parse(pattern).expect(pattern).matches(&Target::parse(target).expect(target))
    }

    #[test]
    fn a_pattern_matches_scheme_host_port_and_whole_segments() {
        assert!(matches("https://api.example.com/v1/", "https://api.example.com/v1/users?x=1"));
        assert!(matches("https://api.example.com/v1", "https://API.example.com:443/v1/users"));
        assert!(!matches("https://api.example.com/v1", "https://api.example.com/v10"));
        assert!(!matches("https://api.example.com/", "http://api.example.com/"));
        assert!(!matches("https://api.example.com/", "https://api.example.com:8443/"));
        assert!(!matches("https://api.example.com/v1/", "https://api.example.com/v1/../admin"));
        assert!(matches("https://*.example.com/", "https://a.b.example.com/"));
        assert!(!matches("https://*.example.com/", "https://example.com/"));
        assert!(!matches("https://*.example.com/", "https://evilexample.com/"));
        assert!(matches("http://*:8080/", "http://10.0.0.1:8080/x"));
        assert!(matches("http://*:*/", "http://10.0.0.1:1234/x"));
        assert!(matches("http://127.0.0.1:*/a", "http://127.0.0.1:1234/a/b"));
        assert!(!matches("https://*:*/", "http://10.0.0.1:1234/x"));
        // Other spellings of an address are that address.
        assert!(matches("http://127.0.0.1/", "http://2130706433/"));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for text in ["https://u:p@example.com/", "ftp://example.com/", "https://", "https://example.com/a%2f..%2fb"] {
            Target::parse(text).expect_err(text);
        }
        for text in [
            "https://*x.example.com/",
            "https://a.*.com/",
            "https://example.com/?q=1",
            "example.com",
            "https://*.*.x/",
            "https://a:*b/",
        ] {
            UrlPattern::parse(text).expect_err(text);
        }
    }

    #[test]
    fn a_pattern_covers_what_lies_within_it_and_reads_as_it_was_written() {
        let covers = |one: &str, two: &str| UrlPattern::parse(one).unwrap().covers(&UrlPattern::parse(two).unwrap());
        assert!(covers("https://*/", "https://api.example.com/v1/"));
        assert!(covers("https://*.example.com/", "https://api.example.com/"));
        assert!(covers("https://api.example.com/", "https://api.example.com/v1"));
        assert!(!covers("https://api.example.com/v1/", "https://api.example.com/"));
        assert!(!covers("https://api.example.com/", "https://*.example.com/"));
        for text in ["https://api.example.com/v1/", "https://*.example.com:8443/", "http://*/", "https://*:*/"] {
            assert_eq!(UrlPattern::parse(text).expect(text).to_string(), text);
        }
    }
}
