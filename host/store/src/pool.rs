//! A few connections that can only read, lent one read at a time. Made when they are first needed.

use crate::Error;
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How many statements a connection keeps ready; more than there are.
pub(crate) const STATEMENTS_MAX: usize = 256;

#[derive(Debug)]
pub(crate) struct Pool {
    path: PathBuf,
    max: usize,
    wait: Duration,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Connection>,
    lent: usize,
}

/// A connection that goes back when it is dropped, also by a panic; what it was looking at ends then.
pub(crate) struct Lease<'p> {
    pool: &'p Pool,
    connection: Option<Connection>,
}

impl Pool {
    pub(crate) fn new(path: PathBuf, max: usize, wait: Duration) -> Self {
        Self { path, max: max.max(1), wait, state: Mutex::default(), freed: Condvar::new() }
    }

    pub(crate) fn lend(&self) -> Result<Lease<'_>, Error> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let all_lent = |state: &mut State| state.lent >= self.max;
        let waited = self.freed.wait_timeout_while(state, self.wait, all_lent);
        let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            let waited_ms = u64::try_from(self.wait.as_millis()).unwrap_or(u64::MAX);
            return Err(Error::Busy { connections: self.max, waited_ms });
        }
        state.lent += 1;
        let idle = state.idle.pop();
        drop(state);
        // From here on a failure gives the place back by dropping the lease.
        let mut lease = Lease { pool: self, connection: idle };
        if lease.connection.is_none() {
            lease.connection = Some(open(&self.path).map_err(|source| Error::sql(&self.path, source))?);
        }
        Ok(lease)
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -2048;")?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

impl Lease<'_> {
    pub(crate) fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("a lease that was given out has its connection")
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // One whose look cannot be ended is thrown away.
        let ended =
            |connection: &Connection| connection.is_autocommit() || connection.execute_batch("ROLLBACK").is_ok();
        let connection = self.connection.take().filter(ended);
        let mut state = self.pool.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lent -= 1;
        state.idle.extend(connection);
        drop(state);
        self.pool.freed.notify_one();
    }
}
