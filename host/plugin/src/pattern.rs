//! Patterns of file names, as manifests write them: `*.yaml`, `lib/**/*.py`.
//!
//! `*` and `?` stand for anything but a slash, `**` as a whole part for any folders or none. A name that begins with a
//! dot is matched only where the pattern writes the dot. Must not know: the file system.

/// Whether a path, relative and with slashes, is meant.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    let parts: Vec<&str> = pattern.split('/').collect();
    let names: Vec<&str> = path.split('/').collect();
    // What was reached so far, for each number of parts: linear in parts times names, whatever the pattern.
    let mut reached = vec![false; parts.len() + 1];
    reached[0] = true;
    skip_folders(&parts, &mut reached);
    for name in names {
        let mut next = vec![false; parts.len() + 1];
        for (at, part) in parts.iter().enumerate().filter(|(at, _)| reached[*at]) {
            if *part == "**" {
                let fits = !name.starts_with('.');
                next[at] |= fits;
                // At the end it stands for files too, of which there must be one.
                next[at + 1] |= fits && at + 1 == parts.len();
            } else {
                next[at + 1] |= names_match(part, name);
            }
        }
        skip_folders(&parts, &mut next);
        reached = next;
    }
    reached[parts.len()]
}

/// `**` stands for no folder too.
fn skip_folders(parts: &[&str], reached: &mut [bool]) {
    for (at, part) in parts.iter().enumerate() {
        if *part == "**" && at + 1 < parts.len() {
            reached[at + 1] |= reached[at];
        }
    }
}

fn names_match(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let mut reached = vec![false; pattern.len() + 1];
    reached[0] = true;
    skip_nothing(&pattern, &mut reached);
    for c in name {
        let mut next = vec![false; pattern.len() + 1];
        for (at, wanted) in pattern.iter().enumerate().filter(|(at, _)| reached[*at]) {
            match wanted {
                '*' => next[at] = true,
                wanted => next[at + 1] |= *wanted == '?' || *wanted == c,
            }
        }
        skip_nothing(&pattern, &mut next);
        reached = next;
    }
    reached[pattern.len()]
}

/// `*` stands for no character too.
fn skip_nothing(pattern: &[char], reached: &mut [bool]) {
    for (at, wanted) in pattern.iter().enumerate() {
        if *wanted == '*' {
            reached[at + 1] |= reached[at];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_a_shell_means() {
        for (pattern, path, expected) in [
            ("*.yaml", "a.yaml", true),
            ("*.yaml", "a.yml", false),
            ("*.yaml", "b/a.yaml", false),
            ("*.yaml", ".yaml", false),
            (".*", ".env", true),
            ("**/*.yaml", "a.yaml", true),
            ("**/*.yaml", "b/c/a.yaml", true),
            ("**/*.yaml", ".git/a.yaml", false),
            ("**/*.yaml", "b/.hidden.yaml", false),
            ("lib/**", "lib/a/b", true),
            ("lib/**", "lib", false),
            ("lib/**", "library/a", false),
            ("a/**/z", "a/z", true),
            ("a/**/z", "a/b/c/z", true),
            ("a/**/z", "a/b/c/y", false),
            ("**", "a/b", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyy", false),
            ("Makefile", "Makefile", true),
            ("é?", "éé", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let pattern = "*a".repeat(100) + "/" + &"**/".repeat(60) + "b";
        let path = "a".repeat(1_000) + &"/a".repeat(100);
        assert!(!matches(&pattern, &path));
    }
}
