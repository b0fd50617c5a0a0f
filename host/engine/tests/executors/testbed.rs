//! A program for the tests of the process executor: `warden` is what `hostler warden` is in the real binary, `host` is
//! a small host that runs one script and waits to be killed.
//!
//! Must not know: what the tests check.

use hostler_engine::executor::process::{ProcessExecutor, WardenConfig};
use hostler_engine::executor::{Executor, Report, Start, What};
use hostler_engine::warden::{self, Containment};
use hostler_model::{AttemptId, Duration, Epoch, RunKey, TaskIndex};
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["warden"] => warden::main(),
        ["host", containment, folder, script] => run_host(containment, folder.into(), script.into()),
        _ => ExitCode::from(2),
    }
}

/// Prints the warden's pid once the script has said something, then sits there.
#[expect(clippy::disallowed_methods, reason = "the test gives what its script needs in the environment")]
fn run_host(containment: &str, folder: PathBuf, text: String) -> ExitCode {
    let containment: Containment = serde_json::from_str(&format!("\"{containment}\"")).expect("a known containment");
    let program = std::env::current_exe().expect("our own path is known");
    let epoch = Epoch(1);
    let isolation = hostler_engine::isolation::Isolation::default();
    let (keep, meeting) = (Duration::ZERO, folder.join("none"));
    let (args, scratch) = (vec!["warden".into()], folder.clone());
    let config = WardenConfig { program, args, epoch, scratch, containment, keep, meeting, isolation };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(async {
        let executor = ProcessExecutor::start_warden(config).await.expect("the warden starts");
        let (reports, mut heard) = tokio::sync::mpsc::channel(16);
        let start = Start {
            id: AttemptId { epoch, run: RunKey(1), task: TaskIndex(0), item: 0, attempt: 1 },
            what: What::Script { shell: "/bin/sh".into(), text },
            env: std::env::vars().collect(),
            workspace: folder.clone(),
            outputs: folder,
        };
        executor.start(start, reports).await;
        while let Some(report) = heard.recv().await {
            if let Report::Output { .. } = report {
                println!("{}", executor.warden_pid().expect("the warden lives"));
            }
        }
    });
    ExitCode::SUCCESS
}
