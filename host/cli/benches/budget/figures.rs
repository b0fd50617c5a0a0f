//! Repeats become a median with its range, rows become a table and JSON.
//!
//! Must not know what was measured.

use crate::machine::Machine;
use serde_json::{Value, json};
use std::time::Duration;

/// Repeats of one measurement, in one unit.
#[derive(Clone, Debug)]
pub(crate) struct Spread {
    sorted: Vec<f64>,
}

impl Spread {
    pub(crate) fn new(mut values: Vec<f64>) -> Self {
        assert!(!values.is_empty(), "a figure needs a measurement");
        values.sort_by(f64::total_cmp);
        Self { sorted: values }
    }

    pub(crate) fn millis(times: &[Duration]) -> Self {
        Self::new(times.iter().map(|time| time.as_secs_f64() * 1e3).collect())
    }

    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let last = self.sorted.len() - 1;
        self.sorted[((last as f64) * share).round() as usize]
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    fn shown(&self) -> String {
        match self.sorted.as_slice() {
            [only] => number(*only),
            values => format!("{} ({}–{})", number(self.median()), number(values[0]), number(values[values.len() - 1])),
        }
    }

    fn json(&self) -> Value {
        json!({"median": self.median(), "min": self.quantile(0.0), "max": self.quantile(1.0), "repeats": self.sorted.len()})
    }
}

/// One line of the table.
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: Spread,
    pub(crate) bare: Option<Spread>,
    pub(crate) budget: String,
    /// None where nothing is promised.
    pub(crate) holds: Option<bool>,
    pub(crate) note: String,
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        self.bare.as_ref().map(|bare| self.ours.median() / bare.median())
    }

    fn verdict(&self) -> &'static str {
        match self.holds {
            Some(true) => "ok",
            Some(false) => "OVER",
            None => "",
        }
    }
}

pub(crate) fn table(rows: &[Row]) -> String {
    let head = ["row", "unit", "ours", "bare", "ratio", "budget", "", "note"].map(str::to_owned);
    let lines = rows.iter().map(|row| {
        let bare = row.bare.as_ref().map(Spread::shown).unwrap_or_default();
        let ratio = row.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        let verdict = row.verdict().to_owned();
        [
            row.what.clone(),
            row.unit.into(),
            row.ours.shown(),
            bare,
            ratio,
            row.budget.clone(),
            verdict,
            row.note.clone(),
        ]
    });
    let lines: Vec<_> = std::iter::once(head).chain(lines).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..8).map(width).collect();
    let shown = lines.iter().map(|line| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    shown.collect::<Vec<_>>().join("\n")
}

pub(crate) fn json(machine: &Machine, rows: &[Row]) -> Value {
    let row = |row: &Row| {
        json!({
            "row": row.what, "unit": row.unit, "ours": row.ours.json(), "bare": row.bare.as_ref().map(Spread::json),
            "ratio": row.ratio(), "budget": row.budget, "holds": row.holds, "note": row.note,
        })
    };
    json!({"machine": machine.json(), "rows": rows.iter().map(row).collect::<Vec<_>>()})
}

fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
