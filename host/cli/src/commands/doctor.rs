//! `hostler doctor`: what this machine can and cannot do, and what to do about it. With and without a running host.

use crate::config::Options;
use crate::context::Context;
use crate::doctor::{Finding, State, examine};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print::{Paint, terminal};
use serde_json::json;

/// Say what this machine can and cannot do for a host, and what to do about it
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  hostler doctor                    look at this machine and the usual data folder
  hostler doctor --data ./data      look at another one; a host may be using it
  hostler doctor --json             the same for a program

Marks: ✓ good, · a remark, ! works but not as it should, ✗ does not work. Nothing is changed.
Exit codes: 0 nothing is broken, 1 something is.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: Options,
}

impl Arguments {
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, Failure> {
        let findings = examine(ctx, &self.options)?;
        let broken = findings.iter().filter(|finding| finding.state == State::Bad).count();
        if ctx.printer.json {
            ctx.printer.json(&json!({"well": broken == 0, "findings": findings}))?;
        } else {
            ctx.printer.result(&text(&findings, broken, ctx.printer.out))?;
        }
        Ok(if broken == 0 { ExitCode::Success } else { ExitCode::Failed })
    }
}

fn text(findings: &[Finding], broken: usize, paint: Paint) -> String {
    let width = findings.iter().map(|finding| finding.matter.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Finding { matter, state, found, advice } in findings {
        let mark = match state {
            State::Good => paint.good("✓"),
            State::Note => paint.faint("·"),
            State::Warning => paint.warning("!"),
            State::Bad => paint.bad("✗"),
        };
        // What others wrote (a daemon, a file) stays one harmless line.
        text.push_str(&format!("{mark} {matter:width$}  {}\n", terminal::one_line(found)));
        if let Some(advice) = advice {
            text.push_str(&format!("  {:width$}  → {}\n", "", terminal::one_line(advice)));
        }
    }
    text.push_str(&match broken {
        0 => "\nnothing is broken\n".to_owned(),
        1 => "\none thing does not work\n".to_owned(),
        more => format!("\n{more} things do not work\n"),
    });
    text
}
