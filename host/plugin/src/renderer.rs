//! The renderer role: what a booting machine is served.
//!
//! Invariant: a file that is named lies below the folder that the host will look in: no absolute path, no `..`.

use crate::bindings::exports::hostler::renderer::renderer as wit;
use crate::cases::asked;
use crate::host::Files;
use crate::invoke::{Call, Called, Input, invoke};
use crate::subscription::{attributes, failure, pairs};
use crate::{CallError, Failure, Plugin, Role};
use bytes::Bytes;
use hostler_model::{Slug, Timestamp};
use serde_json::Value;

/// One machine, as a renderer sees it.
#[derive(Clone, PartialEq, Debug)]
pub struct Machine {
    pub id: String,
    pub mac: String,
    pub arch: String,
    pub state: String,
    pub groups: Vec<String>,
    pub vars: Value,
}

#[derive(Clone, PartialEq, Debug)]
pub struct RenderRequest {
    pub path: String,
    pub query: String,
    pub headers: Vec<(String, String)>,
    /// None: it has not said who it is.
    pub machine: Option<Machine>,
    /// Addresses by name, tokens already in them.
    pub urls: Vec<(String, String)>,
    pub namespace: Slug,
    pub now: Timestamp,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    Bytes(Bytes),
    /// A path below the operator's data folder.
    File(String),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rendered {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub content: Content,
}

impl Plugin {
    pub async fn render(&self, request: RenderRequest, templates: Files) -> Result<Rendered, CallError> {
        let call = Call {
            asked: self.asked(|| asked::render(&request)),
            namespace: Some(request.namespace),
            files: Some(templates),
            ..Call::bare(Some(Role::Renderer), "render", request.now)
        };
        let machine = match request.machine {
            None => None,
            Some(machine) => Some(wit::Machine {
                vars: self.input(&call, Input { what: "the machine's vars", text: machine.vars.to_string() })?,
                id: machine.id,
                mac: machine.mac,
                arch: machine.arch,
                state: machine.state,
                groups: machine.groups,
                extra: Vec::new(),
            }),
        };
        let asked = wit::Request {
            path: request.path,
            query: request.query,
            headers: attributes(&request.headers),
            machine,
            urls: attributes(&request.urls),
            extra: Vec::new(),
        };
        let told = invoke(self, call, move |Called { exports, instance, store }| {
            Box::pin(async move {
                let guest = exports.renderer(store, instance)?;
                let answer = guest.call_render(store, &asked).await?;
                Ok(answer.map_err(failure).and_then(read))
            })
        });
        Ok(told.await?.0)
    }
}

fn read(told: wit::Rendered) -> Result<Rendered, Failure> {
    if !(200..600).contains(&told.status) {
        return Err(Failure::WrongAnswer(format!("{} is no status of an answer", told.status)));
    }
    let content = match told.content {
        wit::Content::Bytes(bytes) => Content::Bytes(bytes.into()),
        wit::Content::File(path) if is_below(&path) => Content::File(path),
        wit::Content::File(path) => {
            return Err(Failure::WrongAnswer(format!("`{path}` is no path below the data folder")));
        }
    };
    Ok(Rendered { status: told.status, headers: pairs(told.headers), content })
}

fn is_below(path: &str) -> bool {
    !path.is_empty() && path.split('/').all(|part| !matches!(part, "" | "." | "..")) && !path.contains(['\\', '\0'])
}
