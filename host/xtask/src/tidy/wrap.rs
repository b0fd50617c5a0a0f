//! Wraps the comment lines that are too long, which rustfmt leaves as they are: `cargo xtask tidy --fix`.
//!
//! The words stay and keep their order; only whole-line comments change. What does not fit moves into the next line
//! of the same paragraph, or into a new one. Must not touch code, lists below, tables or fenced examples.

use super::rust::LINE_CHARACTERS_MAX;

/// The text with its long comments wrapped; nothing when there are none.
pub(super) fn wrap(text: &str) -> Option<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut fenced = false;
    let mut changed = false;
    let mut index = 0;
    while index < lines.len() {
        if let Some((prefix, words)) = comment(&lines[index]) {
            fenced ^= words.starts_with("```");
            let breakable = !fenced && !words.starts_with('|');
            if breakable && let Some((kept, rest)) = cut(&lines[index], prefix.len()) {
                let (prefix, kept, rest) = (prefix.to_owned(), kept.to_owned(), rest.to_owned());
                put_rest(&mut lines, index, &prefix, &rest);
                lines[index] = kept;
                changed = true;
            }
        } else {
            fenced = false;
        }
        index += 1;
    }
    let wrapped = || lines.join("\n") + if text.ends_with('\n') { "\n" } else { "" };
    changed.then(wrapped)
}

/// A line that is nothing but a comment: its indent with its slashes, and its words.
fn comment(line: &str) -> Option<(&str, &str)> {
    let start = line.len() - line.trim_start().len();
    let slashes = ["//!", "///", "//"].into_iter().find(|slashes| line[start..].starts_with(slashes))?;
    let (prefix, words) = line.split_at(start + slashes.len());
    Some((prefix, words.trim_start()))
}

/// Break at the last space that keeps the line within the limit, if it is over it.
fn cut(line: &str, prefix: usize) -> Option<(&str, &str)> {
    let (limit, _) = line.char_indices().nth(LINE_CHARACTERS_MAX)?;
    let space = line[..=limit.min(line.len() - 1)].rfind(' ').filter(|space| *space > prefix)?;
    Some((line[..space].trim_end(), line[space..].trim_start()))
}

fn put_rest(lines: &mut Vec<String>, index: usize, prefix: &str, rest: &str) {
    let own = comment(&lines[index]).is_some_and(|(_, words)| begins_item(words));
    let indent = if own { "   " } else { " " };
    let next = lines.get(index + 1).and_then(|line| comment(line)).filter(|(other, words)| {
        *other == prefix && !words.is_empty() && !begins_item(words) && !words.starts_with(['|', '#', '`'])
    });
    match next {
        Some((_, words)) => {
            let gap = lines[index + 1].len() - prefix.len() - words.len();
            lines[index + 1] = format!("{prefix}{}{rest} {words}", " ".repeat(gap));
        }
        None => lines.insert(index + 1, format!("{prefix}{indent}{rest}")),
    }
}

fn begins_item(words: &str) -> bool {
    let number = words.trim_start_matches(|c: char| c.is_ascii_digit());
    words.starts_with("- ") || words.starts_with("* ") || (number.len() < words.len() && number.starts_with(". "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(count: usize) -> String {
        vec!["word"; count].join(" ")
    }

    #[test]
    fn what_does_not_fit_moves_into_the_same_paragraph_or_a_new_line() {
        let text = format!("//! {}\n//! and on\n", words(25));
        let expected = format!("//! {}\n//! {} and on\n", words(23), words(2));
        assert_eq!(wrap(&text), Some(expected));
        let text = format!("    /// {}\n    fn a() {{}}\n", words(24));
        let expected = format!("    /// {}\n    /// {}\n    fn a() {{}}\n", words(22), words(2));
        assert_eq!(wrap(&text), Some(expected));
        let text = format!("/// - {}\n/// - next\n", words(25));
        let expected = format!("/// - {}\n///   {}\n/// - next\n", words(23), words(2));
        assert_eq!(wrap(&text), Some(expected));
    }

    #[test]
    fn what_fits_and_what_is_no_comment_stays() {
        assert_eq!(wrap(&format!("//! {}\n", words(23))), None);
        assert_eq!(wrap(&format!("let a = \"{}\";\n", words(40))), None);
        assert_eq!(wrap(&format!("/// ```\n/// {}\n/// ```\n", words(40))), None);
        assert_eq!(wrap(&format!("/// | {} |\n", words(40))), None);
    }
}
