//! Secrets and their key: set, forgotten, sealed anew. A value comes in here and goes out only to plugins that use it.
//!
//! Invariant: no event, log line or error holds a value.

use crate::error::Error;
use crate::handle::Handle;
use crate::plugins::event;
use hostler_model::{Actor, Duration, Problem, Slug, Timestamp};
use hostler_plugin::{SecretBytes, SecretReader};
use hostler_store::{NamespaceId, NewSecret, Resealing, SecretRow, Store};
use serde_json::json;
use tracing::{info, warn};

/// Bytes of a value.
pub const SECRET_BYTES_MAX: usize = 64 << 10;
/// Values sealed anew in one transaction.
const SLICE: u32 = 500;

impl Handle {
    /// `keep_old`: the value that counts now goes on counting for so long, so that a sender can be changed after us.
    pub async fn set_secret(
        &self,
        namespace: &Slug,
        name: Slug,
        value: SecretBytes,
        keep_old: Option<Duration>,
        actor: Actor,
    ) -> Result<u64, Error> {
        if value.is_empty() || value.len() > SECRET_BYTES_MAX {
            let message = format!("a secret has 1 to {SECRET_BYTES_MAX} bytes, this has {}", value.len());
            return Err(Error::Invalid { what: "secret", problems: Problem::new("", message).into() });
        }
        let namespace = self.namespace(namespace).await?;
        self.change(move |core, tx| {
            let now = core.wall;
            let keep_until = keep_old.map(|keep| now.plus(keep));
            let (name, value, actor) = (&name, value.as_slice(), &actor);
            let version = tx.set_secret(NewSecret { namespace, name, value, keep_until, actor, now })?;
            event(core, tx, namespace, "secret.set", actor, &json!({"secret": name, "version": version}))?;
            Ok(version)
        })
        .await
    }

    pub async fn delete_secret(&self, namespace: &Slug, name: Slug, actor: Actor) -> Result<(), Error> {
        let namespace = self.namespace(namespace).await?;
        self.change(move |core, tx| {
            if !tx.delete_secret(namespace, &name, core.wall)? {
                return Err(Error::UnknownSecret(name));
            }
            event(core, tx, namespace, "secret.deleted", &actor, &json!({"secret": name}))
        })
        .await
    }

    pub async fn secrets(&self, namespace: &Slug) -> Result<Vec<SecretRow>, Error> {
        let (namespace, now) = (self.namespace(namespace).await?, self.clock().wall());
        self.look(move |tx| tx.secrets(namespace, now)).await
    }

    /// Seals everything with a new key; answers how many values that were. What is cut off goes on at the next start.
    pub async fn rotate_key(&self, actor: Actor) -> Result<u64, Error> {
        let store = self.parts.store.clone();
        let begun = tokio::task::spawn_blocking(move || store.begin_key_rotation()).await;
        begun.map_err(|_| Error::Internal { message: "a rotation of the key failed in the code".into() })??;
        let sealed = self.reseal().await?;
        self.change(move |core, tx| {
            event(core, tx, NamespaceId::DEFAULT, "key.rotated", &actor, &json!({"values": sealed}))
        })
        .await?;
        Ok(sealed)
    }

    /// Seals what an older key sealed, in slices that hold up nobody, then drops the older keys.
    async fn reseal(&self) -> Result<u64, Error> {
        let mut at = Resealing::default();
        while !at.done {
            at = self
                .chore(move |_, tx| {
                    tx.reseal(&mut at, SLICE)?;
                    Ok(at)
                })
                .await?;
        }
        let store = self.parts.store.clone();
        let ended = tokio::task::spawn_blocking(move || store.end_key_rotation()).await;
        ended.map_err(|_| Error::Internal { message: "a rotation of the key failed in the code".into() })??;
        Ok(at.sealed)
    }

    /// Goes on with a rotation that the last host did not end.
    pub(crate) async fn resume_rotation(self) {
        if !self.parts.store.is_rotating_keys() {
            return;
        }
        match self.reseal().await {
            Ok(sealed) => info!("the rotation of the key that was cut off is done: {sealed} values sealed anew"),
            Err(error) => warn!("the rotation of the key goes on at the next start: {error}"),
        }
    }
}

/// What plugins' calls read secrets through.
pub fn reader(store: Store, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> SecretReader {
    SecretReader::new(move |namespace, name| {
        let now = clock();
        let read = store.read(|tx| match tx.namespace_by_name(namespace)? {
            Some(id) => tx.secret_values(id, name, now),
            None => Ok(Vec::new()),
        });
        read.map_err(|error| error.to_string())
    })
}
