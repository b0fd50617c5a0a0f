//! Why a command could not do what it was asked, said for a person: what happened, to what, what to do next.
//!
//! Printed once, by `main`. Must not know: which command it came from.

pub(crate) use hostler_engine::error::chain;

use crate::exit_code::ExitCode;
use crate::print::{Paint, source::Source, terminal};
use hostler_model::{Kind, Problem, Problems};
use hostler_plugin::LoadError;
use serde_json::{Value, json};
use std::fmt::Write as _;

#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: ExitCode,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// Every mistake of the input, where it is the input that is wrong.
    pub(crate) mistakes: Vec<Mistakes>,
    /// For the operator who looks into the log of the host.
    pub(crate) request: Option<String>,
}

/// Mistakes in one text, or in what nobody has the text of.
#[derive(Debug)]
pub(crate) struct Mistakes {
    /// The text that the problems' lines and columns are in.
    pub(crate) source: Option<Source>,
    pub(crate) problems: Vec<Problem>,
}

impl Failure {
    pub(crate) fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, mistakes: Vec::new(), request: None }
    }

    /// A plugin cannot be loaded; with what it wrote before it broke.
    pub(crate) fn not_loaded(error: &LoadError) -> Self {
        Self::invalid(format!("{}\n{}", chain(error), error.last_words()).trim_end())
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
        self.mistakes.push(Mistakes { source: None, problems: problems.0 });
        self
    }

    #[must_use]
    pub(crate) fn problems_in(mut self, source: Source, problems: Problems) -> Self {
        self.mistakes.push(Mistakes { source: Some(source), problems: problems.0 });
        self
    }

    pub(crate) fn all_problems(&self) -> impl Iterator<Item = &Problem> {
        self.mistakes.iter().flat_map(|mistakes| &mistakes.problems)
    }

    /// Of an error that knows its kind; the chain of its sources is written behind it.
    pub(crate) fn of(kind: Kind, error: &dyn std::error::Error) -> Self {
        Self::new(ExitCode::from(kind), chain(error))
    }

    pub(crate) fn to_text(&self, paint: Paint) -> String {
        let mut text = format!("{}: {}\n", paint.bad("error"), harmless(&self.message));
        for Mistakes { source, problems } in &self.mistakes {
            let shown = |problem| match source {
                Some(source) => source.show(problem, paint),
                None => plain(problem, paint),
            };
            text.extend(problems.iter().map(shown));
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
            "problems": self.mistakes.iter().flat_map(Mistakes::to_json).collect::<Vec<_>>(),
            "request_id": self.request,
        }})
    }
}

impl Mistakes {
    /// Each with the file that it is in, where that is known.
    fn to_json(&self) -> impl Iterator<Item = Value> {
        self.problems.iter().map(|problem| {
            let mut shown = json!(problem);
            if let Some(source) = &self.source {
                shown["file"] = source.name.as_str().into();
            }
            shown
        })
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
