//! `hostler plugin test`: calls a component as its cases say, without a host, and shows what came of each.

use crate::app;
use crate::config::{self, Options, ServeOptions};
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, chain};
use crate::print::{Paint, source::Source, terminal};
use hostler_model::Slug;
use hostler_plugin::{CaseResult, CaseRunner, Cases, CasesError, Component};
use serde_json::json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Run a component against cases written in JSON, without a host
///
/// A case names a function, what it is asked, what the plugin finds around it (settings, secrets, memory, answers of
/// the network) and what must come of the call. Nothing leaves this machine. docs/guides/test-a-plugin.md says more.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  hostler plugin test nightly.wasm
  hostler plugin test nightly.wasm --cases more-cases.json --json
  hostler plugin test nightly.wasm --replay nightly
  hostler plugin test nightly.wasm --replay nightly/17")]
pub(crate) struct Arguments {
    /// The component
    file: PathBuf,
    /// The cases [default: `cases.json` beside the component]
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    /// Instead of cases: the recorded calls of a plugin of the host, or one of them
    #[arg(long, value_name = "PLUGIN[/RECORDING]", conflicts_with = "cases")]
    replay: Option<String>,
}

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        let cases = match &self.replay {
            Some(replay) => ctx.block_on(recorded(ctx, replay))?,
            None => read(&self.cases.unwrap_or_else(|| self.file.with_file_name("cases.json")))?,
        };
        let mut runner = runner(ctx, &self.file)?;
        let results = ctx.block_on(async {
            let mut results = Vec::new();
            for case in cases.list() {
                let result = runner.run(case).await.map_err(|error| broken(&self.file, &error))?;
                if !ctx.printer.json {
                    ctx.printer.result(&show(&result, ctx.printer.out))?;
                }
                results.push(result);
            }
            Ok(results)
        })?;
        let failed = results.iter().filter(|result| !result.passed).count();
        let passed = results.len() - failed;
        if ctx.printer.json {
            ctx.printer.json(&json!({"passed": passed, "failed": failed, "cases": results}))?;
        } else {
            ctx.printer.result(&format!("{passed} passed, {failed} failed\n"))?;
        }
        Ok(if failed == 0 { ExitCode::Success } else { ExitCode::Failed })
    }
}

fn read(path: &Path) -> Result<Cases, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::new(ExitCode::NotFound, format!("the cases `{}` cannot be read: {error}", path.display()))
            .hint("name a file of cases with --cases; docs/guides/test-a-plugin.md says how to write one")
    })?;
    Cases::parse(&text).map_err(|problems| {
        let name = path.display().to_string();
        Failure::invalid(format!("`{name}` holds no good cases")).problems_in(Source { name, text }, problems)
    })
}

/// The recorded calls that were named, oldest first.
async fn recorded(ctx: &Context, replay: &str) -> Result<Cases, Failure> {
    let (plugin, one) = replay.split_once('/').map_or((replay, None), |(plugin, one)| (plugin, Some(one)));
    let client = ctx.client()?;
    let ids = match one {
        Some(one) => vec![one.to_owned()],
        None => {
            let all = client.plugin_recordings(&ctx.namespace, plugin).await?;
            all.into_iter().rev().map(|recording| recording.id).collect()
        }
    };
    if ids.is_empty() {
        return Err(Failure::new(ExitCode::NotFound, format!("no call of plugin `{plugin}` is recorded"))
            .hint(format!("`hostler plugin set {plugin} --limit recorded_calls_max:=20` records the next ones")));
    }
    let mut cases = Vec::new();
    for id in ids {
        let mut file = client.plugin_recording(&ctx.namespace, plugin, &id).await?;
        let list = file["cases"].as_array_mut().map(std::mem::take).unwrap_or_default();
        cases.extend(list.into_iter().map(|mut case| {
            case["name"] = format!("{plugin}/{id}: {}", case["name"].as_str().unwrap_or_default()).into();
            case
        }));
    }
    let text = json!({ "cases": cases }).to_string();
    let name = format!("recordings of {plugin}");
    Cases::parse(&text).map_err(|problems| {
        Failure::invalid(format!("the recordings of `{plugin}` are of another version of hostler"))
            .problems_in(Source { name, text }, problems)
    })
}

fn runner(ctx: &Context, file: &Path) -> Result<CaseRunner, Failure> {
    let config = config::load(&Options::default(), &ServeOptions::default(), &ctx.environment)?.config;
    let config = app::runtime_config(&config, &ctx.environment.cache_folder())?;
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let name = Slug::derive(&stem).unwrap_or_else(|| Slug::parse("plugin").expect("a slug"));
    CaseRunner::new(config, name, Component::File(file.into())).map_err(|error| broken(file, &error))
}

/// The plugin cannot be tested at all.
fn broken(file: &Path, error: &CasesError) -> Failure {
    let code = match error {
        CasesError::Runtime(_) => ExitCode::Unavailable,
        CasesError::Load(_) | CasesError::Fickle => ExitCode::Invalid,
    };
    let mut text = format!("`{}` cannot be tested: {}", file.display(), chain(error));
    if let CasesError::Load(error) = error
        && !error.last_words().is_empty()
    {
        let _ = write!(text, "\n{}", error.last_words());
    }
    Failure::new(code, text)
}

fn show(result: &CaseResult, paint: Paint) -> String {
    let state = if result.passed { paint.good("ok    ") } else { paint.bad("FAILED") };
    let (millis, mib) = (result.duration_us as f64 / 1e3, result.memory_bytes_peak as f64 / f64::from(1 << 20));
    let name = terminal::one_line(&result.name);
    let about = paint.faint(&format!("{}, {millis:.1} ms, {mib:.1} MiB", result.function.as_str()));
    let mut text = format!("{state} {name} ({about})\n");
    if result.passed {
        return text;
    }
    for wrong in &result.mismatches {
        let _ = writeln!(text, "       {}", terminal::one_line(wrong));
    }
    if let Some(failure) = result.got.get("failure") {
        let _ = writeln!(text, "       failure: {}", terminal::one_line(&failure.to_string()));
    }
    for denial in &result.denials {
        let _ = writeln!(text, "       refused: {}", terminal::one_line(denial));
    }
    for line in &result.log {
        let _ = writeln!(text, "       log {}: {}", line.level, terminal::one_line(&line.message));
    }
    for line in terminal::harmless(result.stderr.as_bytes()).lines() {
        let _ = writeln!(text, "       | {line}");
    }
    text
}
