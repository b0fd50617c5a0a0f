//! Who vouches for an artifact: the operator's rules, and what a signature must be to count.
//!
//! A signature is a bundle of sigstore (as cosign 3 writes them) beside the artifact: a statement "this is the artifact
//! with that digest", signed by a key, or by an identity whose certificate and log entry come with it. Invariants:
//! everything is decided from the bytes at hand and the operator's keys, no network is asked; a signature counts for
//! the digest in its signed statement and for no other, whatever lies around it; what cannot be checked does not count;
//! of several signatures one that counts is enough. Must not know: where bundles come from.

mod key;

pub use key::{KeyError, KeyPair, PublicKey};

use super::layout::{self, Annotations, Descriptor, Manifest};
use super::store::{Store, StoreError, index_entry};
use super::{Digest, Reference, Resolved};
use hostler_model::Kind;
use sigstore_verify::crypto::{KeyAlgorithm, verify_signature, verify_signature_prehashed};
use sigstore_verify::trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, TrustedRoot};
use sigstore_verify::types::{Bundle, DsseEnvelope, Sha256Hash, SignatureContent, Statement};
use sigstore_verify::{VerificationPolicy, Verifier};
use std::fmt;
use thiserror::Error;

const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";
/// Says "I sign this". The same key may make other statements about an artifact, a bad report among them.
const SIGNATURE_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";
const REASONS_MAX: usize = 5;
/// Whoever may push can add signatures; more than these are not looked at.
pub(super) const SIGNATURES_MAX: usize = 32;

/// What the operator asks of artifacts from some place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trust {
    /// Whatever is there.
    Any,
    /// A reference must say the digest.
    Digest,
    /// A signature by one of these keys.
    SignedBy(Vec<PublicKey>),
    /// A signature by this identity, as this authority for identities knows it, with certificate and log entry.
    Identity { identity: String, issuer: String },
}

/// The rule for all places that begin so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Registry, with or without a part of the repository. Whole parts only: `ghcr.io/acme` is not `ghcr.io/acme-evil`.
    pub prefix: String,
    pub trust: Trust,
}

/// The operator's rules. The longest prefix that fits decides.
#[derive(Clone, Debug)]
pub struct Policy {
    rules: Vec<Rule>,
    /// Where no rule fits.
    otherwise: Trust,
    root: TrustedRoot,
}

/// Who vouched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Signer {
    /// No signature was asked for, and none was looked at.
    Unasked,
    /// By the digest of the key.
    Key(Digest),
    Identity {
        identity: String,
        issuer: String,
    },
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unasked => f.write_str("none"),
            Self::Key(digest) => write!(f, "key {digest}"),
            Self::Identity { identity, issuer } => write!(f, "{identity} ({issuer})"),
        }
    }
}

/// Why an artifact is not let in.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Refusal {
    #[error("`{reference}` has no digest, and the rule for `{rule}` asks for one: write `{place}@sha256:…`", place = .reference.place())]
    NeedsDigest { reference: Box<Reference>, rule: String },
    #[error("`{reference}` ({digest}) is not signed, and the rule for `{rule}` asks for a signature by {wanted}")]
    Unsigned { reference: Box<Reference>, digest: Digest, rule: String, wanted: String },
    #[error("no signature of `{reference}` ({digest}) counts, and the rule for `{rule}` asks for one by {wanted}: {}", .reasons.join("; "))]
    NoneCounts { reference: Box<Reference>, digest: Digest, rule: String, wanted: String, reasons: Vec<String> },
}

impl Refusal {
    pub fn kind(&self) -> Kind {
        Kind::Denied
    }
}

#[derive(Debug, Error)]
#[error("the trust root for identities cannot be read: {reason}")]
pub struct TrustRootError {
    pub reason: String,
}

impl Policy {
    /// The trust root is sigstore's `trusted_root.json`; without one it is that of sigstore's public servers as this
    /// version of us knows it. Only identities need it.
    pub fn new(rules: Vec<Rule>, otherwise: Trust, trust_root: Option<&str>) -> Result<Self, TrustRootError> {
        let root = TrustedRoot::from_json(trust_root.unwrap_or(SIGSTORE_PRODUCTION_TRUSTED_ROOT));
        let root = root.map_err(|error| TrustRootError { reason: error.to_string() })?;
        Ok(Self { rules, otherwise, root })
    }

    /// The rule's prefix and what it asks.
    pub fn rule(&self, reference: &Reference) -> (&str, &Trust) {
        let place = reference.place();
        let fits = |rule: &&Rule| {
            let rest = place.strip_prefix(rule.prefix.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let rule = self.rules.iter().filter(fits).max_by_key(|rule| rule.prefix.trim_end_matches('/').len());
        rule.map_or(("all others", &self.otherwise), |rule| (rule.prefix.as_str(), &rule.trust))
    }

    /// What can be said before anything is fetched.
    pub fn check_reference(&self, reference: &Reference) -> Result<(), Refusal> {
        match self.rule(reference) {
            (rule, Trust::Digest) if reference.digest().is_none() => {
                Err(Refusal::NeedsDigest { reference: Box::new(reference.clone()), rule: rule.into() })
            }
            (_, Trust::Any | Trust::Digest | Trust::SignedBy(_) | Trust::Identity { .. }) => Ok(()),
        }
    }

    /// Whether the artifact with this manifest may come from there, given all bundles that lie beside it.
    pub fn check(&self, reference: &Reference, manifest: Digest, bundles: &[Vec<u8>]) -> Result<Signer, Refusal> {
        self.check_reference(reference)?;
        let (rule, trust) = self.rule(reference);
        let wanted = match trust {
            Trust::Any | Trust::Digest => return Ok(Signer::Unasked),
            Trust::SignedBy(keys) if keys.len() == 1 => format!("key {}", keys[0].digest()),
            Trust::SignedBy(keys) => format!("one of {} keys", keys.len()),
            Trust::Identity { identity, issuer } => format!("`{identity}` ({issuer})"),
        };
        let mut reasons = Vec::new();
        for bundle in bundles {
            match self.signer(trust, manifest, bundle) {
                Ok(signer) => return Ok(signer),
                Err(reason) => reasons.push(reason),
            }
        }
        let (reference, rule) = (Box::new(reference.clone()), rule.to_owned());
        if reasons.is_empty() {
            return Err(Refusal::Unsigned { reference, digest: manifest, rule, wanted });
        }
        reasons.truncate(REASONS_MAX);
        Err(Refusal::NoneCounts { reference, digest: manifest, rule, wanted, reasons })
    }

    fn signer(&self, trust: &Trust, manifest: Digest, bundle: &[u8]) -> Result<Signer, String> {
        let text = std::str::from_utf8(bundle).map_err(|_| "one is not text".to_owned())?;
        let bundle = Bundle::from_json(text).map_err(|error| format!("one cannot be read ({error})"))?;
        check_statement(&bundle.content, manifest)?;
        match trust {
            Trust::Any | Trust::Digest => Ok(Signer::Unasked),
            Trust::SignedBy(keys) => {
                let key = keys.iter().find(|key| is_by(&bundle.content, manifest, key));
                let key = key.ok_or("one was made with another key, or is altered")?;
                Ok(Signer::Key(key.digest()))
            }
            Trust::Identity { identity, issuer } => {
                let policy = VerificationPolicy::new(identity.as_str(), issuer.as_str());
                let verifier = Verifier::new(&self.root).map_err(|error| error.to_string())?;
                let checked = verifier.verify(hash_of(manifest), &bundle, &policy);
                checked.map_err(|error| format!("one does not count ({error})"))?;
                Ok(Signer::Identity { identity: identity.clone(), issuer: issuer.clone() })
            }
        }
    }
}

/// The signed bytes are about this manifest, and say that it is signed.
fn check_statement(content: &SignatureContent, manifest: Digest) -> Result<(), String> {
    match content {
        SignatureContent::DsseEnvelope(envelope) => {
            if envelope.payload_type != STATEMENT_TYPE {
                return Err("one holds something else than a statement".into());
            }
            let statement: Statement = serde_json::from_slice(envelope.payload.as_bytes())
                .map_err(|error| format!("the statement of one cannot be read ({error})"))?;
            if !statement.matches_sha256(&hash_of(manifest)) {
                return Err("one is of another artifact".into());
            }
            if statement.predicate_type != SIGNATURE_PREDICATE {
                let other: String = statement.predicate_type.chars().filter(|c| !c.is_control()).take(80).collect();
                return Err(format!("one is no signature but a statement of the type `{other}`"));
            }
            Ok(())
        }
        SignatureContent::MessageSignature(signature) => match &signature.message_digest {
            Some(told) if told.digest != hash_of(manifest) => Err("one is of another artifact".into()),
            Some(_) | None => Ok(()),
        },
        _ => Err("one is of a kind that we do not know".into()),
    }
}

fn is_by(content: &SignatureContent, manifest: Digest, key: &PublicKey) -> bool {
    let Ok(algorithm) = KeyAlgorithm::from_spki(key.der()) else { return false };
    let scheme = algorithm.default_signing_scheme();
    match content {
        SignatureContent::DsseEnvelope(DsseEnvelope { payload_type, payload, signature, .. }) => {
            let signed = sigstore_verify::types::pae(payload_type, payload.as_bytes());
            verify_signature(key.der(), &signed, &signature.sig, scheme).is_ok()
        }
        // Over the SHA-256 of the manifest, the one digest that we have.
        SignatureContent::MessageSignature(signature) => {
            verify_signature_prehashed(key.der(), hash_of(manifest).as_bytes(), &signature.signature, scheme).is_ok()
        }
        _ => false,
    }
}

fn hash_of(digest: Digest) -> Sha256Hash {
    Sha256Hash::new(digest.bytes())
}

/// What a signature is about: the manifest of an artifact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subject {
    descriptor: Descriptor,
}

impl Subject {
    pub fn digest(&self) -> Digest {
        self.descriptor.digest
    }
}

impl From<&Resolved> for Subject {
    fn from(resolved: &Resolved) -> Self {
        Self { descriptor: Descriptor::new(layout::MANIFEST_TYPE, resolved.manifest()) }
    }
}

/// A signature as it lies in a registry or in the store: an artifact that names another as its subject.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignatureFile {
    pub(super) subject: Digest,
    pub(super) manifest: Vec<u8>,
    pub(super) config: Vec<u8>,
    pub(super) bundle: Vec<u8>,
}

impl SignatureFile {
    fn new(subject: &Subject, bundle: Vec<u8>) -> Self {
        let annotations: Annotations = [
            ("dev.sigstore.bundle.content".into(), "dsse-envelope".into()),
            ("dev.sigstore.bundle.predicateType".into(), SIGNATURE_PREDICATE.into()),
        ]
        .into();
        let manifest = layout::to_json(&Manifest {
            schema_version: 2,
            media_type: layout::MANIFEST_TYPE.into(),
            artifact_type: Some(layout::SIGNATURE_TYPE.into()),
            config: Descriptor::new(layout::EMPTY_TYPE, layout::EMPTY),
            layers: vec![Descriptor::new(layout::SIGNATURE_TYPE, &bundle)],
            subject: Some(subject.descriptor.clone()),
            annotations: Some(annotations),
        });
        Self { subject: subject.digest(), manifest, config: layout::EMPTY.to_vec(), bundle }
    }

    /// The bundle itself, JSON.
    pub fn bundle(&self) -> &[u8] {
        &self.bundle
    }
}

impl Store {
    /// For signing what the store has.
    pub fn subject(&self, manifest: Digest) -> Result<Subject, StoreError> {
        let bytes = self.document(manifest)?;
        Ok(Subject { descriptor: Descriptor::new(layout::MANIFEST_TYPE, &bytes) })
    }

    /// Puts a signature beside what it signs.
    pub fn put_signature(&self, signature: &SignatureFile) -> Result<(), StoreError> {
        let blobs = [&signature.config, &signature.bundle, &signature.manifest].map(|blob| self.stage(blob));
        let blobs = blobs.into_iter().collect::<Result<Vec<_>, _>>()?;
        self.commit(blobs, vec![index_entry(&signature.manifest, None)])
    }

    /// The bundles of all signatures that lie beside a component. What they are worth says [`Policy::check`].
    pub fn signatures(&self, manifest: Digest) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut bundles = Vec::new();
        for entry in self.index()?.manifests {
            let Ok(found) = self.manifest(entry.digest) else { continue };
            let is_of = found.subject.as_ref().is_some_and(|subject| subject.digest == manifest);
            if let ([layer], true) = (found.layers.as_slice(), is_of && found.is_signature()) {
                bundles.push(self.document(layer.digest)?);
            }
            if bundles.len() == SIGNATURES_MAX {
                break;
            }
        }
        Ok(bundles)
    }
}
