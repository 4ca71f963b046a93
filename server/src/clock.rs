//! The one clock. The rule: everything that asks for the present asks here, so that it can run
//! under a simulated time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use domain::time::{Millis, Timestamp};

/// Tells the present.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    simulated: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands at `start` until it is moved.
    pub fn simulated(start: Timestamp) -> Self {
        Self { simulated: Some(Arc::new(AtomicI64::new(start.millis()))) }
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        match &self.simulated {
            Some(millis) => Timestamp::from_millis(millis.load(Ordering::SeqCst)),
            None => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
        }
    }

    /// Moves a simulated clock; the machine's clock stays as it is.
    pub fn advance(&self, span: Millis) {
        if let Some(millis) = &self.simulated {
            millis.fetch_add(span, Ordering::SeqCst);
        }
    }
}
