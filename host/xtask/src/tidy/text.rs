//! The rules for every committed text: no path of one machine, no host of a registry, nothing left unfinished.
//!
//! What is searched for is put together from pieces, so that this file does not find itself.

use std::path::Path;

use super::{File, Findings, Tree};

const ARCHITECTURE: &str = "docs/ARCHITECTURE.md";
const ARCHITECTURE_LINES_MAX: usize = 400;

/// Written by tools or by lawyers, not by us.
const NOT_OURS: &[&str] = &["Cargo.lock", "package-lock.json", "LICENSE", "go.sum"];

pub(super) fn check(tree: &Tree, root: &Path, findings: &mut Findings) {
    let paths = machine_paths(root);
    let hosts = registry_hosts();
    for file in &tree.files {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        if NOT_OURS.contains(&name) {
            continue;
        }
        for (index, line) in file.text.lines().enumerate() {
            if let Some(path) = paths.iter().find(|path| names_path(line, path)) {
                findings.fail(&file.path, index + 1, format!("`{path}` is a path of one machine"));
            }
            if let Some(host) = hosts.iter().find(|host| line.contains(host.as_str())) {
                findings.fail(&file.path, index + 1, format!("`{host}` is the host of a registry: name the package"));
            }
        }
        check_unfinished(file, findings);
        check_architecture(file, findings);
    }
}

/// Rust has its own rule, which tells comments from code; prose may speak about the words.
fn check_unfinished(file: &File, findings: &mut Findings) {
    if file.path.ends_with(".rs") || file.path.ends_with(".md") {
        return;
    }
    for (index, line) in file.text.lines().enumerate() {
        if let Some(word) = unfinished_word(line) {
            findings.fail(&file.path, index + 1, format!("`{word}` is not a plan: do it, or file an issue"));
        }
    }
}

fn check_architecture(file: &File, findings: &mut Findings) {
    let count = file.text.lines().count();
    if file.path == ARCHITECTURE && count > ARCHITECTURE_LINES_MAX {
        let message = format!("{count} lines: a map has at most {ARCHITECTURE_LINES_MAX}, move details to the modules");
        findings.fail(&file.path, ARCHITECTURE_LINES_MAX + 1, message);
    }
}

/// The first of the words that promise work without doing it.
pub(super) fn unfinished_word(text: &str) -> Option<String> {
    let words = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["HA", "CK"]];
    let is_word = |word: &String| text.split(|c: char| !c.is_alphanumeric()).any(|part| part == word);
    words.iter().map(|pieces| pieces.concat()).find(is_word)
}

fn machine_paths(root: &Path) -> Vec<String> {
    let mut paths: Vec<String> = ["work", "root"].iter().map(|name| format!("/{name}/")).collect();
    let home = std::env::var("HOME").unwrap_or_default();
    for path in [root.to_string_lossy().into_owned(), home] {
        // A root or home as short as `/` or `/src` would be found everywhere.
        if path.matches('/').count() >= 2 {
            paths.push(path);
        }
    }
    paths
}

/// Whether the path begins there, and is not the middle of a longer one.
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '~' | '}' | '/' | '*'))
    })
}

fn registry_hosts() -> Vec<String> {
    let hosts: &[&[&str]] = &[
        &["index.cr", "ates.io"],
        &["static.cr", "ates.io"],
        &["py", "pi.org"],
        &["files.python", "hosted.org"],
        &["registry.npm", "js.org"],
        &["proxy.go", "lang.org"],
        &["repo1.ma", "ven.org"],
        &["repo.ma", "ven.apache.org"],
        &["deb.deb", "ian.org"],
    ];
    hosts.iter().map(|pieces| pieces.concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: &[&str]) {
        let mut findings = Findings::default();
        super::check(&Tree::of(&[(path, text)]), Path::new("/srv/checkout"), &mut findings);
        assert_eq!(findings.lines(), expected);
    }

    #[test]
    fn paths_of_one_machine_are_found_but_not_names_that_look_like_them() {
        let path = ["/wo", "rk/"].concat();
        let message = format!("a.md:2: `{path}` is a path of one machine");
        check("a.md", &format!("fine\nsee {path}main\n"), &[&message]);
        check("a.md", "see /srv/checkout/b\n", &["a.md:1: `/srv/checkout` is a path of one machine"]);
        check("a.md", &format!("see docs{path}x and ./a{path}b and /workspace\n"), &[]);
    }

    #[test]
    fn hosts_of_registries_are_found_except_where_a_tool_writes_them() {
        let host = ["py", "pi.org"].concat();
        let message = format!("a.sh:1: `{host}` is the host of a registry: name the package");
        check("a.sh", &format!("curl https://{host}/simple\n"), &[&message]);
        check("a/Cargo.lock", &format!("source = {host}\n"), &[]);
    }

    #[test]
    fn unfinished_words_are_found_outside_prose() {
        let word = ["TO", "DO"].concat();
        let message = format!("a.toml:1: `{word}` is not a plan: do it, or file an issue");
        check("a.toml", &format!("# {word}: later\n"), &[&message]);
        check("a.toml", "# TODOS\n", &[]);
        check("a.md", &format!("We write no {word}.\n"), &[]);
    }

    #[test]
    fn the_map_stays_small() {
        let message = "docs/ARCHITECTURE.md:401: 401 lines: a map has at most 400, move details to the modules";
        check(ARCHITECTURE, &"line\n".repeat(401), &[message]);
        check(ARCHITECTURE, &"line\n".repeat(400), &[]);
    }
}
