//! Relative links of Markdown files lead to a file that is there, and to a heading that is there.
//!
//! Addresses of other sites are left alone: a check that needs the network fails for reasons that are not ours.

use std::collections::BTreeSet;

use super::{File, Findings, Tree};

pub(super) fn check(tree: &Tree, findings: &mut Findings) {
    for file in tree.files.iter().filter(|file| file.path.ends_with(".md")) {
        for (line, target) in targets(&file.text) {
            if let Some(message) = objection(tree, file, &target) {
                findings.fail(&file.path, line, message);
            }
        }
    }
}

fn objection(tree: &Tree, file: &File, target: &str) -> Option<String> {
    let elsewhere = target.contains("://") || target.starts_with("mailto:");
    if elsewhere || target.is_empty() {
        return None;
    }
    let (path, heading) = target.split_once('#').map_or((target, None), |(path, heading)| (path, Some(heading)));
    let place = if path.is_empty() { Some(file.path.clone()) } else { resolve(&file.path, path) };
    let Some(place) = place else { return Some(format!("link `{target}` leads out of the checkout")) };
    let folder = format!("{place}/");
    if !place.is_empty() && !tree.paths.contains(&place) && !tree.paths.iter().any(|path| path.starts_with(&folder)) {
        return Some(format!("link `{target}` leads nowhere: `{place}` is not there"));
    }
    let text = tree.text(&place).filter(|_| place.ends_with(".md"))?;
    let heading = heading?;
    (!anchors(text).contains(heading)).then(|| format!("link `{target}` leads nowhere: `{place}` has no such heading"))
}

/// The path from the root that a relative link means; nothing when it climbs out.
fn resolve(from: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = if link.starts_with('/') { Vec::new() } else { from.split('/').collect() };
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The targets of all links, with their lines; what stands in code is no link.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let line = without_code(line);
        let mut rest = line.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let end = after.find([')', ' ']).unwrap_or(after.len());
            found.push((number, after[..end].trim_matches(['<', '>']).to_owned()));
            rest = &after[end..];
        }
        let definition = line.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
        if let Some(target) = definition.and_then(|(_, target)| target.split_whitespace().next()) {
            found.push((number, target.to_owned()));
        }
    }
    found
}

/// The lines outside fenced code, counted from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((index + 1, line))
    })
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("``")
}

/// The names that a forge gives to headings: lower case, spaces to hyphens, other signs dropped, repeats numbered.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, line) in prose(text) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let keep = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let name: String = title.trim().chars().filter(keep).collect::<String>().to_lowercase().replace(' ', "-");
        let repeat = (1..).map(|number| format!("{name}-{number}")).find(|numbered| !names.contains(numbered));
        match repeat {
            Some(numbered) if names.contains(&name) => names.insert(numbered),
            _ => names.insert(name),
        };
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let guide = ("docs/guides/b.md", "# Add an X\n\n## Add an X\n\n## What `it` does, and why\n");
        let tree = Tree::of(&[("docs/a.md", text), guide, ("README.md", "# R\n"), ("docs/picture.png", "")]);
        let mut findings = Findings::default();
        super::check(&tree, &mut findings);
        assert_eq!(findings.lines(), expected);
    }

    #[test]
    fn links_to_what_is_there_are_fine() {
        check("[a](guides/b.md) [b](../README.md) [c](guides/) [d](guides) ![e](picture.png)\n", &[]);
        check("[a](https://example.org/x) [b](mailto:a@example.org)\n", &[]);
        check("# Own place\n[a](#own-place) [b](guides/b.md#what-it-does-and-why) [c](guides/b.md#add-an-x-1)\n", &[]);
        check("`[a](no.md)`\n```\n[a](no.md)\n```\n", &[]);
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        check("one\n[a](no.md)\n", &["docs/a.md:2: link `no.md` leads nowhere: `docs/no.md` is not there"]);
        check(
            "[a]: guides/no.md\n",
            &["docs/a.md:1: link `guides/no.md` leads nowhere: `docs/guides/no.md` is not there"],
        );
        check("[a](../../x.md)\n", &["docs/a.md:1: link `../../x.md` leads out of the checkout"]);
        let message = "docs/a.md:1: link `guides/b.md#no` leads nowhere: `docs/guides/b.md` has no such heading";
        check("[a](guides/b.md#no)\n", &[message]);
    }
}
