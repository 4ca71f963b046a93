//! Counting results: what `cargo test` prints, and what Playwright and pytest report.
//!
//! Rule: a runner that failed without naming a failed test counts as one failure, so that the
//! closing line never says less than the exit code.

use anyhow::{Context, Result};
use std::ops::AddAssign;

use crate::process::plain;

/// How many tests passed, failed and were left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Passed.
    pub passed: u64,
    /// Failed.
    pub failed: u64,
    /// Ignored or skipped.
    pub ignored: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

impl Tally {
    /// One failure that no runner counted.
    pub fn broken() -> Self {
        Self { failed: 1, ..Self::default() }
    }

    /// The counts of one `test result:` line; nothing for any other line.
    pub fn from_cargo_line(line: &str) -> Option<Self> {
        let line = plain(line);
        let counts = line.trim_start().strip_prefix("test result: ")?;
        let (_, counts) = counts.split_once(". ")?;
        let mut tally = Self::default();
        for count in counts.split(';') {
            let mut words = count.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else {
                continue;
            };
            let Ok(number) = number.parse() else { continue };
            match what {
                "passed" => tally.passed = number,
                "failed" => tally.failed = number,
                "ignored" => tally.ignored = number,
                _ => {}
            }
        }
        Some(tally)
    }

    /// The counts of Playwright's JSON report. A flaky test is a failed one.
    pub fn from_playwright_report(report: &str) -> Result<Self> {
        let report: serde_json::Value = serde_json::from_str(report)?;
        let stats = report["stats"].as_object().context("no stats")?;
        let count = |name: &str| stats.get(name).and_then(serde_json::Value::as_u64);
        Ok(Self {
            passed: count("expected").context("no stats.expected")?,
            failed: count("unexpected").context("no stats.unexpected")? + count("flaky").unwrap_or(0),
            ignored: count("skipped").unwrap_or(0),
        })
    }

    /// The counts of a JUnit report of one suite, as pytest writes it.
    pub fn from_junit_report(report: &str) -> Result<Self> {
        let start = report.find("<testsuite ").context("no testsuite")?;
        let suite = report[start..].split('>').next().unwrap_or_default();
        let count = |name: &str| -> Result<u64> {
            let (_, rest) = suite.split_once(&format!(" {name}=\"")).with_context(|| format!("no {name}"))?;
            Ok(rest.split('"').next().unwrap_or_default().parse()?)
        };
        let (failed, ignored) = (count("failures")? + count("errors")?, count("skipped")?);
        Ok(Self { passed: count("tests")?.saturating_sub(failed + ignored), failed, ignored })
    }

    /// This tally, held against how the runner ended.
    pub fn with_exit(mut self, success: bool) -> Self {
        if !success && self.failed == 0 {
            self.failed = 1;
        }
        self
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    const LINE: &str = "test result: FAILED. 12 passed; 1 failed; 3 ignored; 0 measured; \
                        2 filtered out; finished in 0.31s";

    #[test]
    fn a_result_line_of_cargo_is_read() {
        let expected = Tally { passed: 12, failed: 1, ignored: 3 };
        assert_eq!(Tally::from_cargo_line(LINE), Some(expected));
        let coloured = LINE.replace("FAILED", "\x1b[31mFAILED\x1b(B\x1b[m");
        assert_eq!(Tally::from_cargo_line(&coloured), Some(expected));
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(Tally::from_cargo_line("test a::b ... ok"), None);
        assert_eq!(Tally::from_cargo_line("running 3 tests"), None);
        assert_eq!(Tally::from_cargo_line("the test result: ok. 3 passed"), None);
    }

    #[test]
    fn a_report_of_playwright_is_read() {
        let report = r#"{"stats": {"expected": 4, "unexpected": 1, "flaky": 2, "skipped": 3}}"#;
        let expected = Tally { passed: 4, failed: 3, ignored: 3 };
        assert_eq!(Tally::from_playwright_report(report).unwrap(), expected);
        assert!(Tally::from_playwright_report("{}").is_err());
    }

    #[test]
    fn a_report_of_pytest_is_read() {
        let report = r#"<?xml version="1.0"?><testsuites name="pytest tests"><testsuite name="pytest" errors="1"
            failures="2" skipped="3" tests="10" time="0.2"><testcase name="a" time="1" /></testsuite></testsuites>"#;
        let report = report.replace("\n           ", "");
        let expected = Tally { passed: 4, failed: 3, ignored: 3 };
        assert_eq!(Tally::from_junit_report(&report).unwrap(), expected);
        assert!(Tally::from_junit_report("<testsuites/>").is_err());
    }

    #[test]
    fn a_runner_that_breaks_counts_as_a_failure() {
        assert_eq!(Tally::default().with_exit(false).failed, 1);
        assert_eq!(Tally::default().with_exit(true).failed, 0);
        let two = Tally { failed: 2, ..Tally::default() };
        assert_eq!(two.with_exit(false).failed, 2);
    }
}
