//! What must hold of the rows: each acknowledged run is there, once, and as it was acknowledged.
//!
//! Read with plain SQLite beside the host, so that no code of ours can hide what is wrong.

use crate::clients::{slug, uuid};
use crate::ledger::{Book, Id};
use crate::random::Random;
use hostler_web::Client;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// Runs that are also asked for through the API.
const ASKED: usize = 300;

/// Answers how many runs the clients have made, those without an answer among them.
pub(crate) fn rows(data: &Path, books: &[Book]) -> u64 {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = Connection::open_with_flags(data.join("hostler.db"), flags).expect("the database opens");
    let sql = "SELECT summary, id, status FROM run WHERE summary IS NOT NULL";
    let mut statement = database.prepare(sql).expect("the query is good");
    let mut rows = statement.query([]).expect("it runs");
    let mut seen: Vec<Vec<bool>> = books.iter().map(|book| vec![false; book.starts.len()]).collect();
    let mut count = 0;
    while let Some(row) = rows.next().expect("a row") {
        let read = || Ok::<_, rusqlite::Error>((row.get::<_, String>(0)?, row.get(1)?, row.get::<_, String>(2)?));
        let (key, id, status): (String, Id, String) = read().expect("a key, an id and a status");
        let (client, index) = Book::parse(&key).unwrap_or_else(|| panic!("nobody asked for `{key}`"));
        let start = books[client].starts[index];
        assert!(!std::mem::replace(&mut seen[client][index], true), "key {key} has two runs");
        assert!(start.run.is_none_or(|run| run == id), "key {key} was acknowledged as another run");
        assert!(!start.is_cancelled || status == "cancelled", "the cancel of {key} was acknowledged: {status}");
        count += 1;
    }
    for (book, seen) in books.iter().zip(&seen) {
        for (index, (start, seen)) in book.starts.iter().zip(seen).enumerate() {
            assert!(*seen || start.run.is_none(), "key {} was acknowledged and has no run", book.key(index));
        }
    }
    count
}

/// Any of them, as a client sees them.
pub(crate) async fn answers(client: &Client, books: &[Book], random: &mut Random) {
    for _ in 0..ASKED {
        let book = random.pick(books).expect("there are clients");
        let Some(start) = random.pick(&book.starts) else { continue };
        let Some(run) = start.run else { continue };
        let found = client.run(&slug("default"), &uuid(run)).await;
        found.unwrap_or_else(|error| panic!("run {} was acknowledged and is lost: {error}", uuid(run)));
    }
}
