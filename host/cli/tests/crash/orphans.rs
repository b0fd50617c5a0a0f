//! Looks for what is left of a data folder's tasks: processes in `/proc`, containers at the engine.
//!
//! Each process task carries `HOSTLER_HANDLE`, and its output file lies below the data folder; both are in its
//! environment.

use crate::container_engine::docker;
use std::path::Path;
use std::time::{Duration, Instant};

/// A second is promised on a machine that has time; one that builds ten crates at once gets some more.
const LIMIT: Duration = Duration::from_secs(5);

/// Waits until no task of the folder runs any more, and answers how long that took.
pub(crate) async fn gone(data: &Path) -> Duration {
    let begun = Instant::now();
    loop {
        let left = of(data);
        if left.is_empty() {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < LIMIT, "tasks outlived their host by {LIMIT:?}: {left:?}");
        // tidy: allow(sleep), because other processes are looked at, and the loop has a limit.
        tokio::time::sleep(crate::host::LOOK).await;
    }
}

/// No container of the folder's host is left, once it has stopped with all runs over. Answers false where no engine
/// answers.
pub(crate) fn no_container(data: &Path) -> bool {
    if crate::container_engine::engine().is_none() {
        return false;
    }
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = rusqlite::Connection::open_with_flags(data.join("hostler.db"), flags).expect("the database opens");
    let id = "SELECT value FROM meta WHERE key = 'host_id'";
    let id: String = database.query_row(id, [], |row| row.get(0)).expect("a row");
    let label = format!("label=hostler.host={id}");
    let left = docker(["ps", "--all", "--filter", &label, "--format", "{{.ID}} {{.Status}}"]);
    assert!(left.is_empty(), "containers have outlived their runs: {left}");
    true
}

fn of(data: &Path) -> Vec<String> {
    let folder = data.display().to_string();
    let processes = std::fs::read_dir("/proc").expect("proc is mounted").flatten();
    // Under a power cut the warden too must have written its last before the disk is looked at.
    let is_ours = |environment: &[u8]| {
        let text = String::from_utf8_lossy(environment);
        text.contains("HOSTLER_HANDLE=") && text.contains(&folder)
            || text.contains(&format!("HOSTLER_POWER_ROOT={}", data.parent().unwrap_or(data).display()))
    };
    processes
        .filter(|entry| std::fs::read(entry.path().join("environ")).is_ok_and(|environment| is_ours(&environment)))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
