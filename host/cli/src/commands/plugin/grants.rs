//! What an operator agrees to: read from `--grant`, `--yes`, or asked on a terminal.
//!
//! Invariant: nothing is granted that was not typed or answered; where nobody can answer, nothing is.

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use hostler_model::Slug;
use hostler_plugin::{Capability, Grants, HttpGrant, SecretGrant, UrlPattern};
use hostler_web::types::Plugin;
use std::io::{BufRead, IsTerminal, Write};

/// One `--grant`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Grant {
    Kv,
    /// All addresses that it asks for.
    Http,
    HttpTo {
        url: UrlPattern,
        private: bool,
    },
    /// All uses that it asks for, of the stored secret of this name.
    Secret {
        name: Slug,
        stored: Slug,
    },
}

#[derive(clap::Args, Debug)]
pub(super) struct Approving {
    /// Grant this: `kv`, `http` (all it asks for), `http=URL`, `private=URL` (also where the name stands for an address
    /// of this machine or a private network), `secret:NAME`, `secret:NAME=STORED`
    #[arg(long = "grant", value_name = "GRANT", value_parser = parse)]
    pub(super) grants: Vec<Grant>,
    /// Grant all that it asks for, without a question
    #[arg(long, conflicts_with = "grants")]
    pub(super) yes: bool,
}

fn parse(text: &str) -> Result<Grant, String> {
    let slug = |name: &str| Slug::parse(name).map_err(|error| error.to_string());
    match text.split_once('=') {
        None if text == "kv" => Ok(Grant::Kv),
        None if text == "http" => Ok(Grant::Http),
        Some(("http", url)) => Ok(Grant::HttpTo { url: UrlPattern::parse(url)?, private: false }),
        Some(("private", url)) => Ok(Grant::HttpTo { url: UrlPattern::parse(url)?, private: true }),
        Some((name, stored)) if name.starts_with("secret:") => {
            Ok(Grant::Secret { name: slug(&name["secret:".len()..])?, stored: slug(stored)? })
        }
        None if text.starts_with("secret:") => {
            let name = slug(&text["secret:".len()..])?;
            Ok(Grant::Secret { stored: name.clone(), name })
        }
        _ => Err("is no grant; there are kv, http, http=URL, private=URL, secret:NAME and secret:NAME=STORED".into()),
    }
}

impl Approving {
    /// None: the person was asked and said no.
    pub(super) fn decide(&self, ctx: &Context, plugin: &Plugin) -> Result<Option<Grants>, Failure> {
        let wants = wants(plugin);
        if !self.grants.is_empty() {
            return self.chosen(&wants, plugin).map(Some);
        }
        let mut all = Grants::default();
        wants.iter().for_each(|want| all.add(want));
        if wants.is_empty() || self.yes {
            return Ok(Some(all));
        }
        if ctx.printer.json || !std::io::stdin().is_terminal() {
            let asked: Vec<String> = wants.iter().map(ToString::to_string).collect();
            return Err(Failure::new(
                ExitCode::Denied,
                format!("plugin `{}` asks for more than nothing: {}", plugin.name, asked.join("; ")),
            )
            .hint("grant all of it with --yes, or parts with --grant"));
        }
        ask(ctx, plugin).map(|agreed| agreed.then_some(all))
    }

    fn chosen(&self, wants: &[Capability], plugin: &Plugin) -> Result<Grants, Failure> {
        let mut grants = Grants::default();
        let unasked = |what: &str| {
            Failure::new(ExitCode::Invalid, format!("plugin `{}` does not ask for {what}", plugin.name))
                .hint("`hostler plugin inspect` shows what it asks for")
        };
        for grant in &self.grants {
            match grant {
                Grant::Kv => grants.kv = true,
                Grant::Http => {
                    let http: Vec<_> = wants.iter().filter(|want| matches!(want, Capability::Http { .. })).collect();
                    if http.is_empty() {
                        return Err(unasked("http"));
                    }
                    http.into_iter().for_each(|want| grants.add(want));
                }
                Grant::HttpTo { url, private } => {
                    grants.http.push(HttpGrant { url: url.clone(), methods: Vec::new(), private: *private });
                }
                Grant::Secret { name, stored } => {
                    let found = wants.iter().find_map(|want| match want {
                        Capability::Secret { secret, uses, urls, .. } if secret == name => Some((uses, urls)),
                        Capability::Secret { .. } | Capability::Http { .. } | Capability::Kv { .. } => None,
                    });
                    let (uses, urls) = found.ok_or_else(|| unasked(&format!("secret `{name}`")))?;
                    let grant = SecretGrant { secret: stored.clone(), uses: uses.clone(), urls: urls.clone() };
                    grants.secrets.insert(name.clone(), grant);
                }
            }
        }
        Ok(grants)
    }
}

pub(super) fn wants(plugin: &Plugin) -> Vec<Capability> {
    plugin.capabilities.iter().filter_map(|asked| serde_json::from_value(asked.asks.clone()).ok()).collect()
}

fn ask(ctx: &Context, plugin: &Plugin) -> Result<bool, Failure> {
    let paint = ctx.printer.err;
    ctx.printer.talk(&format!("{} asks for:", paint.strong(plugin.name.as_str())));
    for capability in &plugin.capabilities {
        ctx.printer.talk(&format!("  {}\n      {}", paint.strong(&capability.name), capability.reason));
    }
    let unreadable =
        |error: std::io::Error| Failure::new(ExitCode::Internal, format!("no answer can be read: {error}"));
    let mut err = std::io::stderr();
    write!(err, "Grant all of this? [y/N] ").and_then(|()| err.flush()).map_err(unreadable)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(unreadable)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read_as_they_are_typed() {
        assert_eq!(parse("kv"), Ok(Grant::Kv));
        assert_eq!(parse("http"), Ok(Grant::Http));
        let url = UrlPattern::parse("https://api.example.com/v1/").expect("a pattern");
        assert_eq!(parse("http=https://api.example.com/v1/"), Ok(Grant::HttpTo { url: url.clone(), private: false }));
        assert_eq!(parse("private=https://api.example.com/v1/"), Ok(Grant::HttpTo { url, private: true }));
        let slug = |text: &str| Slug::parse(text).expect("a slug");
        assert_eq!(parse("secret:token=deploy"), Ok(Grant::Secret { name: slug("token"), stored: slug("deploy") }));
        for wrong in ["", "all", "http=", "http=nowhere", "secret:", "secret:A B"] {
            parse(wrong).expect_err(wrong);
        }
    }
}
