//! What an operator writes to name an artifact in a registry: `host[:port]/repository[:tag][@sha256:…]`.
//!
//! Invariants: it names its registry and a tag, a digest, or both; no default is put in for what is missing, since a
//! guessed `latest` is something else tomorrow. Must not know: how a registry is asked.

use super::{Digest, DigestError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

const TAG_CHARACTERS_MAX: usize = 128;
const REPOSITORY_CHARACTERS_MAX: usize = 255;

/// Where an artifact is to be had. Written as it was given, without a leading `oci://`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("`{text}` is not a reference: {reason}; one looks like `registry.example/team/plugin:1.0`")]
pub struct ReferenceError {
    pub text: String,
    pub reason: String,
}

impl Reference {
    /// Host and port, as written.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    pub fn repository(&self) -> &str {
        &self.repository
    }

    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The same place, pinned.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// Registry and repository: what policies and credentials go by.
    pub fn place(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// What the registry is asked for: the digest where there is one.
    pub(super) fn version(&self) -> String {
        self.digest.map(|digest| digest.to_string()).or_else(|| self.tag.clone()).unwrap_or_default()
    }

    /// The registry is this machine.
    pub fn is_loopback(&self) -> bool {
        let host = match self.registry.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => self.registry.split(':').next().unwrap_or_default(),
        };
        let address = host.parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let fail = |reason: String| ReferenceError { text: text.chars().take(300).collect(), reason };
        parse(text.strip_prefix("oci://").unwrap_or(text)).map_err(fail)
    }
}

fn parse(text: &str) -> Result<Reference, String> {
    if text.contains("://") {
        return Err("it begins with a scheme, and is no address of a page".into());
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse().map_err(|error: DigestError| error.to_string())?)),
        None => (text, None),
    };
    let (registry, path) = rest.split_once('/').ok_or("it needs a registry and a repository")?;
    check_registry(registry)?;
    let (repository, tag) = match path.rsplit_once(':') {
        Some((repository, tag)) => (repository, Some(tag)),
        None => (path, None),
    };
    check_repository(repository)?;
    tag.map_or(Ok(()), check_tag)?;
    if tag.is_none() && digest.is_none() {
        return Err("it has neither tag nor digest, and none is guessed".into());
    }
    Ok(Reference { registry: registry.into(), repository: repository.into(), tag: tag.map(str::to_owned), digest })
}

/// `acme/plugin` has no registry: its first part is told from a host as Docker does it.
fn check_registry(registry: &str) -> Result<(), String> {
    let (host, port) = match registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, port.strip_prefix(':').or(Some(""))),
        None => registry.split_once(':').map_or((registry, None), |(host, port)| (host, Some(port))),
    };
    let is_six = registry.starts_with('[') && host.parse::<std::net::Ipv6Addr>().is_ok();
    let is_name = !host.is_empty()
        && host.split('.').all(|part| !part.is_empty() && !part.starts_with('-') && !part.ends_with('-'))
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    if !is_six && !is_name {
        return Err(format!("`{registry}` is not a host, or host and port"));
    }
    if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return Err(format!("`{registry}` has a port that is not one"));
    }
    if is_name && port.is_none() && !host.contains('.') && host != "localhost" {
        return Err(format!("it names no registry, `{registry}` is not a host"));
    }
    Ok(())
}

fn check_repository(repository: &str) -> Result<(), String> {
    let is_part = |part: &str| {
        let is_edge = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        is_edge(part.as_bytes().first()) && is_edge(part.as_bytes().last()) && part.bytes().all(is_inner)
    };
    if repository.len() > REPOSITORY_CHARACTERS_MAX {
        return Err(format!("its repository has more than {REPOSITORY_CHARACTERS_MAX} characters"));
    }
    if !repository.split('/').all(is_part) || repository.contains("..") {
        return Err(format!("`{repository}` is not a repository: parts of a-z, 0-9 and . _ - inside, with / between"));
    }
    Ok(())
}

fn check_tag(tag: &str) -> Result<(), String> {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_tag = tag.len() <= TAG_CHARACTERS_MAX
        && tag.bytes().all(is_inner)
        && tag.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_');
    if is_tag {
        Ok(())
    } else {
        Err(format!("`{tag}` is not a tag: up to {TAG_CHARACTERS_MAX} of letters, digits, . _ -"))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        self.tag.as_ref().map_or(Ok(()), |tag| write!(f, ":{tag}"))?;
        self.digest.map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn check(text: &str, expected: Result<(&str, &str, Option<&str>, bool), &str>) {
        match (text.parse::<Reference>(), expected) {
            (Ok(found), Ok((registry, repository, tag, is_pinned))) => {
                assert_eq!((found.registry(), found.repository(), found.tag()), (registry, repository, tag), "{text}");
                assert_eq!(found.digest().is_some(), is_pinned, "{text}");
                assert_eq!(found.to_string(), text.trim_start_matches("oci://"));
            }
            (Err(error), Err(words)) => {
                let message = error.to_string();
                assert!(message.contains(words) && message.contains("one looks like"), "{text}: {message}");
            }
            (found, _) => panic!("{text}: {found:?}"),
        }
    }

    #[test]
    fn a_reference_names_registry_repository_and_tag_or_digest() {
        check("ghcr.io/acme/plugin:1.0", Ok(("ghcr.io", "acme/plugin", Some("1.0"), false)));
        check("oci://localhost/p:1", Ok(("localhost", "p", Some("1"), false)));
        check("127.0.0.1:5000/a/b/c:x_Y.z-1", Ok(("127.0.0.1:5000", "a/b/c", Some("x_Y.z-1"), false)));
        check("[::1]:5000/a:1", Ok(("[::1]:5000", "a", Some("1"), false)));
        check(&format!("reg.example/a@{HEX}"), Ok(("reg.example", "a", None, true)));
        check(&format!("reg.example/a:1@{HEX}"), Ok(("reg.example", "a", Some("1"), true)));
    }

    #[test]
    fn what_is_wrong_with_a_reference_is_said() {
        check("", Err("needs a registry"));
        check("plugin:1.0", Err("needs a registry"));
        check("acme/plugin:1.0", Err("names no registry, `acme`"));
        check("ghcr.io/acme/plugin", Err("neither tag nor digest"));
        check("https://ghcr.io/acme/plugin:1", Err("begins with a scheme"));
        check("ghcr.io/Acme/plugin:1", Err("`Acme/plugin` is not a repository"));
        check("ghcr.io/../etc/passwd:1", Err("is not a repository"));
        check("ghcr.io/a..b:1", Err("is not a repository"));
        check("ghcr.io//a:1", Err("is not a repository"));
        check("ghcr.io/a:", Err("`` is not a tag"));
        check("ghcr.io/a:-x", Err("`-x` is not a tag"));
        check("ghcr.io:99999/a:1", Err("has a port"));
        check("ghcr.io:/a:1", Err("has a port"));
        check("[::1]x/a:1", Err("has a port"));
        check("gh cr.io/a:1", Err("is not a host"));
        check("user:word@ghcr.io/a:1", Err("is no digest"));
        check("ghcr.io/a@sha512:00", Err("is no digest"));
        check(&format!("ghcr.io/a@{}", HEX.to_uppercase().replace("SHA", "sha")), Err("is no digest"));
    }

    #[test]
    fn loopback_is_known_by_name_and_address() {
        let is_loopback = |text: &str| text.parse::<Reference>().expect("a reference").is_loopback();
        assert!(is_loopback("localhost:5000/a:1") && is_loopback("127.0.0.9/a:1") && is_loopback("[::1]:80/a:1"));
        assert!(!is_loopback("localhost.example/a:1") && !is_loopback("10.0.0.1/a:1"));
    }
}
