//! One line a step, with its duration: `[3/7] Building the browser part … 41 s`.
//!
//! Rule: everything goes to the error stream, so that standard output stays for results.

use anyhow::Result;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Counts the steps of one command.
pub struct Progress {
    done: usize,
    total: usize,
}

/// The line of the step that runs.
pub struct Line {
    head: String,
    live: bool,
    note: Option<String>,
    after: Vec<String>,
}

impl Progress {
    /// A command of `total` steps.
    pub fn new(total: usize) -> Self {
        Self { done: 0, total }
    }

    fn head(&mut self, title: &str) -> String {
        self.done += 1;
        format!("[{}/{}] {title}", self.done, self.total)
    }

    /// Runs one step whose programs are silent, and prints its line.
    pub fn step<T>(&mut self, title: &str, work: impl FnOnce(&mut Line) -> Result<T>) -> Result<T> {
        let mut line =
            Line { head: self.head(title), live: std::io::stderr().is_terminal(), note: None, after: Vec::new() };
        eprint!("{} …", line.head);
        let started = Instant::now();
        let outcome = work(&mut line);
        line.clear();
        let took = duration(started.elapsed());
        match (&outcome, &line.note) {
            (Err(_), _) => eprintln!(" failed after {took}"),
            (Ok(_), Some(note)) => eprintln!(" {took} ({note})"),
            (Ok(_), None) => eprintln!(" {took}"),
        }
        for text in &line.after {
            eprintln!("{text}");
        }
        outcome
    }

    /// Runs one step whose programs print for themselves; gives its duration too.
    pub fn loud<T>(&mut self, title: &str, work: impl FnOnce() -> T) -> (T, Duration) {
        let head = self.head(title);
        eprintln!("{head} …");
        let started = Instant::now();
        let outcome = work();
        let took = started.elapsed();
        eprintln!("{head} … {}", duration(took));
        (outcome, took)
    }
}

impl Line {
    /// What the step does just now; seen on a terminal only.
    pub fn status(&mut self, text: &str) {
        if self.live {
            let text: String = text.chars().take(60).collect();
            eprint!("\r\x1b[K{} … {text}", self.head);
            drop(std::io::stderr().flush());
        }
    }

    /// A word beside the duration.
    pub fn note(&mut self, text: impl Into<String>) {
        self.note = Some(text.into());
    }

    /// A line to print below the step's own, a compiler's warning for one.
    pub fn after(&mut self, text: impl Into<String>) {
        self.after.push(text.into());
    }

    fn clear(&self) {
        if self.live {
            eprint!("\r\x1b[K{} …", self.head);
        }
    }
}

/// A duration as people say it.
pub fn duration(took: Duration) -> String {
    let seconds = took.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", took.as_secs_f64()),
        10..120 => format!("{seconds} s"),
        _ => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(duration(Duration::from_millis(340)), "0.3 s");
        assert_eq!(duration(Duration::from_secs(41)), "41 s");
        assert_eq!(duration(Duration::from_secs(125)), "2 min 5 s");
    }
}
