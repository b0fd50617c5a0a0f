//! How results and talk reach a person or a program: results on stdout, talk on stderr, JSON when asked.
//!
//! Invariants: colours and glyphs only on a terminal; a closed pipe ends the program quietly; what a task wrote never
//! reaches a terminal with more than colours in it.

pub(crate) mod glyph;
pub(crate) mod source;
pub(crate) mod table;
pub(crate) mod terminal;
pub(crate) mod time;

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use anstyle::{AnsiColor, Style};
use serde::Serialize;
use std::io::{IsTerminal, Write};

/// Whether colours are wanted; `auto` looks at the terminal and at `NO_COLOR`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub(crate) enum ColorChoice {
    #[default]
    Auto,
    Always,
    Never,
}

/// Puts colours around text, or leaves it alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Paint {
    colours: bool,
}

impl Paint {
    pub(crate) const PLAIN: Self = Self { colours: false };

    pub(crate) const COLOURED: Self = Self { colours: true };

    pub(crate) fn is_coloured(self) -> bool {
        self.colours
    }

    fn style(self, style: Style, text: &str) -> String {
        if self.colours { format!("{style}{text}{style:#}") } else { text.to_string() }
    }

    fn colour(self, colour: AnsiColor, text: &str) -> String {
        self.style(colour.on_default(), text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.colour(AnsiColor::Green, text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.style(AnsiColor::Red.on_default().bold(), text)
    }

    pub(crate) fn active(self, text: &str) -> String {
        self.colour(AnsiColor::Cyan, text)
    }

    pub(crate) fn warning(self, text: &str) -> String {
        self.colour(AnsiColor::Yellow, text)
    }

    pub(crate) fn faint(self, text: &str) -> String {
        self.style(Style::new().dimmed(), text)
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.style(Style::new().bold(), text)
    }
}

/// Where this process prints, decided once from the arguments and the two streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    pub(crate) json: bool,
    pub(crate) out: Paint,
    pub(crate) err: Paint,
    pub(crate) out_is_terminal: bool,
    pub(crate) err_is_terminal: bool,
}

impl Printer {
    pub(crate) fn new(json: bool, color: ColorChoice) -> Self {
        let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
        let out = paint(color, anstream::AutoStream::choice(&stdout));
        let err = paint(color, anstream::AutoStream::choice(&stderr));
        Self { json, out, err, out_is_terminal: stdout.is_terminal(), err_is_terminal: stderr.is_terminal() }
    }

    /// A result for a person; the text brings its own line ends.
    pub(crate) fn result(&self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// A result for a program: one JSON document.
    pub(crate) fn json<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        let mut text =
            serde_json::to_vec_pretty(value).map_err(|error| Failure::new(ExitCode::Internal, error.to_string()))?;
        text.push(b'\n');
        self.bytes(&text)
    }

    /// One of many results for a program: one JSON document in one line.
    pub(crate) fn json_line<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        let mut text =
            serde_json::to_vec(value).map_err(|error| Failure::new(ExitCode::Internal, error.to_string()))?;
        text.push(b'\n');
        self.bytes(&text)
    }

    /// Bytes as they are. A reader that went away (`| head`) ends the program as it ends any other.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                std::process::exit(i32::from(ExitCode::Success.number()))
            }
            Err(error) => {
                Err(Failure::new(ExitCode::Unavailable, format!("standard output cannot be written: {error}")))
            }
            Ok(()) => Ok(()),
        }
    }

    /// One line of talk. Nobody is told when stderr is closed: there is nobody to tell.
    pub(crate) fn talk(&self, line: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }

    /// What is going on just now, in a line that the next one replaces; empty: there is nothing any more.
    pub(crate) fn status(&self, line: &str) {
        if self.err_is_terminal {
            let mut stderr = std::io::stderr().lock();
            let _ = write!(stderr, "\r\u{1b}[2K{line}").and_then(|()| stderr.flush());
        }
    }

    /// One line of talk that only a person wants: left out where stderr is not a terminal.
    pub(crate) fn advise(&self, line: &str) {
        if self.err_is_terminal && !self.json {
            self.talk(line);
        }
    }
}

fn paint(asked: ColorChoice, found: anstream::ColorChoice) -> Paint {
    match (asked, found) {
        (ColorChoice::Always, _) => Paint::COLOURED,
        (ColorChoice::Never, _) | (ColorChoice::Auto, anstream::ColorChoice::Never) => Paint::PLAIN,
        (ColorChoice::Auto, _) => Paint::COLOURED,
    }
}
