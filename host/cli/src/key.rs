//! Where the key comes from that seals secrets: nothing of it is ever printed.

use crate::config::Key;
use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use hostler_store::{GivenKeys, KeySource};
use std::process::{Command, Stdio};
use zeroize::Zeroizing;

pub(crate) fn source(key: &Key, environment: &Environment) -> Result<KeySource, Failure> {
    let text = match key {
        Key::File => return Ok(KeySource::File),
        Key::Environment(name) => {
            let missing = || failure(&format!("the variable `{name}`, which `key.environment` names, is not set"));
            Zeroizing::new(environment.get(name).ok_or_else(missing)?.to_owned())
        }
        Key::Command(words) => command(words)?,
    };
    let keys =
        GivenKeys::parse(&text).map_err(|why| failure(&format!("the key from outside cannot be used: {why}")))?;
    Ok(KeySource::Given(keys))
}

fn command(words: &[String]) -> Result<Zeroizing<String>, Failure> {
    let [program, arguments @ ..] = words else { return Err(failure("`key.command` names no program")) };
    let run = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output =
        run.map_err(|error| failure(&format!("`{program}`, which `key.command` names, does not start: {error}")))?;
    if !output.status.success() {
        return Err(failure(&format!("`{program}`, which `key.command` names, ended with {}", output.status)));
    }
    let text = String::from_utf8(output.stdout).map_err(|_| failure(&format!("`{program}` wrote no text")))?;
    Ok(Zeroizing::new(text))
}

fn failure(text: &str) -> Failure {
    Failure::new(ExitCode::Invalid, text.to_owned())
}
