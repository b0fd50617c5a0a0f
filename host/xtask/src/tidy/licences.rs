//! What we are built from: licences that `deny.toml` allows, from one registry only, and which crates come twice.
//!
//! This is the part of `cargo deny` that needs nothing but `cargo metadata`; advisories are the part it leaves out.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use serde::Deserialize;

use super::metadata::Metadata;
use super::{Findings, Tree};

const RULES: &str = "deny.toml";
const LOCK: &str = "Cargo.lock";

#[derive(Deserialize)]
struct Rules {
    licenses: Licences,
}

#[derive(Deserialize)]
struct Licences {
    allow: BTreeSet<String>,
}

pub(super) fn check(metadata: &Metadata, tree: &Tree, findings: &mut Findings) -> anyhow::Result<()> {
    let Some(text) = tree.text(RULES) else {
        findings.fail(RULES, 1, "it is not there, and no licence is allowed without it");
        return Ok(());
    };
    let rules: Rules = toml::from_str(text).with_context(|| format!("failed to read {RULES}"))?;
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in &metadata.packages {
        let line = || line_of(tree, &package.name, &package.version);
        let crate_name = format!("crate `{} {}`", package.name, package.version);
        versions.entry(&package.name).or_default().insert(&package.version);
        match &package.license {
            Some(licence) if is_allowed(licence, &rules.licenses.allow) => {}
            Some(licence) => findings.fail(LOCK, line(), format!("{crate_name} is under `{licence}`, see {RULES}")),
            None => findings.fail(LOCK, line(), format!("{crate_name} names no licence")),
        }
        let registry = package.source.as_deref().is_none_or(|source| source.starts_with("registry+"));
        if !registry {
            findings.fail(LOCK, line(), format!("{crate_name} does not come from the registry"));
        }
    }
    let sources: BTreeSet<_> = metadata.packages.iter().filter_map(|package| package.source.as_ref()).collect();
    if sources.len() > 1 {
        findings.fail(LOCK, 1, format!("crates come from {} places, one registry is the rule", sources.len()));
    }
    versions.retain(|_, versions| versions.len() > 1);
    if !versions.is_empty() {
        let names: Vec<_> = versions.into_keys().collect();
        findings.note(LOCK, 1, format!("{} crates come in more than one version: {}", names.len(), names.join(", ")));
    }
    Ok(())
}

fn line_of(tree: &Tree, name: &str, version: &str) -> usize {
    let (name, version) = (format!("name = \"{name}\""), format!("version = \"{version}\""));
    let lines: Vec<&str> = tree.text(LOCK).unwrap_or_default().lines().collect();
    lines.windows(2).position(|pair| pair[0] == name && pair[1] == version).map_or(1, |index| index + 1)
}

/// Whether a licence expression (SPDX, with the old `/` for OR) can be met with allowed licences only.
fn is_allowed(expression: &str, allow: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Expression { words: &words, at: 0, allow };
    let met = reader.any();
    met && reader.at == words.len()
}

struct Expression<'a> {
    words: &'a [&'a str],
    at: usize,
    allow: &'a BTreeSet<String>,
}

impl Expression<'_> {
    fn takes(&mut self, word: &str) -> bool {
        let found = self.words.get(self.at) == Some(&word);
        self.at += usize::from(found);
        found
    }

    fn any(&mut self) -> bool {
        let mut met = self.all();
        while self.takes("OR") {
            // Read on even when it is met already: what follows must still be understood.
            met |= self.all();
        }
        met
    }

    fn all(&mut self) -> bool {
        let mut met = self.one();
        while self.takes("AND") {
            met &= self.one();
        }
        met
    }

    fn one(&mut self) -> bool {
        if self.takes("(") {
            let met = self.any();
            return self.takes(")") && met;
        }
        let Some(name) = self.words.get(self.at) else { return false };
        self.at += 1;
        if !self.takes("WITH") {
            return self.allow.contains(*name);
        }
        let Some(exception) = self.words.get(self.at) else { return false };
        self.at += 1;
        // An exception only permits more than its licence does.
        self.allow.contains(*name) || self.allow.contains(&format!("{name} WITH {exception}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_met_by_allowed_licences_only() {
        let allow: BTreeSet<String> = ["MIT", "BSD-3-Clause"].map(str::to_owned).into();
        let check = |expression: &str, expected: bool| {
            assert_eq!(is_allowed(expression, &allow), expected, "{expression}");
        };
        check("MIT", true);
        check("MIT/Apache-2.0", true);
        check("GPL-3.0 OR MIT", true);
        check("(GPL-3.0 OR MIT) AND BSD-3-Clause", true);
        check("MIT WITH LLVM-exception", true);
        check("GPL-3.0", false);
        check("MIT AND GPL-3.0", false);
        check("MIT BSD-3-Clause", false);
        check("(MIT", false);
        check("", false);
    }

    #[test]
    fn a_foreign_licence_and_a_foreign_source_are_found() {
        let package = |name: &str, licence: &str, source: &str| {
            format!(
                r#"{{"id": "{name}", "name": "{name}", "version": "1.0.0", "license": "{licence}",
                    "source": "{source}", "manifest_path": "", "targets": [], "dependencies": []}}"#
            )
        };
        let packages =
            [package("a", "MIT", "registry+x"), package("b", "GPL-3.0", "registry+x"), package("c", "MIT", "git+y")];
        let text =
            format!(r#"{{"packages": [{}], "workspace_members": [], "workspace_root": "/r"}}"#, packages.join(","));
        let metadata: Metadata = serde_json::from_str(&text).unwrap();
        let lock = "\n[[package]]\nname = \"b\"\nversion = \"1.0.0\"\n";
        let tree = Tree::of(&[(RULES, "[licenses]\nallow = [\"MIT\"]\n"), (LOCK, lock)]);
        let mut findings = Findings::default();
        check(&metadata, &tree, &mut findings).unwrap();
        let expected = [
            "Cargo.lock:1: crate `c 1.0.0` does not come from the registry",
            "Cargo.lock:1: crates come from 2 places, one registry is the rule",
            "Cargo.lock:3: crate `b 1.0.0` is under `GPL-3.0`, see deny.toml",
        ];
        assert_eq!(findings.lines(), expected);
    }
}
