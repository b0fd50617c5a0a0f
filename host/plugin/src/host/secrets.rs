//! `hostler:host/secrets`: what is done with a secret for a guest, which does not see it.
//!
//! Invariants: comparisons take the same time whatever is compared; a value leaves here only by `reveal`, where the
//! grant says so, or inside a request to where the grant lets it go.

use super::Guest;
use crate::bindings::hostler::host::secrets::{Host, Part};
use crate::bindings::hostler::plugin::types::Refusal;
use crate::capability::{Algorithm, Use};
use crate::cases;
use crate::reach::SecretBytes;
use crate::target::Target;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey};
use aws_lc_rs::{digest, hmac, rand};
use base64::Engine;
use hostler_model::Slug;
use http::{HeaderName, HeaderValue};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};

/// Uses as they stand on a tape.
const VERIFY: &str = "verify";
const SIGN: &str = "sign";
const EQUALS: &str = "equals";
const CREDENTIAL: &str = "credential";

impl Host for Guest {
    async fn verify(
        &mut self,
        name: String,
        algorithm: String,
        message: Vec<Part>,
        signature: Vec<u8>,
    ) -> Result<bool, Refusal> {
        let algorithm = known(&algorithm)?;
        let what = format!("verify {} with", algorithm.as_str());
        let stored = self.may_use(&name, &|one| *one == Use::Verify(algorithm), &what)?;
        let message = self.message(message)?;
        if let Some(answer) = self.tape.played(VERIFY, &name) {
            return Ok(answer == true);
        }
        let mut right = false;
        for value in &self.values(stored).await? {
            right |= verify(algorithm, value, &message, &signature)?;
        }
        self.tape.secret(VERIFY, &name, || right.into());
        Ok(right)
    }

    async fn sign(&mut self, name: String, algorithm: String, message: Vec<Part>) -> Result<Vec<u8>, Refusal> {
        let algorithm = known(&algorithm)?;
        let what = format!("sign {} with", algorithm.as_str());
        let stored = self.may_use(&name, &|one| *one == Use::Sign(algorithm), &what)?;
        let message = self.message(message)?;
        if let Some(answer) = self.tape.played(SIGN, &name) {
            return cases::bytes(answer).map_err(Refusal::Denied);
        }
        let signature = sign(algorithm, newest(&self.values(stored).await?, &name)?, &message)?;
        self.tape.secret(SIGN, &name, || cases::shown(&signature));
        Ok(signature)
    }

    async fn equals(&mut self, name: String, value: Vec<u8>) -> Result<bool, Refusal> {
        let stored = self.may_use(&name, &|one| *one == Use::Equals, "compare with")?;
        if let Some(answer) = self.tape.played(EQUALS, &name) {
            return Ok(answer == true);
        }
        let values = self.values(stored.clone()).await?;
        // Digests have one length, so that not even the secret's length shows.
        let digest_of = |bytes: &[u8]| digest::digest(&digest::SHA256, bytes);
        let shown = digest_of(&value);
        let equal = |one: &SecretBytes| verify_slices_are_equal(digest_of(one).as_ref(), shown.as_ref()).is_ok();
        let right = values.iter().fold(false, |found, one| equal(one) | found);
        self.tape.secret(EQUALS, &name, || right.into());
        if right {
            self.tape.shows(&stored, &value);
        }
        Ok(right)
    }

    async fn reveal(&mut self, name: String) -> Result<Vec<u8>, Refusal> {
        let stored = self.may_use(&name, &|one| *one == Use::Reveal, "read the value of")?;
        let values = self.values(stored.clone()).await?;
        let value = newest(&values, &name)?;
        self.tape.shows(&stored, value);
        Ok(value.to_vec())
    }
}

impl Guest {
    /// Notes a refusal for whoever looks at the call.
    pub(super) fn refused<T>(&mut self, answer: Result<T, String>) -> Result<T, Refusal> {
        answer.map_err(|message| {
            self.denials.add(&message);
            Refusal::Denied(message)
        })
    }

    /// The stored name behind the plugin's own, where this use is granted.
    fn may_use(&mut self, name: &str, wanted: &(dyn Fn(&Use) -> bool + Sync), what: &str) -> Result<Slug, Refusal> {
        let stored = self.reach.secret(name, wanted, what).map(|(_, grant)| grant.secret.clone());
        self.refused(stored)
    }

    async fn values(&mut self, stored: Slug) -> Result<Vec<SecretBytes>, Refusal> {
        let (reader, namespace) = (self.reach.services.secrets.clone(), self.reach.namespace.clone());
        let Some(namespace) = namespace else { return Err(Refusal::Denied("this call reaches nothing".into())) };
        let missing = format!("there is no secret `{stored}` (`hostler secret set {stored}`)");
        let read = tokio::task::spawn_blocking(move || reader.read(&namespace, &stored)).await;
        let values = read.map_err(|error| Refusal::Unreachable(error.to_string()))?.map_err(Refusal::Unreachable)?;
        if values.is_empty() { Err(Refusal::Missing(missing)) } else { Ok(values) }
    }

    fn message(&self, parts: Vec<Part>) -> Result<Vec<u8>, Refusal> {
        let mut message = Vec::new();
        for part in parts {
            match part {
                Part::Bytes(bytes) => message.extend_from_slice(&bytes),
                Part::RequestBody => match &self.body {
                    Some(body) => message.extend_from_slice(body),
                    None => return Err(Refusal::Missing("this call has no request body".into())),
                },
            }
        }
        Ok(message)
    }
}

/// The header that carries the secret, where it may go to this target.
pub(super) async fn credential(
    guest: &mut Guest,
    name: &str,
    target: &Target,
) -> Result<(HeaderName, HeaderValue), Refusal> {
    let found = guest.reach.secret(name, &Use::is_credential, "attach to a request");
    let found = found.and_then(|(one, grant)| {
        let slug = Slug::parse(name).map_err(|error| error.to_string())?;
        let may = guest.reach.credential_may_go(&slug, grant, target);
        let plugin = &guest.reach.plugin;
        let refused = format!("plugin `{plugin}` may not send secret `{name}` to {}: not granted", target.shown());
        if may { Ok((one, grant.secret.clone())) } else { Err(refused) }
    });
    let (how, stored) = guest.refused(found)?;
    let values = match guest.tape.played(CREDENTIAL, name) {
        Some(_) => vec![SecretBytes::new(b"left-out".to_vec())],
        None => guest.values(stored).await?,
    };
    guest.tape.secret(CREDENTIAL, name, || true.into());
    let value = newest(&values, name)?;
    let (header, text) = match how {
        Use::Basic => {
            let encoded = base64::engine::general_purpose::STANDARD.encode(value);
            (http::header::AUTHORIZATION, format!("Basic {encoded}").into_bytes())
        }
        Use::Header(name) => {
            let name = HeaderName::from_bytes(name.as_bytes());
            (name.map_err(|_| Refusal::Denied("its header has no good name".into()))?, value.to_vec())
        }
        Use::Bearer | Use::Verify(_) | Use::Sign(_) | Use::Equals | Use::Reveal => {
            (http::header::AUTHORIZATION, [b"Bearer ".as_slice(), value].concat())
        }
    };
    // Never with the value in the message.
    let broken = |_| Refusal::Denied(format!("the value of secret `{name}` cannot stand in a header"));
    let mut value = HeaderValue::from_bytes(&text).map_err(broken)?;
    value.set_sensitive(true);
    Ok((header, value))
}

fn newest<'a>(values: &'a [SecretBytes], name: &str) -> Result<&'a [u8], Refusal> {
    values.first().map(AsRef::as_ref).ok_or_else(|| Refusal::Missing(format!("secret `{name}` has no value")))
}

fn known(algorithm: &str) -> Result<Algorithm, Refusal> {
    let unknown = || Refusal::Denied(format!("`{algorithm}` is no algorithm of this host"));
    Algorithm::parse(algorithm).ok_or_else(unknown)
}

fn verify(algorithm: Algorithm, secret: &[u8], message: &[u8], signature: &[u8]) -> Result<bool, Refusal> {
    Ok(match algorithm {
        Algorithm::HmacSha256 => hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret), message, signature).is_ok(),
        Algorithm::HmacSha1 => {
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
            hmac::verify(&key, message, signature).is_ok()
        }
        Algorithm::Ed25519 => {
            let key = ed25519_public(secret)?;
            UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
        }
        Algorithm::RsaPkcs1Sha256 => return Err(Refusal::Denied("rsa-pkcs1-sha256 can only sign".into())),
    })
}

fn sign(algorithm: Algorithm, secret: &[u8], message: &[u8]) -> Result<Vec<u8>, Refusal> {
    match algorithm {
        Algorithm::HmacSha256 => Ok(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec()),
        Algorithm::HmacSha1 => Err(Refusal::Denied("hmac-sha1 can only verify".into())),
        Algorithm::Ed25519 => Ok(ed25519_pair(secret)?.sign(message).as_ref().to_vec()),
        Algorithm::RsaPkcs1Sha256 => {
            let der = PrivatePkcs8KeyDer::from_pem_slice(secret).map_err(|_| no_key("a private key, PKCS#8 in PEM"))?;
            let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| no_key("an RSA key"))?;
            let mut signature = vec![0; pair.public_modulus_len()];
            let signed = pair.sign(&RSA_PKCS1_SHA256, &rand::SystemRandom::new(), message, &mut signature);
            signed.map(|()| signature).map_err(|_| no_key("an RSA key that can sign"))
        }
    }
}

fn ed25519_pair(secret: &[u8]) -> Result<Ed25519KeyPair, Refusal> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(secret).map_err(|_| no_key("a private key, PKCS#8 in PEM"))?;
    let der = der.secret_pkcs8_der();
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| no_key("an Ed25519 key"))
}

/// The public key of a PEM that holds it, or of one that holds the private key.
fn ed25519_public(secret: &[u8]) -> Result<Vec<u8>, Refusal> {
    use aws_lc_rs::signature::KeyPair;
    if let Ok(public) = SubjectPublicKeyInfoDer::from_pem_slice(secret) {
        // The key is the last 32 bytes of its one form (RFC 8410).
        let bytes: &[u8] = public.as_ref();
        let key = bytes.len().checked_sub(32).and_then(|at| bytes.get(at..));
        return key.map(<[u8]>::to_vec).ok_or_else(|| no_key("an Ed25519 key"));
    }
    Ok(ed25519_pair(secret)?.public_key().as_ref().to_vec())
}

fn no_key(wanted: &str) -> Refusal {
    Refusal::Denied(format!("the stored secret is not {wanted}"))
}
