//! Params as people type them: `key=text`, `key:=JSON`, and files with a JSON object.

use crate::failure::Failure;
use serde_json::{Map, Value};
use std::path::Path;

/// One `-p`/`--param`.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Param {
    name: String,
    value: Value,
}

impl std::str::FromStr for Param {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((name, value)) = text.split_once('=') else {
            return Err("write NAME=TEXT, or NAME:=JSON for a number, a switch, a list or an object".into());
        };
        let (name, value) = match name.strip_suffix(':') {
            Some(name) => {
                (name, serde_json::from_str(value).map_err(|error| format!("`{value}` is not JSON: {error}"))?)
            }
            None => (name, Value::from(value)),
        };
        if name.is_empty() {
            return Err("there is no name before the `=`".into());
        }
        Ok(Self { name: name.into(), value })
    }
}

/// All of them; what was typed wins over the file, and a name typed twice is a mistake.
pub(crate) fn collect(file: Option<&Path>, typed: Vec<Param>) -> Result<Map<String, Value>, Failure> {
    let mut params = file.map_or_else(|| Ok(Map::new()), read)?;
    let mut seen = std::collections::BTreeSet::new();
    for Param { name, value } in typed {
        if !seen.insert(name.clone()) {
            return Err(Failure::invalid(format!("param `{name}` is given twice")));
        }
        params.insert(name, value);
    }
    Ok(params)
}

fn read(path: &Path) -> Result<Map<String, Value>, Failure> {
    let text = crate::document::read_text(path)?;
    match serde_json::from_str(&text) {
        Ok(Value::Object(params)) => Ok(params),
        Ok(_) => Err(Failure::invalid(format!("`{}` does not hold a JSON object", path.display()))
            .hint("write {\"name\": value, …}")),
        Err(error) => Err(Failure::invalid(format!("`{}` is not JSON: {error}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_param_is_text_unless_it_is_said_to_be_json() {
        let read = |text: &str| text.parse::<Param>().map(|param| (param.name, param.value));
        assert_eq!(read("who=world"), Ok(("who".into(), "world".into())));
        assert_eq!(read("sum=1+1=2"), Ok(("sum".into(), "1+1=2".into())));
        assert_eq!(read("count:=3"), Ok(("count".into(), 3.into())));
        assert_eq!(read("empty="), Ok(("empty".into(), "".into())));
        for bad in ["who", "=x", ":=1", "count:=three"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_param_given_twice_is_refused() {
        let typed = ["a=1", "a=2"].map(|text| text.parse().expect("a param")).into();
        assert!(collect(None, typed).is_err());
    }
}
