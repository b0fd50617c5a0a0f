//! The container executor on a real engine: the conformance suite, what only containers do, and engines that are ill.

use crate::conformance::{EPOCH, Heard, MUCH_LINES, Samples, SignalSamples, Trial, exercise_executor};
use crate::containers::{IMAGE, docker, engine};
use crate::process::{leftovers, until};
use crate::proxy::{Mood, Proxy};
use hostler_engine::Clock;
use hostler_engine::executor::container::{ContainerConfig, ContainerExecutor, ContainerStart};
use hostler_engine::executor::{Executor, Report, Stream, What};
use hostler_model::spec::{Cache, Container, Network, Pull, TaskKind};
use hostler_model::{AttemptId, Duration, Epoch, Exit, Pipeline, RunKey, Slug, TaskIndex};
use hostler_store::{LogKept, LogKeptStream};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration as StdDuration;

const LIMIT: StdDuration = StdDuration::from_secs(60);

/// No two hosts of these tests have the same id, nor have those of an earlier run of them.
fn new_host_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let nanos = std::time::UNIX_EPOCH.elapsed().expect("it is later").as_nanos();
    format!("test-{nanos:x}{:x}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn config(socket: &Path, host_id: &str) -> ContainerConfig {
    let mut config = ContainerConfig::without_engine(EPOCH);
    config.sockets = vec![socket.into()];
    config.host_id = host_id.into();
    config
}

fn executor(socket: &Path) -> ContainerExecutor {
    ContainerExecutor::new(config(socket, &new_host_id()), Clock::system())
}

/// As a document says it.
fn what(container: serde_json::Value) -> What {
    let document = serde_json::json!({"id": "p", "tasks": {"t": {"container": container}}});
    let pipeline = Pipeline::from_value(&document).expect("a good document");
    let TaskKind::Container(spec) = &pipeline.tasks[0].kind else { panic!("a container") };
    let literal = |argument: &hostler_model::spec::Argument| match argument {
        hostler_model::spec::Argument::Literal(text) => text.clone(),
        hostler_model::spec::Argument::Reference(_) => panic!("no references here"),
    };
    let command = spec.command.iter().map(literal).collect();
    What::Container(Box::new(ContainerStart { spec: (**spec).clone(), command, pipeline: pipeline.id.clone() }))
}

fn script(text: &str) -> What {
    what(serde_json::json!({"image": IMAGE, "entrypoint": ["sh", "-c"], "command": [text]}))
}

fn with(text: &str, change: impl FnOnce(&mut Container)) -> What {
    let What::Container(mut start) = script(text) else { panic!("a container") };
    change(&mut start.spec);
    What::Container(start)
}

async fn run(executor: &ContainerExecutor, what: &What) -> Heard {
    let mut trial = Trial::new(what);
    trial.begin(executor).await;
    let heard = trial.heard().await;
    executor.forget(trial.id).await;
    heard
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn reason(exit: Option<Exit>) -> String {
    match exit {
        Some(Exit::NotStarted { reason, .. } | Exit::Lost { reason }) => reason,
        other => panic!("it has no reason: {other:?}"),
    }
}

/// How many containers of this host there are, ended ones too.
fn containers_of(host_id: &str) -> usize {
    docker(["ps", "-aq", "--filter", &format!("label=hostler.host={host_id}")]).lines().count()
}

fn samples() -> Samples {
    let last = MUCH_LINES;
    Samples {
        succeed: script("true"),
        exit_seven: script("exit 7"),
        print_both: script("echo one; echo oops >&2; echo two"),
        print_sample: script("echo \"$SAMPLE\""),
        print_much: script(&format!("awk 'BEGIN {{ for (i = 0; i < {last}; i++) printf \"%09d\\n\", i }}'")),
        sleep_long: script("echo ready; sleep 1000"),
        write_file: script("echo here > made"),
        write_outputs: script("echo '{\"rows\": 3}' > /outputs/outputs"),
        missing: what(serde_json::json!({"image": IMAGE, "entrypoint": ["no-such-command"], "command": ["x"]})),
        missing_name: "`no-such-command` was not found in image",
        side_by_side: 20,
        signals: Some(SignalSamples {
            obey: script("trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.02; done"),
            ignore: script("trap '' TERM; echo ready; while :; do sleep 1000; done"),
        }),
        leftovers,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_do_what_executors_do() {
    let Some(socket) = engine() else { return };
    exercise_executor(async || executor(&socket), &samples()).await;
}
