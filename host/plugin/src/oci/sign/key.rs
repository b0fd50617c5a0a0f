//! Keys in PEM files, as openssl and cosign have them, and signing with one.
//!
//! Invariant: a private key is in no message. Must not know: what is signed, beyond its digest.

use super::{SIGNATURE_PREDICATE, STATEMENT_TYPE, SignatureFile, Subject, hash_of};
use crate::oci::Digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use sigstore_verify::bundle::{BundleV03, VerificationMaterialV03};
use sigstore_verify::crypto::{KeyAlgorithm, KeyPair as Signing};
use sigstore_verify::types::{DerPublicKey, DsseEnvelope, DsseSignature, KeyId, PayloadBytes, SignatureContent, pae};
use std::fmt;
use thiserror::Error;

const PUBLIC: &str = "PUBLIC KEY";
const PRIVATE: &str = "PRIVATE KEY";

#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum KeyError {
    #[error("it is not a PEM file: {reason}")]
    NotPem { reason: String },
    #[error("it holds {found}, and a public key (`PUBLIC KEY`) is needed")]
    NotPublic { found: String },
    #[error(
        "it holds {found}, and a private key (`PRIVATE KEY`, PKCS #8 without a password) is needed; `openssl pkcs8 -topk8 -nocrypt` makes one of others"
    )]
    NotPrivate { found: String },
    #[error("the key is of a kind that is not known here: {reason}")]
    Unknown { reason: String },
    #[error("no key can be made: {reason}")]
    NotMade { reason: String },
}

/// A key that signatures are held against.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(DerPublicKey);

impl PublicKey {
    /// All keys of a PEM file; at least one.
    pub fn read_all(text: &str) -> Result<Vec<Self>, KeyError> {
        let blocks = pem::parse_many(text).map_err(|error| KeyError::NotPem { reason: error.to_string() })?;
        if blocks.is_empty() {
            return Err(KeyError::NotPublic { found: "no key".into() });
        }
        blocks.into_iter().map(Self::read).collect()
    }

    fn read(block: pem::Pem) -> Result<Self, KeyError> {
        if block.tag() != PUBLIC {
            return Err(KeyError::NotPublic { found: format!("`{}`", block.tag()) });
        }
        let der = DerPublicKey::new(block.into_contents());
        KeyAlgorithm::from_spki(&der).map_err(|error| KeyError::Unknown { reason: error.to_string() })?;
        Ok(Self(der))
    }

    pub(super) fn der(&self) -> &DerPublicKey {
        &self.0
    }

    /// Of the key itself, as signers name it.
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    pub fn to_pem(&self) -> String {
        encode(PUBLIC, self.0.as_bytes())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.digest())
    }
}

fn encode(tag: &str, der: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(tag, der), config)
}

/// A key that signs: ECDSA on P-256, which is what cosign makes and takes.
pub struct KeyPair {
    signing: Signing,
    public: PublicKey,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({})", self.public.digest())
    }
}

impl KeyPair {
    /// A new key, and the PEM text to keep it in.
    pub fn generate() -> Result<(Self, String), KeyError> {
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
        let made = made.map_err(|error| KeyError::NotMade { reason: error.to_string() })?;
        Ok((Self::of(made.as_ref())?, encode(PRIVATE, made.as_ref())))
    }

    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let block = pem::parse(text).map_err(|error| KeyError::NotPem { reason: error.to_string() })?;
        if block.tag() != PRIVATE {
            return Err(KeyError::NotPrivate { found: format!("`{}`", block.tag()) });
        }
        Self::of(block.contents())
    }

    fn of(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let unknown = |error: &dyn fmt::Display| KeyError::Unknown {
            reason: format!(
                "{error}; ECDSA on P-256 is: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`"
            ),
        };
        let signing = Signing::from_pkcs8_der(pkcs8).map_err(|error| unknown(&error))?;
        let public = signing.public_key_der().map_err(|error| unknown(&error))?;
        Ok(Self { signing, public: PublicKey(public) })
    }

    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A signature of an artifact, to be put beside it.
    pub fn sign(&self, subject: &Subject) -> Result<SignatureFile, KeyError> {
        let statement = serde_json::json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"digest": {"sha256": hash_of(subject.digest()).to_hex()}}],
            "predicateType": SIGNATURE_PREDICATE,
            "predicate": {},
        });
        let payload = statement.to_string().into_bytes();
        let signature = self.signing.sign(&pae(STATEMENT_TYPE, &payload));
        let signature = signature.map_err(|error| KeyError::NotMade { reason: error.to_string() })?;
        let signature = DsseSignature::new(signature, KeyId::default());
        let envelope = DsseEnvelope::new(STATEMENT_TYPE, PayloadBytes::from_bytes(&payload), signature);
        // Tells whoever has many keys which one to try.
        let hint = STANDARD.encode(Sha256::digest(self.public.0.as_bytes()));
        let material = VerificationMaterialV03::PublicKey { hint };
        let bundle = BundleV03::new(material, SignatureContent::DsseEnvelope(envelope)).into_bundle();
        let text = bundle.to_json().map_err(|error| KeyError::NotMade { reason: error.to_string() })?;
        Ok(SignatureFile::new(subject, text.into_bytes()))
    }
}
