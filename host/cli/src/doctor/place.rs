//! Where a host keeps things, and the host that keeps them there.

use super::{Finding, State};
use crate::context::{ADDRESS_FILE, Context, TOKEN_FILE};
use crate::failure::chain;
use hostler_plugin::inspect_cache;
use hostler_store::{Holder, inspect_database, inspect_folder, measure_commit};
use hostler_web::Client;
use std::path::Path;
use std::time::{Duration, Instant};

const FREE_LOW: u64 = 1 << 30;
const FREE_TOO_LOW: u64 = 64 << 20;

/// A chain of forty tasks takes forty of these.
const COMMIT_SLOW: Duration = Duration::from_millis(20);

/// A host that answers takes a few milliseconds.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Data folder, disk, database.
pub(super) fn folder(data: &Path) -> Vec<Finding> {
    const MATTER: &str = "data folder";
    let shown = data.display();
    match std::fs::metadata(data) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let found = format!("`{shown}` is not there yet; the first `hostler serve` makes it");
            return vec![Finding::new(MATTER, State::Note, found)];
        }
        Err(error) => return vec![Finding::new(MATTER, State::Bad, format!("`{shown}` cannot be looked at: {error}"))],
        Ok(found) if !found.is_dir() => {
            return vec![
                Finding::new(MATTER, State::Bad, format!("`{shown}` is no folder"))
                    .advise("name another with `--data` or `data.folder`"),
            ];
        }
        Ok(_) => {}
    }
    let facts = match inspect_folder(data) {
        Ok(facts) => facts,
        Err(error) => return vec![Finding::new(MATTER, State::Bad, chain(&error))],
    };
    let user = rustix::process::geteuid().as_raw();
    // To pass through is allowed: tasks that run as another user do.
    let own = if facts.owner != user {
        Finding::new(MATTER, State::Warning, format!("`{shown}` belongs to user {}, and you are {user}", facts.owner))
            .advise("run the host and this command as the same user")
    } else if facts.mode & 0o066 != 0 {
        Finding::new(MATTER, State::Warning, format!("`{shown}` is open to others (mode {:o})", facts.mode))
            .advise(format!("`chmod 700 {shown}`: token, key and logs are in it"))
    } else {
        Finding::good(MATTER, format!("`{shown}`, readable for its owner only"))
    };
    vec![own, space(facts.free_bytes), disk(data), database(data)]
}

fn space(free: u64) -> Finding {
    const MATTER: &str = "disk space";
    let found = format!("{} free", mebibytes(free));
    match free {
        _ if free < FREE_TOO_LOW => {
            Finding::new(MATTER, State::Bad, found).advise("free some: nothing can be accepted")
        }
        _ if free < FREE_LOW => Finding::new(MATTER, State::Warning, found).advise("free some before it is full"),
        _ => Finding::good(MATTER, found),
    }
}

fn disk(data: &Path) -> Finding {
    const MATTER: &str = "disk speed";
    match measure_commit(data) {
        Err(error) => Finding::new(MATTER, State::Bad, chain(&error)),
        Ok(time) => {
            let found = format!("a durable commit takes {:.1} ms", time.as_secs_f64() * 1_000.0);
            if time > COMMIT_SLOW {
                Finding::new(MATTER, State::Warning, found)
                    .advise("each step of a run waits for one; a disk with a faster `fsync` helps more than processors")
            } else {
                Finding::good(MATTER, found)
            }
        }
    }
}

fn database(data: &Path) -> Finding {
    const MATTER: &str = "database";
    match inspect_database(data) {
        Ok(None) => Finding::new(MATTER, State::Note, "not there yet"),
        Err(error) => Finding::new(MATTER, State::Bad, chain(&error)),
        Ok(Some(facts)) if !facts.damage.is_empty() => {
            Finding::new(MATTER, State::Bad, format!("it is damaged: {}", facts.damage.join("; ")))
                .advise("stop the host, keep a copy of the folder, and restore a backup")
        }
        Ok(Some(facts)) if facts.schema < facts.schema_known => {
            let found = format!("{}, schema {}, whole", mebibytes(facts.bytes), facts.schema);
            let known = facts.schema_known;
            Finding::new(MATTER, State::Note, found)
                .advise(format!("the next start backs it up and brings it to schema {known}"))
        }
        Ok(Some(facts)) => Finding::good(MATTER, format!("{}, schema {}, whole", mebibytes(facts.bytes), facts.schema)),
    }
}

/// The host that uses the data folder, if one does.
pub(super) async fn host(ctx: &Context, data: &Path) -> Finding {
    const MATTER: &str = "host";
    let address = std::fs::read_to_string(data.join(ADDRESS_FILE)).ok().map(|text| text.trim().to_owned());
    let holder = inspect_folder(data).map_or(Holder::Nobody, |facts| facts.holder);
    let pid = match (holder, &address) {
        (Holder::Nobody, None) => return Finding::new(MATTER, State::Note, "none runs on this data folder"),
        (Holder::Nobody, Some(_)) => {
            return Finding::new(MATTER, State::Note, "none runs on this data folder; the last one was killed")
                .advise("`hostler serve` takes up what it left");
        }
        (Holder::Host(pid), _) => pid.map_or("another process".to_owned(), |pid| format!("process {pid}")),
    };
    let Some(url) = address else {
        return Finding::new(MATTER, State::Warning, format!("{pid} holds the data folder and takes no requests"))
            .advise("it is starting or stopping; its log says which");
    };
    let token_file = ctx.reach.token_file.clone().unwrap_or_else(|| data.join(TOKEN_FILE));
    let token = std::fs::read_to_string(&token_file).unwrap_or_default();
    let begun = Instant::now();
    let asked = async { Client::new(&url, token.trim())?.health().await };
    let why = match tokio::time::timeout(ANSWER_MAX, asked).await {
        Ok(Ok(_)) => {
            let time = begun.elapsed().as_millis();
            return Finding::good(MATTER, format!("{pid} serves {url} and answers in {time} ms"));
        }
        Ok(Err(error)) => chain(&error),
        Err(_) => format!("no answer within {} s", ANSWER_MAX.as_secs()),
    };
    Finding::new(MATTER, State::Bad, format!("{pid} holds the data folder and does not answer at {url}: {why}"))
        .advise("look into its log; SIGTERM ends it, and the next one takes up what it left")
}

pub(super) fn cache(cache: &Path) -> Finding {
    const MATTER: &str = "wasm cache";
    let shown = cache.display();
    match inspect_cache(cache) {
        Ok(None) => Finding::new(MATTER, State::Note, "not there yet; components are compiled when first needed"),
        Err(error) => Finding::new(MATTER, State::Bad, format!("`{shown}` cannot be read: {error}"))
            .advise("remove it; it is made again"),
        Ok(Some(facts)) if facts.mode & 0o077 != 0 => {
            Finding::new(MATTER, State::Warning, format!("`{shown}` is open to others (mode {:o})", facts.mode))
                .advise("the next start closes it; what is in it runs in the host")
        }
        Ok(Some(facts)) => {
            Finding::good(MATTER, format!("{} compiled components, {}", facts.components, mebibytes(facts.bytes)))
        }
    }
}

fn mebibytes(bytes: u64) -> String {
    match bytes >> 20 {
        0 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        mebibytes if mebibytes >= 10 << 10 => format!("{} GiB", mebibytes >> 10),
        mebibytes => format!("{mebibytes} MiB"),
    }
}
