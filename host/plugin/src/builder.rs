//! The builder role: files and params in, pipeline documents out.
//!
//! Invariant: a document that leaves here is a JSON object of a known kind, and its origins name files that the guest
//! could see. Must not know: what is right in a document; the model checks it.

use crate::bindings::exports::hostler::builder::builder as wit;
use crate::host::Files;
use crate::invoke::{Call, Called, Input, invoke};
use crate::subscription::{attributes, failure, problem};
use crate::{CallError, Failure, Plugin, Role};
use hostler_model::{Problem, Slug, Timestamp};
use serde_json::Value;

/// Documents of one build.
const DOCUMENTS_MAX: usize = 1_000;

/// What a builder is asked.
#[derive(Clone, PartialEq, Debug)]
pub struct BuildInput {
    /// The named file, as the guest's `files` calls it.
    pub entry: String,
    /// As `Plugin::check_params` gave them back.
    pub params: Value,
    pub extra: Vec<(String, String)>,
    /// None: without rights, as in a build before anything is installed.
    pub namespace: Option<Slug>,
    pub now: Timestamp,
}

/// Where a part of a document comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DocumentOrigin {
    /// JSON pointer into the document.
    pub pointer: String,
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DocumentKind {
    Pipeline,
    Subscription,
}

#[derive(Clone, PartialEq, Debug)]
pub struct BuiltDocument {
    pub kind: DocumentKind,
    /// JSON text of an object, as the builder wrote it.
    pub body: String,
    /// In order of pointer.
    pub origins: Vec<DocumentOrigin>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Built {
    pub documents: Vec<BuiltDocument>,
    /// What changed in meaning or was left out.
    pub notes: Vec<Problem>,
}

impl Plugin {
    pub async fn build(&self, input: BuildInput, files: Files) -> Result<Built, CallError> {
        let call = Call {
            namespace: input.namespace,
            files: Some(files),
            ..Call::bare(Some(Role::Builder), "build", input.now)
        };
        let params = self.input(&call, Input { what: "params", text: input.params.to_string() })?;
        let asked = wit::Input { entry: input.entry, params, extra: attributes(&input.extra) };
        let told = invoke(self, call, move |Called { exports, instance, store }| {
            Box::pin(async move {
                let guest = exports.builder(store, instance)?;
                let answer = guest.call_build(store, &asked).await?;
                Ok(answer.map_err(failure).and_then(read))
            })
        });
        Ok(told.await?.0)
    }
}

fn read(output: wit::Output) -> Result<Built, Failure> {
    let wrong = |message: String| Failure::WrongAnswer(message);
    if output.documents.len() > DOCUMENTS_MAX {
        return Err(wrong(format!(
            "{} documents, at most {DOCUMENTS_MAX} may come of one build",
            output.documents.len()
        )));
    }
    let documents = output.documents.into_iter().enumerate();
    let documents =
        documents.map(|(place, told)| document(told).map_err(|why| wrong(format!("document {place}: {why}"))));
    Ok(Built {
        documents: documents.collect::<Result<_, _>>()?,
        notes: output.notes.into_iter().map(problem).collect(),
    })
}

fn document(told: wit::Document) -> Result<BuiltDocument, String> {
    let kind = match told.kind.as_str() {
        "pipeline" => DocumentKind::Pipeline,
        "subscription" => DocumentKind::Subscription,
        other => return Err(format!("`{other}` is no kind of document; there are pipeline and subscription")),
    };
    let object: Result<serde_json::Map<String, Value>, _> = serde_json::from_str(&told.body);
    object.map_err(|error| format!("its body is no JSON object: {error}"))?;
    let origin = |told: wit::Origin| DocumentOrigin {
        pointer: told.pointer,
        file: told.file,
        line: told.line.max(1),
        column: told.column.max(1),
    };
    let mut origins: Vec<_> = told.origins.into_iter().map(origin).collect();
    origins.sort_by(|one, two| one.pointer.cmp(&two.pointer));
    Ok(BuiltDocument { kind, body: told.body, origins })
}

impl BuiltDocument {
    /// Where the author wrote the part that a pointer names: the part itself, or the nearest above it that is known.
    pub fn origin_of(&self, pointer: &str) -> Option<&DocumentOrigin> {
        let mut pointer = pointer;
        loop {
            if let Ok(at) = self.origins.binary_search_by(|origin| origin.pointer.as_str().cmp(pointer)) {
                return self.origins.get(at);
            }
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }
}
