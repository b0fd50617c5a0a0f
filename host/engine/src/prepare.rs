//! What an attempt is started with: every reference replaced by its value, the whole environment, and nothing else.

use crate::executor::container::{self, ContainerStart};
use crate::executor::{Start, What};
use crate::folders::AttemptFolder;
use crate::run_facts::RunFacts;
use hostler_model::resolve::{Facts, resolve, resolve_arguments};
use hostler_model::spec::{Argument, Piece, Process, Reference, Text};
use hostler_model::{AttemptId, Task, TaskIndex, TaskKind};
use hostler_store::Store;
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap};

/// In the attempt's `out` folder.
pub(crate) const OUTPUTS_FILE: &str = "outputs";

/// The outputs of the tasks that this one refers to.
type Outputs = HashMap<TaskIndex, Map<String, Value>>;

/// The reason, where it cannot be started.
pub(crate) async fn start(
    store: &Store,
    run: &RunFacts,
    id: AttemptId,
    folder: &AttemptFolder,
    host_env: &[(String, String)],
) -> Result<Start, String> {
    let task = run.pipeline.task(id.task);
    let outputs = read_outputs(store, run, task).await?;
    let output = |task: TaskIndex, key: &str| outputs.get(&task)?.get(key).map(text);
    let facts = Facts {
        pipeline: &run.pipeline,
        run: run.id,
        number: run.number,
        task: id.task,
        attempt: id.attempt,
        params: &run.params,
        output: &output,
    };
    let what = what(task, &facts).map_err(|error| error.to_string())?;
    let said = said(run, id, task, folder, &what);
    // The image has an environment of its own, in which the host's PATH and HOME would be wrong.
    let host_env = if matches!(what, What::Container(_)) { &[] } else { host_env };
    let env = facts.environment(host_env, &said).map_err(|error| error.to_string())?;
    Ok(Start { id, what, env, workspace: folder.workspace.clone(), outputs: folder.out.clone() })
}

fn what(task: &Task, facts: &Facts<'_>) -> Result<What, hostler_model::resolve::Unresolved> {
    Ok(match &task.kind {
        TaskKind::Process(Process::Argv(argv)) => What::Process { argv: resolve_arguments(argv, facts)? },
        TaskKind::Process(Process::Script { shell, text }) => What::Script { shell: shell.clone(), text: text.clone() },
        TaskKind::Container(spec) => What::Container(Box::new(ContainerStart {
            spec: (**spec).clone(),
            command: resolve_arguments(&spec.command, facts)?,
            pipeline: facts.pipeline.id.clone(),
        })),
        TaskKind::Wasm(wasm) => What::Wasm {
            component: wasm.component.clone(),
            args: resolve_arguments(&wasm.args, facts)?,
            stdin: wasm.stdin.as_ref().map(|stdin| resolve(stdin, facts)).transpose()?.unwrap_or_default().into_bytes(),
            memory_max: wasm.memory_max,
        },
        // The machine never starts one; an empty command is refused by the executor, should it ever.
        TaskKind::None => What::Process { argv: Vec::new() },
    })
}

/// What the host says to the task. A guest and a container see their folders under names of their own.
fn said(run: &RunFacts, id: AttemptId, task: &Task, folder: &AttemptFolder, what: &What) -> Vec<(String, String)> {
    let (workspace, out) = match what {
        What::Container(_) => (container::WORKSPACE.to_owned(), container::OUTPUTS.to_owned()),
        What::Wasm { .. } => ("/workspace".to_owned(), "/outputs".to_owned()),
        What::Process { .. } | What::Script { .. } => {
            (folder.workspace.display().to_string(), folder.out.display().to_string())
        }
    };
    let mut said = vec![
        ("HOSTLER_RUN_ID".to_owned(), run.id.to_string()),
        ("HOSTLER_RUN_NUMBER".to_owned(), run.number.to_string()),
        ("HOSTLER_PIPELINE".to_owned(), run.pipeline.id.to_string()),
        ("HOSTLER_TASK".to_owned(), task.name.to_string()),
        ("HOSTLER_ATTEMPT".to_owned(), id.attempt.to_string()),
        // Stays the same when the host is restarted in the middle: what a task hands on to make its effects happen
        // once.
        ("HOSTLER_IDEMPOTENCY_KEY".to_owned(), format!("{}-{}-{}-{}", run.id, task.name, id.item, id.attempt)),
        ("HOSTLER_WORKSPACE".to_owned(), workspace),
        ("HOSTLER_OUTPUT".to_owned(), format!("{out}/{OUTPUTS_FILE}")),
    ];
    let event = |(name, value): &(String, String)| (format!("HOSTLER_EVENT_{}", env_name(name)), value.clone());
    said.extend(run.attributes.iter().map(event));
    said
}

/// Attributes are named by plugins; in the environment a name is upper case with `_` for what is not allowed there
/// (POSIX).
fn env_name(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().map(keep).collect()
}

/// Strings as they are, anything else as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

async fn read_outputs(store: &Store, run: &RunFacts, task: &Task) -> Result<Outputs, String> {
    let needed = needed(run, task);
    if needed.is_empty() {
        return Ok(Outputs::new());
    }
    let (store, key) = (store.clone(), run.key);
    let read = tokio::task::spawn_blocking(move || {
        store.read(|tx| {
            let row = |task: TaskIndex| Ok((task, tx.task(key, task, 0)?.and_then(|row| row.outputs)));
            needed.into_iter().map(row).collect::<Result<Vec<_>, hostler_store::Error>>()
        })
    });
    let rows = read.await.map_err(|_| "its references could not be looked up".to_owned())?;
    let rows = rows.map_err(|error| format!("its references could not be looked up: {error}"))?;
    let parsed = |(task, outputs): (TaskIndex, Option<Box<str>>)| Some((task, serde_json::from_str(&outputs?).ok()?));
    Ok(rows.into_iter().filter_map(parsed).collect())
}

/// The tasks whose outputs this one refers to, in its own environment, that of the pipeline, or its arguments.
fn needed(run: &RunFacts, task: &Task) -> BTreeSet<TaskIndex> {
    let mut references: Vec<&Reference> = Vec::new();
    for entry in run.pipeline.env.iter().chain(&task.env) {
        references.extend(of_text(&entry.value));
    }
    match &task.kind {
        TaskKind::Process(Process::Argv(argv)) => references.extend(argv.iter().filter_map(of_argument)),
        TaskKind::Container(container) => references.extend(container.command.iter().filter_map(of_argument)),
        TaskKind::Wasm(wasm) => {
            references.extend(wasm.args.iter().filter_map(of_argument));
            references.extend(wasm.stdin.iter().flat_map(of_text));
        }
        TaskKind::Process(Process::Script { .. }) | TaskKind::None => {}
    }
    let outputs = |reference: &Reference| match reference {
        Reference::Output { task, .. } => Some(*task),
        Reference::Param(_)
        | Reference::RunId
        | Reference::RunNumber
        | Reference::PipelineId
        | Reference::TaskName
        | Reference::TaskAttempt => None,
    };
    references.into_iter().filter_map(outputs).collect()
}

fn of_text(text: &Text) -> impl Iterator<Item = &Reference> {
    text.0.iter().filter_map(|piece| match piece {
        Piece::Reference(reference) => Some(reference),
        Piece::Literal(_) => None,
    })
}

fn of_argument(argument: &Argument) -> Option<&Reference> {
    match argument {
        Argument::Reference(reference) => Some(reference),
        Argument::Literal(_) => None,
    }
}
