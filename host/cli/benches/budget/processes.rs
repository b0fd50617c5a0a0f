//! What the kernel says about a process: memory, switches, processor time, children.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn of(pid: u32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

/// A number behind a word of a `status` file.
fn number(status: &str, word: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(word)).unwrap_or_default();
    let digits = line.trim_start_matches([':', '\t', ' ']).split(' ').next().unwrap_or_default();
    digits.parse().unwrap_or_default()
}

pub(crate) fn resident_mib(pid: u32) -> f64 {
    number(&read(&of(pid).join("status")), "VmRSS") as f64 / 1024.0
}

/// The most that it has held so far.
pub(crate) fn peak_mib(pid: u32) -> f64 {
    number(&read(&of(pid).join("status")), "VmHWM") as f64 / 1024.0
}

/// How often each thread gave its processor away because it had nothing to do: each time it was woken before.
pub(crate) fn wake_ups(pid: u32) -> BTreeMap<OsString, u64> {
    let threads = std::fs::read_dir(of(pid).join("task")).into_iter().flatten().flatten();
    let count = |folder: &Path| number(&read(&folder.join("status")), "voluntary_ctxt_switches");
    threads.map(|thread| (thread.file_name(), count(&thread.path()))).collect()
}

/// Wake-ups from one look to a later one, of the threads that are still there.
pub(crate) fn woken(before: &BTreeMap<OsString, u64>, after: &BTreeMap<OsString, u64>) -> u64 {
    after.iter().map(|(thread, count)| count.saturating_sub(before.get(thread).copied().unwrap_or(0))).sum()
}

/// Processor time so far, in ticks of 10 ms.
pub(crate) fn ticks(pid: u32) -> u64 {
    let stat = read(&of(pid).join("stat"));
    // The name may hold spaces; what follows its bracket does not.
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let field = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    field(11) + field(12)
}

pub(crate) fn children(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(of(pid).join("task")).into_iter().flatten().flatten();
    let lists = threads.map(|thread| read(&thread.path().join("children")));
    lists.flat_map(|list| list.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

pub(crate) fn is_there(pid: u32) -> bool {
    of(pid).exists()
}
