//! The id of a request: made here, never taken from outside, and the same in the answer, in every
//! log line and in the audit trail. The rule: code below asks [`current`], it is never passed on.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

pub use crate::request_scope::current;
pub(crate) use crate::request_scope::scope;

/// The same as text, empty outside of a request.
pub(crate) fn current_text() -> String {
    current().map(|id| id.to_string()).unwrap_or_default()
}

/// Makes ids: a random head for the process and a count, so that two processes never make the same.
#[derive(Debug)]
pub(crate) struct RequestIds {
    head: u32,
    count: AtomicU64,
}

impl RequestIds {
    pub fn new() -> Self {
        let mut head = [0_u8; 4];
        // Without randomness ids of two processes may meet; that only makes the log harder to read.
        let _ = getrandom::fill(&mut head);
        Self { head: u32::from_le_bytes(head), count: AtomicU64::new(0) }
    }

    pub fn next(&self) -> Arc<str> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        format!("{:08x}{count:08x}", self.head).into()
    }
}
