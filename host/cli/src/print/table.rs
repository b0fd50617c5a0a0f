//! Aligned columns for people. The last column takes what is left and is cut on a terminal, never in a pipe.

use super::Printer;
use super::terminal;

pub(crate) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    /// Cells may hold what a plugin or a person wrote: each stays one line and harmless.
    pub(crate) fn row(&mut self, cells: &[String]) {
        self.rows.push(cells.iter().map(|cell| terminal::one_line(cell)).collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn to_text(&self, printer: &Printer) -> String {
        let width = printer.out_is_terminal.then(|| terminal::size().0);
        let head: Vec<String> = self.head.iter().map(|name| printer.out.strong(name)).collect();
        let mut widths = vec![0; self.head.len()];
        for row in std::iter::once(&head).chain(&self.rows) {
            for (at, cell) in row.iter().enumerate() {
                widths[at] = widths[at].max(terminal::width(cell));
            }
        }
        std::iter::once(&head).chain(&self.rows).map(|row| line(row, &widths, width)).collect()
    }
}

fn line(row: &[String], widths: &[usize], limit: Option<usize>) -> String {
    let mut text = String::new();
    for (at, cell) in row.iter().enumerate() {
        text.push_str(cell);
        if at + 1 < row.len() {
            text.extend(std::iter::repeat_n(' ', widths[at] - terminal::width(cell) + 2));
        }
    }
    let text = text.trim_end();
    let text = limit.map_or_else(|| text.to_string(), |limit| terminal::cut(text, limit));
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::print::Paint;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["NAME", "STATE"]);
        table.row(&["a".into(), "success".into()]);
        table.row(&["long-name".into(), "failed".into()]);
        let (out, err) = (Paint::PLAIN, Paint::PLAIN);
        let printer = Printer { json: false, out, err, out_is_terminal: false, err_is_terminal: false };
        insta::assert_snapshot!(table.to_text(&printer), @r"
        NAME       STATE
        a          success
        long-name  failed
        ");
    }
}
