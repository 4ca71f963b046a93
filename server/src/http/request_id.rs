//! The id of a request: made here, never taken from outside, and the same in the answer, in every
//! log line and in the audit trail. The rule: code below asks [`current`], it is never passed on.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

tokio::task_local! {
    static CURRENT: Arc<str>;
}

/// The id of the request that is being answered; `None` outside of one.
pub fn current() -> Option<Arc<str>> {
    CURRENT.try_with(Clone::clone).ok()
}

/// The same as text, empty outside of a request.
pub(crate) fn current_text() -> String {
    current().map(|id| id.to_string()).unwrap_or_default()
}

/// Runs `future` as part of the request `id`.
pub(crate) async fn scope<F: Future>(id: Arc<str>, future: F) -> F::Output {
    CURRENT.scope(id, future).await
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
