//! A disk that is filled and freed: a tmpfs of its own, with ballast.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Holds the host with its compiled components, and is full within a blink.
const MIB: u32 = 96;

pub(crate) struct SmallDisk {
    pub(crate) root: PathBuf,
}

impl SmallDisk {
    /// None where this machine does not let us mount one.
    pub(crate) fn mount(root: &Path) -> Option<Self> {
        std::fs::create_dir_all(root).expect("made");
        let size = format!("size={MIB}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "hostler-crash"]).arg(root).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self { root: root.to_path_buf() })
    }

    fn ballast(&self) -> PathBuf {
        self.root.join("ballast")
    }

    /// To the last byte that it gives.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.ballast()).expect("made");
        let mut piece = vec![7; 1 << 20];
        while !piece.is_empty() {
            if file.write_all(&piece).is_err() {
                let half = piece.len() / 2;
                piece.truncate(if half < 512 { 0 } else { half });
            }
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.ballast().exists()
    }

    pub(crate) fn free(&self) {
        let _ = std::fs::remove_file(self.ballast());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, since a test that failed may still use it.
        let _ = Command::new("umount").arg("-l").arg(&self.root).status();
    }
}
