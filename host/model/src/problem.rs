//! What is wrong with a document, a value or a request, said so that a person can mend it; and the kinds of failure
//! from which HTTP statuses and exit codes are read off one table.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One mistake: where, what, and what to do. `at` is a JSON pointer (RFC 6901) into the document, empty for all of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Problem {
    pub at: String,
    /// From 1, where the place in the text is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    pub fn new(at: impl Into<String>, message: impl Into<String>) -> Self {
        Self { at: at.into(), line: None, column: None, message: message.into(), hint: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, "{line}:{column}: ")?;
        }
        if !self.at.is_empty() {
            write!(f, "{}: ", self.at)?;
        }
        f.write_str(&self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, " ({hint})"))
    }
}

/// All mistakes of one thing at once; never empty where it is an error.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => one.fmt(f),
            many => {
                write!(f, "{} problems", many.len())?;
                many.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

/// What sort of failure an error is. HTTP status and exit code follow from it, in one table each.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The caller's input is wrong; sent again it fails again.
    Invalid,
    /// Not known who is asking.
    Unauthenticated,
    /// Known, but may not.
    Denied,
    NotFound,
    /// The thing is in a state in which this cannot be done.
    Conflict,
    /// Larger than a limit.
    TooLarge,
    /// More than the host takes at once; try again later.
    Busy,
    /// Cannot be done just now: stopping, disk full, plugin away.
    Unavailable,
    /// A defect of ours.
    Internal,
}
