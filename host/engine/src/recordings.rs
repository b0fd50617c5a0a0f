//! Recorded calls of plugins: kept beside all other work, read by whoever may.
//!
//! Invariant: a recording stays only of what is loaded now and is to be recorded; one that cannot be kept holds nobody
//! up. Must not know: what is in a recording.

use crate::error::Error;
use crate::handle::Handle;
use hostler_model::Slug;
use hostler_plugin::{Origin, Recording};
use hostler_store::{NamespaceId, NewRecording, RecordingRow};
use tokio::sync::mpsc;
use tracing::warn;

impl Handle {
    /// Ends with the list of plugins.
    pub(crate) async fn keep_recordings(&self, mut recordings: mpsc::Receiver<Recording>) {
        while let Some(recording) = recordings.recv().await {
            let (name, plugins) = (recording.plugin.clone(), self.plugins().clone());
            let kept = self.chore(move |_, tx| {
                let Recording { plugin, digest, function, at, error, case } = &recording;
                let namespace = NamespaceId::DEFAULT;
                // What was installed, or set, while the call went on counts; who has gone leaves no recording.
                let loaded = plugins.get(plugin.as_str()).filter(|loaded| loaded.digest() == digest);
                let is_there = match tx.plugin(namespace, plugin)? {
                    Some(row) => row.digest == *digest,
                    None => loaded.as_ref().is_some_and(|loaded| !matches!(loaded.origin(), Origin::Kept(_))),
                };
                let kept_max = loaded.map_or(0, |loaded| loaded.limits().recorded_calls_max);
                if is_there && kept_max > 0 {
                    let (at, error) = (*at, error.as_deref());
                    tx.add_recording(NewRecording { namespace, plugin, digest, function, at, error, content: case })?;
                    tx.trim_recordings(namespace, plugin, kept_max)?;
                }
                Ok(())
            });
            if let Err(error) = kept.await {
                warn!("a recorded call of plugin {name} could not be kept: {error}");
            }
        }
    }

    /// The recorded calls of a plugin, newest first.
    pub async fn recordings(&self, namespace: &Slug, name: &Slug) -> Result<Vec<RecordingRow>, Error> {
        let (id, name) = (self.namespace(namespace).await?, name.clone());
        self.look(move |tx| tx.recordings(id, &name)).await
    }

    /// One recorded call, as a case in JSON.
    pub async fn recording(&self, namespace: &Slug, name: &Slug, recording: i64) -> Result<Option<String>, Error> {
        let (id, name) = (self.namespace(namespace).await?, name.clone());
        Ok(self.look(move |tx| tx.recording(id, &name, recording)).await?.map(|(_, content)| content))
    }
}
