//! The order of things: a past, the load, the end of it, SIGKILL, and what must hold before and after.

use crate::clients::{self, QUICK, WAITS, slug};
use crate::history::{self, State};
use crate::host::{Host, Place};
use crate::ledger::Book;
use crate::memory::Memory;
use crate::random::Random;
use crate::report::{Measured, Report};
use crate::{checks, machine, slow};
use futures_util::future::join_all;
use hostler_web::Client;
use hostler_web::types::RunStart;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

/// How much of everything.
pub(crate) struct Scale {
    time: Duration,
    clients: usize,
    readers: usize,
    /// Clients of one storm, how long one lasts, and how long after the last one the next comes.
    storm: (usize, Duration, Duration),
    runs_over: u64,
    runs_open: u64,
    /// Lines of the log that slow readers read.
    log_lines: u64,
    /// Settings, beside those that always hold.
    limits: &'static [(&'static str, &'static str)],
    /// Memory must stay as it is: only where there is time to see it.
    is_long: bool,
}

/// Growth of the host's memory from one half of a long time to the other that is none.
const GROWTH_MAX: f64 = 1.1;

impl Scale {
    /// Limits are as delivered.
    pub(crate) fn full(time: Duration, clients: Option<usize>, readers: Option<usize>) -> Self {
        Self {
            time,
            clients: clients.unwrap_or(200),
            readers: readers.unwrap_or(100),
            storm: (1_500, Duration::from_secs(3), Duration::from_secs(25)),
            runs_over: 1_000_000,
            runs_open: 10_000,
            log_lines: 400_000,
            limits: &[],
            is_long: time >= Duration::from_secs(300),
        }
    }

    /// Seconds, and limits that few clients reach.
    pub(crate) fn short() -> Self {
        Self {
            time: Duration::from_secs(8),
            clients: 12,
            readers: 6,
            storm: (40, Duration::from_secs(1), Duration::from_secs(1)),
            runs_over: 5_000,
            runs_open: 200,
            log_lines: 20_000,
            limits: &[("LIMITS_REQUESTS", "8"), ("LIMITS_CONNECTIONS", "40")],
            is_long: false,
        }
    }
}

pub(crate) struct Story {
    place: Place,
    scale: Scale,
    random: Random,
    host: Host,
    /// A run with a log to read.
    talker: String,
    written_in: Duration,
}

impl Story {
    /// Serves a folder with a past.
    pub(crate) async fn begin(home: &Path, scale: Scale, seed: u64) -> Self {
        let mut place = Place::plain(home);
        let set = |(key, value): (&str, &str)| (format!("HOSTLER_CONFIG_{key}"), value.to_owned());
        // Nothing that was acknowledged may go by itself, and few slots are enough to be waited for.
        let always = [
            ("RETENTION_RUNS_COUNT", "0"),
            ("RETENTION_RUNS_PERIOD", "0s"),
            ("RETENTION_EVENTS_PERIOD", "0s"),
            ("LIMITS_PROCESS_SLOTS", "2"),
        ];
        place.environment = always.iter().chain(scale.limits).map(|pair| set(*pair)).collect();
        let host = Host::start_at(&place).await;
        let talker = prepare(&host.client, scale.log_lines).await;
        host.kill();
        let begun = Instant::now();
        history::write(&place.data, QUICK, scale.runs_over, State::Success);
        history::write(&place.data, WAITS, scale.runs_open, State::Waiting);
        let written_in = begun.elapsed();
        let host = Host::start_at(&place).await;
        Self { place, scale, random: Random(seed), host, talker, written_in }
    }

    pub(crate) async fn tell(mut self) -> Report {
        let machine = machine::describe();
        let mut random = Random(self.random.next());
        let (begun, end) = (Instant::now(), Instant::now() + self.scale.time);
        let (memory, books, slow_bytes) =
            tokio::join!(Memory::watch(self.host.pid(), end), self.load(end, &mut random), self.read_slowly(end));
        let time = begun.elapsed();
        let runs_made = checks::rows(&self.place.data, &books);
        checks::answers(&self.host.client, &books, &mut self.random).await;
        let ready_first = self.host.ready_after;
        self.host.kill();
        let host = Host::start_at(&self.place).await;
        assert_eq!(checks::rows(&self.place.data, &books), runs_made, "a restart changed how many runs there are");
        checks::answers(&host.client, &books, &mut self.random).await;
        nothing_broke(&self.place);
        let refused: u64 = books.iter().map(|book| book.refused).sum();
        assert!(refused > 0, "the host was never asked too much");
        if self.scale.is_long {
            let [first, second] = memory.halves().map(|half| half.median_mib);
            assert!(second <= first * GROWTH_MAX, "memory has grown from {first:.1} to {second:.1} MiB");
        }
        let Scale { clients, readers, runs_over, runs_open, .. } = self.scale;
        let (written_in, ready_again) = (self.written_in, host.ready_after);
        let measured = Measured {
            runs_over,
            runs_open,
            clients,
            readers,
            time,
            memory,
            slow_bytes,
            runs_made,
            written_in,
            ready_first,
            ready_again,
        };
        Report::new(&machine, &books, &measured)
    }

    /// Steady clients all the time, and storms. Answers the books, those of steady clients first.
    async fn load(&self, end: Instant, random: &mut Random) -> Vec<Book> {
        let (client, clients) = (&self.host.client, self.scale.clients);
        let steady = (0..clients).map(|at| {
            let random = Random(random.next());
            tokio::spawn(clients::steady(fresh(client, self.token()), Book::new(at), random, end))
        });
        let steady = join_all(steady.collect::<Vec<_>>());
        let (steady, storms) = tokio::join!(steady, self.storms(end));
        steady.into_iter().map(|book| book.expect("no client failed")).chain(storms).collect()
    }

    async fn storms(&self, end: Instant) -> Vec<Book> {
        let (size, lasts, pause) = self.scale.storm;
        let mut books = Vec::new();
        while Instant::now() + pause + lasts < end {
            // tidy: allow(sleep), because there is calm between storms.
            tokio::time::sleep(pause).await;
            let over = Instant::now() + lasts;
            let first = self.scale.clients + books.len();
            let storm = (0..size).map(|at| {
                tokio::spawn(clients::storm(fresh(&self.host.client, self.token()), Book::new(first + at), over))
            });
            let storm = join_all(storm.collect::<Vec<_>>()).await;
            books.extend(storm.into_iter().map(|book| book.expect("no client failed")));
        }
        books
    }

    async fn read_slowly(&self, end: Instant) -> u64 {
        let base = "/api/v1/namespaces/default";
        let paths = [
            format!("{base}/events/follow?after=0"),
            format!("{base}/runs/{}/logs/follow", self.talker),
            format!("{base}/runs/{}/logs", self.talker),
        ];
        let token = self.token();
        let readers =
            (0..self.scale.readers).map(|at| slow::read(&self.host.client, token, &paths[at % paths.len()], end));
        join_all(readers.collect::<Vec<_>>()).await.into_iter().sum()
    }

    fn token(&self) -> &str {
        self.host.token.trim()
    }
}

fn nothing_broke(place: &Place) {
    let said = place.said();
    let is_bad = |line: &&str| line.contains("panicked") || line.contains("ERROR");
    let bad: Vec<_> = said.lines().filter(is_bad).take(10).collect();
    assert!(bad.is_empty(), "the host said: {bad:#?}");
}

/// On a connection of its own.
fn fresh(client: &Client, token: &str) -> Client {
    Client::new(client.url(), token).expect("its own address is good")
}

/// Registers what clients start, and makes a log; answers the run that has it.
async fn prepare(client: &Client, lines: u64) -> String {
    let line = "a line of some length, as programs write them when they say what they do";
    let script = format!("yes '{line}' | head -n {lines}");
    let documents = [
        json!({"id": QUICK, "tasks": {"only": {}}}),
        json!({"id": WAITS, "tasks": {"only": {"process": {"argv": ["sleep", "1d"]}}}}),
        json!({"id": "talker", "tasks": {"only": {"process": {"script": script}}}}),
    ];
    for document in documents {
        client.register(&slug("default"), &document.to_string(), true).await.expect("registered");
    }
    let started = client.start_run(&slug("default"), &slug("talker"), &RunStart::default(), None).await;
    let run = started.expect("accepted").id;
    let mut log = client.follow_log(&slug("default"), &run, &hostler_web::types::LogQuery::default());
    while let Some(record) = log.next().await {
        record.expect("a record");
    }
    run
}
