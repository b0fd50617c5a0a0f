//! The published JSON Schema of the pipeline document. A test holds it and the parser together on the same documents.
//!
//! It says what a schema can say; names, cycles, references and limits are the parser's.

/// JSON Schema, draft 2020-12.
pub const SCHEMA: &str = include_str!("../../../docs/reference/pipeline.schema.json");
