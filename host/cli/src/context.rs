//! What every command is given: how to print, the environment, and the way to the host.

use crate::config::{self, Options, ServeOptions};
use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, chain};
use crate::print::Printer;
use hostler_model::{Problems, Slug};
use hostler_web::{Client, ClientError};
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) printer: Printer,
    pub(crate) environment: Environment,
    pub(crate) namespace: Slug,
    pub(crate) reach: Reach,
}

/// Which host to talk to, as far as the command line and the environment say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach {
    pub(crate) url: Option<String>,
    pub(crate) token_file: Option<PathBuf>,
}

/// In the data folder: where the host that uses it can be reached; there while it serves.
pub(crate) const ADDRESS_FILE: &str = "address";
/// In the data folder: the first token.
pub(crate) const TOKEN_FILE: &str = "token";

impl Context {
    /// A client for the host: the one that was named, else the one that serves the data folder of the settings.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let Reach { url, token_file } = self.reach.clone();
        let data = || {
            config::load(&Options::default(), &ServeOptions::default(), &self.environment)
                .map(|loaded| loaded.config.data)
        };
        let url = match url {
            Some(url) => url,
            None => served_at(&data()?)?,
        };
        let token_file = token_file.map_or_else(|| data().map(|data| data.join(TOKEN_FILE)), Ok)?;
        let token = std::fs::read_to_string(&token_file).map_err(|error| {
            Failure::new(ExitCode::Denied, format!("token file `{}` cannot be read: {error}", token_file.display()))
                .hint("a host makes it at its first start; name another with --token-file or HOSTLER_TOKEN_FILE")
        })?;
        Ok(Client::new(&url, token.trim())?)
    }

    /// Runs what only asks and waits on this thread.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime
            .map_err(|error| Failure::new(ExitCode::Unavailable, format!("no event loop can be made: {error}")))?
            .block_on(work)
    }
}

fn served_at(data: &Path) -> Result<String, Failure> {
    let path = data.join(ADDRESS_FILE);
    std::fs::read_to_string(&path).map(|text| text.trim().to_string()).map_err(|_| {
        Failure::new(ExitCode::Unreachable, format!("no host serves the data folder `{}`", data.display()))
            .hint("start one with `hostler serve`, or name one with --url or HOSTLER_URL")
    })
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let code = if error.is_unreachable() { ExitCode::Unreachable } else { ExitCode::from(error.kind()) };
        let failure = Self {
            // What lies beneath a host that does not answer is a word of the system that says no more than that.
            message: if error.is_unreachable() { error.to_string() } else { chain(&error) },
            hint: error.hint().map(String::from),
            request: error.request_id().map(String::from),
            ..Self::new(code, "")
        };
        match error.problems() {
            [] => failure,
            problems => failure.problems(Problems(problems.to_vec())),
        }
    }
}
