//! `hostler run logs`: what the tasks of a run wrote, as it was written or as lines with their task before them.
//!
//! Invariants: only bytes of tasks go to stdout; what the host has to say about a log goes to stderr; on a terminal
//! no control sequence but colours gets through.

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::log_lines::{LogLine, LogLines};
use crate::print::terminal;
use crate::run_name::RunName;
use hostler_model::Slug;
use hostler_web::Client;
use hostler_web::types::{LogQuery, LogRecord, LogStream};

/// Print what the tasks of a run wrote
///
/// On a terminal, and with --prefix, each line stands behind the name of its task; elsewhere the bytes are as the
/// tasks wrote them.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  hostler run logs hello -f                   follow the latest run of `hello` until it is over
  hostler run logs hello/3 --task build > build.log")]
pub(super) struct Arguments {
    run: RunName,
    /// Go on until the run is over
    #[arg(long, short)]
    follow: bool,
    /// Only this task
    #[arg(long, short)]
    task: Option<Slug>,
    /// Only this attempt, from 1
    #[arg(long, requires = "task", value_name = "NUMBER")]
    attempt: Option<u32>,
    /// Only this stream: stdout or stderr
    #[arg(long, value_parser = stream)]
    stream: Option<LogStream>,
    /// Put the task's name before each line also where this is no terminal
    #[arg(long)]
    prefix: bool,
}

fn stream(text: &str) -> Result<LogStream, String> {
    match text {
        "stdout" => Ok(LogStream::Stdout),
        "stderr" => Ok(LogStream::Stderr),
        _ => Err("write stdout or stderr".into()),
    }
}

impl Arguments {
    pub(super) async fn run(self, ctx: &Context, client: &Client) -> Result<ExitCode, Failure> {
        let detail = self.run.find(client, &ctx.namespace).await?;
        let (task, stream, attempt) = (self.task.clone(), self.stream, self.attempt);
        let mut query = LogQuery { task, stream, attempt, from: None };
        let is_whole = !self.prefix && (!ctx.printer.out_is_terminal);
        let names = self.task.is_none() || self.prefix;
        let mut shown = Shown { ctx, lines: LogLines::default(), is_whole, names };
        if self.follow {
            let mut records = client.follow_log(&ctx.namespace, &detail.run.id, &query);
            while let Some(record) = records.next().await {
                shown.take(&record?)?;
            }
        } else {
            loop {
                let batch = client.logs(&ctx.namespace, &detail.run.id, &query).await?;
                batch.records.iter().try_for_each(|record| shown.take(record))?;
                if batch.complete || query.from == Some(batch.next) || batch.records.is_empty() {
                    break;
                }
                query.from = Some(batch.next);
            }
        }
        shown.finish()?;
        Ok(ExitCode::Success)
    }
}

struct Shown<'a> {
    ctx: &'a Context,
    lines: LogLines,
    /// Bytes are passed on as they are.
    is_whole: bool,
    /// The task's name is put before each line.
    names: bool,
}

impl Shown<'_> {
    fn take(&mut self, record: &LogRecord) -> Result<(), Failure> {
        if self.ctx.printer.json {
            return self.ctx.printer.json_line(record);
        }
        let bytes = record.bytes();
        if self.is_whole && record.stream != LogStream::Host {
            return self.ctx.printer.bytes(&bytes);
        }
        for line in self.lines.push(record, &bytes) {
            self.line(&line)?;
        }
        Ok(())
    }

    fn line(&self, line: &LogLine) -> Result<(), Failure> {
        let printer = &self.ctx.printer;
        if line.stream == LogStream::Host {
            let text = terminal::harmless(&line.bytes);
            printer.talk(&printer.err.warning(&format!("{}: {text}", line.task)));
            return Ok(());
        }
        let mut bytes = Vec::new();
        if self.names {
            bytes.extend_from_slice(printer.out.active(&format!("{} │ ", line.task)).as_bytes());
        }
        if printer.out_is_terminal {
            bytes.extend_from_slice(terminal::harmless(&line.bytes).as_bytes());
        } else {
            bytes.extend_from_slice(&line.bytes);
        }
        bytes.push(b'\n');
        printer.bytes(&bytes)
    }

    fn finish(mut self) -> Result<(), Failure> {
        std::mem::take(&mut self.lines).finish().iter().try_for_each(|line| self.line(line))
    }
}
