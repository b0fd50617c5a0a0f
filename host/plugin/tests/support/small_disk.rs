//! A file system that is full soon.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Gone with this value.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None: nothing can be mounted here, which CI may not say.
    #[expect(clippy::disallowed_methods, reason = "CI says of itself that it is one")]
    pub(crate) fn mount(at: &Path, kib: u32) -> Option<Self> {
        std::fs::create_dir(at).expect("a folder");
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", &format!("size={kib}k,mode=755"), "tmpfs"]).arg(at).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(at.into()));
        }
        assert!(std::env::var_os("CI").is_none(), "no file system can be mounted at {}", at.display());
        eprintln!("skipped: no file system can be mounted here");
        None
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}
