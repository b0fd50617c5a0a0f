//! Mistakes of a file, collected so that all are told at once.

use crate::tree::Mark;
use granit_parser::{ErrorKind, ScanError};

/// More would not help anybody.
const LISTED_MAX: usize = 100;
/// Characters of the author's text that a message repeats.
const SHOWN_MAX: usize = 60;

/// What is wrong, where, and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    /// None: the file as a whole.
    pub mark: Option<Mark>,
    pub message: String,
    pub hint: Option<String>,
}

#[derive(Default)]
pub(crate) struct Wrongs {
    listed: Vec<Wrong>,
    unlisted: usize,
}

impl Wrongs {
    pub(crate) fn add(&mut self, mark: Mark, message: impl Into<String>) {
        self.push(Some(mark), message.into(), None);
    }

    pub(crate) fn add_with_hint(&mut self, mark: Mark, message: impl Into<String>, hint: impl Into<String>) {
        self.push(Some(mark), message.into(), Some(hint.into()));
    }

    pub(crate) fn push(&mut self, mark: Option<Mark>, message: String, hint: Option<String>) {
        if self.listed.len() == LISTED_MAX {
            self.unlisted += 1;
        } else {
            self.listed.push(Wrong { mark, message, hint });
        }
    }

    /// What the parser stumbled over, in words that help an author.
    pub(crate) fn broken(&mut self, error: &ScanError) {
        let (message, hint) = told(error.kind());
        self.push(Some(Mark::from(*error.marker())), message, hint.map(String::from));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    pub(crate) fn count(&self) -> usize {
        self.listed.len() + self.unlisted
    }

    /// In the order of the text.
    pub(crate) fn into_list(mut self) -> Vec<Wrong> {
        self.listed.sort_by_key(|wrong| wrong.mark);
        if self.unlisted > 0 {
            self.listed.push(Wrong { mark: None, message: format!("and {} more", self.unlisted), hint: None });
        }
        self.listed
    }
}

/// Enough of a text to recognise it.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        None => text.to_string(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

fn told(kind: &ErrorKind) -> (String, Option<&'static str>) {
    let own = |message: &str, hint| (message.to_string(), Some(hint));
    match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => own("a tab stands where the indentation is", "indent with spaces"),
        ErrorKind::RecursionLimitExceeded => (format!("nested deeper than {} levels", crate::tree::DEPTH_MAX), None),
        ErrorKind::UndeclaredTagHandle => own("this tag belongs to no known handle", "leave the tag out"),
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => {
            own("a `:` stands where no value can begin", "put a text with `: ` in it into quotes")
        }
        ErrorKind::UnexpectedCharacter { character } => {
            (format!("`{character}` cannot begin a value"), Some("put a text that begins with it into quotes"))
        }
        ErrorKind::UnclosedQuotedScalar => ("this text has no closing quote".into(), None),
        ErrorKind::UnclosedFlowCollection { open } => (format!("this `{open}` is never closed"), None),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            own("a key and its `:` were expected", "write `key: value`; a text of several lines begins with `|`")
        }
        ErrorKind::InvalidIndentation | ErrorKind::ExpectedBlockMappingKey | ErrorKind::ExpectedBlockSequenceEntry => {
            own("this line does not fit the indentation above it", "give what belongs together the same indentation")
        }
        // The parser knows some eighty ways to stumble, and says most of them well.
        other => (other.to_string(), None),
    }
}
