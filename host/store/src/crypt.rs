//! Encryption of what plugins keep and of secrets: XChaCha20-Poly1305 with a random nonce, bound to the place where the
//! value lies.
//!
//! A value moved to another key, scope, namespace or plugin does not decrypt, nor does one under a key that is not in
//! the ring. The first key of the ring seals; the others open what was sealed before a rotation.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

const NONCE_BYTES: usize = 24;

pub(crate) const KEY_BYTES: usize = 32;

/// Keys, the current one first.
pub(crate) type Ring = Zeroizing<Vec<[u8; KEY_BYTES]>>;

pub(crate) struct Cipher {
    /// Never empty; the first one is current.
    keys: Vec<XChaCha20Poly1305>,
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher")
    }
}

/// Random bytes of the system; a system without them cannot run a host.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

impl Cipher {
    pub(crate) fn new(ring: &[[u8; KEY_BYTES]]) -> Self {
        Self { keys: ring.iter().map(|key| XChaCha20Poly1305::new(&(*key).into())).collect() }
    }

    /// Whether older keys are still needed.
    pub(crate) fn is_rotating(&self) -> bool {
        self.keys.len() > 1
    }

    /// Nonce, then the sealed value.
    pub(crate) fn seal(&self, place: &[&str], value: &[u8]) -> Vec<u8> {
        let nonce = random::<NONCE_BYTES>();
        let place = place_bytes(place);
        let payload = Payload { msg: value, aad: &place };
        let sealed = self.keys[0].encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.expect("a value is far shorter than the cipher's limit");
        [nonce.as_slice(), &sealed].concat()
    }

    pub(crate) fn open(&self, place: &[&str], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.open_with(place, sealed).map(|(value, _)| value)
    }

    /// What the value must be sealed as anew, where an older key sealed it. The outer None: no key opens it.
    pub(crate) fn reseal(&self, place: &[&str], sealed: &[u8]) -> Option<Option<Vec<u8>>> {
        let (value, key) = self.open_with(place, sealed)?;
        Some((key > 0).then(|| self.seal(place, &value)))
    }

    fn open_with(&self, place: &[&str], sealed: &[u8]) -> Option<(Zeroizing<Vec<u8>>, usize)> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let place = place_bytes(place);
        let open = |(at, key): (usize, &XChaCha20Poly1305)| {
            let value = key.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: &place });
            value.ok().map(|value| (Zeroizing::new(value), at))
        };
        self.keys.iter().enumerate().find_map(open)
    }
}

/// Lengths go before the parts, so that two places never read the same.
fn place_bytes(parts: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}
