//! Reading a log from an offset: whole records only, so that what is being written, or was cut off, is not shown yet.
//!
//! Knows nothing of the writer: it looks at the file, and looks again when it is asked again.

use super::record::{Decoded, HEADER_BYTES, Header, decode};
use super::{LogFilter, LogRecord};
use crate::Error;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

const BLOCK_BYTES: usize = 256 * 1024;

/// Gives records with the offset behind each. After None it can be asked again, for what was written since.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    /// None until there is a file.
    file: Option<File>,
    filter: LogFilter,
    /// Where it was told to begin.
    from: u64,
    /// Where the next record begins.
    offset: u64,
    /// Bytes read ahead: `block[taken..]` lie at `offset`.
    block: Vec<u8>,
    taken: usize,
}

impl LogReader {
    pub(super) fn new(path: PathBuf, offset: u64, filter: LogFilter) -> Self {
        Self { path, file: None, filter, from: offset, offset, block: Vec::new(), taken: 0 }
    }

    /// Where to go on: behind the last whole record that was looked at, also where the filter passed it over.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes behind the last whole record. They are either being written or were cut off by a crash; of a run that is
    /// over, the extents of its attempts say whether anything that was kept is among them.
    pub fn rest(&mut self) -> Result<u64, Error> {
        let fail = |path: &PathBuf, source| Error::io("look at", path, source);
        self.open()?;
        let Some(file) = &self.file else { return Ok(0) };
        let length = file.metadata().map_err(|source| fail(&self.path, source))?.len();
        Ok(length.saturating_sub(self.offset))
    }

    fn open(&mut self) -> Result<(), Error> {
        if self.file.is_none() {
            match File::open(&self.path) {
                Ok(file) => self.file = Some(file),
                Err(source) if source.kind() == ErrorKind::NotFound => {}
                Err(source) => return Err(Error::io("open", &self.path, source)),
            }
        }
        Ok(())
    }

    /// Makes at least `needed` bytes from `offset` on be in the block, if the file has them.
    fn fill(&mut self, needed: usize) -> Result<bool, Error> {
        self.open()?;
        let Some(file) = &self.file else { return Ok(false) };
        self.block.drain(..self.taken);
        self.taken = 0;
        while self.block.len() < needed {
            let have = self.block.len();
            self.block.resize(have + BLOCK_BYTES, 0);
            let read = file.read_at(&mut self.block[have..], self.offset + have as u64);
            self.block.truncate(have + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(source) if source.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::io("read", &self.path, source)),
            }
        }
        Ok(true)
    }

    /// An offset that no reader gave would wait for ever in the middle of a record: says so instead.
    fn check_start(&self) -> Result<(), Error> {
        if self.offset != self.from {
            return Ok(());
        }
        let mut reader = Self::new(self.path.clone(), 0, LogFilter::default());
        while reader.offset < self.from && reader.advance()?.is_some() {}
        let what = || format!("a record that begins at {} in `{}`", self.from, self.path.display());
        if reader.offset == self.from { Ok(()) } else { Err(Error::NotFound { what: what() }) }
    }

    /// The next whole record, wanted or not: its header and the length of its payload, which ends at `taken`.
    pub(super) fn advance(&mut self) -> Result<Option<(Header, usize)>, Error> {
        let mut fresh = false;
        loop {
            let found = match decode(&self.block[self.taken..]) {
                Decoded::Whole(header, payload) => Ok((header, payload.len())),
                Decoded::Short(needed) => Err(needed),
                // The bytes may have been read while they were being written: look once more before giving up.
                Decoded::Broken if !fresh => {
                    self.block.truncate(self.taken);
                    fresh = true;
                    Err(HEADER_BYTES)
                }
                Decoded::Broken => {
                    self.block.truncate(self.taken);
                    self.check_start()?;
                    return Ok(None);
                }
            };
            match found {
                Ok((header, length)) => {
                    self.taken += HEADER_BYTES + length;
                    self.offset += (HEADER_BYTES + length) as u64;
                    return Ok(Some((header, length)));
                }
                Err(needed) => {
                    if !self.fill(needed)? {
                        // What was read of a record that is not whole is read again next time.
                        self.block.truncate(self.taken);
                        return Ok(None);
                    }
                }
            }
        }
    }
}

impl LogFilter {
    fn wants(&self, header: &Header) -> bool {
        fn fits<T: PartialEq + Copy>(wanted: Option<T>, is: T) -> bool {
            wanted.is_none_or(|wanted| wanted == is)
        }
        fits(self.task, header.source.task)
            && fits(self.item, header.source.item)
            && fits(self.attempt, header.source.attempt)
            && fits(self.stream, header.stream)
    }
}

impl Iterator for LogReader {
    type Item = Result<(u64, LogRecord), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.advance() {
                Ok(Some((header, length))) if self.filter.wants(&header) => {
                    let payload = &self.block[self.taken - length..self.taken];
                    return Some(Ok((self.offset, header.record(payload))));
                }
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
