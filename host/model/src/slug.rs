//! The one name type: 1 to 63 of `a-z 0-9 - _`, beginning with a letter or digit (decision 1).
//!
//! Parsed once at the edge; after that a name can be put into a path, a label or a column without another look.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest slug, in bytes; a DNS label has the same bound (RFC 1035).
pub const LENGTH_MAX: usize = 63;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slug(Box<str>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("a name has at least one character")]
    Empty,
    #[error("`{0}…` is longer than {LENGTH_MAX} characters")]
    TooLong(String),
    #[error("`{text}` begins with `{first}`; a name begins with a letter a-z or a digit")]
    First { text: String, first: char },
    #[error("`{text}` contains {bad:?}; a name is made of a-z, 0-9, `-` and `_`")]
    Character { text: String, bad: char },
}

impl Slug {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let Some(first) = text.chars().next() else { return Err(Invalid::Empty) };
        if text.len() > LENGTH_MAX {
            return Err(Invalid::TooLong(text.chars().take(20).collect()));
        }
        if !(first.is_ascii_lowercase() || first.is_ascii_digit()) {
            return Err(Invalid::First { text: text.into(), first });
        }
        let allowed = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-' || *c == '_';
        if let Some(bad) = text.chars().find(|c| !allowed(c)) {
            return Err(Invalid::Character { text: text.into(), bad });
        }
        Ok(Self(text.into()))
    }

    /// The slug nearest to free text (a command, a title), for names that nobody chose. None when nothing is left of
    /// it.
    pub fn derive(text: &str) -> Option<Self> {
        let mut name = String::new();
        for c in text.chars() {
            let c = c.to_ascii_lowercase();
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                name.push(c);
            } else if !name.is_empty() && !name.ends_with('-') {
                name.push('-');
            }
            if name.len() == LENGTH_MAX {
                break;
            }
        }
        Self::parse(name.trim_end_matches('-')).ok()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

impl std::str::FromStr for Slug {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Slug {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<Slug> for String {
    fn from(slug: Slug) -> Self {
        slug.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outside_the_alphabet_are_refused_with_the_character() {
        for good in ["a", "0", "nightly-report", "a_b", &"x".repeat(63)] {
            assert_eq!(Slug::parse(good).map(|s| s.to_string()), Ok(good.to_string()));
        }
        for bad in ["", "-a", "_a", "A", "a b", "a/b", "a.b", "ä", &"x".repeat(64)] {
            assert!(Slug::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_derived_name_is_always_a_slug_or_nothing() {
        let names = ["./backup.sh --all", "  ", "Ünïcode", "UPPER  case!", &"é-".repeat(200), &"long ".repeat(40)];
        let derived: Vec<_> = names.iter().map(|n| Slug::derive(n).map(|s| s.to_string())).collect();
        assert_eq!(derived[0].as_deref(), Some("backup-sh-all"));
        assert_eq!(derived[1], None);
        assert_eq!(derived[2].as_deref(), Some("n-code"));
        assert_eq!(derived[3].as_deref(), Some("upper-case"));
        assert_eq!(derived[4], None);
        assert!(derived[5].as_ref().is_some_and(|n| n.len() <= LENGTH_MAX));
    }
}
