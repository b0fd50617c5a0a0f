//! Reads what a pipeline declares for its tasks' environment: params and `env`.

use super::fields::{Decoder, Keys};
use super::findings::{Path, shorten};
use super::text::{Node, Shape};
use crate::params::{check_kind, is_env_name};
use crate::spec::{EnvEntry, Param, ParamKind};

const PARAM: Keys = Keys {
    owner: "a param",
    known: &["type", "default", "description", "choices"],
    later: &[("secret", "secret params are")],
};

const KINDS: [(&str, ParamKind); 5] = [
    ("string", ParamKind::String),
    ("integer", ParamKind::Integer),
    ("number", ParamKind::Number),
    ("boolean", ParamKind::Boolean),
    ("json", ParamKind::Json),
];

impl<'a> Decoder<'a> {
    pub(super) fn declared_params(&mut self, node: &'a Node<'a>, path: &Path<'_>) -> Vec<Param> {
        let members = self.members(node, path);
        // By name, so that the same definition is the same value however it was written.
        let mut params: Vec<Param> = Vec::new();
        for member in members {
            let path = &Path::Key(path, &member.key);
            self.env_name(&member.key, member.at, path, "a param");
            self.params.insert(&member.key);
            params.push(self.declared_param(&member.key, &member.node, path));
        }
        params.sort_by(|a, b| a.name.cmp(&b.name));
        params
    }

    fn declared_param(&mut self, name: &str, node: &Node<'a>, path: &Path<'_>) -> Param {
        let mut param =
            Param { name: name.into(), kind: ParamKind::String, description: None, default: None, choices: Vec::new() };
        let members = self.members(node, path);
        if let Some(kind) = members.iter().find(|member| member.key == "type") {
            let path = &Path::Key(path, "type");
            let Some(kind) = self.choice(&kind.node, path, &KINDS) else { return param };
            param.kind = kind;
        }
        for member in &members {
            let here = &Path::Key(path, &member.key);
            match &*member.key {
                "type" => {}
                "description" => param.description = self.text(&member.node, here).map(Into::into),
                "default" => param.default = self.param_value(&member.node, here, param.kind),
                "choices" => param.choices = self.choices(&member.node, here, param.kind),
                _ => self.unknown(member, path, &PARAM),
            }
        }
        let default = members.iter().find(|member| member.key == "default");
        if let (Some(default), Some(value)) = (default, &param.default)
            && !param.choices.is_empty()
            && !param.choices.contains(value)
        {
            self.findings.add(default.node.at, &Path::Key(path, "default"), "the default is not one of the choices");
        }
        param
    }

    fn choices(&mut self, node: &Node<'a>, path: &Path<'_>, kind: ParamKind) -> Vec<serde_json::Value> {
        let items = self.items(node, path);
        if let (Shape::Array(_), []) = (&node.shape, items) {
            self.findings.add(node.at, path, "must hold at least one value");
        }
        let mut choices = Vec::new();
        for (index, item) in items.iter().enumerate() {
            choices.extend(self.param_value(item, &Path::Index(path, index), kind));
        }
        choices
    }

    fn param_value(&mut self, node: &Node<'a>, path: &Path<'_>, kind: ParamKind) -> Option<serde_json::Value> {
        let value = node.to_value();
        match check_kind(kind, &value) {
            Ok(()) => Some(value),
            Err(why) => {
                self.findings.add(node.at, path, why);
                None
            }
        }
    }

    /// The `env` of the pipeline or of a task.
    pub(super) fn env(&mut self, node: &Node<'a>, path: &Path<'_>) -> Vec<EnvEntry> {
        let members = self.members(node, path);
        let mut entries = Vec::new();
        for member in members {
            let path = &Path::Key(path, &member.key);
            self.env_name(&member.key, member.at, path, "an environment variable");
            if self.params.contains(&*member.key) {
                let message = format!("`{}` is a param too, whose value would hide this one", shorten(&member.key));
                self.findings.add(member.at, path, message);
            }
            if let Some(value) = self.pieces(&member.node, path) {
                entries.push(EnvEntry { name: member.key.to_string(), value });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }

    fn env_name(&mut self, name: &str, at: u32, path: &Path<'_>, what: &str) {
        if !is_env_name(name) {
            let shown = shorten(name);
            let message = format!(
                "`{shown}` cannot name {what}; it takes letters, digits and `_`, and does not begin with a digit"
            );
            self.findings.add(at, path, message);
        } else if name.starts_with(crate::params::RESERVED_PREFIX) {
            let message = format!("`{}` cannot be set: names that begin with `HOSTLER_` are the host's", shorten(name));
            self.findings.add(at, path, message);
        }
    }
}
