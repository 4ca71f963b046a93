//! Lines of the trail and live events wait here until just before the commit and are then written
//! together, a few dozen per statement. The rule: what is pending is part of the transaction; if it
//! cannot be written, nothing is kept.

use std::collections::VecDeque;

use crate::{
    Conn, StoreError,
    args::{Arg, args},
    write::CHANNEL,
};

/// Rows of one kind that wait.
struct Rows {
    table: &'static str,
    columns: &'static [&'static str],
    waiting: VecDeque<Vec<Arg>>,
}

/// What waits to be written.
pub(crate) struct Pending {
    audit: Rows,
    events: Rows,
}

/// The sizes in which rows are written: few, so that each text is prepared once per connection.
const SIZES: [usize; 7] = [64, 32, 16, 8, 4, 2, 1];

/// Serialises the writing of events between processes, so that their numbers become visible in
/// order and nobody who reads on from a number misses one. Any constant will do.
const EVENTS_LOCK: &str = "SELECT CAST(pg_advisory_xact_lock(4857362701) AS TEXT) AS locked";

impl Default for Pending {
    fn default() -> Self {
        Self {
            audit: Rows { table: "audit", columns: super::audit::COLUMNS, waiting: VecDeque::new() },
            events: Rows { table: "events", columns: super::events::COLUMNS, waiting: VecDeque::new() },
        }
    }
}

impl Pending {
    pub fn len(&self) -> usize {
        self.audit.waiting.len() + self.events.waiting.len()
    }

    pub fn audit(&mut self, row: Vec<Arg>) {
        self.audit.waiting.push_back(row);
    }

    pub fn event(&mut self, row: Vec<Arg>) {
        self.events.waiting.push_back(row);
    }
}

impl Rows {
    /// The next statement and its values; `None` once everything is written.
    fn next(&mut self) -> Option<(String, Vec<Arg>)> {
        let size = SIZES.into_iter().find(|size| *size <= self.waiting.len())?;
        let width = self.columns.len();
        let row = |n: usize| {
            let placeholders: Vec<String> = (1..=width).map(|c| format!("${}", n * width + c)).collect();
            format!("({})", placeholders.join(", "))
        };
        let rows: Vec<String> = (0..size).map(row).collect();
        let sql = format!("INSERT INTO {} ({}) VALUES {}", self.table, self.columns.join(", "), rows.join(", "));
        Some((sql, self.waiting.drain(..size).flatten().collect()))
    }
}

impl Conn {
    /// Writes what is pending and, on PostgreSQL, tells the other processes. The last thing before
    /// a commit.
    pub(crate) async fn pending_write(&mut self) -> Result<(), StoreError> {
        while let Some((sql, args)) = self.pending.audit.next() {
            self.change(sql, args).await?;
        }
        if !self.is_sqlite() {
            if !self.pending.events.waiting.is_empty() {
                self.rows(EVENTS_LOCK, Vec::new()).await?;
            }
            self.rows("SELECT CAST(pg_notify($1, '') AS TEXT) AS told", args![CHANNEL]).await?;
        }
        while let Some((sql, args)) = self.pending.events.next() {
            self.change(sql, args).await?;
        }
        Ok(())
    }
}
