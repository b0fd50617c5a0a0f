//! The meaning that all executors share, as cases against `Executor`. A new executor calls `exercise_executor` with its
//! samples and has to do nothing else to be held to it.
//!
//! Must not know: any one executor.

use hostler_engine::executor::{Executor, Report, Start, Stream, What};
use hostler_model::{AttemptId, Duration, Epoch, Exit, RunKey, TaskIndex};
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// The epoch that `make` has to give the executor.
pub(crate) const EPOCH: Epoch = Epoch(5);

/// Longer than anything here takes on a slow machine; a case that waits this long has failed.
const CASE_MAX: std::time::Duration = std::time::Duration::from_secs(120);

/// What an executor has to be given to do each of these things.
pub(crate) struct Samples {
    pub(crate) succeed: What,
    /// Ends with this code, which is not 0.
    pub(crate) fail: (What, i32),
    /// Prints `one` and `two` as lines to stdout, and `oops` to stderr.
    pub(crate) print_both: What,
    /// Prints the value of the variable `SAMPLE` and a newline.
    pub(crate) print_sample: What,
    /// Prints `MUCH_LINES` lines to stdout, each its number from 0 in `MUCH_WIDTH` digits.
    pub(crate) print_much: What,
    /// Prints `ready`, then sleeps for longer than any test runs.
    pub(crate) sleep_long: What,
    /// Prints `here` to the file `made` in its working directory.
    pub(crate) write_file: What,
    /// Writes `{"rows": 3}` to the file that `HOSTLER_OUTPUT` names.
    pub(crate) write_outputs: What,
    /// Names something that is not there; the reason has to hold `missing_name`.
    pub(crate) missing: What,
    pub(crate) missing_name: &'static str,
    /// So many attempts the machine can carry at once.
    pub(crate) side_by_side: usize,
    pub(crate) signals: Option<SignalSamples>,
    /// How much is left of attempts that had this value in the variable `TOKEN`.
    pub(crate) leftovers: fn(&str) -> usize,
}

/// For executors that can ask an attempt to end.
pub(crate) struct SignalSamples {
    /// Prints `ready`; upon TERM prints `asked` and ends with code 3.
    pub(crate) obey: What,
    /// Prints `ready` and takes no notice of TERM.
    pub(crate) ignore: What,
}

pub(crate) const MUCH_LINES: usize = 500_000;
pub(crate) const MUCH_WIDTH: usize = 9;

/// Runs every case against executors that `make` gives, one for each case.
pub(crate) async fn exercise_executor<E: Executor>(make: impl AsyncFn() -> E, samples: &Samples) {
    let cases: &[(&str, Case<E>)] = &[
        ("reports come in order and end with one exit", |it| Box::pin(reports_in_order(it))),
        ("codes are passed on", |it| Box::pin(codes(it))),
        ("the environment is given", |it| Box::pin(environment(it))),
        ("files are written in the workspace and the outputs folder", |it| Box::pin(files(it))),
        ("what is missing is named", |it| Box::pin(missing(it))),
        ("much output arrives whole, also at a slow reader", |it| Box::pin(much_output(it))),
        ("an attempt started twice runs once", |it| Box::pin(started_twice(it))),
        ("an attempt started again after its end does not run again", |it| Box::pin(started_after_end(it))),
        ("a lower epoch is refused", |it| Box::pin(lower_epoch(it))),
        ("kill ends it at once", |it| Box::pin(kill(it))),
        ("stop ends it after its grace at the latest", |it| Box::pin(stop(it))),
        ("orders about unknown attempts change nothing", |it| Box::pin(unknown(it))),
        ("a reader that went away holds nothing up", |it| Box::pin(reader_gone(it))),
        ("many run side by side", |it| Box::pin(many(it))),
    ];
    for (name, case) in cases {
        let bench = Bench { executor: make().await, samples };
        let limited = tokio::time::timeout(CASE_MAX, case(&bench)).await;
        assert!(limited.is_ok(), "not over after {CASE_MAX:?}: {name}");
        println!("ok: {name}");
    }
}

type Case<E> = for<'a> fn(&'a Bench<'a, E>) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>;

struct Bench<'a, E> {
    executor: E,
    samples: &'a Samples,
}

/// One attempt of a test: its folders and what was reported.
pub(crate) struct Trial {
    pub(crate) id: AttemptId,
    pub(crate) folder: TempDir,
    pub(crate) token: String,
    pub(crate) start: Start,
    pub(crate) reports: mpsc::Receiver<Report>,
    pub(crate) sender: Option<mpsc::Sender<Report>>,
}

/// All that was reported about an attempt.
#[derive(Default, Debug)]
pub(crate) struct Heard {
    pub(crate) is_started: bool,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) exit: Option<Exit>,
}

impl Trial {
    pub(crate) fn new(what: &What) -> Self {
        static NEXT: AtomicI64 = AtomicI64::new(1);
        let run = RunKey(NEXT.fetch_add(1, Ordering::Relaxed));
        let id = AttemptId { epoch: EPOCH, run, task: TaskIndex(0), item: 0, attempt: 1 };
        let folder = tempfile::tempdir().expect("a folder can be made");
        let (workspace, outputs) = (folder.path().join("workspace"), folder.path().join("outputs"));
        std::fs::create_dir(&workspace).expect("a folder can be made");
        std::fs::create_dir(&outputs).expect("a folder can be made");
        let token = format!("token-{}-{}", std::process::id(), run.0);
        let env = vec![
            ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
            ("SAMPLE".into(), "a b  c".into()),
            ("TOKEN".into(), token.clone()),
            ("HOSTLER_OUTPUT".into(), outputs.join("outputs").display().to_string()),
        ];
        let start = Start { id, what: what.clone(), env, workspace, outputs };
        let (sender, reports) = mpsc::channel(4);
        Self { id, folder, token, start, reports, sender: Some(sender) }
    }

    pub(crate) async fn begin(&mut self, executor: &impl Executor) {
        let sender = self.sender.take().expect("a trial begins once");
        executor.start(self.start.clone(), sender).await;
    }

    /// Waits for the exit and checks that nothing comes in a wrong place.
    pub(crate) async fn heard(&mut self) -> Heard {
        let mut heard = Heard::default();
        while let Some(report) = self.reports.recv().await {
            assert_eq!(heard.exit, None, "nothing follows an exit, but {report:?} did");
            match report {
                Report::Started { .. } => {
                    assert!(!heard.is_started, "started is said once");
                    heard.is_started = true;
                }
                Report::Output { stream, bytes, .. } => {
                    assert!(heard.is_started, "output comes after the start");
                    assert!(bytes.len() <= 64 * 1024 && !bytes.is_empty(), "a chunk of {} bytes", bytes.len());
                    match stream {
                        Stream::Stdout => heard.stdout.extend(bytes),
                        Stream::Stderr => heard.stderr.extend(bytes),
                    }
                }
                Report::Gap { reason } => panic!("no output is missing here, but it said: {reason}"),
                Report::Note { .. } => {}
                Report::Exit(exit) => heard.exit = Some(exit),
            }
        }
        heard
    }

    /// Waits until the attempt has printed something.
    pub(crate) async fn printed(&mut self) -> Vec<u8> {
        loop {
            match self.reports.recv().await {
                Some(Report::Output { bytes, .. }) => return bytes,
                Some(Report::Started { .. } | Report::Gap { .. } | Report::Note { .. }) => {}
                Some(Report::Exit(exit)) => panic!("it ended before it printed: {exit}"),
                None => panic!("its reports ended before it printed"),
            }
        }
    }

    /// Waits for the exit of an attempt whose first output was taken by `printed`; with the rest of its stdout, since
    /// shells talk on stderr about signals.
    pub(crate) async fn exit(&mut self) -> (Vec<u8>, Exit) {
        let mut output = Vec::new();
        loop {
            match self.reports.recv().await {
                Some(Report::Output { stream: Stream::Stdout, bytes, .. }) => output.extend(bytes),
                Some(Report::Output { stream: Stream::Stderr, .. } | Report::Started { .. }) => {}
                Some(Report::Gap { .. } | Report::Note { .. }) => {}
                Some(Report::Exit(exit)) => return (output, exit),
                None => panic!("its reports ended without an exit"),
            }
        }
    }
}

impl<E: Executor> Bench<'_, E> {
    async fn begin(&self, what: &What) -> Trial {
        let mut trial = Trial::new(what);
        trial.begin(&self.executor).await;
        trial
    }

    fn assert_nothing_left(&self, trial: &Trial) {
        assert_eq!((self.samples.leftovers)(&trial.token), 0, "something of {} is left", trial.id);
    }
}

fn code(code: i32) -> Option<Exit> {
    Some(Exit::Code { code })
}

async fn reports_in_order<E: Executor>(bench: &Bench<'_, E>) {
    let mut trial = bench.begin(&bench.samples.print_both).await;
    let heard = trial.heard().await;
    assert!(heard.is_started);
    assert_eq!(String::from_utf8_lossy(&heard.stdout), "one\ntwo\n");
    assert_eq!(String::from_utf8_lossy(&heard.stderr), "oops\n");
    assert_eq!(heard.exit, code(0));
    bench.assert_nothing_left(&trial);
}

async fn codes<E: Executor>(bench: &Bench<'_, E>) {
    assert_eq!(bench.begin(&bench.samples.succeed).await.heard().await.exit, code(0));
    let (fail, number) = &bench.samples.fail;
    assert_eq!(bench.begin(fail).await.heard().await.exit, code(*number));
}

async fn environment<E: Executor>(bench: &Bench<'_, E>) {
    let heard = bench.begin(&bench.samples.print_sample).await.heard().await;
    assert_eq!(String::from_utf8_lossy(&heard.stdout), "a b  c\n");
}

async fn files<E: Executor>(bench: &Bench<'_, E>) {
    let mut trial = bench.begin(&bench.samples.write_file).await;
    assert_eq!(trial.heard().await.exit, code(0));
    let made = std::fs::read_to_string(trial.start.workspace.join("made")).expect("it was made");
    assert_eq!(made.trim_end(), "here");

    let mut trial = bench.begin(&bench.samples.write_outputs).await;
    assert_eq!(trial.heard().await.exit, code(0));
    let outputs = std::fs::read_to_string(trial.start.outputs.join("outputs")).expect("it was made");
    assert_eq!(outputs.trim_end(), r#"{"rows": 3}"#);
}

async fn missing<E: Executor>(bench: &Bench<'_, E>) {
    let heard = bench.begin(&bench.samples.missing).await.heard().await;
    assert!(!heard.is_started);
    let Some(Exit::NotStarted { reason, transient: false }) = heard.exit else { panic!("{:?}", heard.exit) };
    assert!(reason.contains(bench.samples.missing_name), "{reason}");
}

async fn much_output<E: Executor>(bench: &Bench<'_, E>) {
    let mut trial = bench.begin(&bench.samples.print_much).await;
    // The reader takes nothing while other work goes on; the task has to wait for it, and nobody else.
    assert_eq!(bench.begin(&bench.samples.succeed).await.heard().await.exit, code(0));
    let heard = trial.heard().await;
    assert_eq!(heard.exit, code(0));
    assert_eq!(heard.stdout.len(), MUCH_LINES * (MUCH_WIDTH + 1));
    let mut lines = heard.stdout.split(|byte| *byte == b'\n');
    for number in 0..MUCH_LINES {
        assert_eq!(lines.next(), Some(format!("{number:0MUCH_WIDTH$}").as_bytes()));
    }
}

async fn started_twice<E: Executor>(bench: &Bench<'_, E>) {
    let mut trial = bench.begin(&bench.samples.sleep_long).await;
    trial.printed().await;
    let (second, mut heard_second) = mpsc::channel(4);
    bench.executor.start(trial.start.clone(), second).await;
    assert_eq!(heard_second.recv().await, None);
    bench.executor.kill(trial.id).await;
    let (output, _) = trial.exit().await;
    assert_eq!(output, b"", "the second start printed, too");
    bench.assert_nothing_left(&trial);
}

async fn started_after_end<E: Executor>(bench: &Bench<'_, E>) {
    let mut trial = bench.begin(&bench.samples.write_file).await;
    assert_eq!(trial.heard().await.exit, code(0));
    let made = trial.start.workspace.join("made");
    std::fs::remove_file(&made).expect("it was made");
    let (second, mut heard_second) = mpsc::channel(4);
    bench.executor.start(trial.start.clone(), second).await;
    assert!(matches!(heard_second.recv().await, Some(Report::Exit(Exit::Lost { .. }))));
    assert!(!made.exists());
}

async fn lower_epoch<E: Executor>(bench: &Bench<'_, E>) {
    let mut trial = Trial::new(&bench.samples.write_file);
    trial.start.id.epoch = Epoch(EPOCH.0 - 1);
    trial.begin(&bench.executor).await;
    let exit = trial.heard().await.exit;
    assert!(
        matches!(&exit, Some(Exit::NotStarted { reason, transient: false }) if reason.contains("epoch")),
        "{exit:?}"
    );
    assert!(!trial.start.workspace.join("made").exists());
}

async fn kill<E: Executor>(bench: &Bench<'_, E>) {
    let mut trial = bench.begin(&bench.samples.sleep_long).await;
    trial.printed().await;
    bench.executor.kill(trial.id).await;
    trial.exit().await;
    bench.assert_nothing_left(&trial);
}

async fn stop<E: Executor>(bench: &Bench<'_, E>) {
    let mut trial = bench.begin(&bench.samples.sleep_long).await;
    trial.printed().await;
    bench.executor.stop(trial.id, Duration::from_millis(50)).await;
    trial.exit().await;
    bench.assert_nothing_left(&trial);

    let Some(signals) = &bench.samples.signals else { return };
    let mut obeys = bench.begin(&signals.obey).await;
    let mut ignores = bench.begin(&signals.ignore).await;
    obeys.printed().await;
    ignores.printed().await;
    bench.executor.stop(obeys.id, Duration::from_secs(3_600)).await;
    let (output, exit) = obeys.exit().await;
    assert_eq!((String::from_utf8_lossy(&output).as_ref(), exit), ("asked\n", Exit::Code { code: 3 }));

    let since = std::time::Instant::now();
    bench.executor.stop(ignores.id, Duration::from_millis(300)).await;
    let (_, exit) = ignores.exit().await;
    assert_eq!(exit, Exit::Signal { signal: 9 });
    assert!(since.elapsed() >= std::time::Duration::from_millis(300), "its grace was cut short");
    bench.assert_nothing_left(&ignores);
}

async fn unknown<E: Executor>(bench: &Bench<'_, E>) {
    let stranger = Trial::new(&bench.samples.succeed);
    bench.executor.stop(stranger.id, Duration::ZERO).await;
    bench.executor.kill(stranger.id).await;
    assert_eq!(bench.begin(&bench.samples.succeed).await.heard().await.exit, code(0));
}

async fn reader_gone<E: Executor>(bench: &Bench<'_, E>) {
    let mut trial = bench.begin(&bench.samples.print_much).await;
    trial.reports.close();
    while trial.reports.recv().await.is_some() {}
    assert_eq!(bench.begin(&bench.samples.succeed).await.heard().await.exit, code(0));
    while (bench.samples.leftovers)(&trial.token) > 0 {
        // tidy: allow(sleep), because what is left is looked for in /proc, which tells nobody that it is gone.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

async fn many<E: Executor>(bench: &Bench<'_, E>) {
    let mut trials = Vec::new();
    for _ in 0..bench.samples.side_by_side {
        trials.push(bench.begin(&bench.samples.print_both).await);
    }
    for trial in &mut trials {
        let heard = trial.heard().await;
        assert_eq!((heard.stdout.as_slice(), heard.exit), (b"one\ntwo\n".as_slice(), code(0)));
    }
    trials.iter().for_each(|trial| bench.assert_nothing_left(trial));
}
