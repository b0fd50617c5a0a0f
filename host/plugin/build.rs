//! Builds the plugins that are embedded in the binary, and names this build for the cache of compiled components.
//!
//! A cargo inside cargo, in a target folder of its own, because the components are for another target than the host;
//! the tests and `cargo xtask plugins` build theirs in the same folder, so that nothing is compiled twice.
//! Nothing is built again while the plugins, the contract and the lock file are as they were.

use std::env;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-wasip2";
/// The package, and the file it makes.
const PLUGINS: [(&str, &str); 3] =
    [("plugin-interval", "interval.wasm"), ("plugin-cron", "crontab.wasm"), ("plugin-yaml", "yaml.wasm")];

fn main() {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let root = here.join("../..");
    for watched in ["plugins/interval", "plugins/cron", "plugins/yaml", "wit", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    let out = PathBuf::from(variable("OUT_DIR"));
    let built = build(&root, &shared_target(&out));
    for (_, file) in PLUGINS {
        let (from, to) = (built.join(file), out.join(file));
        if let Err(error) = std::fs::copy(&from, &to) {
            fail(&format!("`{}` was not built: {error}", from.display()));
        }
    }
    println!("cargo::rustc-env=HOSTLER_BUILD_ID={:016x}", build_id(&root));
}

/// `components` in the target folder, which cargo does not name to us: `TARGET/PROFILE/build/PACKAGE/out` is ours.
fn shared_target(out: &Path) -> PathBuf {
    let target =
        out.ancestors().nth(4).filter(|_| out.ancestors().nth(2).is_some_and(|build| build.ends_with("build")));
    target.unwrap_or(out).join("components")
}

#[expect(clippy::disallowed_methods, reason = "cargo tells a build script everything by its environment")]
fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| fail(&format!("cargo did not set {name}")))
}

fn build(root: &Path, target_dir: &Path) -> PathBuf {
    let mut cargo = Command::new(variable("CARGO"));
    cargo.current_dir(root).args(["build", "--quiet", "--profile", "component", "--target", TARGET]);
    for (package, _) in PLUGINS {
        cargo.args(["--package", package]);
    }
    cargo.arg("--target-dir").arg(target_dir);
    // What cargo or clippy set for the host's build would change or break that of the components.
    for name in
        ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "RUSTC", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CLIPPY_ARGS"]
    {
        cargo.env_remove(name);
    }
    match cargo.status() {
        Ok(status) if status.success() => target_dir.join(TARGET).join("component"),
        Ok(_) => fail(&format!("the plugins do not build; if the target is missing: rustup target add {TARGET}")),
        Err(error) => fail(&format!("cargo cannot be started: {error}")),
    }
}

/// Compiled components of another build are not loaded: with the lock file the engine and its compiler are the same.
fn build_id(root: &Path) -> u64 {
    let mut hash = DefaultHasher::new();
    variable("CARGO_PKG_VERSION").hash(&mut hash);
    std::fs::read(root.join("Cargo.lock")).unwrap_or_default().hash(&mut hash);
    hash.finish()
}

fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    std::process::exit(1)
}
