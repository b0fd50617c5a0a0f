//! The container executor on a real engine: the conformance suite, what only containers do, and engines that are ill.

use crate::conformance::{EPOCH, Heard, MUCH_LINES, Samples, SignalSamples, Trial, exercise_executor};
use crate::containers::{IMAGE, docker, engine};
use crate::process::{leftovers, until};
use crate::proxy::{Mood, Proxy};
use crate::registry::DebianRegistry;
use hostler_engine::Clock;
use hostler_engine::executor::container::{ContainerConfig, ContainerExecutor, ContainerStart};
use hostler_engine::executor::{Executor, Report, Stream, What};
use hostler_model::spec::{Cache, Container, Network, TaskKind};
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

/// As a document says it.
fn what(container: &serde_json::Value) -> What {
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
    what(&serde_json::json!({"image": IMAGE, "entrypoint": ["sh", "-c"], "command": [text]}))
}

fn with(text: &str, change: impl FnOnce(&mut Container)) -> What {
    let What::Container(mut start) = script(text) else { panic!("a container") };
    change(&mut start.spec);
    What::Container(start)
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

fn samples() -> Samples {
    let last = MUCH_LINES;
    Samples {
        succeed: script("true"),
        fail: (script("exit 7"), 7),
        print_both: script("echo one; echo oops >&2; echo two"),
        print_sample: script("echo \"$SAMPLE\""),
        print_much: script(&format!("awk 'BEGIN {{ for (i = 0; i < {last}; i++) printf \"%09d\\n\", i }}'")),
        sleep_long: script("echo ready; sleep 1000"),
        write_file: script("echo here > made"),
        write_outputs: script("echo '{\"rows\": 3}' > /outputs/outputs"),
        missing: what(&serde_json::json!({"image": IMAGE, "entrypoint": ["no-such-command"], "command": ["x"]})),
        missing_name: "`no-such-command` was not found in image",
        side_by_side: 20,
        signals: Some(SignalSamples {
            obey: script("trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.02; done"),
            ignore: script("trap '' TERM; echo ready; while :; do sleep 1000; done"),
        }),
        leftovers,
    }
}

/// The id of one host, whose containers go with the test.
struct HostId(String);

impl HostId {
    fn new() -> Self {
        Self(new_host_id())
    }

    fn containers(&self) -> Vec<String> {
        let list = docker(["ps", "-aq", "--filter", &format!("label=hostler.host={}", self.0)]);
        list.lines().map(ToOwned::to_owned).collect()
    }
}

impl Drop for HostId {
    fn drop(&mut self) {
        self.containers().iter().for_each(|container| drop(docker(["rm", "-f", container])));
    }
}

/// An executor with a host id of its own.
struct Bench {
    executor: ContainerExecutor,
    socket: PathBuf,
    host: HostId,
}

impl Bench {
    /// None: there is no engine here.
    fn new() -> Option<Self> {
        let socket = engine()?;
        let host = HostId::new();
        Some(Self { executor: ContainerExecutor::new(config(&socket, &host.0), Clock::system()), socket, host })
    }

    /// Through a socket of its own, with deadlines so short that a test can wait for them.
    fn behind(socket: PathBuf) -> Self {
        let host = HostId::new();
        let mut config = config(&socket, &host.0);
        config.answer_max = StdDuration::from_millis(1_500);
        config.away_max = StdDuration::from_secs(4);
        Self { executor: ContainerExecutor::new(config, Clock::system()), socket, host }
    }

    /// The executor of the next host of the same data folder.
    fn next_host(&self) -> ContainerExecutor {
        let mut config = config(&self.socket, &self.host.0);
        config.epoch = Epoch(EPOCH.0 + 1);
        ContainerExecutor::new(config, Clock::system())
    }

    async fn run(&self, what: &What) -> Heard {
        let mut trial = Trial::new(what);
        trial.begin(&self.executor).await;
        let heard = trial.heard().await;
        self.executor.forget(trial.id).await;
        heard
    }

    async fn begin(&self, what: &What) -> Trial {
        let mut trial = Trial::new(what);
        trial.begin(&self.executor).await;
        trial
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_do_what_executors_do() {
    let Some(bench) = Bench::new() else { return };
    exercise_executor(
        async || ContainerExecutor::new(config(&bench.socket, &bench.host.0), Clock::system()),
        &samples(),
    )
    .await;
}

#[tokio::test]
async fn output_of_any_shape_arrives() {
    let Some(bench) = Bench::new() else { return };
    let line = bench.run(&script("head -c 1048576 /dev/zero | tr '\\0' x; echo; printf end")).await;
    assert_eq!((line.stdout.len(), line.exit), (1_048_576 + 4, Some(Exit::Code { code: 0 })));
    let binary = bench.run(&script("printf '\\000\\377\\200\\n\\001'")).await;
    assert_eq!(binary.stdout, b"\x00\xff\x80\n\x01");
    let closed = bench.run(&script("exec >&- 2>&-; sleep 0.05; exit 9")).await;
    assert_eq!((closed.stdout.len(), closed.exit), (0, Some(Exit::Code { code: 9 })));
}

#[tokio::test]
async fn a_quarter_of_a_gibibyte_in_one_line_takes_no_memory() {
    let Some(bench) = Bench::new() else { return };
    let mut trial = bench.begin(&script("head -c 268435456 /dev/zero | tr '\\0' x")).await;
    let (before, mut most, mut bytes) = (resident_kib(), 0, 0);
    let exit = loop {
        match trial.reports.recv().await.expect("an exit comes") {
            Report::Output { bytes: chunk, .. } => bytes += chunk.len(),
            Report::Exit(exit) => break exit,
            Report::Started { .. } | Report::Note { .. } => {}
            Report::Gap { reason } => panic!("{reason}"),
        }
        most = most.max(resident_kib());
    };
    assert_eq!((bytes, exit), (1 << 28, Exit::Code { code: 0 }));
    assert!(most < before + 64 * 1024, "from {before} KiB to {most} KiB");
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has a size");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[tokio::test]
async fn a_container_is_made_as_its_task_says() {
    let Some(bench) = Bench::new() else { return };
    let check = async |change: fn(&mut Container), text: &str, expected: &str| {
        let heard = bench.run(&with(text, change)).await;
        assert_eq!(self::text(&heard.stdout), expected, "{text}: {} {:?}", self::text(&heard.stderr), heard.exit);
    };
    check(|_| {}, "pwd; id -u; echo $$", "/workspace\n0\n1\n").await;
    check(|it| it.workdir = Some("/tmp".into()), "pwd", "/tmp\n").await;
    check(|it| it.user = Some("guest".into()), "id -u; echo x > made && cat made", "1234\nx\n").await;
    check(|it| it.network = Network::None, "ls /sys/class/net", "lo\n").await;
    check(|_| {}, "ls /sys/class/net", "eth0\nlo\n").await;
    check(|it| it.read_only = true, "echo x 2>/dev/null > /x || echo no; echo x > /tmp/x && echo yes", "no\nyes\n")
        .await;
    check(|it| it.memory_max = Some(32 << 20), "cat /sys/fs/cgroup/memory/memory.limit_in_bytes", "33554432\n").await;
    let nothing = "cat /proc/1/status | grep -c CapEff:.*3fffff; ls /dev | grep -c -E '^(sd|vd|nvme|kmsg)'; ls /var/run/docker.sock";
    check(|_| {}, nothing, "0\n0\n").await;
}

#[tokio::test]
async fn a_cache_is_kept_from_one_container_to_the_next_of_its_pipeline() {
    let Some(bench) = Bench::new() else { return };
    let cached = |text: &str, pipeline: &str| {
        let name = Slug::parse("things").expect("a slug");
        let mut what = with(text, |it| it.caches = vec![Cache { name, path: "/var/things".into() }]);
        let What::Container(start) = &mut what else { panic!("a container") };
        start.pipeline = Slug::parse(pipeline).expect("a slug");
        what
    };
    bench.run(&cached("echo kept > /var/things/one", "p")).await;
    assert_eq!(bench.run(&cached("cat /var/things/one", "p")).await.stdout, b"kept\n");
    assert_eq!(bench.run(&cached("ls /var/things", "q")).await.stdout, b"");
    let of_host = format!("label=hostler.host={}", bench.host.0);
    let volumes = docker(["volume", "ls", "-q", "--filter", &of_host]);
    assert_eq!(volumes.lines().count(), 2);
    volumes.lines().for_each(|volume| drop(docker(["volume", "rm", volume])));
}

#[tokio::test]
async fn limits_end_what_goes_over_them_and_nothing_else() {
    let Some(bench) = Bench::new() else { return };
    let hog = with("x=x; while :; do x=$x$x; done", |it| it.memory_max = Some(16 << 20));
    assert_eq!(bench.run(&hog).await.exit, Some(Exit::Exceeded { limit: "memory of 16MiB".into() }));

    let bomb = with("bomb() { bomb | bomb & }; bomb; echo ready; sleep 1000", |it| it.pids_max = Some(64));
    let mut trial = bench.begin(&bomb).await;
    assert_eq!(bench.run(&script("echo unhurt")).await.stdout, b"unhurt\n");
    bench.executor.kill(trial.id).await;
    // The shell itself may be the one that finds no room for another process, and ends by itself.
    assert!(matches!(trial.exit().await.1, Exit::Signal { signal: 9 } | Exit::Code { code: 2 }));
    assert_eq!(leftovers(&trial.token), 0);
}

#[tokio::test]
async fn what_cannot_be_started_is_explained() {
    let Some(bench) = Bench::new() else { return };
    let image = |name: &str, pull: &str| what(&serde_json::json!({"image": name, "pull": pull}));
    let command = |command: &str| what(&serde_json::json!({"image": IMAGE, "entrypoint": [command]}));
    let named = |name: &str| with("true", |it| it.network = Network::Named(name.into()));
    for (what, expected, transient) in [
        (image("hostler-test/none:1", "never"), "is not on this machine", false),
        (image("localhost:9/none:1", "missing"), "image `localhost:9/none:1` cannot be pulled: ", true),
        (image("localhost:9/none:1", "always"), "connection refused", true),
        (command("/etc/not-executable"), "`/etc/not-executable` is not executable", false),
        (command("/no/such"), "`/no/such` was not found", false),
        (command("/etc"), "`/etc` is", false),
        (named("hostler-none"), "network hostler-none not found", false),
        (named("host"), "`container.host_network`", false),
        (with("true", |it| it.user = Some("nobody-here".into())), "nobody-here", false),
    ] {
        let exit = bench.run(&what).await.exit;
        let Some(Exit::NotStarted { reason, transient: said }) = &exit else { panic!("{expected}: {exit:?}") };
        assert!(reason.contains(expected) && *said == transient, "{expected}: {said}: {reason}");
        assert!(!reason.contains('\n'));
    }
    assert_eq!(bench.host.containers(), Vec::<String>::new());
}

#[tokio::test]
async fn an_image_for_another_platform_is_told_before_it_is_tried() {
    let Some(bench) = Bench::new() else { return };
    let name = format!("hostler-test/s390x-{}:1", std::process::id());
    // As `docker save` writes images; `import` knows no platform.
    let text = format!(
        "set -eu; cd $(mktemp -d); tar -c -f layer.tar -T /dev/null; id=$(sha256sum layer.tar | cut -d ' ' -f 1); \
         echo '[{{\"Config\":\"c.json\",\"RepoTags\":[\"{name}\"],\"Layers\":[\"layer.tar\"]}}]' > manifest.json; \
         echo '{{\"architecture\":\"s390x\",\"os\":\"linux\",\"config\":{{}},\"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[\"sha256:'$id'\"]}}}}' \
         > c.json; tar -c . | docker load; rm -r $PWD"
    );
    let made = std::process::Command::new("sh").args(["-c", &text]).output().expect("it starts");
    assert!(made.status.success(), "{}", self::text(&made.stderr));
    let exit = bench.run(&what(&serde_json::json!({"image": name, "entrypoint": ["x"]}))).await.exit;
    docker(["rmi", &name]);
    let reason = reason(exit);
    assert!(reason.contains("is for linux/s390x, and the engine of this machine runs linux/"), "{reason}");
}

/// Numbered lines, of which some are so long that the engine cuts them, on both streams.
const NUMBERED: &str = "awk -v n=2010 'BEGIN {
        for (w = 0; w < 20000; w++) long = long \"x\";
        for (i = 1; i <= n; i++) {
            print i, (i % 100 ? \"\" : long); if (i % 10 == 0) print \"e\" i > \"/dev/stderr\";
            if (i % 50 == 0) { fflush(); system(\"sleep 0.05\") }
        }
    }'; exit 4";

fn numbered() -> (String, String) {
    let long = "x".repeat(20_000);
    let line = |i: u32| format!("{i} {}\n", if i.is_multiple_of(100) { long.as_str() } else { "" });
    let out = (1..=2010).map(line).collect();
    let err = (1..=2010).filter(|i| i % 10 == 0).map(|i| format!("e{i}\n")).collect();
    (out, err)
}

/// Starts a container on a host that dies when it has kept so many bytes of output.
async fn start_on_a_host_that_dies(bench: &Bench, what: &What, after: usize) -> (Trial, Before) {
    let mut trial = Trial::new(what);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("threads can be started");
    let (executor, start) = (bench.executor.clone(), trial.start.clone());
    let sender = trial.sender.take().expect("it is new");
    runtime.spawn(async move { executor.start(start, sender).await });
    let mut heard = Heard::default();
    while heard.stdout.len() < after {
        match trial.reports.recv().await.expect("more comes") {
            Report::Output { stream: Stream::Stdout, bytes, .. } => heard.stdout.extend(bytes),
            Report::Output { stream: Stream::Stderr, bytes, .. } => heard.stderr.extend(bytes),
            Report::Started { .. } => heard.is_started = true,
            Report::Gap { .. } | Report::Note { .. } => {}
            Report::Exit(exit) => panic!("too soon: {exit}"),
        }
    }
    // Whatever is on its way is lost, as with the process.
    runtime.shutdown_background();
    trial.reports.close();
    let last = Some(Clock::system().wall());
    let stream = |bytes: &[u8]| LogKeptStream { bytes: bytes.len() as u64, last, bytes_at_last: 0 };
    let kept = LogKept { stdout: stream(&heard.stdout), stderr: stream(&heard.stderr) };
    (trial, Before { kept, heard })
}

/// What the host that died has kept.
struct Before {
    kept: LogKept,
    heard: Heard,
}

async fn adopt(bench: &Bench, executor: &ContainerExecutor, id: AttemptId, before: &Before) -> Heard {
    let mut next = Trial::new(&script("true"));
    let sender = next.sender.take().expect("it is new");
    executor.adopt(id, before.kept, sender).await;
    let heard = next.heard().await;
    assert_eq!(bench.host.containers().len(), 1, "it stays until its end is committed");
    executor.forget(id).await;
    assert_eq!(bench.host.containers(), Vec::<String>::new());
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_host_goes_on_with_the_output_where_the_last_one_ended() {
    for after in [1, 5, 19_000, 60_000] {
        let Some(bench) = Bench::new() else { return };
        let (trial, before) = start_on_a_host_that_dies(&bench, &script(NUMBERED), after).await;
        until("the container is there", LIMIT, || !bench.host.containers().is_empty()).await;
        let executor = bench.next_host();
        executor.sweep(HashSet::from([trial.id])).await;
        let heard = adopt(&bench, &executor, trial.id, &before).await;
        assert!(heard.is_started);
        assert_eq!(heard.exit, Some(Exit::Code { code: 4 }), "after {after}");
        let whole = |before: &[u8], after: &[u8]| text(&[before, after].concat());
        let (out, err) = numbered();
        assert!(whole(&before.heard.stdout, &heard.stdout) == out, "stdout, after {after}");
        assert!(whole(&before.heard.stderr, &heard.stderr) == err, "stderr, after {after}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_while_no_host_is_there_is_found_by_the_next() {
    let Some(bench) = Bench::new() else { return };
    let what = script("echo one; sleep 0.3; echo two; exit 5");
    let (trial, before) = start_on_a_host_that_dies(&bench, &what, 1).await;
    let is_over = || docker(["ps", "-q", "--filter", &format!("label=hostler.host={}", bench.host.0)]).is_empty();
    until("it has ended", LIMIT, is_over).await;
    let heard = adopt(&bench, &bench.next_host(), trial.id, &before).await;
    assert_eq!((text(&before.heard.stdout), text(&heard.stdout)), ("one\n".into(), "two\n".into()));
    assert_eq!(heard.exit, Some(Exit::Code { code: 5 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_was_renamed_is_found_by_its_labels() {
    let Some(bench) = Bench::new() else { return };
    let what = script("echo one; while [ ! -e go ]; do sleep 0.02; done; echo two");
    let (trial, before) = start_on_a_host_that_dies(&bench, &what, 1).await;
    let [container] = &bench.host.containers()[..] else { panic!("one container") };
    docker(["rename", container, &format!("renamed-{}", bench.host.0)]);
    std::fs::write(trial.start.workspace.join("go"), "").expect("written");
    let heard = adopt_renamed(&bench, trial.id, &before).await;
    assert_eq!((text(&heard.stdout), heard.exit), ("two\n".into(), Some(Exit::Code { code: 0 })));
}

/// Its name is another one, so that only a sweep removes it.
async fn adopt_renamed(bench: &Bench, id: AttemptId, before: &Before) -> Heard {
    let executor = bench.next_host();
    let mut next = Trial::new(&script("true"));
    executor.adopt(id, before.kept, next.sender.take().expect("it is new")).await;
    let heard = next.heard().await;
    executor.forget(id).await;
    executor.sweep(HashSet::new()).await;
    until("the sweep has removed it", LIMIT, || bench.host.containers().is_empty()).await;
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn output_that_the_engine_has_thrown_away_is_marked() {
    let Some(bench) = Bench::new() else { return };
    let mut config = config(&bench.socket, &bench.host.0);
    // The least there is: five files of 64 KiB.
    config.log_bytes_max = 0;
    let small = ContainerExecutor::new(config.clone(), Clock::system());
    let bench = Bench { executor: small, ..bench };
    let what = script("echo first; while [ ! -e go ]; do sleep 0.02; done; seq 1 100000; echo last");
    let (trial, before) = start_on_a_host_that_dies(&bench, &what, 1).await;
    std::fs::write(trial.start.workspace.join("go"), "").expect("written");
    let is_over = || docker(["ps", "-q", "--filter", &format!("label=hostler.host={}", bench.host.0)]).is_empty();
    until("it has ended", LIMIT, is_over).await;
    let executor = ContainerExecutor::new(config, Clock::system());
    let (sender, mut reports) = tokio::sync::mpsc::channel(16);
    executor.adopt(trial.id, before.kept, sender).await;
    let (mut gaps, mut output) = (0, Vec::new());
    while let Some(report) = reports.recv().await {
        match report {
            Report::Gap { reason } => {
                assert!(reason.contains("keeps only the end"), "{reason}");
                gaps += 1;
            }
            Report::Output { bytes, .. } => output.extend(bytes),
            Report::Exit(exit) => assert_eq!(exit, Exit::Code { code: 0 }),
            Report::Started { .. } | Report::Note { .. } => {}
        }
    }
    let output = text(&output);
    assert!(gaps == 1 && output.ends_with("99999\n100000\nlast\n"), "{gaps} gaps, {} bytes", output.len());
    executor.forget(trial.id).await;
}

#[tokio::test]
async fn a_sweep_removes_what_no_attempt_knows_and_nothing_of_anybody_elses() {
    let Some(bench) = Bench::new() else { return };
    let stranger = HostId::new();
    let make = |host: &str, attempt: &str| {
        let (host, attempt) = (format!("hostler.host={host}"), format!("hostler.attempt={attempt}"));
        docker(["run", "-d", "--label", &host, "--label", &attempt, IMAGE, "sleep", "1000"]);
    };
    make(&bench.host.0, "1-2-3-0-1");
    make(&stranger.0, "1-2-3-0-1");
    let mut living = bench.begin(&script("echo ready; sleep 1000")).await;
    living.printed().await;
    assert_eq!(bench.host.containers().len(), 2);
    bench.executor.sweep(HashSet::new()).await;
    until("the orphan is gone", LIMIT, || bench.host.containers().len() == 1).await;
    assert_eq!(stranger.containers().len(), 1);
    bench.executor.kill(living.id).await;
    assert_eq!(living.exit().await.1, Exit::Signal { signal: 9 });
}

#[tokio::test]
async fn an_attempt_of_which_no_container_is_there_is_lost() {
    let Some(bench) = Bench::new() else { return };
    let mut trial = Trial::new(&script("true"));
    let id = AttemptId { epoch: Epoch(1), run: RunKey(1), task: TaskIndex(0), item: 0, attempt: 1 };
    bench.executor.adopt(id, LogKept::default(), trial.sender.take().expect("it is new")).await;
    let reason = reason(trial.heard().await.exit);
    assert!(reason.contains("it was never made, or somebody removed it"), "{reason}");
}

#[tokio::test]
async fn a_container_that_somebody_removes_is_lost_with_that_cause() {
    let Some(bench) = Bench::new() else { return };
    let mut trial = bench.begin(&script("echo ready; sleep 1000")).await;
    trial.printed().await;
    let [container] = &bench.host.containers()[..] else { panic!("one container") };
    docker(["rm", "-f", container]);
    let (_, exit) = trial.exit().await;
    assert_eq!(exit, Exit::Lost { reason: "its container was removed by somebody else".into() });
}

#[tokio::test]
async fn a_stop_before_the_start_ends_it_there() {
    let Some(bench) = Bench::new() else { return };
    let proxy = Proxy::before(&bench.socket);
    let ill = Bench::behind(proxy.socket());
    proxy.be(Mood::Stalled);
    let mut trial = ill.begin(&script("sleep 1000")).await;
    ill.executor.stop(trial.id, Duration::from_secs(3_600)).await;
    assert_eq!(trial.heard().await.exit, Some(Exit::Stopped));
}

#[tokio::test]
async fn an_engine_that_is_not_there_says_so_and_may_come_back() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("file");
    std::fs::write(&file, "text").expect("written");
    for (socket, expected) in [(folder.path().join("none"), "is not there"), (file, "is no socket")] {
        let bench = Bench { executor: executor_at(&socket), socket, host: HostId("none".into()) };
        let exit = bench.run(&script("true")).await.exit;
        let Some(Exit::NotStarted { reason, transient: true }) = exit else { panic!("{exit:?}") };
        assert!(reason.contains(expected), "{reason}");
    }
}

fn executor_at(socket: &Path) -> ContainerExecutor {
    ContainerExecutor::new(config(socket, "none"), Clock::system())
}

#[tokio::test]
async fn an_engine_that_is_ill_holds_nobody_up() {
    let Some(socket) = engine() else { return };
    let proxy = Proxy::before(&socket);
    for (mood, expected) in [
        (Mood::Stalled, "does not answer within 1500 ms"),
        (Mood::Gone, "does not answer: "),
        (Mood::Nonsense, "does not answer: "),
        (Mood::Babble, "does not answer: "),
    ] {
        let bench = Bench::behind(proxy.socket());
        proxy.be(mood);
        let exit = bench.run(&script("true")).await.exit;
        let Some(Exit::NotStarted { reason, transient: true }) = exit else { panic!("{mood:?}: {exit:?}") };
        assert!(reason.contains(expected), "{mood:?}: {reason}");
        proxy.be(Mood::Well);
        until("the last failure is forgotten", LIMIT, || true).await;
        proxy.be(Mood::Slow);
        let heard = run_when_well(&bench).await;
        assert_eq!((text(&heard.stdout), heard.exit), ("well\n".into(), Some(Exit::Code { code: 0 })), "{mood:?}");
    }
}

/// An engine that failed a moment ago is not asked at once.
async fn run_when_well(bench: &Bench) -> Heard {
    loop {
        let heard = bench.run(&script("echo well")).await;
        if !matches!(heard.exit, Some(Exit::NotStarted { transient: true, .. })) {
            return heard;
        }
        // tidy: allow(sleep), because an attempt is what the dispatcher makes again after a while.
        tokio::time::sleep(StdDuration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_container_is_followed_through_an_engine_that_comes_and_goes() {
    let Some(socket) = engine() else { return };
    let proxy = Proxy::before(&socket);
    let bench = Bench::behind(proxy.socket());
    let mut trial = bench.begin(&script(NUMBERED)).await;
    // All of stdout, from its first byte.
    let mut output = loop {
        if let Some(Report::Output { stream: Stream::Stdout, bytes, .. }) = trial.reports.recv().await {
            break bytes;
        }
    };
    for mood in [Mood::Gone, Mood::Nonsense, Mood::Stalled] {
        proxy.be(mood);
        // tidy: allow(sleep), because the engine is to be away for a while.
        tokio::time::sleep(StdDuration::from_millis(400)).await;
        proxy.be(Mood::Well);
    }
    let (rest, exit) = trial.exit().await;
    output.extend(rest);
    assert_eq!(exit, Exit::Code { code: 4 });
    assert!(text(&output) == numbered().0, "{} bytes", output.len());
    bench.executor.forget(trial.id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_stays_away_loses_its_attempts_and_is_swept_when_it_is_back() {
    let Some(socket) = engine() else { return };
    let proxy = Proxy::before(&socket);
    let bench = Bench::behind(proxy.socket());
    let mut trial = bench.begin(&script("echo ready; sleep 1000")).await;
    trial.printed().await;
    proxy.be(Mood::Gone);
    let (_, exit) = trial.exit().await;
    let Exit::Lost { reason } = exit else { panic!("{exit:?}") };
    assert!(reason.starts_with("its container engine could not be asked for 4 s: "), "{reason}");
    bench.executor.forget(trial.id).await;
    assert_eq!(bench.host.containers().len(), 1);
    proxy.be(Mood::Well);
    bench.executor.sweep(HashSet::new()).await;
    until("it is swept", LIMIT, || bench.host.containers().is_empty()).await;
}

#[tokio::test]
async fn an_image_is_pulled_with_the_credentials_of_its_registry() {
    let (Some(mut bench), Some(registry)) = (Bench::new(), DebianRegistry::closed()) else { return };
    let name = format!("{}/things/box:1", registry.address);
    let file = registry.docker_config();
    let docker_config = file.parent().expect("it lies in a folder");
    docker(["tag", IMAGE, &name]);
    docker(["--config", &docker_config.display().to_string(), "push", "--quiet", &name]);
    docker(["rmi", &name]);

    let pulled = what(&serde_json::json!({"image": name, "entrypoint": ["echo", "pulled"]}));
    let refused = reason(bench.run(&pulled).await.exit);
    assert!(refused.starts_with(&format!("image `{name}` cannot be pulled: ")), "{refused}");
    assert!(refused.contains("no basic auth credentials") || refused.contains("unauthorized"), "{refused}");

    let mut config = config(&bench.socket, &bench.host.0);
    config.credentials = Some(file);
    bench.executor = ContainerExecutor::new(config, Clock::system());
    let mut trial = bench.begin(&pulled).await;
    let (mut notes, mut digest, mut output) = (Vec::new(), None, Vec::new());
    while let Some(report) = trial.reports.recv().await {
        match report {
            Report::Note { text } => notes.push(text),
            Report::Started { digest: said, .. } => digest = said,
            Report::Output { bytes, .. } => output.extend(bytes),
            Report::Exit(exit) => assert_eq!(exit, Exit::Code { code: 0 }, "{notes:?}"),
            Report::Gap { reason } => panic!("{reason}"),
        }
    }
    bench.executor.forget(trial.id).await;
    let digests = docker(["image", "inspect", "--format", "{{json .RepoDigests}}", &name]);
    docker(["rmi", &name]);
    assert_eq!(output, b"pulled\n");
    assert!(notes[0].starts_with("pulling image ") && notes[notes.len() - 1].starts_with("pulled image "), "{notes:?}");
    let digest = digest.expect("it has one");
    assert!(digest.starts_with("sha256:") && digests.contains(&digest), "{digest}: {digests}");

    let never = what(&serde_json::json!({"image": format!("{}/things/none:1", registry.address)}));
    let exit = bench.run(&never).await.exit;
    assert!(matches!(&exit, Some(Exit::NotStarted { transient: false, .. })), "{exit:?}");
}
