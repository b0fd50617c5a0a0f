//! Fixture components, built from source by cargo, which finds out by itself that nothing has changed. Shared by the
//! tests of this room, of the engine and of the command line.
//!
//! They lie in the folder that the build script and `cargo xtask plugins` use, so that nothing is compiled twice.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const TARGET: &str = "wasm32-wasip2";

/// The folder with `hostile.wasm`, `hostile_builder.wasm` and `command.wasm`.
pub(crate) fn components() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("components");
        let status = Command::new(env!("CARGO"))
            .current_dir(root)
            .args(["build", "--quiet", "--profile", "component", "--target", TARGET])
            .args([
                "--package",
                "plugin-hostile",
                "--package",
                "plugin-hostile-builder",
                "--package",
                "plugin-versatile",
                "--package",
                "fixture-command",
                "--target-dir",
            ])
            .arg(&target_dir)
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("RUSTC_WORKSPACE_WRAPPER")
            .status()
            .expect("cargo starts");
        assert!(status.success(), "the fixtures do not build; if the target is missing: rustup target add {TARGET}");
        target_dir.join(TARGET).join("component")
    })
}
