//! The shell between the contract and `documents`: reads the named file, answers in the contract's words.

use crate::{Document, Wrong, documents};

// The generated glue is not ours to lint.
#[allow(warnings, unsafe_code, clippy::all)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/builder",
        world: "hostler:builder/builder-plugin",
        generate_all,
    });
    use super::Yaml;
    export!(Yaml);
}

use bindings::exports::hostler::builder::builder::{self, Guest, Input, Output};
use bindings::exports::hostler::plugin::manifest;
use bindings::hostler::builder::files;
use bindings::hostler::plugin::types::{Failure, Problem, Refusal};

struct Yaml;

impl manifest::Guest for Yaml {
    fn describe() -> String {
        include_str!("../manifest.json").replace("\"0.0.0\"", concat!("\"", env!("CARGO_PKG_VERSION"), "\""))
    }
}

impl Guest for Yaml {
    fn build(input: Input) -> Result<Output, Failure> {
        let file = input.entry;
        let whole = |message: &str, hint: Option<String>| {
            let problem = Problem { at: file.clone(), line: None, column: None, message: message.into(), hint };
            Failure::Invalid(vec![problem])
        };
        if file.is_empty() {
            return Err(whole("a folder was named", Some("name the file with the pipelines".into())));
        }
        let bytes = files::read(&file).map_err(|refusal| whole(said(&refusal), None))?;
        let documents = documents(&bytes)
            .map_err(|wrongs| Failure::Invalid(wrongs.into_iter().map(|wrong| problem(&file, wrong)).collect()))?;
        let documents = documents.into_iter().map(|document| pipeline(&file, document)).collect();
        Ok(Output { documents, notes: Vec::new() })
    }
}

fn pipeline(file: &str, document: Document) -> builder::Document {
    let origin = |origin: crate::Origin| builder::Origin {
        pointer: origin.pointer,
        file: file.into(),
        line: origin.mark.line,
        column: origin.mark.column,
    };
    builder::Document {
        kind: "pipeline".into(),
        body: document.body,
        origins: document.origins.into_iter().map(origin).collect(),
    }
}

fn problem(file: &str, wrong: Wrong) -> Problem {
    Problem {
        at: file.into(),
        line: wrong.mark.map(|mark| mark.line),
        column: wrong.mark.map(|mark| mark.column),
        message: wrong.message,
        hint: wrong.hint,
    }
}

fn said(refusal: &Refusal) -> &str {
    match refusal {
        Refusal::Denied(message)
        | Refusal::Missing(message)
        | Refusal::Limit(message)
        | Refusal::Conflict(message)
        | Refusal::Unreachable(message) => message,
        Refusal::Other(reason) => &reason.message,
    }
}
