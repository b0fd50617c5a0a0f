//! The builder role: files and params in, pipeline documents out.
//!
//! Invariant: a document that leaves here is a JSON object of a known kind, and its origins name files that the guest
//! could see. Must not know: what is right in a document; the model checks it.

use crate::bindings::exports::hostler::builder::builder as wit;
use crate::cases::asked;
use crate::host::Files;
use crate::invoke::{Call, Called, Input, invoke};
use crate::pattern::matches;
use crate::subscription::{attributes, failure, problem};
use crate::{CallError, Failure, Plugin, Role, RoleManifest};
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
    /// In order of pointer; of two with the same one the first is that of the key.
    pub origins: Vec<DocumentOrigin>,
}

/// Which part of an object's member is meant by a pointer to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    Key,
    Value,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Built {
    pub documents: Vec<BuiltDocument>,
    /// What changed in meaning or was left out.
    pub notes: Vec<Problem>,
}

/// Whether a builder with these `entries` in its manifest is meant for files of this name.
pub fn builds(entries: &[String], file_name: &str) -> bool {
    entries.iter().any(|pattern| matches(pattern, file_name))
}

impl Plugin {
    /// Whether it is meant for files of this name.
    pub fn builds(&self, file_name: &str) -> bool {
        self.builder_manifest().is_some_and(|said| builds(&said.entries, file_name))
    }

    /// Its part of the manifest as a builder.
    pub fn builder_manifest(&self) -> Option<&RoleManifest> {
        self.manifest().roles.get(&Role::Builder)
    }

    pub async fn build(&self, input: BuildInput, files: Files) -> Result<Built, CallError> {
        let call = Call {
            asked: self.asked(|| asked::build(&input)),
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
    /// Where the author wrote what a pointer names, or else what is nearest above it.
    pub fn origin_of(&self, pointer: &str, part: Part) -> Option<&DocumentOrigin> {
        let (mut pointer, mut part) = (pointer, part);
        loop {
            let from = self.origins.partition_point(|origin| origin.pointer.as_str() < pointer);
            let same = self.origins[from..].partition_point(|origin| origin.pointer == pointer);
            let found = &self.origins[from..from + same];
            match part {
                Part::Key if same > 0 => return found.first(),
                Part::Value if same > 0 => return found.last(),
                Part::Key | Part::Value => {}
            }
            // What is meant has no place of its own, so the key of what it lies in says more than where that begins.
            part = Part::Key;
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_without_a_place_has_that_of_what_it_lies_in() {
        let origin =
            |pointer: &str, line| DocumentOrigin { pointer: pointer.into(), file: "p".into(), line, column: 1 };
        let origins = vec![origin("", 1), origin("/a", 2), origin("/a", 3), origin("/a/0/b", 4), origin("/ab", 5)];
        let document = BuiltDocument { kind: DocumentKind::Pipeline, body: "{}".into(), origins };
        for (pointer, part, line) in [
            ("", Part::Value, 1),
            ("/a", Part::Key, 2),
            ("/a", Part::Value, 3),
            ("/a/0/b", Part::Value, 4),
            ("/a/0/b/c/d", Part::Value, 4),
            ("/a/0", Part::Value, 2),
            ("/a/1", Part::Key, 2),
            ("/abc/d", Part::Value, 1),
            ("no pointer", Part::Key, 0),
        ] {
            assert_eq!(document.origin_of(pointer, part).map_or(0, |origin| origin.line), line, "{pointer}");
        }
    }
}
