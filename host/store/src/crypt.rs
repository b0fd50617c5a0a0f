//! Encryption of what plugins keep: XChaCha20-Poly1305 with a random nonce, bound to the place where the value lies.
//!
//! A value moved to another key, scope, namespace or plugin does not decrypt, nor does one under another key file.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

const NONCE_BYTES: usize = 24;

pub(crate) const KEY_BYTES: usize = 32;

pub(crate) struct Cipher(XChaCha20Poly1305);

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
    pub(crate) fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self(XChaCha20Poly1305::new(&(*key).into()))
    }

    /// Nonce, then the sealed value.
    pub(crate) fn seal(&self, place: &[&str], value: &[u8]) -> Vec<u8> {
        let nonce = random::<NONCE_BYTES>();
        let place = place_bytes(place);
        let payload = Payload { msg: value, aad: &place };
        let sealed =
            self.0.encrypt(&XNonce::from(nonce), payload).expect("a value is far shorter than the cipher's limit");
        [nonce.as_slice(), &sealed].concat()
    }

    pub(crate) fn open(&self, place: &[&str], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let place = place_bytes(place);
        self.0.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: &place }).ok()
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
