//! Cases: calls of one plugin written down as JSON with what must come of each, and run without a host.
//!
//! What a case does not give, the plugin does not have: its memory, its secrets and the answers of the network are
//! those of the case. Invariants: nothing leaves this machine; rights are checked as in a host; no case sees what
//! another has left. Must not know: where a file of cases lies, how its results are shown.

mod ask;
pub(crate) mod asked;
mod expect;
mod stage;
mod told;
mod values;

pub(crate) use stage::{memory, request, response};
pub(crate) use told::{Told, failure as told_failure};
pub(crate) use values::{bytes, shown, time};

use crate::log::LogLine;
use crate::runtime::RuntimeConfig;
use crate::schema::Schema;
use crate::{CallError, Component, Failure, Grants, LoadError, Plugin, PluginSource, Role, Runtime};
use hostler_model::{Problem, Problems, Slug};
use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stage::{Given, Stage};
use std::time::Instant;
use thiserror::Error;

/// The published schema of a file of cases.
pub const CASES_SCHEMA: &str = include_str!("../../../docs/reference/plugin-cases.schema.json");

/// A file of cases.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cases {
    #[serde(rename = "$schema", default)]
    _schema: Option<String>,
    cases: Vec<Case>,
}

/// One call and what must come of it.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    pub function: Function,
    /// What the function is asked; its form depends on the function.
    #[serde(default)]
    input: Value,
    #[serde(default)]
    given: Given,
    expect: Expected,
}

/// What must come of a call; what is not named here is not looked at.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// A part of the answer.
    answer: Option<Value>,
    /// A part of the failure.
    failure: Option<Value>,
    /// What the call leaves in its memory.
    kv: Option<Value>,
    /// The requests that it sends, all of them, in order.
    http: Option<Value>,
    /// Words that stand in a line of its log, one entry each.
    #[serde(default)]
    log: Vec<String>,
    /// Answer, failure and memory are as they stand here and not only in part.
    #[serde(default)]
    exact: bool,
}

/// A function of the contract that can be called. Each belongs to one role, so that a case need not name it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    Describe,
    Upcoming,
    Wake,
    Topic,
    Receive,
    Select,
    Handle,
    Build,
    Render,
    Relay,
}

impl Function {
    /// None: a function of every plugin.
    pub const fn role(self) -> Option<Role> {
        match self {
            Self::Describe => None,
            Self::Upcoming | Self::Wake => Some(Role::Trigger),
            Self::Topic | Self::Receive | Self::Select => Some(Role::Inbound),
            Self::Handle => Some(Role::Outbound),
            Self::Build => Some(Role::Builder),
            Self::Render => Some(Role::Renderer),
            Self::Relay => Some(Role::Relay),
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        let name: StrDeserializer<'_, serde::de::value::Error> = name.into_deserializer();
        Self::deserialize(name).ok()
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Describe => "describe",
            Self::Upcoming => "upcoming",
            Self::Wake => "wake",
            Self::Topic => "topic",
            Self::Receive => "receive",
            Self::Select => "select",
            Self::Handle => "handle",
            Self::Build => "build",
            Self::Render => "render",
            Self::Relay => "relay",
        }
    }
}

impl Cases {
    /// Reads a file of cases. Problems have JSON pointers into it.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| Problem::new("", format!("is not JSON: {error}")))?;
        let schema: Value = serde_json::from_str(CASES_SCHEMA).map_err(|error| Problem::new("", error.to_string()))?;
        Schema::new(&schema).map_err(|error| Problem::new("", error))?.check(&value)?;
        let cases: Self = serde_json::from_value(value).map_err(|error| Problem::new("", error.to_string()))?;
        let wrong = |(place, case): (usize, &Case)| {
            let problem = |message| Problem::new(format!("/cases/{place}/input"), message);
            ask::Question::read(case.function, &case.input).err().map(problem)
        };
        let problems: Vec<_> = cases.cases.iter().enumerate().filter_map(wrong).collect();
        if problems.is_empty() { Ok(cases) } else { Err(Problems(problems)) }
    }

    pub fn list(&self) -> &[Case] {
        &self.cases
    }
}

/// How one case went.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct CaseResult {
    pub name: String,
    pub function: Function,
    pub passed: bool,
    /// What is not as the case says, one sentence each.
    pub mismatches: Vec<String>,
    /// All that came of it: `answer` or `failure`, with `kv` and `http` where there is something.
    pub got: Value,
    pub duration_us: u64,
    pub memory_bytes_peak: u64,
    pub log: Vec<LogLine>,
    /// What the host refused to it.
    pub denials: Vec<String>,
    /// The end of what the guest wrote to stdout and stderr, where the call broke.
    pub stderr: String,
}

#[derive(Debug, Error)]
pub enum CasesError {
    #[error(transparent)]
    Runtime(#[from] crate::RuntimeError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("the plugin describes itself in another way each time; `describe` must answer the same")]
    Fickle,
}

/// One plugin on a stage of its own.
pub struct CaseRunner {
    runtime: Runtime,
    stage: Stage,
    name: Slug,
    component: Component,
    /// What the plugin says about itself, once it is known.
    manifest: Option<(String, Grants)>,
}

impl CaseRunner {
    /// The config's services are not used.
    pub fn new(config: RuntimeConfig, name: Slug, component: Component) -> Result<Self, CasesError> {
        let stage = Stage::default();
        let runtime = Runtime::new(RuntimeConfig { services: stage.services(), ..config })?;
        Ok(Self { runtime, stage, name, component, manifest: None })
    }

    /// An error is one of the plugin as a whole: no case of it can be run.
    pub async fn run(&mut self, case: &Case) -> Result<CaseResult, CasesError> {
        self.stage.set(&case.given);
        let begun = Instant::now();
        let loaded = self.load(&case.given).await?;
        if let Ok(plugin) = &loaded {
            for (key, value) in self.stage.cache() {
                plugin.fill_cache(&ask::namespace_of(&case.input), key, value);
            }
        }
        let told = match (&loaded, ask::Question::read(case.function, &case.input)) {
            (Ok(plugin), Ok(question)) => question.ask(plugin, &self.stage).await.map_err(Unanswered::from),
            (Err(problems), _) => Err(Unanswered::invalid(problems.clone())),
            (_, Err(message)) => Err(Unanswered::invalid(Problem::new("", message).into())),
        };
        let plugin = loaded.ok();
        // The newest; before it comes `describe`, and nothing comes after that where the input was refused.
        let record = plugin.as_ref().and_then(|plugin| plugin.calls().into_iter().next());
        let record = record.filter(|record| record.function == case.function.as_str());
        let log = plugin.map(|plugin| plugin.logs()).unwrap_or_default();
        let (got, stderr) = self.got(told);
        let mismatches = expect::compare(&case.expect, &got, &log);
        Ok(CaseResult {
            name: case.name.clone(),
            function: case.function,
            passed: mismatches.is_empty(),
            mismatches,
            got,
            duration_us: record.as_ref().map_or_else(|| micros(begun), |record| record.duration_us),
            memory_bytes_peak: record.as_ref().map_or(0, |record| record.memory_bytes_peak),
            log,
            denials: record.map(|record| record.denials).unwrap_or_default(),
            stderr,
        })
    }

    /// A new one for each case, so that nothing is left of the case before. Inside: the case's own settings or grants
    /// are wrong.
    async fn load(&mut self, given: &Given) -> Result<Result<Plugin, Problems>, CasesError> {
        if self.manifest.is_none() {
            let bare = match self.load_with(given, Grants::default()).await? {
                Ok(bare) => bare,
                Err(problems) => return Ok(Err(problems)),
            };
            self.manifest = Some((bare.manifest_text().to_owned(), Grants::all(bare.manifest())));
        }
        let all = self.manifest.as_ref().map(|(_, all)| all.clone()).unwrap_or_default();
        let mut grants = given.grants.clone().unwrap_or(all);
        if given.is_recorded()
            && let Some(manifest) = self.manifest.as_ref().and_then(|(text, _)| crate::Manifest::parse(text).ok())
        {
            // Another version of the plugin may ask for less than the one that was recorded.
            grants.narrow(&manifest);
        }
        let loaded = self.load_with(given, grants).await?;
        if let (Ok(plugin), Some((known, _))) = (&loaded, &self.manifest)
            && plugin.manifest_text() != known
        {
            return Err(CasesError::Fickle);
        }
        Ok(loaded)
    }

    async fn load_with(&self, given: &Given, grants: Grants) -> Result<Result<Plugin, Problems>, CasesError> {
        let bare = PluginSource::new(self.name.clone(), self.component.clone());
        let source = PluginSource { settings: given.settings.clone(), grants, limits: given.limits, ..bare };
        match Plugin::alone(&self.runtime, source).await {
            Ok(plugin) => Ok(Ok(plugin)),
            Err(LoadError::Settings { problems, .. } | LoadError::Grants { problems, .. }) => Ok(Err(problems)),
            Err(error) => Err(error.into()),
        }
    }

    fn got(&self, told: Result<ask::Answer, Unanswered>) -> (Value, String) {
        let mut got = json!({});
        let stderr = match told {
            Ok(answer) => {
                got["answer"] = answer.value;
                if !answer.memory.is_empty() {
                    got["kv"] = stage::memory(&answer.memory);
                }
                String::new()
            }
            Err(told) => {
                got["failure"] = told_failure(&told.failure);
                told.stderr
            }
        };
        let sent = self.stage.sent();
        if !sent.is_empty() {
            got["http"] = Value::Array(sent);
        }
        (got, stderr)
    }
}

/// A call that failed, or was not made.
struct Unanswered {
    failure: Failure,
    stderr: String,
}

impl Unanswered {
    fn invalid(problems: Problems) -> Self {
        Self { failure: Failure::Invalid(problems), stderr: String::new() }
    }
}

impl From<CallError> for Unanswered {
    fn from(error: CallError) -> Self {
        Self { failure: error.failure, stderr: error.stderr }
    }
}

fn micros(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX)
}
