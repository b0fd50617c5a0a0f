//! Why a command could not do what it was asked, said for a person: what happened, to what, what to do next.
//!
//! Printed once, by `main`. Must not know: which command it came from.

use crate::exit_code::ExitCode;
use crate::print::{Paint, source::Source, terminal};
use hostler_model::{Kind, Problem, Problems};
use serde_json::{Value, json};
use std::fmt::Write as _;

#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: ExitCode,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// Every mistake of the input, where it is the input that is wrong.
    pub(crate) problems: Vec<Problem>,
    /// The text that the problems' lines and columns are in.
    pub(crate) source: Option<Box<Source>>,
    /// For the operator who looks into the log of the host.
    pub(crate) request: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, problems: Vec::new(), source: None, request: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Invalid, message)
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub(crate) fn problems(mut self, problems: Problems) -> Self {
        self.problems = problems.0;
        self
    }

    #[must_use]
    pub(crate) fn source(mut self, source: Source) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Of an error that knows its kind; the chain of its sources is written behind it.
    pub(crate) fn of(kind: Kind, error: &dyn std::error::Error) -> Self {
        Self::new(ExitCode::from(kind), chain(error))
    }

    pub(crate) fn to_text(&self, paint: Paint) -> String {
        let mut text = format!("{}: {}\n", paint.bad("error"), harmless(&self.message));
        for problem in &self.problems {
            match &self.source {
                Some(source) => text.push_str(&source.show(problem, paint)),
                None => text.push_str(&plain(problem, paint)),
            }
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "{}: {}", paint.strong("hint"), harmless(hint));
        }
        if let Some(request) = self.request.as_ref().filter(|_| self.code == ExitCode::Internal) {
            let _ = writeln!(text, "{}: request {request} in the log of the host", paint.strong("note"));
        }
        text
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({"error": {
            "exit_code": self.code.number(),
            "message": self.message,
            "hint": self.hint,
            "problems": self.problems,
            "request_id": self.request,
        }})
    }
}

/// Messages quote what was sent, and what was sent may hold anything.
fn harmless(text: &str) -> String {
    terminal::harmless(text.as_bytes())
}

/// A problem whose place in a text nobody knows.
fn plain(problem: &Problem, paint: Paint) -> String {
    let at = if problem.at.is_empty() { String::new() } else { format!("{}: ", paint.strong(&problem.at)) };
    let hint = problem
        .hint
        .iter()
        .map(|hint| format!("    {}: {}\n", paint.strong("hint"), harmless(hint)))
        .collect::<String>();
    format!("  {at}{}\n{hint}", harmless(&problem.message))
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            let _ = write!(text, ": {cause_text}");
        }
        next = cause.source();
    }
    text
}
