//! How the model's words lie in columns. Rows are read field by field in the order of the `SELECT`.

use crate::{
    AttemptStatus, CatchUp, FireDecision, FireStatus, NamespaceId, Overlap, PipelineKey, PluginStatus,
    SubscriptionStatus, Trust,
};
use hostler_model::{
    Actor, ActorKind, CancelReason, Cause, Duration, Epoch, Exit, RunId, RunKey, RunStatus, Slug, SubscriptionId,
    TaskIndex, TaskStatus, Timestamp,
};
use rusqlite::Row;
use rusqlite::types::{FromSqlError, FromSqlResult, Type, ValueRef};

/// What can be read from one column.
pub(crate) trait Column: Sized {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self>;
}

/// Reads the columns of a row from left to right.
pub(crate) struct Fields<'r, 's> {
    row: &'r Row<'s>,
    next: usize,
}

impl<'r, 's> Fields<'r, 's> {
    pub(crate) fn new(row: &'r Row<'s>) -> Self {
        Self { row, next: 0 }
    }

    pub(crate) fn take<T: Column>(&mut self) -> rusqlite::Result<T> {
        let at = self.next;
        self.next += 1;
        let value = self.row.get_ref(at)?;
        T::read(value).map_err(|source| unreadable(at, value.data_type(), source))
    }

    /// Two columns: kind and name.
    pub(crate) fn actor(&mut self) -> rusqlite::Result<Actor> {
        Ok(Actor { kind: self.take()?, name: self.take()? })
    }

    /// Two columns, both NULL where there is no actor.
    pub(crate) fn actor_or_none(&mut self) -> rusqlite::Result<Option<Actor>> {
        let (kind, name) = (self.take()?, self.take()?);
        Ok(Option::zip(kind, name).map(|(kind, name)| Actor { kind, name }))
    }
}

/// Reads a row of one column.
pub(crate) fn first<T: Column>(row: &mut Fields<'_, '_>) -> rusqlite::Result<T> {
    row.take()
}

fn unreadable(at: usize, kind: Type, source: FromSqlError) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(at, kind, Box::new(source))
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> FromSqlError {
    FromSqlError::Other(Box::new(error))
}

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a word that this column knows")]
struct UnknownWord(String);

/// A kind of actor in its one spelling.
pub(crate) const fn actor_kind(kind: ActorKind) -> &'static str {
    match kind {
        ActorKind::Token => "token",
        ActorKind::Subscription => "subscription",
        ActorKind::Host => "host",
    }
}

impl Column for ActorKind {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "token" => Ok(Self::Token),
            "subscription" => Ok(Self::Subscription),
            "host" => Ok(Self::Host),
            word => Err(other(UnknownWord(word.into()))),
        }
    }
}

impl<T: Column> Column for Option<T> {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
        if value.data_type() == Type::Null { Ok(None) } else { T::read(value).map(Some) }
    }
}

/// Columns that rusqlite reads by itself.
macro_rules! plain {
    ($($type:ty),+) => {$(
        impl Column for $type {
            fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
                rusqlite::types::FromSql::column_result(value)
            }
        }
    )+};
}
plain!(i64, i32, u32, bool, String, Box<str>, Vec<u8>, [u8; 32]);

/// SQLite has no unsigned numbers; one of ours below 0 was not written by us.
impl Column for u64 {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        Self::try_from(number).map_err(|_| FromSqlError::OutOfRange(number))
    }
}

/// Identifiers that wrap a number.
macro_rules! number {
    ($($type:ident),+) => {$(
        impl Column for $type {
            fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
                Column::read(value).map($type)
            }
        }
    )+};
}
number!(Timestamp, RunKey, SubscriptionId, PipelineKey, NamespaceId, TaskIndex, Epoch);

/// Enums with one spelling a variant.
macro_rules! words {
    ($($type:ident),+) => {$(
        impl Column for $type {
            fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let word = value.as_str()?;
                $type::parse(word).ok_or_else(|| other(UnknownWord(word.into())))
            }
        }
    )+};
}
words!(RunStatus, TaskStatus, CancelReason, Trust, AttemptStatus, PluginStatus, SubscriptionStatus);
words!(Overlap, CatchUp, FireDecision, FireStatus);

/// Columns that hold JSON.
macro_rules! json {
    ($($type:ty),+) => {$(
        impl Column for $type {
            fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
                serde_json::from_str(value.as_str()?).map_err(other)
            }
        }
    )+};
}
json!(Cause, Exit, Vec<crate::Permission>);

impl Column for Slug {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::parse(value.as_str()?).map_err(other)
    }
}

impl Column for Duration {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
        u64::read(value).map(Self::from_millis)
    }
}

impl Column for RunId {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
        uuid::Uuid::from_slice(value.as_blob()?).map(Self).map_err(other)
    }
}

/// The JSON text of a word of the model, which has no value that cannot be written.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("the model's words have text keys and finite numbers")
}
