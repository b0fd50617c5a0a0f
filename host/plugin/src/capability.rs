//! What a plugin asks for beyond log and config, and what an operator grants of it.
//!
//! Invariant: what is not asked for cannot be granted, and what is not granted is refused. A right is looked up in each
//! list apart (manifest, grants, subscription) and needs all of them; no list is ever made out of two.
//! Must not know: addresses, secrets' values, who is asked.

use crate::Manifest;
use crate::target::{Target, UrlPattern};
use hostler_model::{Problem, Problems, Slug};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// One line of a manifest's `capabilities`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Capability {
    /// Requests to these addresses.
    Http {
        /// Why the plugin needs it, for the operator who is asked.
        reason: String,
        urls: Vec<UrlPattern>,
        /// Empty: all.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        methods: Vec<String>,
    },
    /// Use of a secret, under the plugin's own name for it.
    Secret {
        reason: String,
        secret: Slug,
        uses: Vec<Use>,
        /// Where a credential may go; only for uses that attach one.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        urls: Vec<UrlPattern>,
    },
    /// A durable memory.
    Kv { reason: String },
}

/// What may be done with a secret: written `verify:hmac-sha256`, `sign:ed25519`, `equals`, `reveal`, `bearer`, `basic`,
/// `header:x-api-key`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Use {
    Verify(Algorithm),
    Sign(Algorithm),
    Equals,
    Reveal,
    /// `Authorization: Bearer VALUE`.
    Bearer,
    /// `Authorization: Basic` of the value, which is `user:password`.
    Basic,
    /// The value as this header, in lower case.
    Header(String),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Algorithm {
    HmacSha256,
    /// Verifies only: some senders have nothing better.
    HmacSha1,
    Ed25519,
    /// Signs only.
    RsaPkcs1Sha256,
}

impl Algorithm {
    const ALL: [Self; 4] = [Self::HmacSha256, Self::HmacSha1, Self::Ed25519, Self::RsaPkcs1Sha256];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha1 => "hmac-sha1",
            Self::Ed25519 => "ed25519",
            Self::RsaPkcs1Sha256 => "rsa-pkcs1-sha256",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }
}

impl Use {
    pub fn parse(text: &str) -> Result<Self, String> {
        let algorithm = |name: &str| Algorithm::parse(name).ok_or_else(|| format!("`{name}` is no known algorithm"));
        match text.split_once(':') {
            Some(("verify", "rsa-pkcs1-sha256")) => Err("rsa-pkcs1-sha256 can only sign".into()),
            Some(("verify", name)) => algorithm(name).map(Self::Verify),
            Some(("sign", "hmac-sha1")) => Err("hmac-sha1 can only verify".into()),
            Some(("sign", name)) => algorithm(name).map(Self::Sign),
            Some(("header", name)) if is_header(name) => Ok(Self::Header(name.to_ascii_lowercase())),
            None if text == "equals" => Ok(Self::Equals),
            None if text == "reveal" => Ok(Self::Reveal),
            None if text == "bearer" => Ok(Self::Bearer),
            None if text == "basic" => Ok(Self::Basic),
            _ => Err(format!(
                "`{text}` is no use of a secret; there are verify:ALGORITHM, sign:ALGORITHM, equals, reveal, bearer, basic and header:NAME"
            )),
        }
    }

    /// Whether it puts the value into a request.
    pub const fn is_credential(&self) -> bool {
        matches!(self, Self::Bearer | Self::Basic | Self::Header(_))
    }
}

/// A name that a credential may have: no header that says where a request goes or how long it is.
fn is_header(name: &str) -> bool {
    let token = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let lower = name.to_ascii_lowercase();
    let ours = ["host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "cookie"];
    !name.is_empty() && name.len() <= 64 && token && !ours.contains(&lower.as_str())
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verify(algorithm) => write!(f, "verify:{}", algorithm.as_str()),
            Self::Sign(algorithm) => write!(f, "sign:{}", algorithm.as_str()),
            Self::Equals => f.write_str("equals"),
            Self::Reveal => f.write_str("reveal"),
            Self::Bearer => f.write_str("bearer"),
            Self::Basic => f.write_str("basic"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

impl TryFrom<String> for Use {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Use> for String {
    fn from(this: Use) -> Self {
        this.to_string()
    }
}

impl Capability {
    pub fn reason(&self) -> &str {
        match self {
            Self::Http { reason, .. } | Self::Secret { reason, .. } | Self::Kv { reason } => reason,
        }
    }

    /// The host's interface behind it.
    pub const fn interface(&self) -> &'static str {
        match self {
            Self::Http { .. } => "hostler:host/http",
            Self::Secret { .. } => "hostler:host/secrets",
            Self::Kv { .. } => "hostler:host/kv",
        }
    }
}

/// One line for a person who decides.
impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { urls, methods, .. } => {
                let methods = if methods.is_empty() { "any method".into() } else { methods.join(", ") };
                write!(f, "http: {methods} to {}", list(urls))
            }
            Self::Secret { secret, uses, urls, .. } => {
                write!(f, "secret {secret}: {}", list(uses))?;
                if urls.is_empty() { Ok(()) } else { write!(f, ", in requests to {}", list(urls)) }
            }
            Self::Kv { .. } => f.write_str("kv: a memory of its own"),
        }
    }
}

fn list(items: &[impl fmt::Display]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What an operator has granted to one digest. The default grants nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grants {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpGrant>,
    /// By the plugin's own name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<Slug, SecretGrant>,
    #[serde(default)]
    pub kv: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpGrant {
    pub url: UrlPattern,
    /// Empty: all that the manifest asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Also where the name stands for an address of this machine or of a private network.
    #[serde(default)]
    pub private: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretGrant {
    /// The stored secret's name.
    pub secret: Slug,
    pub uses: Vec<Use>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<UrlPattern>,
}

/// What one subscription leaves of the grants; absent parts narrow nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Narrowing {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Vec<UrlPattern>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Vec<Slug>>,
}

impl Narrowing {
    pub fn is_empty(&self) -> bool {
        self.http.is_none() && self.secrets.is_none()
    }
}

impl Grants {
    /// All that the manifest asks for; each secret is looked for under the plugin's own name for it.
    pub fn all(manifest: &Manifest) -> Self {
        let mut grants = Self::default();
        for capability in &manifest.capabilities {
            grants.add(capability);
        }
        grants
    }

    pub fn add(&mut self, capability: &Capability) {
        match capability {
            Capability::Http { urls, methods, .. } => {
                let grant = |url: &UrlPattern| HttpGrant { url: url.clone(), methods: methods.clone(), private: false };
                self.http.extend(urls.iter().map(grant));
            }
            Capability::Secret { secret, uses, urls, .. } => {
                let grant = SecretGrant { secret: secret.clone(), uses: uses.clone(), urls: urls.clone() };
                self.secrets.insert(secret.clone(), grant);
            }
            Capability::Kv { .. } => self.kv = true,
        }
    }

    /// Leaves out what this manifest does not ask for.
    pub fn narrow(&mut self, manifest: &Manifest) {
        let wants = Wants(&manifest.capabilities);
        if !wants.0.iter().any(|want| matches!(want, Capability::Http { .. })) {
            self.http.clear();
        }
        self.kv &= wants.kv();
        self.secrets.retain(|name, grant| match wants.secret(name) {
            Some((uses, _)) => {
                grant.uses.retain(|granted| uses.contains(granted));
                true
            }
            None => false,
        });
    }

    /// What is granted but was never asked for: a mistake of the person who grants, or of another version.
    pub fn check(&self, manifest: &Manifest) -> Result<(), Problems> {
        let wants = Wants(&manifest.capabilities);
        let mut problems = Vec::new();
        if !self.http.is_empty() && !wants.0.iter().any(|want| matches!(want, Capability::Http { .. })) {
            problems.push(Problem::new("/http", "the plugin asks for no HTTP"));
        }
        if self.kv && !wants.kv() {
            problems.push(Problem::new("/kv", "the plugin asks for no memory"));
        }
        for (name, grant) in &self.secrets {
            match wants.secret(name) {
                None => problems.push(Problem::new(format!("/secrets/{name}"), "the plugin asks for no such secret")),
                Some((uses, _)) => {
                    problems.extend(grant.uses.iter().filter(|granted| !uses.contains(granted)).map(|granted| {
                        Problem::new(
                            format!("/secrets/{name}/uses"),
                            format!("the plugin does not ask for `{granted}`"),
                        )
                    }));
                }
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
    }

    /// What the manifest asks for and this does not give, in words.
    pub fn missing(&self, manifest: &Manifest) -> Vec<String> {
        let granted = |capability: &&Capability| match capability {
            Capability::Http { urls, .. } => urls.iter().all(|url| self.http.iter().any(|grant| grant.url.covers(url))),
            Capability::Secret { secret, uses, .. } => {
                self.secrets.get(secret).is_some_and(|grant| uses.iter().all(|one| grant.uses.contains(one)))
            }
            Capability::Kv { .. } => self.kv,
        };
        manifest.capabilities.iter().filter(|capability| !granted(capability)).map(ToString::to_string).collect()
    }
}

/// The manifest's side.
pub(crate) struct Wants<'a>(pub(crate) &'a [Capability]);

impl<'a> Wants<'a> {
    pub(crate) fn kv(&self) -> bool {
        self.0.iter().any(|want| matches!(want, Capability::Kv { .. }))
    }

    pub(crate) fn http(&self, method: &str, target: &Target) -> bool {
        self.0.iter().any(|want| match want {
            Capability::Http { urls, methods, .. } => {
                allows(methods, method) && urls.iter().any(|url| url.matches(target))
            }
            Capability::Secret { .. } | Capability::Kv { .. } => false,
        })
    }

    pub(crate) fn secret(&self, name: &Slug) -> Option<(&'a [Use], &'a [UrlPattern])> {
        self.0.iter().find_map(|want| match want {
            Capability::Secret { secret, uses, urls, .. } if secret == name => Some((&uses[..], &urls[..])),
            Capability::Secret { .. } | Capability::Http { .. } | Capability::Kv { .. } => None,
        })
    }
}

pub(crate) fn allows(methods: &[String], method: &str) -> bool {
    methods.is_empty() || methods.iter().any(|one| one.eq_ignore_ascii_case(method))
}
