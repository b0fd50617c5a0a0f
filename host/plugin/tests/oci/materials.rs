//! Components to store and to send, made of a few bytes: valid, each another.

use hostler_plugin::oci::registry::OnProgress;
use hostler_plugin::oci::{Digest, Facts, Progress, Reference, RegistryConfig, Store};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const COMPONENT_BYTES_MAX: u64 = 1 << 20;

/// An empty component with a custom section that makes it another one.
pub(crate) fn component(word: &str) -> Vec<u8> {
    sized_component(word, 0)
}

/// The same, with at least so many bytes.
pub(crate) fn sized_component(word: &str, bytes: usize) -> Vec<u8> {
    let mut content = vec![u8::try_from(word.len()).expect("a short word")];
    content.extend(word.as_bytes());
    content.resize(content.len() + bytes, b'.');
    let mut component = vec![0, b'a', b's', b'm', 0x0d, 0, 1, 0, 0];
    component.extend(leb(content.len()));
    component.extend(content);
    component
}

fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

pub(crate) fn facts(name: &str) -> Facts {
    Facts { name: name.into(), version: "1.0.0".into(), summary: format!("What {name} does") }
}

pub(crate) fn store(dir: &Path) -> Store {
    Store::open(&dir.join("plugins"), COMPONENT_BYTES_MAX).expect("the store opens")
}

pub(crate) fn hex(digest: Digest) -> String {
    digest.to_string().trim_start_matches("sha256:").to_owned()
}

/// With waits that fit a test.
pub(crate) fn quick() -> RegistryConfig {
    RegistryConfig {
        connect_timeout: Duration::from_secs(5),
        read_timeout: Duration::from_secs(5),
        time_max: Duration::from_secs(20),
        attempts_max: 3,
        retry_wait: Duration::from_millis(1),
        ..RegistryConfig::default()
    }
}

pub(crate) fn silent() -> OnProgress {
    Arc::new(|_| {})
}

pub(crate) fn reference(text: &str) -> Reference {
    text.parse().expect("a reference")
}

/// What was told of a transfer.
pub(crate) fn heard() -> (OnProgress, Arc<Mutex<Vec<Progress>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    (Arc::new(move |progress| heard.lock().expect("no panic").push(progress)), told)
}
