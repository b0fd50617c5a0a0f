//! Errors, who is asking, and how the host is.

use hostler_model::Kind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One mistake in what was sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// JSON pointer (RFC 6901) to the place in the body or document; empty for all of it, `?name` for a query
    /// parameter.
    pub at: String,
    /// Line in the text, from 1, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Column in the line, from 1, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl From<hostler_model::Problem> for Problem {
    fn from(problem: hostler_model::Problem) -> Self {
        let hostler_model::Problem { at, line, column, message, hint } = problem;
        Self { at, line, column, message, hint }
    }
}

impl From<Problem> for hostler_model::Problem {
    fn from(problem: Problem) -> Self {
        let Problem { at, line, column, message, hint } = problem;
        Self { at, line, column, message, hint }
    }
}

/// The body of every answer that is an error.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// The sort of failure; the HTTP status follows from it.
    #[schema(value_type = String, example = "not_found")]
    pub kind: Kind,
    /// What happened, to what.
    pub message: String,
    /// All mistakes of the input, where it is the input that is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Names this request in the host's log; also in the header `x-request-id`.
    pub request_id: String,
}

/// One thing a token may do. `*` stands for all.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Grant {
    pub noun: String,
    pub verb: String,
    pub namespace: String,
}

/// The token that asks, and what it may do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Whoami {
    /// The name of the token.
    pub token: String,
    pub permissions: Vec<Grant>,
    /// The version of the host.
    pub version: String,
}

/// The process lives.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    pub status: String,
}

/// Whether requests make sense now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Ready {
    pub ready: bool,
}
