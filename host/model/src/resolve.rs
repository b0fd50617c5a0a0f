//! Puts values in the place of references just before an attempt starts, and lays out its environment (decisions 2,
//! 11).
//!
//! Invariants: a value is put in once and never looked at again; a value from outside cannot become an option of a
//! command; what begins with `HOSTLER_` comes from the host alone. A reference without a value fails the task (6b).

use crate::params::RESERVED_PREFIX;
use crate::spec::{Argument, EnvEntry, Piece, Reference, Text};
use crate::{Bound, Pipeline, RunId, TaskIndex};
use std::collections::BTreeMap;

/// What the references of one attempt can name. `output` answers the text of an output of an upstream task.
pub struct Facts<'a> {
    pub pipeline: &'a Pipeline,
    pub run: RunId,
    pub number: u64,
    pub task: TaskIndex,
    pub attempt: u32,
    pub params: &'a Bound,
    pub output: &'a dyn Fn(TaskIndex, &str) -> Option<String>,
}

/// Why an attempt cannot start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    #[error("the run has no param `{name}`")]
    NoParam { name: String },
    #[error("task `{task}` has left no output `{key}`")]
    NoOutput { task: String, key: String },
    #[error("the value of argument {argument} begins with `-` and would be taken for an option; put `--` before it")]
    Dash { argument: usize },
    #[error("the value of `{reference}` contains a NUL character")]
    Nul { reference: String },
}

/// A text with values in the place of its references.
pub fn resolve(text: &Text, facts: &Facts<'_>) -> Result<String, Unresolved> {
    let mut resolved = String::new();
    for piece in &text.0 {
        match piece {
            Piece::Literal(literal) => resolved.push_str(literal),
            Piece::Reference(reference) => resolved.push_str(&facts.value(reference)?),
        }
    }
    Ok(resolved)
}

/// Arguments with values in the place of references. `Dash` counts arguments from 0, as the document does.
pub fn resolve_arguments(arguments: &[Argument], facts: &Facts<'_>) -> Result<Vec<String>, Unresolved> {
    let mut only_operands = false;
    let mut resolved = Vec::with_capacity(arguments.len());
    for (at, argument) in arguments.iter().enumerate() {
        match argument {
            Argument::Literal(literal) => {
                only_operands |= literal == "--";
                resolved.push(literal.clone());
            }
            Argument::Reference(reference) => {
                let value = facts.value(reference)?;
                if value.starts_with('-') && !only_operands {
                    return Err(Unresolved::Dash { argument: at });
                }
                resolved.push(value);
            }
        }
    }
    Ok(resolved)
}

impl Facts<'_> {
    fn value(&self, reference: &Reference) -> Result<String, Unresolved> {
        let value = match reference {
            Reference::Param(name) => {
                self.params.text(name).ok_or_else(|| Unresolved::NoParam { name: name.clone() })?
            }
            Reference::Output { task, key } => (self.output)(*task, key).ok_or_else(|| {
                let task = self.pipeline.task(*task).name.to_string();
                Unresolved::NoOutput { task, key: key.clone() }
            })?,
            Reference::RunId => self.run.to_string(),
            Reference::RunNumber => self.number.to_string(),
            Reference::PipelineId => self.pipeline.id.to_string(),
            Reference::TaskName => self.pipeline.task(self.task).name.to_string(),
            Reference::TaskAttempt => self.attempt.to_string(),
        };
        // A program would see the value end there, and an executor could not start it.
        if value.contains('\0') {
            return Err(Unresolved::Nul { reference: self.spell(reference) });
        }
        Ok(value)
    }

    /// A reference as the document writes it.
    fn spell(&self, reference: &Reference) -> String {
        match reference {
            Reference::Param(name) => format!("${{params.{name}}}"),
            Reference::Output { task, key } => {
                format!("${{tasks.{}.outputs.{key}}}", self.pipeline.task(*task).name)
            }
            Reference::RunId => "${run.id}".into(),
            Reference::RunNumber => "${run.number}".into(),
            Reference::PipelineId => "${pipeline.id}".into(),
            Reference::TaskName => "${task.name}".into(),
            Reference::TaskAttempt => "${task.attempt}".into(),
        }
    }

    /// The whole environment of the attempt: `host` is what of the host's own is allowed, `hostler` what the host says.
    pub fn environment(
        &self,
        host: &[(String, String)],
        hostler: &[(String, String)],
    ) -> Result<Vec<(String, String)>, Unresolved> {
        let resolved = |entries: &[EnvEntry]| -> Result<Vec<_>, Unresolved> {
            entries.iter().map(|entry| Ok((entry.name.clone(), resolve(&entry.value, self)?))).collect()
        };
        let pipeline = resolved(&self.pipeline.env)?;
        let task = resolved(&self.pipeline.task(self.task).env)?;
        let params = self.params.env();
        Ok(environment(&Layers { host, pipeline: &pipeline, task: &task, params: &params, hostler }))
    }
}

/// The sources of an environment, the weakest first.
#[derive(Clone, Copy)]
pub struct Layers<'a> {
    pub host: &'a [(String, String)],
    pub pipeline: &'a [(String, String)],
    pub task: &'a [(String, String)],
    pub params: &'a [(String, String)],
    pub hostler: &'a [(String, String)],
}

/// One environment of the layers, by name; a later layer hides an earlier one.
pub fn environment(layers: &Layers<'_>) -> Vec<(String, String)> {
    let mut environment = BTreeMap::new();
    for layer in [layers.host, layers.pipeline, layers.task] {
        // The host's own settings, its token file among them, must not reach tasks through an allow-list.
        let own = layer.iter().filter(|(name, _)| !name.starts_with(RESERVED_PREFIX));
        environment.extend(own.cloned());
    }
    environment.extend(layers.params.iter().chain(layers.hostler).cloned());
    environment.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use serde_json::{Value, json};

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())).collect()
    }

    /// Resolves environment and argv of the task `use` with an output of `make` and a param.
    fn start(env: &Value, argv: &Value, output: &str, param: &str) -> Result<(String, Vec<String>), Unresolved> {
        let document = json!({"id": "p", "params": {"who": {}}, "env": {"ID": "${pipeline.id}#${run.number}"}, "tasks": {
            "make": {"process": {"argv": ["true"]}},
            "use": {"process": {"argv": argv}, "env": env, "depends_on": ["make"]}
        }});
        let pipeline = Pipeline::from_value(&document).expect("the document is good");
        let given = json!({"who": param});
        let params = pipeline.bind(given.as_object().expect("an object").clone()).expect("a good param");
        let found = |task: TaskIndex, key: &str| (task == TaskIndex(0) && key == "rows").then(|| output.to_string());
        let run = RunId::new(Timestamp(0), [0; 10]);
        let facts = Facts {
            pipeline: &pipeline,
            run,
            number: 7,
            task: TaskIndex(1),
            attempt: 2,
            params: &params,
            output: &found,
        };
        let env = facts.environment(&pairs(&[("PATH", "/bin")]), &pairs(&[("HOSTLER_ATTEMPT", "2")]))?;
        let env: Vec<_> = env.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let crate::TaskKind::Process(crate::spec::Process::Argv(argv)) = &pipeline.task(TaskIndex(1)).kind else {
            panic!("`use` is a process")
        };
        Ok((env.join(" "), resolve_arguments(argv, &facts)?))
    }

    #[test]
    fn values_are_put_in_and_never_looked_at_again() {
        let env = json!({"ROWS": "n=${tasks.make.outputs.rows};$${x}", "T": "${task.name}/${task.attempt}"});
        let started = start(&env, &json!(["echo", "${params.who}"]), "${run.id}", "$(rm) ${params.who}");
        let (env, argv) = started.expect("all have values");
        assert_eq!(env, "HOSTLER_ATTEMPT=2 ID=p#7 PATH=/bin ROWS=n=${run.id};${x} T=use/2 who=$(rm) ${params.who}");
        assert_eq!(argv, ["echo", "$(rm) ${params.who}"]);
    }

    #[test]
    fn a_reference_to_an_output_that_is_not_there_names_it() {
        let missing = start(&json!({"X": "${tasks.make.outputs.lines}"}), &json!(["true"]), "", "");
        let said = missing.expect_err("there are rows only").to_string();
        assert_eq!(said, "task `make` has left no output `lines`");
        let nul = start(&json!({"X": "${tasks.make.outputs.rows}"}), &json!(["true"]), "a\0b", "");
        assert_eq!(nul, Err(Unresolved::Nul { reference: "${tasks.make.outputs.rows}".into() }));
    }

    #[test]
    fn a_value_that_looks_like_an_option_stands_only_after_two_dashes() {
        let argv = |list: Value| start(&json!({}), &list, "", "--output=/etc/passwd").map(|(_, argv)| argv);
        assert_eq!(argv(json!(["rm", "${params.who}"])), Err(Unresolved::Dash { argument: 1 }));
        assert!(argv(json!(["rm", "--", "${params.who}"])).is_ok());
        assert!(argv(json!(["rm", "-x", "${params.who}"])).is_err());
    }

    #[test]
    fn later_layers_hide_earlier_ones_and_the_hosts_names_are_its_own() {
        let layers = Layers {
            host: &pairs(&[("A", "host"), ("B", "host"), ("HOSTLER_TOKEN_FILE", "/secret")]),
            pipeline: &pairs(&[("B", "pipeline"), ("C", "pipeline")]),
            task: &pairs(&[("C", "task"), ("D", "task"), ("HOSTLER_RUN_ID", "forged")]),
            params: &pairs(&[("D", "param"), ("HOSTLER_PARAM_x", "open"), ("HOSTLER_TASK", "forged")]),
            hostler: &pairs(&[("HOSTLER_TASK", "t")]),
        };
        let expected = [
            ("A", "host"),
            ("B", "pipeline"),
            ("C", "task"),
            ("D", "param"),
            ("HOSTLER_PARAM_x", "open"),
            ("HOSTLER_TASK", "t"),
        ];
        assert_eq!(environment(&layers), pairs(&expected));
    }
}
