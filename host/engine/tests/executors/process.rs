//! The process executor: the conformance suite in each way of keeping processes together, and what only processes do.

use crate::conformance::{EPOCH, Heard, MUCH_LINES, Samples, SignalSamples, Trial, exercise_executor};
use hostler_engine::executor::process::{ProcessExecutor, WardenConfig};
use hostler_engine::executor::{Executor, What};
use hostler_engine::isolation::Isolation;
use hostler_engine::warden::Containment;
use hostler_model::{Duration, Exit};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Instant;

pub(crate) const TESTBED: &str = env!("CARGO_BIN_EXE_executor-testbed");

/// Where the machine has no such control groups the warden falls back to marks, and the case runs twice the same way.
const CONTAINMENTS: [Containment; 3] = [Containment::PidsGroup, Containment::UnifiedGroup, Containment::Marks];

struct Setup {
    executor: ProcessExecutor,
    _scratch: tempfile::TempDir,
}

impl Setup {
    async fn new(containment: Containment) -> Self {
        let scratch = tempfile::tempdir().expect("a folder can be made");
        let executor = start_warden(&scratch, containment).await;
        Self { executor, _scratch: scratch }
    }

    async fn run(&self, what: &What) -> Heard {
        let mut trial = Trial::new(what);
        trial.begin(&self.executor).await;
        trial.heard().await
    }

    async fn begin(&self, what: &What) -> Trial {
        let mut trial = Trial::new(what);
        trial.begin(&self.executor).await;
        trial
    }
}

async fn start_warden(scratch: &tempfile::TempDir, containment: Containment) -> ProcessExecutor {
    let config = WardenConfig {
        program: TESTBED.into(),
        args: vec!["warden".into()],
        epoch: EPOCH,
        scratch: scratch.path().to_owned(),
        containment,
        keep: Duration::ZERO,
        meeting: scratch.path().join("none"),
        isolation: Isolation::default(),
    };
    ProcessExecutor::start_warden(config).await.expect("the warden starts")
}

pub(crate) fn script(text: &str) -> What {
    What::Script { shell: "/bin/sh".into(), text: text.into() }
}

fn argv<const N: usize>(argv: [&str; N]) -> What {
    What::Process { argv: argv.iter().map(ToString::to_string).collect() }
}

fn samples() -> Samples {
    Samples {
        succeed: argv(["true"]),
        fail: (script("exit 7"), 7),
        print_both: script("echo one; echo oops >&2; echo two"),
        print_sample: script("echo \"$SAMPLE\""),
        print_much: argv(["seq", "-f", "%09.0f", "0", &(MUCH_LINES - 1).to_string()]),
        sleep_long: script("echo ready; sleep 1000"),
        write_file: script("echo here > made"),
        write_outputs: script("echo '{\"rows\": 3}' > \"$HOSTLER_OUTPUT\""),
        missing: argv(["no-such-command", "x"]),
        missing_name: "no-such-command",
        side_by_side: 200,
        signals: Some(SignalSamples {
            obey: script("trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.02; done"),
            ignore: script("trap '' TERM; echo ready; while :; do sleep 1000; done"),
        }),
        leftovers,
    }
}

/// How many living processes have this value in the variable `TOKEN`, or in their arguments.
pub(crate) fn leftovers(token: &str) -> usize {
    let entries = std::fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has_it = |pid: &u32| {
        let says = |file: &str| {
            let text = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            text.split(|byte| *byte == 0)
                .any(|entry| entry.strip_prefix(b"TOKEN=").unwrap_or(entry) == token.as_bytes())
        };
        says("environ") || says("cmdline")
    };
    pids.filter(|pid| *pid != std::process::id()).filter(has_it).count()
}

pub(crate) async fn until(what: &str, limit: std::time::Duration, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < limit, "not within {limit:?}: {what}");
        // tidy: allow(sleep), because processes are looked for in /proc, which tells nobody that one is gone.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

pub(crate) fn is_alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_in_pids_groups_do_what_executors_do() {
    exercise(Containment::PidsGroup).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_in_unified_groups_do_what_executors_do() {
    exercise(Containment::UnifiedGroup).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_known_by_marks_do_what_executors_do() {
    exercise(Containment::Marks).await;
}

async fn exercise(containment: Containment) {
    let scratch = tempfile::tempdir().expect("a folder can be made");
    let make = async || {
        let executor = start_warden(&scratch, containment).await;
        println!("asked for {containment:?}, has {:?}", executor.containment());
        executor
    };
    exercise_executor(make, &samples()).await;
}

#[tokio::test]
async fn the_environment_is_what_was_given_and_the_handle() {
    let setup = Setup::new(Containment::Auto).await;
    let heard = setup.run(&argv(["env"])).await;
    let text = String::from_utf8_lossy(&heard.stdout).into_owned();
    let mut names: Vec<&str> = text.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    assert_eq!(names, ["HOSTLER_HANDLE", "HOSTLER_OUTPUT", "PATH", "SAMPLE", "TOKEN"]);
}

#[tokio::test]
async fn a_process_starts_with_nothing_but_its_streams_and_default_signals() {
    let setup = Setup::new(Containment::Auto).await;
    let text = "cd /proc/$$/fd; echo *; readlink 0; cd /; grep -E 'Sig(Blk|Ign)' /proc/self/status; umask; ulimit -c; \
                ps -o tty= -p $$ | tr -d ' '";
    let heard = setup.run(&script(text)).await;
    let text = String::from_utf8_lossy(&heard.stdout).into_owned();
    // The shell itself has opened two of them: 3 is the folder it lists, 10 its script. Signals 32 and 33 are the C
    // library's own.
    let text = text.replace("SigIgn:\t0000000180000000", "SigIgn:\t0000000000000000");
    let zero = "0000000000000000";
    let expected = format!("0 1 10 2 3\n/dev/null\nSigBlk:\t{zero}\nSigIgn:\t{zero}\n0022\n0\n?\n");
    assert_eq!(text, expected, "{}", String::from_utf8_lossy(&heard.stderr));
}

#[tokio::test]
async fn a_script_lies_outside_the_workspace_for_this_user_alone_and_is_removed() {
    let setup = Setup::new(Containment::Auto).await;
    let mut trial = setup.begin(&script("echo \"$0\"; stat -c %a \"$0\"; ls -A | wc -l")).await;
    let heard = trial.heard().await;
    let text = String::from_utf8_lossy(&heard.stdout).into_owned();
    let [file, mode, count] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert_eq!((mode, count), ("600", "0"));
    assert!(!std::path::Path::new(file).exists(), "{file} is left");
}

#[tokio::test]
async fn children_that_leave_their_group_or_session_end_with_their_attempt() {
    for containment in CONTAINMENTS {
        let setup = Setup::new(containment).await;
        let mut trial = Trial::new(&script(""));
        // One in a session of its own, one double-forked daemon, one that hides its environment.
        let hidden = trial.token.clone();
        trial.start.what = script(&format!(
            "setsid sleep 1000 & (setsid sh -c 'sleep 1001 & sleep 1002 &' &); \
             env -i setsid sh -c 'sleep 1003; :' {hidden} & sleep 0.1; exit 4"
        ));
        trial.begin(&setup.executor).await;
        assert_eq!(trial.heard().await.exit, Some(Exit::Code { code: 4 }));
        assert_eq!(leftovers(&trial.token), 0, "{containment:?}");
    }
}

#[tokio::test]
async fn the_daemon_of_one_attempt_ends_while_another_attempt_goes_on() {
    for containment in CONTAINMENTS {
        let setup = Setup::new(containment).await;
        let mut other = setup.begin(&script("echo ready; setsid sleep 1000 & sleep 1000")).await;
        other.printed().await;
        let mut trial = setup.begin(&script("setsid sleep 1000 & (setsid sleep 1001 &)")).await;
        assert_eq!(trial.heard().await.exit, Some(Exit::Code { code: 0 }));
        assert_eq!(leftovers(&trial.token), 0, "{containment:?}");
        until("the other attempt runs on", std::time::Duration::from_secs(5), || leftovers(&other.token) == 3).await;
        setup.executor.kill(other.id).await;
        assert_eq!(other.exit().await.1, Exit::Signal { signal: 9 });
        assert_eq!(leftovers(&other.token), 0, "{containment:?}");
    }
}

#[tokio::test]
async fn processes_that_fork_faster_than_they_can_be_listed_are_ended() {
    for containment in CONTAINMENTS {
        let setup = Setup::new(containment).await;
        let mut trial = setup.begin(&script("true")).await;
        trial.heard().await;
        // Each walker is replaced by its child, in another session, all the time; there are eight of them.
        let walker = trial.folder.path().join("walker");
        std::fs::write(&walker, "#!/bin/sh\nsetsid \"$0\" &\n").expect("it can be written");
        std::fs::set_permissions(&walker, PermissionsExt::from_mode(0o755)).expect("it is ours");
        let text = format!("for i in 1 2 3 4 5 6 7 8; do {} & done; echo ready; sleep 1000", walker.display());
        let mut bomb = setup.begin(&script(&text)).await;
        bomb.printed().await;
        let since = Instant::now();
        setup.executor.kill(bomb.id).await;
        bomb.exit().await;
        println!("{containment:?}: a bomb of eight walkers ended after {:?}", since.elapsed());
        assert_eq!(leftovers(&bomb.token), 0, "{containment:?}");
    }
}

#[tokio::test]
async fn a_stopped_tree_is_woken_to_obey() {
    let setup = Setup::new(Containment::Auto).await;
    let mut trial = setup.begin(&script("trap 'exit 5' TERM; echo ready; kill -STOP $$; sleep 1000")).await;
    trial.printed().await;
    setup.executor.stop(trial.id, Duration::from_secs(3_600)).await;
    assert_eq!(trial.exit().await.1, Exit::Code { code: 5 });
}

#[tokio::test]
async fn a_signal_of_the_task_itself_is_reported_as_what_it_is() {
    let setup = Setup::new(Containment::Auto).await;
    assert_eq!(setup.run(&script("kill -SEGV $$")).await.exit, Some(Exit::Signal { signal: 11 }));
}

#[tokio::test]
async fn output_of_any_shape_arrives() {
    let setup = Setup::new(Containment::Auto).await;
    let line = setup.run(&script("head -c 1048576 /dev/zero | tr '\\0' x")).await;
    assert_eq!((line.stdout.len(), line.exit), (1_048_576, Some(Exit::Code { code: 0 })));
    let binary = setup.run(&script("printf '\\000\\377\\200\\n'")).await;
    assert_eq!(binary.stdout, b"\x00\xff\x80\n");
    let closed = setup.run(&script("exec >&- 2>&-; sleep 0.05; exit 9")).await;
    assert_eq!((closed.stdout.len(), closed.exit), (0, Some(Exit::Code { code: 9 })));
}

#[tokio::test]
async fn what_cannot_be_started_is_explained() {
    let setup = Setup::new(Containment::Auto).await;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let write = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("it can be written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("it is ours");
        path.display().to_string()
    };
    let long = "x".repeat(3 << 20);
    let cases = [
        (argv([&write("lost", "#!/no/such/interpreter -x\n", 0o755)]), "interpreter `/no/such/interpreter`"),
        (argv([&write("plain", "echo", 0o644)]), "not executable"),
        (argv([&write("noise", "\x01\x02\x03", 0o755)]), "no `#!` line"),
        (argv(["echo", &long]), "too long"),
        (argv(["./none"]), "`./none` was not found"),
        (argv([""]), "empty"),
        (argv([]), "empty"),
        (argv(["echo", "a\0b"]), "NUL"),
        (What::Script { shell: "no-such-shell".into(), text: "true".into() }, "no-such-shell"),
    ];
    for (what, expected) in cases {
        let exit = setup.run(&what).await.exit;
        let Some(Exit::NotStarted { reason, transient: false }) = &exit else { panic!("{expected}: {exit:?}") };
        assert!(reason.contains(expected), "{expected}: {reason}");
    }
    let mut trial = Trial::new(&argv(["true"]));
    trial.start.workspace = "/no/such/folder".into();
    trial.begin(&setup.executor).await;
    let exit = trial.heard().await.exit;
    assert!(matches!(&exit, Some(Exit::NotStarted { reason, .. }) if reason.contains("/no/such/folder")), "{exit:?}");
}

/// Ignores TERM, and has children in other sessions.
const STUBBORN: &str = "trap '' TERM; setsid sleep 1000 & (setsid sleep 1001 &); echo ready; \
                        while :; do sleep 1000; done";

#[tokio::test]
async fn when_the_host_is_killed_everything_is_gone_within_a_second() {
    for containment in CONTAINMENTS {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let token = format!("killed-{}-{containment:?}", std::process::id());
        let name = serde_json::to_string(&containment).expect("it is a word").replace('"', "");
        let mut host = Command::new(TESTBED)
            .args(["host", &name, &folder.path().display().to_string(), STUBBORN])
            .env("TOKEN", &token)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the host starts");
        let mut line = String::new();
        let stdout = host.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the host prints");
        let warden: i32 = line.trim().parse().expect("it prints a pid");
        // The script has begun; what it starts follows.
        let limit = std::time::Duration::from_secs(20);
        until("all of it runs", limit, || leftovers(&token) >= 4).await;
        host.kill().expect("it lives");
        host.wait().expect("it was killed");
        let limit = std::time::Duration::from_secs(1);
        until("all of it is gone", limit, || leftovers(&token) == 0 && !is_alive(warden)).await;
        let left: Vec<_> = std::fs::read_dir(folder.path()).expect("it is there").flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_warden_whose_host_is_gone_before_the_handshake_exits() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair can be made");
    drop(ours);
    let mut command = Command::new(TESTBED);
    let mut warden = command.arg("warden").stdin(std::os::fd::OwnedFd::from(theirs)).spawn().expect("it starts");
    assert!(warden.wait().expect("it ends").success());
}

#[test]
fn a_warden_started_by_hand_says_what_it_is() {
    let output = Command::new(TESTBED).arg("warden").stdin(Stdio::null()).output().expect("it starts");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("not by hand"));
}

#[tokio::test]
async fn when_the_warden_is_killed_its_attempts_are_lost_and_gone_and_the_next_one_works() {
    for containment in CONTAINMENTS {
        let setup = Setup::new(containment).await;
        let mut trial = setup.begin(&script(STUBBORN)).await;
        trial.printed().await;
        let first = setup.executor.warden_pid().expect("a warden lives");
        assert!(Command::new("kill").args(["-KILL", &first.to_string()]).status().expect("kill runs").success());
        let (_, exit) = trial.exit().await;
        assert!(matches!(exit, Exit::Lost { .. }), "{exit:?}");
        assert_eq!(leftovers(&trial.token), 0, "{containment:?}");
        let heard = setup.run(&script("echo again")).await;
        assert_eq!(heard.stdout, b"again\n");
        assert_ne!(setup.executor.warden_pid(), Some(first));
    }
}

#[tokio::test]
async fn close_ends_what_runs_and_the_warden() {
    let setup = Setup::new(Containment::Auto).await;
    let mut trial = setup.begin(&script(STUBBORN)).await;
    trial.printed().await;
    let warden = setup.executor.warden_pid().expect("a warden lives");
    setup.executor.close().await;
    assert_eq!(trial.exit().await.1, Exit::Signal { signal: 9 });
    assert_eq!(leftovers(&trial.token), 0);
    assert!(!is_alive(warden));
    let exit = setup.run(&argv(["true"])).await.exit;
    assert!(matches!(exit, Some(Exit::NotStarted { transient: true, .. })), "{exit:?}");
}
