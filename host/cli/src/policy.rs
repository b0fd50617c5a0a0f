//! What is asked of components by the place they come from, read from the settings.

use crate::config::Registries;
use crate::failure::Failure;
use hostler_model::{Problem, Problems};
use hostler_plugin::oci::sign::{PublicKey, Rule};
use hostler_plugin::oci::{Policy, Trust};

/// All mistakes at once.
pub(crate) fn policy(registries: &Registries) -> Result<Policy, Failure> {
    let (mut rules, mut otherwise, mut problems) = (Vec::new(), Trust::Any, Vec::new());
    for (place, line) in registries.policy.iter().enumerate() {
        match rule(line) {
            Ok(Rule { prefix, trust }) if prefix == "*" => otherwise = trust,
            Ok(rule) => rules.push(rule),
            Err(why) => problems.push(Problem::new(format!("registries.policy[{place}]"), format!("`{line}`: {why}"))),
        }
    }
    let root = registries.trust_root.as_ref().map(std::fs::read_to_string).transpose();
    let root = root.unwrap_or_else(|error| {
        problems.push(Problem::new("registries.trust_root", format!("cannot be read: {error}")));
        None
    });
    if !problems.is_empty() {
        return Err(Failure::invalid("the settings are not valid").problems(Problems(problems)));
    }
    let policy = Policy::new(rules, otherwise, root.as_deref());
    policy.map_err(|error| {
        Failure::invalid("the settings are not valid")
            .problems(Problem::new("registries.trust_root", error.to_string()).into())
    })
}

fn rule(line: &str) -> Result<Rule, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (prefix, trust) = match words.as_slice() {
        [prefix, "any"] => (prefix, Trust::Any),
        [prefix, "digest"] => (prefix, Trust::Digest),
        [prefix, "signed-by", files @ ..] if !files.is_empty() => (prefix, Trust::SignedBy(keys(files)?)),
        [prefix, "identity", who, issuer] => {
            (prefix, Trust::Identity { identity: (*who).into(), issuer: (*issuer).into() })
        }
        _ => return Err("is no rule; write a place and one of any, digest, signed-by FILE, identity WHO ISSUER".into()),
    };
    Ok(Rule { prefix: (*prefix).into(), trust })
}

fn keys(files: &[&str]) -> Result<Vec<PublicKey>, String> {
    let mut keys = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).map_err(|error| format!("`{file}` cannot be read: {error}"))?;
        keys.extend(PublicKey::read_all(&text).map_err(|error| format!("`{file}`: {error}"))?);
    }
    Ok(keys)
}
