//! The rounds: a life of the host, its death, what must hold when it is back; and the end, when all laws are looked at.
//!
//! What is done follows from the seed; the instants of a real machine do not.

use crate::host::{Host, Place};
use crate::ledger::{Ledger, Mode};
use crate::power::{Cut, Disk, State};
use crate::random::Random;
use crate::small_disk::SmallDisk;
use crate::{checks, clients, orphans, pipelines, rows};
use hostler_store::Store;
use hostler_web::types::RunQuery;
use std::collections::HashSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const CLIENTS: u64 = 3;

/// From the first answer of a host to its end.
const LIFE_MS: (u64, u64) = (20, 700);

/// A start is killed this long after it began: within its migrations, its recovery, or just before its first answer.
const START_MS: (u64, u64) = (1, 250);

/// Starts that are killed before the first data folder is whole.
const BIRTHS: u64 = 5;

/// Starts that are killed while they may be bringing up an older database.
const MIGRATIONS: u64 = 4;

/// Of the first schema.
const FIRST_BACKUP: &[u8] = include_bytes!("../../../store/tests/store/backup-1.tar");

/// What is done to the disk beside the kill.
enum Harm {
    None,
    Power(Disk),
    Full(SmallDisk),
}

/// How a host ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Death {
    Plain,
    /// While a backup is made.
    InBackup,
    /// After it was told to stop.
    InShutdown,
}

const DEATHS: [Death; 6] = [Death::Plain, Death::Plain, Death::Plain, Death::Plain, Death::InBackup, Death::InShutdown];

pub(crate) struct Story {
    place: Place,
    harm: Harm,
    ledger: Ledger,
    random: Random,
    marks: PathBuf,
    names: Vec<&'static str>,
    backups: HashSet<String>,
    told: Told,
}

/// What is printed at the end.
#[derive(Default)]
struct Told {
    migrations: u64,
    births: u64,
    starts_killed: u64,
    in_backup: u64,
    in_shutdown: u64,
    started_on_full: u64,
    refused_to_start: u64,
    backups: usize,
    longest: Duration,
    cut: Cut,
}

impl Story {
    pub(crate) fn kill(home: &Path, seed: u64) -> Self {
        Self::new(home, home.join("data"), seed, Mode::Kill, Harm::None)
    }

    pub(crate) fn power(home: &Path, seed: u64, disk: Disk) -> Self {
        let mut story = Self::new(home, home.join("disk/data"), seed, Mode::Power, Harm::None);
        story.place.environment.extend(disk.environment());
        Self { harm: Harm::Power(disk), ..story }
    }

    pub(crate) fn full(home: &Path, seed: u64, disk: SmallDisk) -> Self {
        let mut story = Self::new(home, disk.root.join("data"), seed, Mode::Full, Harm::None);
        story.place.environment.push(("HOSTLER_CONFIG_STORAGE_FREE_MIN".into(), "4MiB".into()));
        Self { harm: Harm::Full(disk), ..story }
    }

    fn new(home: &Path, data: PathBuf, seed: u64, mode: Mode, harm: Harm) -> Self {
        // Retention works all the time, and on one pipeline only.
        let set = |key: &str, value: &str| (format!("HOSTLER_CONFIG_{key}"), value.to_owned());
        let environment = vec![
            set("RETENTION_EVERY", "50ms"),
            set("RETENTION_RUNS_COUNT", "0"),
            set("RETENTION_RUNS_PERIOD", "0s"),
            set("RETENTION_LOGS_BYTES", "0B"),
            set("RETENTION_EVENTS_PERIOD", "0s"),
            set("RETENTION_FIRES_COUNT", "0"),
            set("RETENTION_FIRES_PERIOD", "0s"),
            set("BACKUP_KEEP", &checks::BACKUPS_KEPT.to_string()),
            set("STORAGE_FREE_MIN", "0B"),
        ];
        // In a folder of its own: process tasks can make no file beside the data folder, and may be somebody else.
        let outside = home.join("outside");
        std::fs::create_dir(&outside).expect("a folder can be made");
        std::fs::set_permissions(&outside, Permissions::from_mode(0o777)).expect("it is ours");
        let (ledger, random, marks) = (Ledger::new(mode), Random(seed), outside.join("marks"));
        let place = Place { home: home.to_path_buf(), data, environment };
        let (names, backups, told) = (Vec::new(), HashSet::new(), Told::default());
        Self { place, harm, ledger, random, marks, names, backups, told }
    }

    pub(crate) async fn tell(mut self, rounds: u64) {
        let begun = Instant::now();
        self.kill_in_migration().await;
        for _ in 0..BIRTHS {
            self.kill_a_start().await;
            self.told.births += 1;
        }
        let mut state = self.before();
        let mut host = Host::start_at(&self.place).await;
        self.names = pipelines::register(&host.client, &self.marks).await;
        for round in 0..rounds {
            self.live_and_die(host).await;
            self.bury(state).await;
            if self.random.between(0, 4) == 0 {
                self.kill_a_start().await;
                self.told.starts_killed += 1;
            }
            state = self.before();
            host = self.come_back().await;
            checks::integrity(&self.place.data);
            checks::all_are_there(&host.client, &self.ledger).await;
            self.told.backups += checks::backups_are_whole(&host.client, &self.ledger, &mut self.backups).await;
            self.free();
            clients::repeat(&host.client, &self.ledger).await;
            if (round + 1) % 25 == 0 {
                println!("{} rounds in {:.0} s", round + 1, begun.elapsed().as_secs_f64());
            }
        }
        self.end(host, rounds, begun).await;
    }

    /// A folder of the first schema is brought up, and killed on its way; in the end all that was in it is there.
    async fn kill_in_migration(&mut self) {
        let old = self.place.data.with_file_name("old");
        let data = std::mem::replace(&mut self.place.data, old);
        let file = self.place.home.join("backup-1.tar");
        std::fs::write(&file, FIRST_BACKUP).expect("written");
        let restored = Store::restore_backup(&file, &self.place.data, hostler_model::Timestamp(0)).expect("restored");
        for _ in 0..MIGRATIONS {
            self.kill_a_start().await;
            self.told.migrations += 1;
        }
        let state = self.before();
        let host = Host::start_at(&self.place).await;
        checks::integrity(&self.place.data);
        let all = RunQuery { limit: Some(500), ..RunQuery::default() };
        let runs = host.client.runs(&clients::slug("default"), &all).await.expect("a list").items;
        assert!(runs.len() as u64 >= restored.info.runs, "runs of the older database are lost: {runs:?}");
        host.kill();
        self.bury(state).await;
        std::fs::remove_dir_all(&self.place.data).expect("removed");
        self.place.data = data;
    }

    fn before(&self) -> Option<State> {
        match &self.harm {
            Harm::Power(disk) => Some(disk.before()),
            Harm::None | Harm::Full(_) => None,
        }
    }

    fn free(&self) {
        match &self.harm {
            Harm::Full(disk) => disk.free(),
            Harm::None | Harm::Power(_) => {}
        }
    }

    /// Before it can have answered anybody.
    async fn kill_a_start(&mut self) {
        let state = self.before();
        let mut child = self.place.spawn();
        let (least, most) = START_MS;
        // tidy: allow(sleep), because when the start is killed is the measure.
        tokio::time::sleep(Duration::from_millis(self.random.between(least, most))).await;
        child.kill().expect("it can be killed");
        child.wait().expect("it is our child");
        self.bury(state).await;
    }

    async fn live_and_die(&mut self, host: Host) {
        let life = Duration::from_millis(self.random.between(LIFE_MS.0, LIFE_MS.1));
        let death = *self.random.pick(&DEATHS).expect("there are some");
        let pause = Duration::from_millis(self.random.between(0, 60));
        let stays_full = self.random.between(0, 3) == 0;
        let while_full = self.random.next();
        let seeds: Vec<_> = (0..CLIENTS).map(|_| self.random.next()).collect();
        let (ledger, names) = (&self.ledger, &self.names);
        let asking = seeds.iter().map(|seed| clients::ask(host.client.clone(), ledger, Random(*seed), names));
        let asking = futures_util::future::join_all(asking.collect::<Vec<_>>());
        let client = host.client.clone();
        let killing = async {
            // tidy: allow(sleep), because the life of the host is the measure, and the other loop has a limit.
            tokio::time::sleep(life / 2).await;
            if let Harm::Full(disk) = &self.harm {
                disk.fill();
                // The others may have ended by now, and a full disk that nobody asks anything of proves nothing.
                clients::ask(client.clone(), ledger, Random(while_full), names).await;
                if !stays_full {
                    disk.free();
                }
            }
            // tidy: allow(sleep), because the life of the host is the measure, and the other loop has a limit.
            tokio::time::sleep(life / 2).await;
            match death {
                Death::Plain => {}
                Death::InBackup => drop(client.create_backup(None).await),
                Death::InShutdown => {
                    ledger.stop(true);
                    host.ask_to_stop();
                }
            }
            if death != Death::Plain {
                // tidy: allow(sleep), because how far the backup or the stop comes is the measure.
                tokio::time::sleep(pause).await;
            }
            host.kill();
        };
        tokio::join!(asking, killing);
        ledger.stop(false);
        self.told.in_backup += u64::from(death == Death::InBackup);
        self.told.in_shutdown += u64::from(death == Death::InShutdown);
    }

    /// Nothing of it is left, and the disk is as the harm leaves it.
    async fn bury(&mut self, state: Option<State>) {
        self.told.longest = self.told.longest.max(orphans::gone(&self.place.data).await);
        if let (Harm::Power(disk), Some(state)) = (&self.harm, state) {
            let Cut { deeds, lost_bytes, lost_names } = disk.cut(state);
            self.told.cut.deeds += deeds;
            self.told.cut.lost_bytes += lost_bytes;
            self.told.cut.lost_names += lost_names;
        }
    }

    async fn come_back(&mut self) -> Host {
        let Harm::Full(disk) = &self.harm else { return Host::start_at(&self.place).await };
        let is_full = disk.is_full();
        match Host::try_start(&self.place).await {
            Ok(host) => {
                self.told.started_on_full += u64::from(is_full);
                host
            }
            Err(line) => {
                let said = self.place.said();
                let last = said.lines().last().unwrap_or_default().to_owned() + &line;
                assert!(is_full, "the host did not start: {said}");
                let names_it = ["disk", "space", "full"].iter().any(|word| last.contains(word));
                assert!(names_it, "it does not say that the disk is full: {last}");
                self.told.refused_to_start += 1;
                disk.free();
                Host::start_at(&self.place).await
            }
        }
    }

    async fn end(self, host: Host, rounds: u64, begun: Instant) {
        let Self { place, ledger, marks, told, .. } = &self;
        checks::all_end(&host.client, ledger).await;
        if ledger.mode != Mode::Full {
            checks::output_is_there(&host.client).await;
        }
        let status = host.stop().await;
        assert!(status.success(), "the host ended with {status}");
        let rows::Counted { runs, fires, attempts, lost, transitions, marked } =
            rows::check(&place.data, ledger, marks);
        no_panic(place, ledger.mode);
        let containers = if orphans::no_container(&place.data) { "none" } else { "no engine" };
        let row = |name: &str, value: String| println!("  {name:<38} {value:>10}");
        println!("{:?}: {rounds} rounds in {:.0} s", ledger.mode, begun.elapsed().as_secs_f64());
        row("kills", (rounds + told.migrations + told.births + told.starts_killed).to_string());
        row("  while an old database is brought up", told.migrations.to_string());
        row("  of a first start", told.births.to_string());
        row("  of a later start", told.starts_killed.to_string());
        row("  while a backup was asked for", told.in_backup.to_string());
        row("  while it stopped", told.in_shutdown.to_string());
        row("runs acknowledged, all there", ledger.runs().len().to_string());
        row("cancels acknowledged, all held", ledger.cancelled().len().to_string());
        row("subscriptions acknowledged", ledger.subscriptions().len().to_string());
        row("backups read, all whole", told.backups.to_string());
        row("runs / fires in the end", format!("{runs} / {fires}"));
        row("attempts / of them lost", format!("{attempts} / {lost}"));
        row("starts marked outside, none twice", marked.to_string());
        row("transitions, all legal", transitions.to_string());
        row("containers left", containers.into());
        row("last task gone after its host", format!("{} ms", told.longest.as_millis()));
        match &self.harm {
            Harm::None => {}
            Harm::Power(_) => {
                row("deeds in the journal", told.cut.deeds.to_string());
                row("bytes / names lost by the cuts", format!("{} / {}", told.cut.lost_bytes, told.cut.lost_names));
            }
            Harm::Full(_) => {
                assert!(ledger.refused() > 0, "the disk was never full enough to refuse anything");
                row("requests put off", ledger.refused().to_string());
                row(
                    "starts on a full disk: up / put off",
                    format!("{} / {}", told.started_on_full, told.refused_to_start),
                );
            }
        }
    }
}

/// Nothing in our own code may break, however the history went.
fn no_panic(place: &Place, mode: Mode) {
    let said = place.said();
    // A request that is refused while the host stops, or while the disk is full, is told to the log as it should be.
    let may_be = |line: &str| mode == Mode::Full || line.contains("the host is stopping");
    let is_bad = |line: &&str| line.contains("panicked") || line.contains("ERROR") && !may_be(line);
    let bad: Vec<_> = said.lines().filter(is_bad).collect();
    assert!(bad.is_empty(), "the host said: {bad:#?}");
}
