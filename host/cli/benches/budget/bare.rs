//! The mechanisms under the host, with nothing around them: spawning, committing, replaying statements.
//!
//! Invariant: durability is the same as the host's, or the comparison would be a lie.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::p2::bindings::sync::CommandPre;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

const PROGRAM: &str = "/bin/true";

fn spawn() -> std::process::Child {
    let mut command = Command::new(PROGRAM);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("it starts")
}

/// One process after the other.
pub(crate) fn spawns_in_a_row(count: usize) -> Duration {
    let begun = Instant::now();
    for _ in 0..count {
        spawn().wait().expect("it ends");
    }
    begun.elapsed()
}

/// All at once.
pub(crate) fn spawns_together(count: usize) -> Duration {
    let begun = Instant::now();
    let children: Vec<_> = (0..count).map(|_| spawn()).collect();
    for mut child in children {
        child.wait().expect("it ends");
    }
    begun.elapsed()
}

/// What a script writes, from a pipe to a file, and synced: from its start to the sync.
pub(crate) fn piped(script: &str, folder: &Path) -> Duration {
    let begun = Instant::now();
    let mut file = tempfile::tempfile_in(folder).expect("made");
    let mut child = Command::new("/bin/sh");
    child.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = child.spawn().expect("it starts");
    let (mut output, mut piece) = (child.stdout.take().expect("piped"), vec![0; 64 << 10]);
    loop {
        match output.read(&mut piece).expect("readable") {
            0 => break,
            length => file.write_all(&piece[..length]).expect("written"),
        }
    }
    child.wait().expect("it ends");
    file.sync_all().expect("synced");
    begun.elapsed()
}

/// A component that is a command, in Wasmtime as it comes.
pub(crate) struct Component {
    engine: wasmtime::Engine,
    pre: CommandPre<Guest>,
}

/// What a guest of plain Wasmtime has around it.
pub(crate) struct Guest {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl Guest {
    pub(crate) fn new(wasi: WasiCtx) -> Self {
        Self { wasi, table: ResourceTable::new() }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl Component {
    pub(crate) fn compile(path: &Path) -> Self {
        let engine = wasmtime::Engine::default();
        let component = wasmtime::component::Component::from_file(&engine, path).expect("it compiles");
        let mut linker = Linker::<Guest>::new(&engine);
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker).expect("linked");
        let pre = linker.instantiate_pre(&component).and_then(CommandPre::new).expect("it fits");
        Self { engine, pre }
    }

    /// Runs it so many times, on as many threads as there are processors.
    pub(crate) fn runs(&self, count: usize) -> Duration {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..count / threads).for_each(|_| self.run()));
            }
        });
        begun.elapsed()
    }

    fn run(&self) {
        let wasi = WasiCtx::builder().args(&["greet", "--", "world"]).build();
        let mut store = wasmtime::Store::new(&self.engine, Guest::new(wasi));
        let command = self.pre.instantiate(&mut store).expect("an instance");
        command.wasi_cli_run().call_run(&mut store).expect("no trap").expect("it succeeds");
    }
}

/// As the host opens its own.
fn open(path: &Path) -> Connection {
    let database = Connection::open(path).expect("the database opens");
    let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
        PRAGMA cache_size = -16384; PRAGMA wal_autocheckpoint = 4000;";
    database.execute_batch(settings).expect("settings hold");
    database
}

/// A database for single durable commits of one small row.
pub(crate) struct Commits {
    database: Connection,
    _folder: tempfile::TempDir,
}

impl Commits {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let database = open(&folder.path().join("bare.db"));
        database.execute_batch("CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL)").expect("made");
        Self { database, _folder: folder }
    }

    /// The time of each of so many commits.
    pub(crate) fn each(&self, count: usize) -> Vec<Duration> {
        let mut insert = self.database.prepare("INSERT INTO note (text) VALUES (?1)").expect("prepared");
        let timed = (0..count).map(|_| {
            let begun = Instant::now();
            insert.execute(["some text as long as what a task leaves"]).expect("committed");
            begun.elapsed()
        });
        timed.collect()
    }

    pub(crate) fn together(&self, count: usize) -> Duration {
        self.each(count).iter().sum()
    }
}

/// The rows that a run left, to be written again.
pub(crate) struct Replay {
    database: Connection,
    tasks: Vec<Vec<Value>>,
    events: Vec<Vec<Value>>,
}

const TASK: &str = "run_key, task, item, status, attempt, due_at, cause, started_at, ended_at, code, outputs";
const EVENT: &str = "at, namespace_id, kind, pipeline_key, run_key, task, item, attempt, subscription_id, actor_kind, \
                     actor_name, data";

/// Of the write that is not measured.
const BATCH_FIRST: usize = 500;

impl Replay {
    /// Takes the tasks of the newest run out of a database that nobody uses any more.
    pub(crate) fn take(database: &Path) -> Self {
        let connection = open(database);
        let newest = "(SELECT max(key) FROM run)";
        let tasks = read(&connection, &format!("SELECT {TASK} FROM task WHERE run_key = {newest} ORDER BY task"));
        let events = format!("SELECT {EVENT} FROM event WHERE run_key = {newest} AND task IS NOT NULL ORDER BY cursor");
        let events = read(&connection, &events);
        assert_eq!(tasks.len(), events.len(), "each task makes one step");
        let replay = Self { database: connection, tasks, events };
        // The host's file and its log of writes have grown to their size before it is measured; so must these.
        replay.run(BATCH_FIRST);
        replay
    }

    /// Writes them again, so many tasks a commit, into tables without any other tasks.
    pub(crate) fn run(&self, batch: usize) -> Duration {
        let empty = "DELETE FROM task; DELETE FROM event; PRAGMA wal_checkpoint(PASSIVE);";
        self.database.execute_batch(empty).expect("emptied");
        let marks = |columns: &str| vec!["?"; columns.split(',').count()].join(", ");
        let insert =
            |table: &str, columns: &str| format!("INSERT INTO {table} ({columns}) VALUES ({})", marks(columns));
        let mut task = self.database.prepare(&insert("task", TASK)).expect("prepared");
        let mut event = self.database.prepare(&insert("event", EVENT)).expect("prepared");
        let begun = Instant::now();
        for (tasks, events) in self.tasks.chunks(batch).zip(self.events.chunks(batch)) {
            self.database.execute_batch("BEGIN IMMEDIATE").expect("begun");
            for (one, other) in tasks.iter().zip(events) {
                task.execute(params_from_iter(one)).expect("inserted");
                event.execute(params_from_iter(other)).expect("inserted");
            }
            self.database.execute_batch("COMMIT").expect("committed");
        }
        begun.elapsed()
    }
}

fn read(database: &Connection, sql: &str) -> Vec<Vec<Value>> {
    let mut statement = database.prepare(sql).expect("the query is good");
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect());
    rows.expect("it runs").collect::<Result<_, _>>().expect("rows")
}
