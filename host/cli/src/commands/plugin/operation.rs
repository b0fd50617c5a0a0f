//! Waiting for what the host does with a component, with progress where somebody looks.

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use hostler_model::{Bytes, Problems};
use hostler_web::Client;
use hostler_web::types::{Inspection, Operation, OperationAction, OperationRequest, OperationStatus, PluginSource};
use std::time::Duration;

/// How often an operation is looked at.
const LOOK: Duration = Duration::from_millis(100);

pub(super) fn request(action: OperationAction, source: PluginSource) -> OperationRequest {
    OperationRequest {
        action,
        source,
        plugin: None,
        grants: None,
        grant_all: false,
        settings: serde_json::Value::Null,
        limits: None,
    }
}

/// Begins it and waits until it is done.
pub(super) async fn run(ctx: &Context, client: &Client, request: &OperationRequest) -> Result<Operation, Failure> {
    let mut operation = client.begin_plugin_operation(&ctx.namespace, request).await?;
    let mut shown = String::new();
    while operation.status == OperationStatus::Running {
        tokio::time::sleep(LOOK).await;
        operation = client.plugin_operation(&ctx.namespace, operation.id).await?;
        let now = doing(&operation);
        if now != shown && ctx.printer.err_is_terminal {
            ctx.printer.status(&now);
            shown = now;
        }
    }
    if !shown.is_empty() {
        ctx.printer.status("");
    }
    match operation.error {
        Some(error) => {
            let problems = Problems(error.problems.into_iter().map(Into::into).collect());
            Err(Failure::new(ExitCode::from(error.kind), error.message).problems(problems))
        }
        None => Ok(operation),
    }
}

fn doing(operation: &Operation) -> String {
    let (done, total) = (operation.bytes_done, operation.bytes_total);
    match total {
        0 => String::new(),
        total if done < total => format!("fetching {} of {}", Bytes(done), Bytes(total)),
        total => format!("fetched {}, compiling", Bytes(total)),
    }
}

pub(super) async fn inspect(
    ctx: &Context,
    client: &Client,
    source: PluginSource,
    against: Option<hostler_model::Slug>,
) -> Result<Inspection, Failure> {
    let asked = OperationRequest { plugin: against, ..request(OperationAction::Inspect, source) };
    let operation = run(ctx, client, &asked).await?;
    let none = || Failure::new(ExitCode::Internal, "the host did not say what it found");
    operation.inspected.map(|found| *found).ok_or_else(none)
}
