//! What one client was promised, and how long it waited for that.
//!
//! Invariant: an entry is made before the request goes out, and changed only by the host's answer. Small, since there
//! are millions of them.

use std::time::Duration;

/// A run's id as its sixteen bytes.
pub(crate) type Id = [u8; 16];

pub(crate) fn id(text: &str) -> Id {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |at: usize| {
        let pair = digits.get(2 * at..2 * at + 2).and_then(|pair| std::str::from_utf8(pair).ok());
        pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or_else(|| panic!("`{text}` is no id of a run"))
    };
    std::array::from_fn(byte)
}

/// One key.
#[derive(Clone, Copy, Default)]
pub(crate) struct Start {
    /// None: no answer has come.
    pub(crate) run: Option<Id>,
    /// The cancel was acknowledged.
    pub(crate) is_cancelled: bool,
}

#[derive(Default)]
pub(crate) struct Book {
    /// Tells its keys from those of others.
    pub(crate) client: usize,
    pub(crate) starts: Vec<Start>,
    /// Milliseconds from the request to the acknowledgement, of those that were answered at the first try.
    pub(crate) waited_ms: Vec<f32>,
    /// Keys that were sent again after their answer had come.
    pub(crate) repeated: u64,
    /// Keys whose answer nobody waited for, at first.
    pub(crate) given_up: u64,
    /// Answers that said "too much" or "not now".
    pub(crate) refused: u64,
    /// Requests that got no answer at all.
    pub(crate) unanswered: u64,
}

impl Book {
    pub(crate) fn new(client: usize) -> Self {
        Self { client, ..Self::default() }
    }

    /// A new key.
    pub(crate) fn ask(&mut self) -> usize {
        self.starts.push(Start::default());
        self.starts.len() - 1
    }

    /// Also the run's summary.
    pub(crate) fn key(&self, index: usize) -> String {
        format!("{}-{index}", self.client)
    }

    /// The client and the index of a key.
    pub(crate) fn parse(key: &str) -> Option<(usize, usize)> {
        let (client, index) = key.split_once('-')?;
        Some((client.parse().ok()?, index.parse().ok()?))
    }

    pub(crate) fn acknowledge(&mut self, index: usize, run: &str, existing: bool) {
        let run = id(run);
        let before = self.starts[index].run.replace(run);
        assert!(before.is_none_or(|before| before == run), "key {} got two runs", self.key(index));
        assert!(existing || before.is_none(), "key {} made a run twice", self.key(index));
    }

    pub(crate) fn cancelled(&mut self, index: usize) {
        self.starts[index].is_cancelled = true;
    }

    pub(crate) fn waited(&mut self, time: Duration) {
        self.waited_ms.push(time.as_secs_f32() * 1e3);
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.starts.iter().filter(|start| start.run.is_some()).count()
    }

    pub(crate) fn cancels(&self) -> usize {
        self.starts.iter().filter(|start| start.is_cancelled).count()
    }
}
