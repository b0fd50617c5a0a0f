//! A power cut: the data folder as it would be with only what had been synced.
//!
//! The host runs with `power.c` before its libc, which writes a journal of all it does to files. After a kill the
//! folder is made again from the state at its start and the journal: bytes of a file count from its `fsync` on, names
//! from the
//! `fsync` of their folder on. No reordering and no torn pages. Folders that hold nothing promised (`VOLATILE`) are
//! lost altogether.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Below the data folder: what tasks work in, and what is made anew at each start.
const VOLATILE: [&str; 4] = ["work", "scripts", "lock", "address"];

/// What a file is while nobody looks: what is durable, and what is done to it since.
#[derive(Clone, Default)]
struct Node {
    bytes: Vec<u8>,
    since: Vec<Deed>,
}

#[derive(Clone)]
enum Deed {
    Write { at: usize, bytes: Vec<u8> },
    Cut(usize),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    Folder,
    File(usize),
}

/// Names come and go by these; each waits for the `fsync` of its folder.
enum Change {
    Put(PathBuf, Entry),
    Gone(PathBuf),
}

impl Change {
    fn path(&self) -> &Path {
        match self {
            Self::Put(path, _) | Self::Gone(path) => path,
        }
    }
}

/// A disk and its journal.
pub(crate) struct Disk {
    root: PathBuf,
    library: PathBuf,
    journal: PathBuf,
}

/// What a cut took away.
#[derive(Default)]
pub(crate) struct Cut {
    pub(crate) deeds: usize,
    pub(crate) lost_bytes: usize,
    pub(crate) lost_names: usize,
}

impl Disk {
    /// None where this machine has no C compiler.
    pub(crate) fn new(home: &Path) -> Option<Self> {
        let root = home.join("disk");
        std::fs::create_dir_all(&root).expect("made");
        let library = home.join("power.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash/power.c");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).args(["-ldl", "-lpthread"]);
        let is_made = cc.status().is_ok_and(|status| status.success());
        is_made.then(|| Self { root, library, journal: home.join("journal") })
    }

    /// What the host must be started with.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.display().to_string();
        vec![
            ("LD_PRELOAD".into(), text(&self.library)),
            ("HOSTLER_POWER_ROOT".into(), text(&self.root)),
            ("HOSTLER_POWER_JOURNAL".into(), text(&self.journal)),
        ]
    }

    /// Before a life: what is on the disk now is durable.
    pub(crate) fn before(&self) -> State {
        let _ = std::fs::remove_file(&self.journal);
        let mut state = State::default();
        state.take_in(&self.root);
        state
    }

    /// After a life, when nobody writes any more.
    pub(crate) fn cut(&self, mut state: State) -> Cut {
        let journal = std::fs::read(&self.journal).unwrap_or_default();
        let deeds = state.replay(&journal);
        let cut = Cut { deeds, ..state.lost() };
        std::fs::remove_dir_all(&self.root).expect("removed");
        std::fs::create_dir_all(&self.root).expect("made");
        state.put_back(&self.root);
        cut
    }
}

/// All that a disk holds, durable or not.
#[derive(Default)]
pub(crate) struct State {
    nodes: Vec<Node>,
    /// As the running host sees it.
    live: BTreeMap<PathBuf, Entry>,
    /// As a power cut would leave it.
    durable: BTreeMap<PathBuf, Entry>,
    waiting: Vec<Change>,
}

impl State {
    fn take_in(&mut self, folder: &Path) {
        for entry in std::fs::read_dir(folder).expect("listed").flatten() {
            let path = entry.path();
            let kind = if entry.file_type().expect("a type").is_dir() {
                self.take_in(&path);
                Entry::Folder
            } else {
                self.nodes.push(Node { bytes: std::fs::read(&path).expect("read"), since: Vec::new() });
                Entry::File(self.nodes.len() - 1)
            };
            self.live.insert(path.clone(), kind);
            self.durable.insert(path, kind);
        }
    }

    fn replay(&mut self, journal: &[u8]) -> usize {
        let (mut rest, mut count) = (journal, 0);
        while let Some((record, after)) = Record::read(rest) {
            self.apply(&record);
            rest = after;
            count += 1;
        }
        count
    }

    fn node(&mut self, path: &Path) -> usize {
        if let Some(Entry::File(node)) = self.live.get(path) {
            return *node;
        }
        self.nodes.push(Node::default());
        let node = self.nodes.len() - 1;
        self.put(path.to_path_buf(), Entry::File(node));
        node
    }

    fn put(&mut self, path: PathBuf, entry: Entry) {
        self.live.insert(path.clone(), entry);
        self.waiting.push(Change::Put(path, entry));
    }

    fn apply(&mut self, record: &Record<'_>) {
        let path = Path::new(record.path);
        // What is written to a file without a name is lost with it.
        if record.path.ends_with(" (deleted)") {
            return;
        }
        match record.kind {
            b'W' => {
                let node = self.node(path);
                let deed = Deed::Write { at: record.offset, bytes: record.data.to_vec() };
                self.nodes[node].since.push(deed);
            }
            b'T' => {
                let node = self.node(path);
                self.nodes[node].since.push(Deed::Cut(record.offset));
            }
            b'C' => {
                self.live.remove(path);
                self.node(path);
            }
            b'M' => self.put(path.to_path_buf(), Entry::Folder),
            b'U' => {
                self.live.remove(path);
                self.waiting.push(Change::Gone(path.to_path_buf()));
            }
            b'R' => self.rename(path, Path::new(record.second)),
            b'S' => self.sync(path),
            kind => panic!("the journal has a record of kind {kind}"),
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        let moved: Vec<_> = self
            .live
            .range(from.to_path_buf()..)
            .take_while(|(path, _)| path.starts_with(from))
            .map(|(path, entry)| (path.clone(), *entry))
            .collect();
        for (path, entry) in moved {
            let rest = path.strip_prefix(from).expect("it begins so");
            let target = if rest.as_os_str().is_empty() { to.to_path_buf() } else { to.join(rest) };
            self.live.remove(&path);
            self.waiting.push(Change::Gone(path));
            self.put(target, entry);
        }
    }

    fn sync(&mut self, path: &Path) {
        match self.live.get(path).copied() {
            Some(Entry::File(node)) => self.nodes[node].settle(),
            // The root itself is no entry of anything.
            Some(Entry::Folder) | None => {
                let (now, later) = std::mem::take(&mut self.waiting)
                    .into_iter()
                    .partition(|change| change.path().parent() == Some(path));
                self.waiting = later;
                let now: Vec<Change> = now;
                for change in now {
                    match change {
                        Change::Put(path, entry) => {
                            self.durable.insert(path, entry);
                        }
                        Change::Gone(path) => {
                            self.durable.remove(&path);
                        }
                    }
                }
            }
        }
    }

    fn lost(&self) -> Cut {
        let bytes = |node: &Node| {
            let written = node.since.iter().map(|deed| match deed {
                Deed::Write { bytes, .. } => bytes.len(),
                Deed::Cut(_) => 0,
            });
            written.sum::<usize>()
        };
        Cut { deeds: 0, lost_bytes: self.nodes.iter().map(bytes).sum(), lost_names: self.waiting.len() }
    }

    /// Only what has all folders above it.
    fn put_back(&self, root: &Path) {
        let folders: BTreeSet<&PathBuf> =
            self.durable.iter().filter(|(_, entry)| **entry == Entry::Folder).map(|(path, _)| path).collect();
        let data = root.join("data");
        let is_volatile = |path: &Path| VOLATILE.iter().any(|name| path.starts_with(data.join(name)));
        let stands = |path: &Path| {
            path.ancestors()
                .skip(1)
                .take_while(|above| *above != root)
                .all(|above| folders.contains(&above.to_path_buf()))
        };
        for (path, entry) in &self.durable {
            if is_volatile(path) || !stands(path) {
                continue;
            }
            match entry {
                Entry::Folder => std::fs::create_dir(path).expect("made"),
                Entry::File(node) => std::fs::write(path, &self.nodes[*node].bytes).expect("written"),
            }
        }
    }
}

impl Node {
    fn settle(&mut self) {
        for deed in self.since.drain(..) {
            match deed {
                Deed::Write { at, bytes } => {
                    let end = at + bytes.len();
                    if self.bytes.len() < end {
                        self.bytes.resize(end, 0);
                    }
                    self.bytes[at..end].copy_from_slice(&bytes);
                }
                Deed::Cut(length) => self.bytes.resize(length, 0),
            }
        }
    }
}

/// As `power.c` writes it.
struct Record<'j> {
    kind: u8,
    path: &'j str,
    second: &'j str,
    offset: usize,
    data: &'j [u8],
}

impl<'j> Record<'j> {
    /// None at the end, and for a record that the kill cut off.
    fn read(bytes: &'j [u8]) -> Option<(Self, &'j [u8])> {
        let (head, rest) = bytes.split_at_checked(25)?;
        let four = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes")) as usize;
        let eight = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes")) as usize;
        let (path, rest) = rest.split_at_checked(four(1))?;
        let (second, rest) = rest.split_at_checked(four(5))?;
        let (data, rest) = rest.split_at_checked(eight(17))?;
        let text = |bytes: &'j [u8]| std::str::from_utf8(bytes).expect("our paths are text");
        let record = Self { kind: head[0], path: text(path), second: text(second), offset: eight(9), data };
        Some((record, rest))
    }
}
