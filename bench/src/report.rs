//! Plain tables on standard output. The rule: each figure that has a target stands beside it, and
//! the end says which are missed.

use std::io::Write as _;

/// What was found so far.
pub struct Report {
    met: usize,
    missed: Vec<String>,
    /// Resident memory of each server that was measured: which, kilobytes now, kilobytes at most.
    pub memory: Vec<(String, u64, u64)>,
}

/// A table.
pub struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

/// Writes a line to standard output. Whoever reads it may go away.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Says on the error stream what goes on.
pub fn progress(text: &str) {
    let _ = writeln!(std::io::stderr(), "… {text}");
}

impl Report {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { met: 0, missed: Vec::new(), memory: Vec::new() }
    }

    /// The cell of a figure's target, noted for the end. `what` names the figure there.
    pub fn target(&mut self, what: &str, target: &str, met: bool) -> String {
        if met {
            self.met += 1;
            format!("{target}: met")
        } else {
            self.missed.push(format!("{what} ({target})"));
            format!("{target}: MISSED")
        }
    }

    /// Says how many targets are met.
    pub fn end(&self) {
        let all = self.met + self.missed.len();
        say(&format!("\n{} of {all} targets are met.", self.met));
        for missed in &self.missed {
            say(&format!("  missed: {missed}"));
        }
    }
}

impl Table {
    /// A table with these columns; the first one stands to the left, the last one too.
    pub fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        Self { title: title.into(), rows: vec![columns.iter().map(|c| (*c).to_owned()).collect()] }
    }

    /// A row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// Prints it.
    pub fn print(&self) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        say(&format!("\n{}", self.title));
        for row in &self.rows {
            let mut line = String::from(" ");
            for (column, cell) in row.iter().enumerate() {
                let width = widths.get(column).copied().unwrap_or(0);
                if column == 0 || column + 1 == columns {
                    line.push_str(&format!(" {cell:<width$} "));
                } else {
                    line.push_str(&format!(" {cell:>width$} "));
                }
            }
            say(line.trim_end());
        }
    }
}

/// A whole number with its thousands apart.
pub fn whole(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Milliseconds.
pub fn millis(number: f64) -> String {
    format!("{number:.2} ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        let texts = [0.0, 12.4, 999.5, 1_000.0, 123_456.0, 1_234_567.0].map(whole);
        assert_eq!(texts, ["0", "12", "1,000", "1,000", "123,456", "1,234,567"]);
    }

    #[test]
    fn a_target_says_whether_it_is_met() {
        let mut report = Report::new();
        assert_eq!(report.target("a", "≤ 1", true), "≤ 1: met");
        assert_eq!(report.target("b", "≤ 2", false), "≤ 2: MISSED");
        assert_eq!((report.met, report.missed), (1, vec!["b (≤ 2)".to_owned()]));
    }
}
