//! How people name a run: by its UUID, as `PIPELINE/NUMBER`, or by the pipeline alone for its latest run.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use hostler_model::{RunId, Slug};
use hostler_web::Client;
use hostler_web::types::{Run, RunDetail, RunQuery};

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RunName {
    Id(RunId),
    Number { pipeline: Slug, number: u64 },
    Latest { pipeline: Slug },
}

impl std::str::FromStr for RunName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        let (pipeline, number) = text.split_once('/').map_or((text, None), |(name, number)| (name, Some(number)));
        let pipeline = Slug::parse(pipeline).map_err(|error| format!("{error}; write {FORMS}"))?;
        match number.map(str::parse) {
            None | Some(Err(_)) if number == Some("latest") || number.is_none() => Ok(Self::Latest { pipeline }),
            Some(Ok(number)) => Ok(Self::Number { pipeline, number }),
            None | Some(Err(_)) => Err(format!("`{text}` does not end in a number; write {FORMS}")),
        }
    }
}

const FORMS: &str = "a UUID, PIPELINE/NUMBER such as `hello/3`, or PIPELINE for its latest run";

impl RunName {
    pub(crate) async fn find(&self, client: &Client, namespace: &Slug) -> Result<RunDetail, Failure> {
        match self {
            Self::Id(id) => Ok(client.run(namespace, &id.to_string()).await?),
            Self::Number { pipeline, number } => Ok(client.run_by_number(namespace, pipeline, *number).await?),
            Self::Latest { pipeline } => {
                let query = RunQuery { pipeline: Some(pipeline.clone()), limit: Some(1), ..RunQuery::default() };
                match client.runs(namespace, &query).await?.items.first() {
                    Some(run) => Ok(client.run(namespace, &run.id).await?),
                    None => Err(Failure::new(ExitCode::NotFound, format!("pipeline `{pipeline}` has no runs"))
                        .hint(format!("start one with `hostler run start {pipeline}`"))),
                }
            }
        }
    }
}

/// The short name of a run, as people type it.
pub(crate) fn short(run: &Run) -> String {
    format!("{}/{}", run.pipeline, run.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_by_uuid_by_number_or_by_its_pipeline() {
        let pipeline = Slug::parse("hello").expect("a slug");
        assert_eq!("hello".parse(), Ok(RunName::Latest { pipeline: pipeline.clone() }));
        assert_eq!("hello/latest".parse(), Ok(RunName::Latest { pipeline: pipeline.clone() }));
        assert_eq!("hello/3".parse(), Ok(RunName::Number { pipeline, number: 3 }));
        assert!(matches!("0198c1a0-0000-7000-8000-000000000000".parse(), Ok(RunName::Id(_))));
        for bad in ["", "Hello", "hello/x", "hello/-1", "hello/3/4"] {
            assert!(bad.parse::<RunName>().is_err(), "{bad:?}");
        }
    }
}
