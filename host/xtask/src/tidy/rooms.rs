//! The rooms of the host: which may use which, and which outside crates belong to one of them only.
//!
//! Imports run one way, `model ← store ← plugin ← engine ← web ← cli`. The tables here are the law of
//! `docs/ARCHITECTURE.md` in the form that a program can keep. Must not know how the rooms are built.

use super::metadata::{Dependency, Metadata, Package};
use super::{Findings, Tree};

/// From the ground up; a room may use those before it.
const ROOMS: &[(&str, &str)] = &[
    ("hostler-model", "model"),
    ("hostler-store", "store"),
    ("hostler-plugin", "plugin"),
    ("hostler-engine", "engine"),
    ("hostler-web", "web"),
    ("hostler", "cli"),
];

const XTASK: &str = "xtask";

/// A crate by its name, or by the beginning of its name with `*`, and the only members of `host/` that may use it.
const FENCES: &[(&str, &[&str])] = &[
    ("rusqlite", &["store"]),
    ("libsqlite3-sys", &["store"]),
    ("chacha20poly1305", &["store"]),
    ("wasmtime*", &["plugin"]),
    ("wac-*", &["plugin"]),
    ("wit-*", &["plugin"]),
    ("reqwest", &["plugin"]),
    ("sigstore*", &["plugin"]),
    ("bollard", &["engine"]),
    ("axum*", &["web"]),
    ("utoipa*", &["web"]),
    ("tower-http", &["web"]),
    ("clap*", &["cli", XTASK]),
    ("anyhow", &["cli", XTASK]),
];

/// Fenced crates that a room may use for its tests and benches only, and why.
const FENCES_FOR_TESTS: &[(&str, &str, &str)] = &[
    ("cli", "rusqlite", "the crash test reads rows with no code of ours between, the bench replays statements on it"),
    ("cli", "wasmtime", "the bench measures a plugin call beside the bare engine"),
    ("cli", "wasmtime-wasi", "the bench gives the bare engine what the component imports"),
];

/// The model stays pure by knowing nothing impure; a crate more needs its place here and its reason in the commit.
const MODEL_MAY_USE: &[&str] = &["serde", "serde_json", "thiserror", "uuid", "sha2", "insta", "proptest", "jsonschema"];

pub(super) fn check(metadata: &Metadata, tree: &Tree, findings: &mut Findings) {
    for package in metadata.members() {
        for dependency in &package.dependencies {
            for message in objections(package, dependency, package.is_guest(metadata)) {
                let manifest = package.manifest(metadata);
                findings.fail(manifest, line_of(tree, manifest, &dependency.name), message);
            }
        }
    }
}

fn objections(package: &Package, dependency: &Dependency, guest: bool) -> Vec<String> {
    let mut messages = Vec::new();
    let user = match room(&package.name) {
        Some((_, name)) => name,
        None => &package.name,
    };
    if let Some((rank, used)) = room(&dependency.name) {
        match room(&package.name) {
            Some((own, _)) if own > rank => {}
            Some(_) => {
                messages.push(format!("room `{user}` may not use room `{used}`: imports run from cli down to model"));
            }
            None => messages.push(format!("`{user}` may not use room `{used}`: only rooms use rooms")),
        }
        return messages;
    }
    if dependency.req == "*" && dependency.path.is_none() {
        messages.push(format!("`{}` is asked for in any version: name one", dependency.name));
    }
    if guest {
        return messages;
    }
    if let Some((_, owners)) = FENCES.iter().find(|(pattern, _)| matches(pattern, &dependency.name)) {
        if !owners.contains(&user) && !is_for_tests(user, dependency) {
            messages.push(format!(
                "crate `{}` is fenced into {}, not for `{user}`",
                dependency.name,
                owners.join(" and ")
            ));
        }
    } else if user == "model" && !MODEL_MAY_USE.contains(&dependency.name.as_str()) {
        messages.push(format!("room `model` may not use crate `{}`: it stays pure", dependency.name));
    }
    let process = dependency.features.iter().any(|feature| feature == "process" || feature == "full");
    if dependency.name == "tokio" && process && user != "engine" {
        messages.push(format!("tokio's feature `process` is fenced into engine, not for `{user}`"));
    }
    messages
}

fn is_for_tests(user: &str, dependency: &Dependency) -> bool {
    let names = |(room, name, _): &(&str, &str, &str)| *room == user && *name == dependency.name;
    dependency.kind.as_deref() == Some("dev") && FENCES_FOR_TESTS.iter().any(names)
}

fn room(package: &str) -> Option<(usize, &'static str)> {
    ROOMS.iter().enumerate().find(|(_, (name, _))| *name == package).map(|(rank, (_, room))| (rank, *room))
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    }
}

fn line_of(tree: &Tree, manifest: &str, dependency: &str) -> usize {
    let names = |line: &str| {
        let rest = line.trim_start().strip_prefix(dependency)?;
        rest.starts_with(['.', ' ', '=']).then_some(())
    };
    let text = tree.text(manifest).unwrap_or_default();
    text.lines().position(|line| names(line).is_some()).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(package: &str, dependency: &str, features: &[&str], expected: &[&str]) {
        let text = format!(
            r#"{{"packages": [{{"id": "p", "name": "{package}", "version": "0.1.0", "license": null, "source": null,
                "manifest_path": "/r/host/x/Cargo.toml", "targets": [], "dependencies":
                [{{"name": "{dependency}", "req": "^1", "path": null, "features": {features:?}}}]}}],
                "workspace_members": ["p"], "workspace_root": "/r"}}"#
        );
        let metadata: Metadata = serde_json::from_str(&text).unwrap();
        let tree = Tree::of(&[("host/x/Cargo.toml", &format!("[dependencies]\n{dependency}.workspace = true\n"))]);
        let mut findings = Findings::default();
        super::check(&metadata, &tree, &mut findings);
        assert_eq!(findings.lines(), expected, "{package} uses {dependency}");
    }

    #[test]
    fn a_room_uses_the_rooms_below_it_and_none_above() {
        check("hostler-web", "hostler-engine", &[], &[]);
        check("hostler", "hostler-model", &[], &[]);
        check(
            "hostler-store",
            "hostler-engine",
            &[],
            &["host/x/Cargo.toml:2: room `store` may not use room `engine`: imports run from cli down to model"],
        );
        let message = "host/x/Cargo.toml:2: `xtask` may not use room `model`: only rooms use rooms";
        check("xtask", "hostler-model", &[], &[message]);
    }

    #[test]
    fn a_fenced_crate_stays_in_its_room() {
        check("hostler-store", "rusqlite", &[], &[]);
        check("hostler-plugin", "wasmtime-wasi", &[], &[]);
        let message = "host/x/Cargo.toml:2: crate `rusqlite` is fenced into store, not for `engine`";
        check("hostler-engine", "rusqlite", &[], &[message]);
        let message = "host/x/Cargo.toml:2: crate `wasmtime-wasi` is fenced into plugin, not for `cli`";
        check("hostler", "wasmtime-wasi", &[], &[message]);
    }

    #[test]
    fn a_fence_opens_for_tests_where_a_reason_is_written() {
        let dependency = |kind: Option<&str>| Dependency {
            name: "rusqlite".into(),
            req: "^1".into(),
            path: None,
            features: Vec::new(),
            kind: kind.map(str::to_owned),
        };
        assert!(is_for_tests("cli", &dependency(Some("dev"))));
        assert!(!is_for_tests("cli", &dependency(None)));
        assert!(!is_for_tests("web", &dependency(Some("dev"))));
    }

    #[test]
    fn only_the_engine_starts_processes_with_tokio() {
        check("hostler-engine", "tokio", &["process", "sync"], &[]);
        check("hostler-web", "tokio", &["sync"], &[]);
        let message = "host/x/Cargo.toml:2: tokio's feature `process` is fenced into engine, not for `web`";
        check("hostler-web", "tokio", &["process"], &[message]);
    }

    #[test]
    fn the_model_takes_no_crate_that_is_not_listed() {
        check("hostler-model", "serde", &[], &[]);
        let message = "host/x/Cargo.toml:2: room `model` may not use crate `rand`: it stays pure";
        check("hostler-model", "rand", &[], &[message]);
    }
}
