//! The outputs file of an attempt (`$HOSTLER_OUTPUT`): read when it ends, checked, and kept as one JSON object.
//!
//! Two forms: a JSON object, or lines of `key=value`. Keys are 1 to 64 of `A-Z a-z 0-9 _ - .`. Values of a JSON object
//! may be any JSON; those of lines are strings. Bytes that are not UTF-8 and anything over the limit are errors, not
//! cut.

use rustix::fs::{Mode, OFlags};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Bytes of an outputs file; bigger things belong into files that tasks share.
pub(crate) const BYTES_MAX: u64 = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the outputs file cannot be read: {0}")]
    Read(io::Error),
    #[error("the outputs file is larger than {BYTES_MAX} bytes")]
    TooLarge,
    #[error("the outputs file is not UTF-8")]
    NotText,
    #[error("the outputs file begins with `{{` but is not a JSON object: {0}")]
    Json(serde_json::Error),
    #[error("line {line} of the outputs file is not `key=value`")]
    Line { line: usize },
    #[error("`{0}` is not a name for an output; use 1 to 64 of A-Z a-z 0-9 _ - .")]
    Key(String),
}

/// None when the task wrote none.
pub(crate) fn read(path: &Path) -> Result<Option<Box<str>>, Error> {
    // The task may have put anything in its place: a link to a file that only the host may read, or a pipe that would
    // never open.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty()).map(File::from).map_err(io::Error::from);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(Error::Read)?,
    };
    // A pipe or a device in its place would never end.
    if !file.metadata().map_err(Error::Read)?.is_file() {
        return Err(Error::Read(io::Error::other("it is not a plain file")));
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(Error::Read)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(Error::TooLarge);
    }
    let text = String::from_utf8(bytes).map_err(|_| Error::NotText)?;
    let outputs = parse(&text)?;
    Ok((!outputs.is_empty()).then(|| Value::Object(outputs).to_string().into()))
}

fn parse(text: &str) -> Result<Map<String, Value>, Error> {
    let outputs: Map<String, Value> = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(Error::Json)?
    } else {
        lines(text)?
    };
    match outputs.keys().find(|key| !is_key(key)) {
        Some(bad) => Err(Error::Key(bad.chars().take(80).collect())),
        None => Ok(outputs),
    }
}

fn lines(text: &str) -> Result<Map<String, Value>, Error> {
    let mut outputs = Map::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let (key, value) = line.split_once('=').ok_or(Error::Line { line: at + 1 })?;
        outputs.insert(key.to_owned(), Value::String(value.to_owned()));
    }
    Ok(outputs)
}

fn is_key(key: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !key.is_empty() && key.len() <= 64 && key.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content: &[u8]) -> Result<Option<String>, String> {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join("outputs");
        std::fs::write(&path, content).expect("written");
        read(&path).map(|outputs| outputs.map(Into::into)).map_err(|error| error.to_string())
    }

    #[test]
    fn outputs_are_a_json_object_or_lines() {
        assert_eq!(check(b""), Ok(None));
        assert_eq!(check(b"rows=12\n\nname=a=b\n"), Ok(Some(r#"{"rows":"12","name":"a=b"}"#.into())));
        assert_eq!(check(br#" {"rows": 12, "list": [1]}"#), Ok(Some(r#"{"rows":12,"list":[1]}"#.into())));
    }

    #[test]
    fn what_is_not_outputs_is_refused_with_the_reason() {
        for (content, reason) in [
            (b"no equals sign".as_slice(), "line 1"),
            (b"{\"a\": ", "not a JSON object"),
            (b"a b=c", "`a b` is not a name"),
            (b"\xff=1", "not UTF-8"),
            (&[b'a'; 70_000], "larger than 65536"),
        ] {
            let error = check(content).expect_err("refused");
            assert!(error.contains(reason), "{error}");
        }
    }
}
