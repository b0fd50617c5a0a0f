//! `hostler:builder/files` and `hostler:renderer/templates`: files that the caller of a guest lets it see.

use super::Guest;
use crate::bindings::hostler::builder::files;
use crate::bindings::hostler::plugin::types::Refusal;
use crate::bindings::hostler::renderer::templates;
use std::fmt;
use std::sync::Arc;

/// Why a file is not given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FileRefusal {
    Missing(String),
    Limit(String),
    Unreadable(String),
}

impl From<FileRefusal> for Refusal {
    fn from(this: FileRefusal) -> Self {
        match this {
            FileRefusal::Missing(message) => Self::Missing(message),
            FileRefusal::Limit(message) => Self::Limit(message),
            FileRefusal::Unreadable(message) => Self::Unreachable(message),
        }
    }
}

type Paths = dyn Fn() -> Result<Vec<String>, FileRefusal> + Send + Sync;
type Read = dyn Fn(&str) -> Result<Vec<u8>, FileRefusal> + Send + Sync;

/// What a guest sees of files: names, and what is in one. Both functions may block.
#[derive(Clone)]
pub struct Files {
    paths: Arc<Paths>,
    read: Arc<Read>,
}

impl Files {
    /// `paths()` answers all names in order of bytes; `read(name)` what is in one of them.
    pub fn new(
        paths: impl Fn() -> Result<Vec<String>, FileRefusal> + Send + Sync + 'static,
        read: impl Fn(&str) -> Result<Vec<u8>, FileRefusal> + Send + Sync + 'static,
    ) -> Self {
        Self { paths: Arc::new(paths), read: Arc::new(read) }
    }

    /// These and no others.
    pub fn of(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let files: Arc<std::collections::BTreeMap<_, _>> = Arc::new(files.into_iter().collect());
        let named = files.clone();
        let missing = |path: &str| FileRefusal::Missing(format!("there is no `{path}`"));
        Self::new(
            move || Ok(named.keys().cloned().collect()),
            move |path| files.get(path).cloned().ok_or_else(|| missing(path)),
        )
    }
}

impl Files {
    /// What is in one of them. May block.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, FileRefusal> {
        (self.read)(path)
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Files")
    }
}

impl Guest {
    async fn file_names(&mut self) -> Result<Vec<String>, Refusal> {
        let Some(files) = self.files.clone() else { return Ok(Vec::new()) };
        let paths = blocking(move || (files.paths)()).await?;
        self.tape.paths(&paths);
        Ok(paths)
    }

    async fn file(&mut self, path: String) -> Result<Vec<u8>, Refusal> {
        let Some(files) = self.files.clone() else {
            return Err(Refusal::Missing("this call sees no files".into()));
        };
        let wanted = path.clone();
        let bytes = blocking(move || (files.read)(&wanted)).await?;
        self.tape.file(&path, &bytes);
        Ok(bytes)
    }
}

async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, FileRefusal> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(act).await;
    done.map_err(|error| Refusal::Unreachable(error.to_string()))?.map_err(Refusal::from)
}

impl files::Host for Guest {
    async fn paths(&mut self) -> Result<Vec<String>, Refusal> {
        self.file_names().await
    }

    async fn read(&mut self, path: String) -> Result<Vec<u8>, Refusal> {
        self.file(path).await
    }
}

impl templates::Host for Guest {
    async fn paths(&mut self, prefix: String) -> Result<Vec<String>, Refusal> {
        let mut names = self.file_names().await?;
        names.retain(|name| name.starts_with(&prefix));
        Ok(names)
    }

    async fn read(&mut self, path: String) -> Result<Vec<u8>, Refusal> {
        self.file(path).await
    }
}
