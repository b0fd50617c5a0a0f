//! Transactions: `ReadTx` for a look, `WriteTx` for a change, `Writer` as the one place where changes begin.

use crate::Error;
use std::marker::PhantomData;

/// One consistent look at the database.
#[derive(Debug)]
pub struct ReadTx<'c> {
    connection: PhantomData<&'c rusqlite::Connection>,
}

/// A transaction that changes things; dropped without `commit` it leaves nothing. All reads work inside.
#[derive(Debug)]
pub struct WriteTx<'w> {
    read: ReadTx<'w>,
}

/// The only write connection.
#[derive(Debug)]
pub struct Writer {}

impl Writer {
    pub fn begin(&mut self) -> Result<WriteTx<'_>, Error> {
        todo!()
    }
}

impl WriteTx<'_> {
    /// What `f` changed stays only if it answers `Ok`; an error or a panic takes back its changes and no others.
    pub fn savepoint<T, E: From<Error>>(&mut self, f: impl FnOnce(&mut WriteTx<'_>) -> Result<T, E>) -> Result<T, E> {
        todo!()
    }

    /// Durable when this answers `Ok`.
    pub fn commit(self) -> Result<(), Error> {
        todo!()
    }
}

impl<'w> std::ops::Deref for WriteTx<'w> {
    type Target = ReadTx<'w>;
    fn deref(&self) -> &ReadTx<'w> {
        &self.read
    }
}
