//! Measures the real binary against the performance budget, each figure beside the bare mechanism in the same run.
//!
//! Started by `cargo xtask bench`, with the names of rows to measure (all unless told) and `--json FILE`. Invariants:
//! the host is reached as any client reaches it; a figure is the median of its repeats, shown with its range; what is
//! measured and what it is held against alternate, so that a machine that slows down slows both. Must not know how to
//! build.

mod bare;
mod bare_plugin;
#[path = "../../../engine/tests/support/containers.rs"]
mod container_engine;
mod figures;
#[path = "../../tests/overload/history.rs"]
mod history;
#[path = "../../tests/crash/host.rs"]
mod host;
mod machine;
mod processes;
mod rows;

use figures::Row;
use std::process::ExitCode;

/// What can be asked for by name, in the order of the table.
const ROWS: &[&str] = &[
    "chain",
    "parallel",
    "processes",
    "components",
    "fan-out",
    "light",
    "output",
    "plugin",
    "languages",
    "idle",
    "start",
    "history",
    "instant",
    "spread",
    "cancel",
    "container",
];

struct Arguments {
    json: Option<String>,
    rows: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("error: {message}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let machine = machine::describe();
    println!("{}\n", machine.text());
    let mut measured = Vec::new();
    for name in ROWS.iter().filter(|name| arguments.rows.iter().any(|wanted| wanted == *name)) {
        eprintln!("measuring {name}");
        measured.extend(runtime.block_on(measure(name)));
    }
    println!("{}", figures::table(&measured));
    if let Some(path) = arguments.json {
        let text = figures::json(&machine, &measured).to_string();
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("`{path}` cannot be written: {error}"));
    }
    ExitCode::SUCCESS
}

async fn measure(name: &str) -> Vec<Row> {
    match name {
        "chain" => rows::processes::chain().await,
        "parallel" => rows::processes::parallel().await,
        "processes" => rows::spawns::processes().await,
        "components" => rows::spawns::components().await,
        "light" => rows::light::measure().await,
        "output" => rows::output::measure().await,
        "history" => rows::history::measure().await,
        "fan-out" => rows::fan_out::measure().await,
        "plugin" => rows::plugin::measure().await,
        "languages" => rows::languages::measure().await,
        "idle" => rows::idle::measure().await,
        "start" => rows::subscriptions::start().await,
        "instant" => rows::subscriptions::one_instant().await,
        "spread" => rows::subscriptions::spread().await,
        "container" => rows::containers::measure().await,
        "cancel" => rows::processes::cancel().await,
        unknown => unreachable!("`{unknown}` is checked before"),
    }
}

fn arguments() -> Result<Arguments, String> {
    let (mut json, mut rows) = (None, Vec::new());
    // Cargo adds `--bench`.
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => json = Some(words.next().ok_or("--json needs the name of a file")?),
            name if ROWS.contains(&name) => rows.push(word),
            _ => return Err(format!("there is no row `{word}`; there are {}", ROWS.join(", "))),
        }
    }
    if rows.is_empty() {
        rows = ROWS.iter().map(|name| (*name).to_owned()).collect();
    }
    Ok(Arguments { json, rows })
}
