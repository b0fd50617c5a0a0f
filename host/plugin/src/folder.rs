//! The files that a builder sees: those below one folder that its manifest's patterns allow, and the one that a person
//! named.
//!
//! Invariants: nothing outside of the folder is read, whatever links lie in it; only regular files are read, and no
//! more of them than the limits say. Must not know: what a builder makes of them.

use crate::pattern::matches;
use crate::{FileRefusal, Files};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// How much of a folder one build may see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FolderLimits {
    /// Files and folders that are looked at for a list of paths.
    pub entries_max: usize,
    /// Bytes of one file.
    pub file_bytes_max: u64,
    /// Bytes of all files together, each as often as it is read.
    pub bytes_max: u64,
}

/// A folder as one build sees it.
pub struct Folder {
    pub root: PathBuf,
    /// As manifests write them; none: only the entry is seen.
    pub patterns: Vec<String>,
    pub limits: FolderLimits,
}

impl Folder {
    /// The files of the folder, and the one that was named: its name, and its bytes, which need not come from below.
    pub fn files(self, entry: Option<(String, Vec<u8>)>) -> Files {
        let folder = Arc::new(Seen { folder: self, entry, given: Mutex::default() });
        let listed = folder.clone();
        Files::new(move || listed.paths(), move |path| folder.read(path))
    }

    fn allows(&self, path: &str) -> bool {
        self.patterns.iter().any(|pattern| matches(pattern, path))
    }

    /// One file below the folder, links followed only as far as they stay in it.
    fn read(&self, path: &str) -> Result<Vec<u8>, FileRefusal> {
        let missing = || FileRefusal::Missing(format!("there is no `{path}` below the folder of the named file"));
        let is_plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
        if !path.split('/').all(is_plain) {
            let form = "a path is relative to the folder of the named file, with slashes, without `.` and `..`";
            return Err(FileRefusal::Missing(format!("`{path}`: {form}")));
        }
        if !self.allows(path) {
            return Err(FileRefusal::Missing(format!("the builder's manifest does not ask for `{path}`")));
        }
        let unreadable = |error: &io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => missing(),
            _ => FileRefusal::Unreadable(format!("`{path}` cannot be read: {error}")),
        };
        let root = self.root.canonicalize().map_err(|error| unreadable(&error))?;
        let found = root.join(path).canonicalize().map_err(|error| unreadable(&error))?;
        if !found.starts_with(&root) {
            return Err(FileRefusal::Missing(format!("`{path}` leads out of the folder of the named file")));
        }
        // Looked at before it is opened: to open a pipe would wait for whoever writes into it.
        if !found.metadata().map_err(|error| unreadable(&error))?.is_file() {
            return Err(FileRefusal::Missing(format!("`{path}` is no regular file")));
        }
        let limit = self.limits.file_bytes_max;
        let mut bytes = Vec::new();
        let read = File::open(&found).and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes));
        read.map_err(|error| unreadable(&error))?;
        if bytes.len() as u64 > limit {
            return Err(FileRefusal::Limit(format!(
                "`{path}` is larger than {limit} bytes (raise `build.file_bytes`)"
            )));
        }
        Ok(bytes)
    }
}

struct Seen {
    folder: Folder,
    entry: Option<(String, Vec<u8>)>,
    /// Bytes that were given out so far.
    given: Mutex<u64>,
}

impl Seen {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileRefusal> {
        let bytes = match &self.entry {
            Some((entry, bytes)) if entry == path => bytes.clone(),
            Some(_) | None => self.folder.read(path)?,
        };
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        *given = given.saturating_add(bytes.len() as u64);
        let limit = self.folder.limits.bytes_max;
        if *given > limit {
            return Err(FileRefusal::Limit(format!("a build may read {limit} bytes (raise `build.total_bytes`)")));
        }
        Ok(bytes)
    }

    fn paths(&self) -> Result<Vec<String>, FileRefusal> {
        let mut walk = Walk {
            folder: &self.folder,
            found: self.entry.iter().map(|(entry, _)| entry.clone()).collect(),
            looked_at: 0,
        };
        if !self.folder.patterns.is_empty() {
            walk.folder(&self.folder.root, "")?;
        }
        walk.found.sort_unstable();
        walk.found.dedup();
        Ok(walk.found)
    }
}

struct Walk<'a> {
    folder: &'a Folder,
    found: Vec<String>,
    looked_at: usize,
}

impl Walk<'_> {
    fn folder(&mut self, path: &Path, prefix: &str) -> Result<(), FileRefusal> {
        let unreadable =
            |error: io::Error| FileRefusal::Unreadable(format!("`{}` cannot be read: {error}", path.display()));
        for entry in path.read_dir().map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            self.looked_at += 1;
            let limit = self.folder.limits.entries_max;
            if self.looked_at > limit {
                let message = format!("there are more than {limit} files below the named one's folder");
                return Err(FileRefusal::Limit(format!("{message} (raise `build.entries`)")));
            }
            // A name that is not UTF-8 cannot be said to a guest.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let kind = entry.file_type().map_err(unreadable)?;
            let here = format!("{prefix}{name}");
            // Folders behind links are not walked: they could form circles, or lie elsewhere.
            if kind.is_dir() {
                if !name.starts_with('.') {
                    self.folder(&entry.path(), &format!("{here}/"))?;
                }
            } else if self.folder.allows(&here) {
                self.found.push(here);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn folder(root: &Path) -> Folder {
        let limits = FolderLimits { entries_max: 20, file_bytes_max: 100, bytes_max: 250 };
        Folder { root: root.into(), patterns: vec!["**/*.yaml".into()], limits }
    }

    fn written(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("below")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        dir
    }

    fn seen(folder: Folder) -> Seen {
        Seen { folder, entry: Some(("main.yaml".into(), b"main".to_vec())), given: Mutex::default() }
    }

    #[test]
    fn what_the_patterns_allow_is_listed_in_order_and_read() {
        let dir = written(&[("b.yaml", "b"), ("a/c.yaml", "c"), ("a/secret.txt", "s"), (".git/d.yaml", "d")]);
        let seen = seen(folder(dir.path()));
        assert_eq!(seen.paths().expect("listed"), ["a/c.yaml", "b.yaml", "main.yaml"]);
        assert_eq!(seen.read("a/c.yaml"), Ok(b"c".to_vec()));
        assert_eq!(seen.read("main.yaml"), Ok(b"main".to_vec()), "the named file need not lie there");
        for refused in ["a/secret.txt", ".git/d.yaml", "nowhere.yaml", "a/../b.yaml", "/etc/passwd", "", "a//c.yaml"] {
            assert!(matches!(seen.read(refused), Err(FileRefusal::Missing(_))), "{refused}");
        }
        let alone = Folder { patterns: Vec::new(), ..folder(dir.path()) };
        let alone = self::seen(alone);
        assert_eq!((alone.paths(), alone.read("b.yaml").is_err()), (Ok(vec!["main.yaml".into()]), true));
    }

    #[test]
    fn no_link_leads_out() {
        let outside = written(&[("secret.yaml", "secret"), ("deep/secret.yaml", "secret")]);
        let dir = written(&[("inside.yaml", "inside")]);
        symlink(outside.path().join("secret.yaml"), dir.path().join("link.yaml")).expect("a link");
        symlink(outside.path().join("deep"), dir.path().join("deep")).expect("a link");
        symlink(dir.path(), dir.path().join("circle")).expect("a link");
        symlink("inside.yaml", dir.path().join("alias.yaml")).expect("a link");
        let seen = seen(folder(dir.path()));
        assert!(matches!(seen.read("link.yaml"), Err(FileRefusal::Missing(why)) if why.contains("leads out")));
        assert!(seen.read("deep/secret.yaml").is_err());
        assert_eq!(seen.read("alias.yaml"), Ok(b"inside".to_vec()));
        assert_eq!(seen.paths().expect("listed"), ["alias.yaml", "inside.yaml", "link.yaml", "main.yaml"]);
    }

    #[test]
    fn a_build_sees_no_more_than_its_limits() {
        let dir = written(&[("large.yaml", &"x".repeat(101)), ("some.yaml", &"x".repeat(90))]);
        let seen = seen(folder(dir.path()));
        assert!(matches!(seen.read("large.yaml"), Err(FileRefusal::Limit(_))));
        assert!(seen.read("some.yaml").is_ok() && seen.read("some.yaml").is_ok());
        assert!(matches!(seen.read("some.yaml"), Err(FileRefusal::Limit(_))));
        (0..20).for_each(|n| std::fs::write(dir.path().join(format!("{n}.txt")), "").expect("written"));
        assert!(matches!(seen.paths(), Err(FileRefusal::Limit(_))));
    }

    #[test]
    fn what_is_no_regular_file_is_not_opened() {
        let dir = written(&[]);
        std::fs::create_dir(dir.path().join("folder.yaml")).expect("made");
        let pipe = dir.path().join("pipe.yaml");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
        let seen = seen(folder(dir.path()));
        assert!(seen.read("folder.yaml").is_err() && seen.read("pipe.yaml").is_err());
    }
}
