//! Components as commands: what they are given, what they cannot reach, and how they end.

mod support;

use hostler_model::Duration;
use hostler_plugin::command::{Output, Stream};
use hostler_plugin::{CommandEnd, CommandExit, CommandSpec, Commands, Preopen};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use support::{command, hostile, house};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

fn spec(workspace: &Path, args: &[&str]) -> CommandSpec {
    CommandSpec {
        component: command(),
        args: args.iter().map(ToString::to_string).collect(),
        env: Vec::new(),
        stdin: Vec::new(),
        workspace: workspace.into(),
        preopens: Vec::new(),
        memory_bytes_max: None,
        time_max: None,
    }
}

/// Runs to the end: how it ended, stdout, stderr, and the digest that was told.
async fn run(commands: &Commands, spec: CommandSpec) -> (CommandEnd, String, String, Option<String>) {
    let (sender, mut receiver) = mpsc::channel(4);
    let digest = Arc::new(Mutex::new(None));
    let told = digest.clone();
    let started = move |digest| *told.lock().expect("not poisoned") = Some(digest);
    let reader = tokio::spawn(async move {
        let mut streams = (Vec::new(), Vec::new());
        while let Some(Output { stream, bytes }) = receiver.recv().await {
            assert!(bytes.len() <= 64 << 10);
            match stream {
                Stream::Stdout => streams.0.extend(bytes),
                Stream::Stderr => streams.1.extend(bytes),
            }
        }
        streams
    });
    let end = commands.run(spec, sender, CancellationToken::new(), started).await;
    let (out, err) = reader.await.expect("the reader ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let digest = digest.lock().expect("not poisoned").take();
    (end, text(out), text(err), digest)
}

#[tokio::test]
async fn a_command_gets_what_it_is_given_and_nothing_else() {
    let house = house();
    let commands = house.runtime.commands();
    let work = tempfile::tempdir().expect("a folder");
    let mut show = spec(work.path(), &["show", "a b", "-x"]);
    show.env = vec![("DAY".into(), "today".into())];
    show.stdin = b"in\nput".to_vec();
    let (end, out, err, digest) = run(&commands, show).await;
    assert_eq!(end.exit, CommandExit::Code(0));
    assert_eq!(
        out,
        "args [\"command.wasm\", \"show\", \"a b\", \"-x\"]\nenv [(\"DAY\", \"today\")]\nstdin \"in\\nput\"\n"
    );
    assert_eq!(err, "to stderr\n");
    assert!(digest.expect("told").starts_with("sha256:"));
    let (_, out, ..) = run(&commands, spec(work.path(), &["net"])).await;
    assert_eq!(out, "false false false false\n");
}

#[tokio::test]
async fn folders_are_the_workspace_a_private_tmp_and_what_else_was_opened() {
    let house = house();
    let commands = house.runtime.commands();
    let outer = tempfile::tempdir().expect("a folder");
    let (work, outputs) = (outer.path().join("work"), outer.path().join("outputs"));
    std::fs::create_dir_all(&work).and_then(|()| std::fs::create_dir_all(&outputs)).expect("folders");
    std::fs::write(outer.path().join("secret.txt"), "secret").expect("a file");
    std::fs::write(work.join("in.txt"), "given").expect("a file");
    let mut files = spec(&work, &["files"]);
    files.preopens = vec![Preopen { host: outputs.clone(), guest: "/outputs".into() }];
    files.env = vec![("HOSTLER_OUTPUT".into(), "/outputs/values".into())];
    let (end, out, err, _) = run(&commands, files).await;
    assert_eq!(end.exit, CommandExit::Code(0), "{err}");
    let lines: Vec<_> = out.lines().collect();
    assert_eq!((lines[0], lines[2]), ("workspace given given", "tmp private"));
    assert!(!lines[1].contains("secret") && !lines[1].contains("root"), "{}", lines[1]);
    assert_eq!(std::fs::read_to_string(work.join("out.txt")).expect("written"), "written");
    assert_eq!(std::fs::read_to_string(outputs.join("values")).expect("written"), "rows=3");
}

#[tokio::test]
async fn each_end_is_told_apart() {
    let house = house();
    let commands = house.runtime.commands();
    let work = tempfile::tempdir().expect("a folder");
    // Rust's own library has only success and failure to tell through WASI 0.2.
    for (asked, told) in [("0", 0), ("1", 1), ("42", 1)] {
        let (end, ..) = run(&commands, spec(work.path(), &["exit", asked])).await;
        assert_eq!(end.exit, CommandExit::Code(told));
    }
    let (end, _, err, _) = run(&commands, spec(work.path(), &["panic"])).await;
    assert!(matches!(&end.exit, CommandExit::Trapped { .. }) && err.contains("on purpose"), "{end:?} {err}");
    let mut hoard = spec(work.path(), &["hoard"]);
    hoard.memory_bytes_max = Some(8 << 20);
    let (end, ..) = run(&commands, hoard).await;
    assert_eq!(end.exit, CommandExit::Exceeded { limit: "memory of 8388608 bytes".into() });
    assert!(end.memory_bytes_peak > 6 << 20);
    let mut late = spec(work.path(), &["spin"]);
    late.time_max = Some(Duration::from_millis(100));
    let (end, ..) = run(&commands, late).await;
    assert_eq!(end.exit, CommandExit::Exceeded { limit: "time of 100ms".into() });
}

#[tokio::test]
async fn what_cannot_run_says_why() {
    let house = house();
    let commands = house.runtime.commands();
    let work = tempfile::tempdir().expect("a folder");
    let mut cases = Vec::new();
    let core = work.path().join("core.wasm");
    std::fs::write(&core, b"\0asm\x01\0\0\0").expect("a file");
    cases.push((core, vec!["a core module"]));
    cases.push((work.path().join("nowhere.wasm"), vec!["cannot be read", "No such file"]));
    cases.push((hostile(), vec!["does not export `wasi:cli/run@0.2`", "imports `hostler:host/log@1.0.0`"]));
    for (component, expected) in cases {
        let (end, _, _, digest) = run(&commands, CommandSpec { component, ..spec(work.path(), &[]) }).await;
        let CommandExit::NotStarted { reason, transient: false } = end.exit else { panic!("{end:?}") };
        assert!(expected.iter().all(|part| reason.contains(part)), "{reason}");
        assert_eq!(digest, None);
    }
    let mut nowhere = spec(&work.path().join("nowhere"), &["show"]);
    nowhere.args.clear();
    let (end, ..) = run(&commands, nowhere).await;
    assert!(matches!(end.exit, CommandExit::NotStarted { .. }), "{end:?}");
}

#[tokio::test]
async fn a_slow_reader_slows_the_command_and_loses_nothing() {
    let house = house();
    let work = tempfile::tempdir().expect("a folder");
    let (sender, mut receiver) = mpsc::channel(1);
    let commands = house.runtime.commands();
    let spec = spec(work.path(), &["flood"]);
    let run = tokio::spawn(async move { commands.run(spec, sender, CancellationToken::new(), drop).await });
    let mut bytes = 0;
    while let Some(output) = receiver.recv().await {
        bytes += output.bytes.len();
        tokio::task::yield_now().await;
    }
    assert_eq!(bytes, 16 << 20);
    assert_eq!(run.await.expect("no panic").exit, CommandExit::Code(0));
}

#[tokio::test]
async fn a_cancel_ends_it_soon_whatever_it_does() {
    let house = house();
    let commands = house.runtime.commands();
    let work = tempfile::tempdir().expect("a folder");
    // The reader of the last one never reads, so the command waits for it.
    for how in ["spin", "sleep", "flood"] {
        let (sender, receiver) = mpsc::channel(1);
        let (begin, begun) = tokio::sync::oneshot::channel();
        let cancel = CancellationToken::new();
        let (token, commands, spec) = (cancel.clone(), commands.clone(), spec(work.path(), &[how]));
        let run =
            tokio::spawn(
                async move { commands.run(spec, sender, token, move |digest| drop(begin.send(digest))).await },
            );
        begun.await.expect("it starts");
        // tidy: allow(sleep), because the guest should be somewhere in the middle, and nothing tells when it is.
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        let asked = Instant::now();
        cancel.cancel();
        assert_eq!(run.await.expect("no panic").exit, CommandExit::Cancelled, "{how}");
        assert!(asked.elapsed().as_millis() < 1_000, "{how} took {} ms", asked.elapsed().as_millis());
        drop(receiver);
    }
}
