//! A few lines at the bottom of a terminal that are drawn over and over.
//!
//! Invariants: drawn on stderr, in one write a frame, at most ten frames a second; whoever draws says when it ends,
//! and the last frame stays. Must not know: what the lines mean.

use std::io::Write;
use std::time::{Duration, Instant};

/// The shortest time between two frames.
pub(crate) const FRAME: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(crate) struct Screen {
    /// Lines of the last frame, to go back over.
    lines: usize,
    drawn: Option<Instant>,
}

impl Screen {
    /// Draws unless the last frame is too young.
    pub(crate) fn draw(&mut self, lines: &[String]) {
        if self.drawn.is_none_or(|drawn| drawn.elapsed() >= FRAME) {
            self.draw_now(lines);
        }
    }

    /// Takes the frame away, so that something else can be printed where it stood.
    pub(crate) fn clear(&mut self) {
        if self.lines > 0 {
            self.draw_now(&[]);
            self.drawn = None;
        }
    }

    pub(crate) fn draw_now(&mut self, lines: &[String]) {
        let mut frame = String::new();
        if self.lines > 0 {
            frame.push_str(&format!("\u{1b}[{}A", self.lines));
        }
        frame.push_str("\r\u{1b}[J");
        for line in lines {
            frame.push_str(line);
            frame.push('\n');
        }
        // Where the terminal is gone there is nobody to tell.
        let _ = std::io::stderr().lock().write_all(frame.as_bytes());
        self.lines = lines.len();
        self.drawn = Some(Instant::now());
    }
}
