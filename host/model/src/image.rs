//! The name of an image as Docker's reference grammar has it: `[registry/]path[:tag][@digest]`.
//!
//! Invariants: what is one here is one to every engine; two writings of the same reference may differ. Must not know:
//! which registry stands behind a name, engines.

use serde::{Deserialize, Serialize};
use std::fmt;

const NAME_BYTES_MAX: usize = 255;

#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ImageName(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{shown}` is not the name of an image: {why}")]
pub struct Invalid {
    shown: String,
    why: &'static str,
}

impl ImageName {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match check(text) {
            Ok(()) => Ok(Self(text.into())),
            Err(why) => Err(Invalid { shown: text.chars().take(80).collect(), why }),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where it would be pulled from, as credentials are filed: `docker.io` where the name says nothing.
    pub fn registry(&self) -> &str {
        split_registry(&self.0).0.unwrap_or("docker.io")
    }

    /// What to ask an engine for: without a tag or digest it would fetch every tag there is.
    pub fn with_tag(&self) -> String {
        let path = split_registry(&self.0).1;
        if path.contains([':', '@']) { self.0.clone() } else { format!("{}:latest", self.0) }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The part before the first `/` is a registry when it cannot be a folder of the default one.
fn split_registry(text: &str) -> (Option<&str>, &str) {
    match text.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':']) || first == "localhost" || first.contains(char::is_uppercase) =>
        {
            (Some(first), rest)
        }
        Some(_) | None => (None, text),
    }
}

fn check(text: &str) -> Result<(), &'static str> {
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return Err("what follows `@` is no digest such as sha256:… with 64 digits");
    }
    let (registry, rest) = split_registry(name);
    let (path, tag) = match rest.split_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (rest, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err("its tag is not 1 to 128 letters, digits, `_`, `-` and `.`");
    }
    if registry.is_some_and(|registry| !is_registry(registry)) {
        return Err("its registry is not a host name with an optional port");
    }
    if name.len() > NAME_BYTES_MAX {
        return Err("it is longer than 255 characters");
    }
    if path.split('/').all(is_component) {
        return Ok(());
    }
    Err(match path.contains(char::is_uppercase) {
        true => "it must be written in lower case",
        false => "its parts are lower-case letters and digits, with single `.`, `_`, `__` or dashes between them",
    })
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(']') || !port.is_empty() => (host, Some(port)),
        Some(_) | None => (text, None),
    };
    let label = |label: &str| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !label.is_empty() && label.chars().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    let is_ipv6 = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|host| !host.is_empty() && host.chars().all(|c| c.is_ascii_hexdigit() || c == ':'));
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    (is_ipv6 || host.split('.').all(label)) && port.is_none_or(is_port)
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends_well = text.starts_with(is_word) && text.ends_with(is_word);
    let between =
        |separator: &str| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-');
    ends_well && text.split(is_word).all(between)
}

fn is_tag(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= 128 && text.starts_with(word) && text.chars().all(|c| word(c) || matches!(c, '.' | '-'))
}

fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    let is_algorithm = algorithm.starts_with(|c: char| c.is_ascii_alphabetic())
        && algorithm.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '_' | '-'));
    let lengths = if algorithm == "sha256" { 64..=64 } else { 32..=256 };
    is_algorithm && lengths.contains(&hex.len()) && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images_are_told_from_what_is_none() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for good in [
            "busybox",
            "busybox:1",
            "acme/publish:4.0-rc_1",
            "localhost/a",
            "localhost:5000/a/b__c/d.e-f--g:Tag",
            "registry.example.com/x",
            "[::1]:5000/x:1",
            &format!("busybox@{digest}"),
            &format!("example.com:443/busybox:1@{digest}"),
        ] {
            assert!(ImageName::parse(good).is_ok(), "{good}");
        }
        let long = "a".repeat(300);
        for (bad, why) in [
            ("", "its parts"),
            ("Busybox", "lower case"),
            ("a//b", "its parts"),
            ("a b", "its parts"),
            ("-a", "its parts"),
            ("a..b", "its parts"),
            ("a:", "its tag"),
            ("a:b:c", "its tag"),
            ("a:ä", "its tag"),
            ("a@sha256:12", "no digest"),
            ("exa_mple.com/a", "its registry"),
            ("example.com:x/a", "its registry"),
            ("https://example.com/a", "its registry"),
            ("${params.image}", "its parts"),
            (&long, "longer"),
        ] {
            let said = ImageName::parse(bad).expect_err(bad).to_string();
            assert!(said.contains(why), "{bad}: {said}");
        }
    }

    #[test]
    fn registry_and_tag_are_what_an_engine_takes_them_for() {
        let read = |text| {
            let name = ImageName::parse(text).expect("good");
            (name.registry().to_owned(), name.with_tag())
        };
        assert_eq!(read("acme/x"), ("docker.io".into(), "acme/x:latest".into()));
        assert_eq!(read("localhost:5000/x"), ("localhost:5000".into(), "localhost:5000/x:latest".into()));
        assert_eq!(read("example.com/x:2"), ("example.com".into(), "example.com/x:2".into()));
    }
}
