//! Twenty years of several zones, clock changes included, compared with the independent library `cronsim` (PyPI).
//!
//! Expressions that come rarely are compared throughout; those that come often only around each change of the clock,
//! where they could differ. Needs Python and once the network; without them the test fails in CI and says at home that
//! it did nothing.

use crontab::schedule::Schedule;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ZONES: [&str; 12] = [
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/Sao_Paulo",
    "Africa/Casablanca",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Asia/Kolkata",
    "Asia/Gaza",
    "America/Caracas",
];

/// Times of day, and whatever else comes at most a few times a day.
const RARE: [&str; 22] = [
    "30 2 * * *",
    "0 0 * * *",
    "0,30 2 * * *",
    "15 1,2,3 * * *",
    "59 23 * * *",
    "0 12 30 12 *",
    "0 0 31 * *",
    "0 0 29 2 *",
    "30 1 13 * fri",
    "0 3 1 * mon",
    "0 0 1 1 *",
    "0 4 * * sun",
    "0 4 * * 7",
    "5 0 */2 * mon",
    "5 2 */10 3,10 *",
    "45 2 1-7 * */2",
    "0 22 * * 1-5",
    "5 4 * jan-mar sun-tue",
    "23 0-20/4 * * *",
    "0 2 8-14 * 0",
    "0 2 29-31 3 0,6",
    "10 2 25 10 *",
];

/// Rhythms of the wall clock.
const OFTEN: [&str; 9] = [
    "* * * * *",
    "*/7 * * * *",
    "*/15 2 * * *",
    "30 * * * *",
    "0 */2 * * *",
    "17 */5 * * sun",
    "* 2 * * *",
    "5-55/10 1-3 * * *",
    "*/30 0 * * *",
];

const FROM: &str = "2010-01-01T00:00:00Z";
const UNTIL: &str = "2030-01-01T00:00:00Z";
const DAY: i64 = 86_400;

struct Question {
    expression: &'static str,
    timezone: &'static str,
    after: i64,
    until: i64,
}

#[test]
fn twenty_years_are_as_an_independent_library_has_them() {
    let Some(python) = python() else { return };
    let questions = questions();
    let halves = questions.split_at(questions.len() / 2);
    let answers = std::thread::scope(|scope| {
        let second = scope.spawn(|| ask(&python, halves.1));
        let mut answers = ask(&python, halves.0);
        answers.extend(second.join().expect("no panic"));
        answers
    });
    assert_eq!(answers.len(), questions.len(), "an answer for each question");
    let mut instants = 0;
    for (question, answer) in questions.iter().zip(answers) {
        let Question { expression, timezone, after, until } = question;
        let schedule = Schedule::read(expression, timezone).expect("good params");
        let found: Vec<i64> = schedule.after(after * 1_000).map(|at| at / 1_000).take_while(|at| at <= until).collect();
        if found != answer {
            let place = found.iter().zip(&answer).position(|(ours, theirs)| ours != theirs);
            let place = place.unwrap_or_else(|| found.len().min(answer.len()));
            let show = |at: Option<&i64>| at.map_or("nothing".into(), |at| schedule.show(at * 1_000));
            let (ours, theirs) = (show(found.get(place)), show(answer.get(place)));
            panic!("{expression} in {timezone}: ours {ours}, theirs {theirs}");
        }
        instants += found.len();
    }
    println!("{instants} instants of {} questions are the same", questions.len());
    assert!(instants > 500_000, "{instants}");
}

fn questions() -> Vec<Question> {
    let second = |text: &str| text.parse::<Timestamp>().expect("an instant").as_second();
    let (from, until) = (second(FROM), second(UNTIL));
    let mut questions = Vec::new();
    for timezone in ZONES {
        for expression in RARE {
            questions.push(Question { expression, timezone, after: from, until });
        }
        let zone = TimeZone::get(timezone).expect("a zone");
        let start = Timestamp::from_second(from).expect("in range");
        let changes = zone.following(start).map(|change| change.timestamp().as_second()).take_while(|at| *at < until);
        // The library walks whole hours. Where a change is of half an hour or comes at a quarter to, it misses times
        // that the wall clock shows (02:00 and 02:15 after 01:59 became 01:30). Those days have a test by hand in
        // `schedule`.
        let whole_hours = |change: &i64| {
            let offset = |at: i64| i64::from(zone.to_offset(Timestamp::from_second(at).expect("in range")).seconds());
            let before = offset(change - 1);
            (offset(*change) - before) % 3_600 == 0 && (change + before) % 3_600 == 0
        };
        for change in changes.filter(whole_hours).chain([from + 100 * DAY]) {
            for expression in OFTEN {
                questions.push(Question { expression, timezone, after: change - DAY, until: change + DAY });
            }
        }
    }
    questions
}

fn ask(python: &Path, questions: &[Question]) -> Vec<Vec<i64>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle.py");
    let mut child = Command::new(python)
        .arg(script)
        // Else Python would take the system's zone data, of whatever age that is.
        .env("PYTHONTZPATH", "")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let line = |q: &Question| {
        json!({"expression": q.expression, "timezone": q.timezone, "after": q.after, "until": q.until}).to_string()
            + "\n"
    };
    let lines: String = questions.iter().map(line).collect();
    let mut stdin = child.stdin.take().expect("it is piped");
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("it reads");
    assert!(output.status.success(), "the oracle failed");
    let text = String::from_utf8(output.stdout).expect("text");
    let read = |line: &str| -> Value { serde_json::from_str(line).expect("JSON") };
    let list =
        |value: Value| value.as_array().expect("a list").iter().map(|at| at.as_i64().expect("a number")).collect();
    text.lines().map(|line| list(read(line))).collect()
}

/// The interpreter of a virtual environment with the library and its own zone data, made once in the target folder.
/// The zone data is 2026e, as in jiff: a newer jiff needs the newer data here, since governments change their minds.
fn python() -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oracle");
    let python = place.join("bin/python");
    let ready = |python: &Path| {
        let check = Command::new(python).args(["-c", "import cronsim, tzdata"]).stderr(Stdio::null()).status();
        check.is_ok_and(|status| status.success())
    };
    if !ready(&python) {
        let succeeds = |command: &mut Command| command.status().is_ok_and(|status| status.success());
        let made = succeeds(Command::new("python3").args(["-m", "venv"]).arg(&place))
            && succeeds(Command::new(&python).args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "cronsim==2.8",
                "tzdata==2026.5",
            ]));
        if !(made && ready(&python)) {
            assert!(!in_ci(), "CI needs python3 with venv, and the package index");
            eprintln!("SKIPPED: nothing was compared, since `cronsim` could not be installed in {}", place.display());
            return None;
        }
    }
    Some(python)
}

#[expect(clippy::disallowed_methods, reason = "only the environment tells a test that it runs in CI")]
fn in_ci() -> bool {
    std::env::var("CI").as_deref() == Ok("true")
}
